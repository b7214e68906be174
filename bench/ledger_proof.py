"""The ledger's proofs in their long form: `python -m bench.ledger_proof [--seed N] [--scale PERCENT] [--only NAME …]`.

    machine    A1: random operations on the engine, every invariant after each (10,000 runs of up to 100 steps)
    kills      A6: a process under load is killed with SIGKILL (100 times)
    cuts       A7: the journal's log is cut at every byte of its last frames, and at every frame of the rest
    crowd      A3 in one process: 200 callers, 50,000 requests, three levels, at the last cents

``--scale 1`` is a look at whether they still run. Everything that is random follows from ``--seed``.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import hypothesis
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.ledger.crashes import run_cycles
from tests.ledger.crowd import crowd
from tests.ledger.machine import LedgerMachine
from tests.ledger.truncation import check_truncated, write_tail


def machine(_: Path, seed: int, percent: float) -> str:
    examples = max(1, int(100 * percent))

    @hypothesis.seed(seed)
    class Seeded(LedgerMachine):
        """The machine, with the seed of this run."""

    run_state_machine_as_test(
        Seeded,
        settings=settings(
            max_examples=examples,
            stateful_step_count=100,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    return f"{examples:,} runs of up to 100 steps: no violation of I1 to I10"


def kills(place: Path, seed: int, percent: float) -> str:
    found = run_cycles(place, max(1, int(percent)), seed)
    assert (found.lost, found.doubled, found.problems) == (0, 0, []), found
    assert found.metered <= found.posted <= found.limit, found
    return (
        f"{found.cycles} kills, {found.sent:,} requests sent: lost 0, doubled 0, {found.recovered} recovered; "
        f"meter {found.metered:,} <= posted {found.posted:,} <= limit {found.limit:,}; "
        f"slowest start {found.slowest_ready_ms:.0f} ms"
    )


def cuts(place: Path, _: int, percent: float) -> str:
    tail = write_tail(place / "whole")
    every_byte = range(tail.frames[-1 - min(len(tail.frames) - 1, max(1, int(percent / 50)))], tail.size + 1)
    step = max(1, int(100 / percent))
    places = sorted({*tail.frames[::step], *every_byte[::step]})
    left = {check_truncated(tail, place / "cut", cut) for cut in places}
    return f"{len(places):,} cuts of a log of {tail.size:,} bytes: {len(left)} different ends, each a state that was"


def race(place: Path, seed: int, percent: float) -> str:
    found = asyncio.run(crowd(place / "ledger.db", callers=200, requests=int(500 * percent), seed=seed))
    assert (found.over, found.problems) == (0, ()), found
    assert found.spent == found.posted <= found.limit
    used = found.posted / found.limit
    assert used >= 0.99, found
    return f"{found.asked:,} requests of 200 callers: overage 0 at {found.held:,} samples, {used:.2%} of the limit used"


PROOFS: dict[str, Callable[[Path, int, float], str]] = {"machine": machine, "kills": kills, "cuts": cuts, "crowd": race}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=20261124)
    parser.add_argument("--scale", type=float, default=100.0, help="percent of the long form")
    parser.add_argument("--only", nargs="*", choices=sorted(PROOFS), default=list(PROOFS))
    given = parser.parse_args()
    print(f"seed {given.seed}, {given.scale:g} % of the long form", flush=True)
    for name in given.only:
        with tempfile.TemporaryDirectory(prefix="headgate-proof-") as place:
            began = time.perf_counter()
            words = PROOFS[name](Path(place), given.seed, given.scale)
            print(f"{name:<8} {words} ({time.perf_counter() - began:.0f} s)", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
