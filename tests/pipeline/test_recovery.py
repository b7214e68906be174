"""Records after a crash, from a real journal and a real database."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from headgate.domain.limits import Budget, LimitedKind, Period
from headgate.domain.record import Outcome, RequestMemo, RequestRecord
from headgate.domain.usage import TokenUsage, UsageQuality
from headgate.ledger.embedded import EmbeddedLedger, open_ledger
from headgate.ledger.limit_book import BudgetLine, LimitPath
from headgate.ledger.outcomes import Ask, Claim
from headgate.pipeline.recovery import recover_records
from headgate.records.queries import get
from headgate.storage.engine import Database, open_database
from headgate.storage.migrate import migrate

BUDGET = Budget("bud_1", 10_000, Period.TOTAL)
PATH = LimitPath("key_1", "UTC", (BudgetLine(LimitedKind.KEY, "key_1", BUDGET),), (), True)


@asynccontextmanager
async def opened(file: Path) -> AsyncIterator[EmbeddedLedger]:
    ledger = open_ledger(file)
    ledger.start()
    try:
        yield ledger
    finally:
        await ledger.aclose()


def database_at(directory: Path) -> Database:
    url = f"sqlite:///{directory}/headgate.db"
    migrate(url)
    return open_database(url)


def memo(rid: str) -> RequestMemo:
    return RequestMemo(
        rid, 5, ("org_1", "team_1"), "key_1", None, None, (), "chat", "openai_chat", "m", "p", "p/m", "m", False, False
    )


def record(rid: str, cost: int) -> RequestRecord:
    return RequestRecord(
        *(rid, 5, "org_1", ("org_1", "team_1"), "key_1", None, None, (), "chat", "openai_chat", "m", "p", "p/m", "m"),
        stream=False,
        attempts=(),
        outcome=Outcome.OK,
        status=200,
        error_code=None,
        finish_reason="stop",
        usage=TokenUsage(3, output_tokens=4),
        usage_quality=UsageQuality.PROVIDER,
        cost_nano_usd=cost,
        priced=True,
        price_version="test",
        first_event_ms=None,
        duration_ms=1.0,
        overhead_ms=0.5,
    )


async def test_an_old_database_beside_a_newer_journal_is_no_reason_not_to_start(tmp_path: Path) -> None:
    async with opened(tmp_path / "ledger.db") as ledger:
        for rid in ("one", "two"):
            await ledger.reserve(Claim(rid, PATH, Ask(700), memo(rid)))
            ledger.settle(rid, 300, 7, payload=record(rid, 300))
            # Nobody reads these batches any more, as far as this ledger knows: they are taken out.
            ledger.checkpoint()
        await ledger.flushed()
    database = database_at(tmp_path)
    ledger = open_ledger(tmp_path / "ledger.db")
    recover_records(ledger, database)
    ledger.start()
    await ledger.aclose()
    assert get(database, "one") is None
    database.close()


async def test_what_ended_and_what_ran_when_the_process_died_are_both_recorded_once(tmp_path: Path) -> None:
    crashed = tmp_path / "crashed"
    crashed.mkdir()
    async with opened(tmp_path / "ledger.db") as ledger:
        for rid in ("ended", "running"):
            await ledger.reserve(Claim(rid, PATH, Ask(700), memo(rid)))
        ledger.settle("ended", 300, 7, payload=record("ended", 300))
        await ledger.flushed()
        for suffix in ("", "-wal"):
            shutil.copy(f"{tmp_path}/ledger.db{suffix}", f"{crashed}/ledger.db{suffix}")
    database = database_at(tmp_path)
    for _ in range(2):
        ledger = open_ledger(crashed / "ledger.db")
        recover_records(ledger, database)
        ledger.start()
        await ledger.aclose()
        assert get(database, "ended") == record("ended", 300)
        lost = get(database, "running")
        assert lost is not None
        assert (lost.outcome, lost.cost_nano_usd, lost.usage_quality) == (Outcome.RECOVERED, 700, UsageQuality.BOUND)
    database.close()
