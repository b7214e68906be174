"""Resilience, proven through the whole gateway: `python -m bench.resilience [--only NAME …] [--write]`.

    f1          the matrix of faults, a healthy fallback behind each
    f2          the primary is down: connection refused, 503, stalls
    f3          both are down
    f4          the primary fails in 30 % and is five times as slow
    f6          the gate before the first content: what it adds, and 10,000 streams byte for byte
    o1          SIGTERM with 100 live streams, 20 times, another gateway beside it
    c3          nothing leaves the region, whatever fails in it

Everything that is random follows from ``--seed``; timing does not. ``--seconds`` is how long a provider is down.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from bench.resilience import drain, gate, outage, report, residency
from bench.resilience.provider import Conduct
from bench.resilience.report import Check, Met, Part
from tests.chaos import matrix

RESULTS = Path(__file__).resolve().parents[1] / "RESULTS-resilience.md"
BROWN = Conduct(failing=0.3, first_ms=5 * outage.USUAL.first_ms)


class Size(NamedTuple):
    """How long and how much."""

    seconds: float = 120.0
    rate: float = 100.0
    streams: int = 10_000
    pairs: int = 500
    restarts: int = 20
    seed: int = 20261124


def f1(place: Path, _: Size) -> list[Part]:
    found = matrix.run(place)
    before, after = matrix.before_content(), matrix.after_content()
    saved = sum(found.problem(cell) is None for cell in before)
    said = sum(found.problem(cell) is None for cell in after)
    late = [cell.name for cell in matrix.CELLS if not found.is_in_time(cell)]
    checks = (
        Check(
            f"before content: {saved} of {len(before)} answered by the fallback, byte for byte (at least 99.5 %)",
            saved >= matrix.LEAST_SAVED * len(before),
        ),
        Check(f"behind content: {said} of {len(after)} ended in an explicit error and a record", said == len(after)),
        Check(f"ended more than a second behind the deadline: {len(late)} {late[:3]}", not late),
    )
    faults = len({cell.fault for cell in matrix.CELLS})
    title = f"F1: {faults} faults in {len(matrix.CELLS)} cells, a healthy fallback behind each"
    return [Part(title, (), checks, Met(len(before), saved))]


def f2(place: Path, size: Size) -> list[Part]:
    return [
        report.of_outage(
            outage.run(place / str(number), kind, seconds=size.seconds, rate=size.rate, both=False, seed=size.seed)
        )
        for number, kind in enumerate(outage.DOWN)
    ]


def f3(place: Path, size: Size) -> list[Part]:
    return [
        report.of_blackout(
            outage.run(place / str(number), kind, seconds=size.seconds, rate=size.rate, both=True, seed=size.seed)
        )
        for number, kind in enumerate(outage.DOWN)
    ]


def f4(place: Path, size: Size) -> list[Part]:
    found = outage.run(
        place, "brown-out", seconds=size.seconds, rate=size.rate, both=False, conduct=BROWN, seed=size.seed
    )
    return [report.of_brown_out(found)]


def f6(place: Path, size: Size) -> list[Part]:
    return [report.of_gate(gate.run(place, size.streams, size.pairs, size.seed))]


def o1(place: Path, size: Size) -> list[Part]:
    return [report.of_restarts(drain.run(place, size.restarts))]


def c3(place: Path, size: Size) -> list[Part]:
    return [report.of_residency(residency.run(place, seconds=size.seconds / 10, rate=size.rate / 2))]


PARTS: dict[str, Callable[[Path, Size], list[Part]]] = {
    "f1": f1, "f2": f2, "f3": f3, "f4": f4, "f6": f6, "o1": o1, "c3": c3,
}  # fmt: skip


def main() -> int:
    usual = Size()
    parser = argparse.ArgumentParser(
        prog="python -m bench.resilience", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=usual.seconds)
    parser.add_argument("--rate", type=float, default=usual.rate)
    parser.add_argument("--streams", type=int, default=usual.streams)
    parser.add_argument("--restarts", type=int, default=usual.restarts)
    parser.add_argument("--seed", type=int, default=usual.seed)
    parser.add_argument("--only", nargs="*", choices=sorted(PARTS), default=list(PARTS))
    parser.add_argument("--write", action="store_true", help=f"write bench/{RESULTS.name}")
    given = parser.parse_args()
    size = Size(given.seconds, given.rate, given.streams, usual.pairs, given.restarts, given.seed)
    parts: list[Part] = []
    for name in given.only:
        with tempfile.TemporaryDirectory(prefix="headgate-resilience-") as place:
            parts += PARTS[name](Path(place), size)
        print(f"{name}: done", file=sys.stderr, flush=True)
    text = report.text_of(parts, given.seed)
    print(text)
    if given.write:
        RESULTS.write_text(text)
    return 1 if any(map(report.missed, parts)) else 0


if __name__ == "__main__":
    sys.exit(main())
