"""A6: a process under load is killed with SIGKILL again and again, and nothing is lost, doubled or above the limit.

As a program (``python -m tests.ledger.crashes FILE LOG CYCLE``) it is the victim: it opens the journal, says how long
that took, and lets callers reserve and settle at the last cents until it is killed. Before a request is "sent" it
writes what a provider will bill for it into a log, with one system call: that is the provider's meter.
"""

import asyncio
import os
import random  # noqa: TID251  seeded, so that a failure can be run again
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from headgate.domain.limits import LimitedKind, Period
from headgate.ledger.embedded import EmbeddedLedger, open_ledger
from headgate.ledger.journal_file import JournalFile
from headgate.ledger.limit_book import LimitBook, LimitPath
from headgate.ledger.outcomes import Reason, Refusal
from headgate.ledger.rows import ACCOUNT, END, INTENT
from headgate.ledger.verify import verify_journal
from tests.ledger.tree import ORGANIZATION, budget, claim, limits, scopes

CALLERS = 40
PER_CYCLE = 150_000
ROOT = Path(__file__).resolve().parents[2]


def paths_of(cycle: int) -> list[LimitPath]:
    """The limit rises with every cycle, so that every cycle works at the last cents."""
    total = cycle * PER_CYCLE
    book = LimitBook.build(
        [
            limits(LimitedKind.ORGANIZATION, ORGANIZATION, budget("bud_o", total, Period.TOTAL, version=cycle)),
            limits(LimitedKind.TEAM, "team_1", budget("bud_1", total * 3 // 4, Period.TOTAL, version=cycle)),
            limits(LimitedKind.TEAM, "team_2", budget("bud_2", total * 3 // 4, Period.TOTAL, version=cycle)),
        ]
    )
    return [book.path(scopes(1 + number % 2), f"key_{number}") for number in range(8)]


async def load(ledger: EmbeddedLedger, log: int, cycle: int) -> None:
    paths = paths_of(cycle)

    async def caller(number: int) -> None:
        pick = random.Random(cycle * 1_000 + number)
        turn = 0
        while True:
            turn += 1
            rid = f"{cycle}.{number}.{turn}"
            amount = pick.randint(1, 900)
            outcome = await ledger.reserve(claim(rid, paths[number % 8], amount), wait_s=0.05)
            if isinstance(outcome, Refusal):
                await asyncio.sleep(0.002)
                continue
            if pick.random() < 0.05:
                ledger.void(rid)
                continue
            used = pick.randint(0, amount)
            os.write(log, f"{rid} {used} {amount}\n".encode())
            ledger.dispatched(rid)
            await asyncio.sleep(pick.random() * 0.01)
            ledger.settle(rid, used, 0, payload=b"record of " + rid.encode())

    async with asyncio.TaskGroup() as group:
        for number in range(CALLERS):
            group.create_task(caller(number))


async def victim(file: Path, log: Path, cycle: int) -> None:
    ledger = open_ledger(file, retain_after=lambda: 0, commit_timeout_s=30)
    ledger.start()
    print(f"ready {ledger.recovery.took_ms:.1f}", flush=True)
    await load(ledger, os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), cycle)


class Findings(NamedTuple):
    """All of it, over all cycles. Money is nano-USD."""

    cycles: int
    sent: int
    recovered: int
    lost: int
    doubled: int
    metered: int
    posted: int
    limit: int
    slowest_ready_ms: float
    problems: list[str]


def run_cycles(directory: Path, cycles: int, seed: int) -> Findings:
    """Kill so many times, then recover once more and compare the journal with the meter."""
    pick = random.Random(seed)
    file, log = directory / "ledger.db", directory / "meter.log"
    ready: list[float] = []
    environ = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    for cycle in range(1, cycles + 1):
        command = [sys.executable, "-m", "tests.ledger.crashes", str(file), str(log), str(cycle)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environ) as process:
            assert process.stdout is not None
            ready.append(float(process.stdout.readline().split()[1]))
            time.sleep(pick.uniform(0.02, 0.5))
            process.send_signal(signal.SIGKILL)
    last = open_ledger(file, retain_after=lambda: 0)

    async def recover() -> dict[str, tuple[int, int]]:
        last.start()
        await last.flushed()
        await last.aclose()
        return last.balances()

    ready.append(last.recovery.took_ms)
    return compare(file, log, asyncio.run(recover()), cycles, max(ready))


def compare(file: Path, log: Path, balances: dict[str, tuple[int, int]], cycles: int, slowest: float) -> Findings:
    journal = JournalFile(file, writable=False)
    rows = [row for _, batch in journal.batches(0) for row in batch]
    journal.close()
    intents = {row[1]: row[4] for row in rows if row[0] == INTENT}
    ends = Counter(row[1] for row in rows if row[0] == END)
    posted_of = {row[1]: row[3] for row in rows if row[0] == END}
    recovered = [row[1] for row in rows if row[0] == END and row[7] == Reason.RECOVERED]
    lines = [line.split() for line in log.read_text().splitlines() if line.count(" ") == 2]
    sent = {rid: (int(used), int(amount)) for rid, used, amount in lines}
    problems = list(verify_journal(file, balances).problems)
    for rid, (used, amount) in sent.items():
        expected = amount if rid in set(recovered) else used
        if posted_of.get(rid) != expected or intents.get(rid) != amount:
            problems.append(f"{rid} used {used} of {amount} and has {posted_of.get(rid)} of {intents.get(rid)} posted")
    account = f"organization/{ORGANIZATION}/bud_o/total"
    limit = max(row[6] for row in rows if row[0] == ACCOUNT and row[4] == "bud_o")
    return Findings(
        cycles=cycles,
        sent=len(sent),
        recovered=len(recovered),
        lost=sum(rid not in ends for rid in sent),
        doubled=sum(count > 1 for count in ends.values()),
        metered=sum(used for used, _ in sent.values()),
        posted=balances[account][0],
        limit=limit,
        slowest_ready_ms=slowest,
        problems=problems[:20],
    )


if __name__ == "__main__":
    asyncio.run(victim(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])))
