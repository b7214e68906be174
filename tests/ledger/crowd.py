"""A3 within one process: many callers at the last cents of three levels. `bench.ledger_proof` runs it large."""

import asyncio
import random  # noqa: TID251  seeded, so that a failure can be run again
from pathlib import Path
from typing import NamedTuple

from headgate.domain.limits import LimitedKind
from headgate.ledger.embedded import EmbeddedLedger, open_ledger
from headgate.ledger.limit_book import LimitBook
from headgate.ledger.outcomes import Refusal
from headgate.ledger.verify import verify_journal
from tests.ledger.tree import ORGANIZATION, Clock, budget, claim, limits, scopes

KEYS = 8
PATIENCE = 12
"""Refusals in a row, each of half the amount, after which a caller has seen the limit from below."""


class Crowd(NamedTuple):
    """What the crowd did. Money is nano-USD."""

    asked: int
    held: int
    over: int
    """Samples in which an account was above its limit."""
    spent: int
    posted: int
    limit: int
    problems: tuple[str, ...]


async def crowd(file: Path, callers: int, requests: int, seed: int) -> Crowd:
    """Let callers ask for random amounts, about ``requests`` of them, until nothing fits any more."""
    limit = requests * 240  # a request takes 250 on average
    book = LimitBook.build(
        [
            limits(LimitedKind.ORGANIZATION, ORGANIZATION, budget("bud_o", limit)),
            limits(LimitedKind.TEAM, "team_1", budget("bud_1", limit * 4 // 5)),
            limits(LimitedKind.TEAM, "team_2", budget("bud_2", limit * 4 // 5)),
            *(limits(LimitedKind.KEY, f"key_{n}", budget(f"bud_k{n}", limit * 3 // 10)) for n in range(KEYS)),
        ]
    )
    ledger = open_ledger(file, clock=Clock(), durability="os", commit_timeout_s=30)
    ledger.start()
    paths = [book.path(scopes(1 + number % 2), f"key_{number}") for number in range(KEYS)]
    counts = {"asked": 0, "held": 0, "over": 0, "spent": 0}
    async with asyncio.TaskGroup() as group:
        for number in range(callers):
            group.create_task(_caller(ledger, paths[number % KEYS], random.Random(seed + number), number, counts))
    await ledger.flushed()
    balances = ledger.balances()
    problems = verify_journal(file, balances).problems
    await ledger.aclose()
    posted, left = balances[f"organization/{ORGANIZATION}/bud_o/2026-11"]
    assert left == 0
    return Crowd(posted=posted, limit=limit, problems=problems, **counts)


async def _caller(
    ledger: EmbeddedLedger, path: object, pick: random.Random, number: int, counts: dict[str, int]
) -> None:
    most, refusals, turn = 1_000, 0, 0
    while refusals < PATIENCE:
        turn += 1
        counts["asked"] += 1
        amount = pick.randint(1, most)
        outcome = await ledger.reserve(claim(f"{number}.{turn}", path, amount), wait_s=0.2)
        if isinstance(outcome, Refusal):
            refusals += 1
            most = max(1, most // 2)
            continue
        refusals = 0
        counts["held"] += 1
        ledger.dispatched(outcome.rid)
        await asyncio.sleep(0)
        used = pick.randint(0, amount)
        counts["spent"] += used
        ledger.settle(outcome.rid, used, 0)
        counts["over"] += any(each.posted + each.held > each.limit for each in ledger.status(path).budgets)
