"""Reloading under load, item O2 in its long form: `python -m bench.reload [--reloads N] [--clients N]`.

A real gateway process relays to a fake upstream. Its file alternates between two targets of one alias, each a provider
with a transport of its own, and one reload in ten is given a file that cannot be used (`tests/e2e/reloads.py`). By
turns a signal and the admin API ask for it, and after each the next request must be answered by the configuration that
was taken up, or by the last good one. Memory is read from ``/proc`` once caches and pools have filled, and at the end.
"""

import argparse
import contextlib
import statistics
import sys
import tempfile
import time
from pathlib import Path

from tests.e2e.reloads import TARGETS, Reload, Traffic, changing, run_reloads
from tests.fakes.openai_api import FakeOpenAI

ONE_IN = 10
MOST_GROWTH_BYTES = 5_000_000
MOST_GROWTH = 0.03


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.reload", description=__doc__)
    parser.add_argument("--reloads", type=int, default=1000)
    parser.add_argument("--warm-up", type=int, default=200, help="reloads before memory is compared")
    parser.add_argument("--clients", type=int, default=4, help="clients of whole answers, and as many of streams")
    parser.add_argument("--pause-ms", type=float, default=10.0, help="rest of a client between two requests")
    given = parser.parse_args()
    with contextlib.ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="headgate-reload-")))
        upstream = stack.enter_context(contextlib.ExitStack())
        fake = upstream.enter_context(FakeOpenAI())
        running = stack.enter_context(changing(place, fake.url))
        gateway = running.gateway
        running.open_what_is_kept()
        descriptors = _descriptors(gateway.pid)
        began = time.monotonic()
        with Traffic(gateway.port, given.clients, given.pause_ms / 1000) as traffic:
            run_reloads(running, given.warm_up, ONE_IN)
            resident: list[float] = []
            reloads: list[Reload] = []
            while len(reloads) < given.reloads:
                reloads += run_reloads(running, ONE_IN, ONE_IN)
                resident.append(gateway.resident_bytes())
                # The fake keeps what it was sent; here nobody asks for it.
                fake.exchanges.clear()
        took = time.monotonic() - began
        upstream.close()
        left = _until_at_most(descriptors, gateway.pid)
        checks = verdict(traffic, reloads, resident, descriptors, left)
        seconds = sorted(each.seconds for each in reloads if each.accepted)
        print(f"{given.warm_up + given.reloads} reloads in {took:.0f} s, {traffic.requests:,} requests beside them")
        print(
            f"a reload that was taken up: p50 {statistics.median(seconds) * 1000:.0f} ms, "
            f"p99 {seconds[int(len(seconds) * 0.99)] * 1000:.0f} ms; slowest request {traffic.slowest_s * 1000:.0f} ms"
        )
    for words, holds in checks:
        print(f"{'met   ' if holds else 'MISSED'} {words}")
    return 0 if all(holds for _, holds in checks) else 1


def verdict(
    traffic: Traffic, reloads: list[Reload], resident: list[float], before: int, after: int
) -> list[tuple[str, bool]]:
    """What is asked of reloads, and whether it is so."""
    rejected = sum(not each.accepted for each in reloads)
    strange = sum(count for name, count in traffic.answered.items() if name.partition("/")[0] not in TARGETS)
    quarter = max(1, len(resident) // 4)
    first, last = statistics.median(resident[:quarter]), statistics.median(resident[-quarter:])
    growth = last - first
    return [
        (
            f"reloads: {len(reloads):,}, of them {rejected} unusable files, all rejected",
            rejected * ONE_IN == len(reloads),
        ),
        (f"requests that failed: {len(traffic.failed)} {traffic.failed[:3] or ''}", not traffic.failed),
        (f"requests answered by a configuration that was rejected: {strange}", strange == 0),
        (
            f"RSS: {first / 1e6:.1f} MB in the first quarter, {last / 1e6:.1f} MB in the last, {growth / 1e6:+.1f} MB"
            f" (at most +{MOST_GROWTH_BYTES / 1e6:g} MB and +{MOST_GROWTH:.0%})",
            growth <= MOST_GROWTH_BYTES and growth <= first * MOST_GROWTH,
        ),
        (f"descriptors: {before} before, {after} after", after <= before),
    ]


def _descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def _until_at_most(count: int, pid: int, within_s: float = 20.0) -> int:
    deadline = time.monotonic() + within_s
    while (now := _descriptors(pid)) > count and time.monotonic() < deadline:
        time.sleep(0.1)
    return now


if __name__ == "__main__":
    sys.exit(main())
