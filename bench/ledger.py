"""Measure the ledger: `python -m bench.ledger [--rate N] [--seconds S] [--directory DIR]`.

First the decisions alone, in memory: CPU per reserve and settle over three levels and two windows. Then with the
durable journal, for ``fsync`` and ``os``: requests that arrive at random at a steady rate, and then as fast as 32
callers can, each held for 5 ms. Printed are what `reserve` adds (p50, p99), how many requests shared a commit, and CPU
per request over all threads, less what the same load costs without a ledger: the process' own and the kernel's, which
is mostly the file system's work at a sync.
"""

import argparse
import asyncio
import gc
import random  # noqa: TID251  seeded, so that every run has the same arrivals
import resource
import statistics
import tempfile
import time
from collections import deque
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import NamedTuple

import uvloop

from headgate.domain.access import ScopeKind, ScopeRef
from headgate.domain.limits import Budget, LimitedKind, Period, RateLimits
from headgate.ledger.embedded import EmbeddedLedger, open_ledger, read_clocks
from headgate.ledger.engine import Engine
from headgate.ledger.journal_file import JournalFile
from headgate.ledger.limit_book import LimitBook, LimitPath, Limits
from headgate.ledger.outcomes import Admitted, Ask, Claim, Held
from headgate.ledger.verify import verify_journal

PLENTY = 9_000_000_000_000_000
ASK = Ask(12_000_000, 4_000, 1_200)
USED = (3_100_000, 900)
RECORD = b"x" * 400
"""About what a request's record takes."""
HELD_S = 0.005
CALLERS = 32


def make_path() -> LimitPath:
    """Organization, team and key with a budget each; tokens a minute on the team, a day on the key."""
    scopes = (ScopeRef(ScopeKind.ORGANIZATION, "org_1", "acme"), ScopeRef(ScopeKind.TEAM, "team_1", "platform"))
    book = LimitBook.build(
        [
            Limits(LimitedKind.ORGANIZATION, "org_1", (Budget("bud_1", PLENTY, Period.MONTH),)),
            Limits(LimitedKind.TEAM, "team_1", (Budget("bud_2", PLENTY, Period.MONTH),), RateLimits(tpm=PLENTY)),
            Limits(LimitedKind.KEY, "key_1", (Budget("bud_3", PLENTY, Period.DAY),), RateLimits(tpd=PLENTY)),
        ]
    )
    return book.path(scopes, "key_1")


def in_memory(rounds: int = 7, count: int = 50_000) -> list[float]:
    """Return µs of CPU per reserve and settle, one figure a round."""
    path = make_path()
    figures: list[float] = []
    for _ in range(rounds):
        rows: deque[object] = deque(maxlen=1000)
        engine = Engine(rows.append)
        rids = [f"req_{number:044x}" for number in range(count)]
        began = time.thread_time_ns()
        for rid in rids:
            engine.reserve(Claim(rid, path, ASK), read_clocks())
            engine.settle(rid, *USED, read_clocks(), payload=RECORD)
        figures.append((time.thread_time_ns() - began) / count / 1000)
    return figures


async def nothing(_rid: str) -> float:
    """The load without a ledger."""
    await asyncio.sleep(HELD_S)
    return 0.0


def with_ledger(ledger: EmbeddedLedger, path: LimitPath) -> Callable[[str], Coroutine[None, None, float]]:
    """One request as the pipeline makes it."""

    async def one(rid: str) -> float:
        began = time.perf_counter()
        admitted = ledger.admit(path)
        held = await ledger.reserve(Claim(rid, path, ASK))
        took = time.perf_counter() - began
        assert isinstance(admitted, Admitted)
        assert isinstance(held, Held)
        ledger.dispatched(rid)
        await asyncio.sleep(HELD_S)
        ledger.settle(rid, *USED, payee="openai", payload=RECORD)
        ledger.leave(admitted)
        return took

    return one


class Run(NamedTuple):
    """Latencies (s), and CPU per request (µs)."""

    latencies: list[float]
    user_us: float
    system_us: float


def cpu_s() -> tuple[float, float]:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime, used.ru_stime


def run_of(latencies: list[float], before: tuple[float, float]) -> Run:
    user, system = (now - then for now, then in zip(cpu_s(), before, strict=True))
    return Run(latencies, user / len(latencies) * 1e6, system / len(latencies) * 1e6)


async def at_rate(one: Callable[[str], Coroutine[None, None, float]], rate: int, seconds: float) -> Run:
    """Requests arrive independently of each other, ``rate`` a second on average."""
    loop, pick = asyncio.get_running_loop(), random.Random(1)
    tasks: list[asyncio.Task[float]] = []
    before, due = cpu_s(), loop.time()
    end = due + seconds
    async with asyncio.TaskGroup() as group:
        while due < end:
            due += pick.expovariate(rate)
            if due > loop.time():
                await asyncio.sleep(due - loop.time())
            tasks.append(group.create_task(one(f"req_{len(tasks):044x}")))
    return run_of([task.result() for task in tasks], before)


async def at_once(one: Callable[[str], Coroutine[None, None, float]], seconds: float) -> Run:
    """Callers who ask again as soon as they are done."""
    latencies: list[float] = []
    end = time.perf_counter() + seconds

    async def caller(name: int) -> None:
        count = 0
        while time.perf_counter() < end:
            count += 1
            latencies.append(await one(f"req_{name:022x}{count:022x}"))

    before = cpu_s()
    async with asyncio.TaskGroup() as group:
        for name in range(CALLERS):
            group.create_task(caller(name))
    return run_of(latencies, before)


def show(name: str, run: Run, without: Run, commits: int) -> None:
    ordered = sorted(run.latencies)
    p50, p99 = (ordered[int(len(ordered) * share)] * 1000 for share in (0.5, 0.99))
    print(
        f"{name:<18} {len(ordered):>7,} requests, {len(ordered) / commits:4.1f} a commit  "
        f"reserve p50 {p50:6.3f} ms, p99 {p99:6.3f} ms  "
        f"CPU {run.user_us - without.user_us:5.1f} µs + kernel {run.system_us - without.system_us:5.1f} µs",
        flush=True,
    )


async def durable(directory: Path, rate: int, seconds: float) -> None:
    loads: tuple[tuple[str, Callable[..., Coroutine[None, None, Run]]], ...] = (
        (f"{rate}/s", lambda one: at_rate(one, rate, seconds)),
        (f"{CALLERS} callers", lambda one: at_once(one, seconds)),
    )
    for name, load in loads:
        without = await load(nothing)
        for durability in ("fsync", "os"):
            file = directory / f"{durability}-{name.replace('/', '')}.db"
            commits = 0

            def counting(journal: JournalFile) -> Callable[[int, bytes], None]:
                def append(seq: int, body: bytes) -> None:
                    nonlocal commits
                    commits += 1
                    journal.append(seq, body)

                return append

            ledger = open_ledger(file, durability=durability, commit_timeout_s=30, append=counting)
            ledger.start()
            run = await load(with_ledger(ledger, make_path()))
            await ledger.flushed()
            assert verify_journal(file, ledger.balances()).adds_up
            await ledger.aclose()
            show(f"{durability}, {name}", run, without, commits)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--directory", type=Path, default=None, help="where the journal lies, on the disk to measure")
    given = parser.parse_args()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)  # as the gateway sets it
    figures = in_memory()
    print(
        f"in memory, 3 levels, 2 windows: {statistics.median(figures):.2f} µs of CPU per reserve and settle "
        f"({min(figures):.2f} – {max(figures):.2f})",
        flush=True,
    )
    with tempfile.TemporaryDirectory(prefix="headgate-ledger-", dir=given.directory) as place:
        uvloop.run(durable(Path(place), given.rate, given.seconds))


if __name__ == "__main__":
    main()
