"""Asking the ledger from other threads: answers of the loop, in time or not at all."""

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from headgate.domain.errors import LedgerUnavailableError
from headgate.domain.limits import BudgetMode, RateLimits
from headgate.ledger.desk import LedgerDesk
from headgate.ledger.journal_file import LedgerCorruptError
from headgate.ledger.outcomes import AdjustmentError, Ask, Claim
from headgate.ledger.verify import verify_journal
from tests.ledger.threaded import Threaded, threaded_ledger
from tests.ledger.tree import NOVEMBER_24_MS, budget, key_path

ACCOUNT = "key/key_1/bud_1/2026-11"
PATH = key_path(budget("bud_1", 1_000), rates=RateLimits(rpm=5))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def threaded(file: Path) -> Iterator[Threaded]:
    with threaded_ledger(file, lambda: NOVEMBER_24_MS) as threaded:
        yield threaded


def reserve(threaded: Threaded, rid: str, nano_usd: int) -> None:
    threaded.run(threaded.ledger.reserve(Claim(rid, PATH, Ask(nano_usd))))


def test_a_status_is_what_the_ledger_says_on_its_loop(threaded: Threaded):
    reserve(threaded, "one", 300)
    (line,) = threaded.desk.status(PATH).budgets
    assert (line.account, line.posted, line.held, line.free) == (ACCOUNT, 0, 300, 700)
    assert [window.limit_name for window in threaded.desk.status(PATH).windows] == ["rpm"]


def test_a_correction_is_on_disk_when_it_returns_also_on_an_account_that_nobody_used(threaded: Threaded, file: Path):
    adjusted = threaded.desk.adjust(PATH, 500, "the bill")
    assert adjusted.accounts == (ACCOUNT,)
    assert [crossed.percent for crossed in adjusted.thresholds] == [50]
    assert verify_journal(file, {ACCOUNT: (500, 0)}).problems == ()
    with pytest.raises(AdjustmentError):
        threaded.desk.adjust(PATH, -501, "too much")
    assert threaded.desk.adjust(PATH, -500, "back").accounts == (ACCOUNT,)
    assert threaded.ledger.balances() == {ACCOUNT: (0, 0)}


def test_many_threads_correct_at_once_and_none_is_lost(threaded: Threaded):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: threaded.desk.adjust(PATH, 1, "one"), range(200)))
    assert threaded.ledger.balances() == {ACCOUNT: (200, 0)}
    assert threaded.desk.verify().problems == ()


def test_what_does_not_add_up_is_told_each_time(threaded: Threaded):
    threaded.desk.adjust(PATH, 500, "the bill")
    account = threaded.ledger._engine.chart.accounts[ACCOUNT]
    account.posted = 499
    (problem,) = threaded.desk.verify().problems
    assert ACCOUNT in problem
    account.posted = 500
    assert threaded.desk.verify().adds_up


def test_requests_that_go_on_meanwhile_are_no_problem(threaded: Threaded):
    stop = threading.Event()
    free = key_path(budget("bud_1", 1_000, mode=BudgetMode.AUDIT))

    async def traffic() -> int:
        number = 0
        while not stop.is_set():
            number += 1
            await threaded.ledger.reserve(Claim(f"r{number}", free, Ask(2)))
            threaded.ledger.settle(f"r{number}", 1, None)
            # A gateway refuses requests while the journal is behind; nothing here would.
            await asyncio.sleep(0.001)
        return number

    running = asyncio.run_coroutine_threadsafe(traffic(), threaded.loop)
    try:
        reports = [threaded.desk.verify() for _ in range(5)]
    finally:
        stop.set()
    assert running.result(30) > 0
    assert [report.problems for report in reports] == [()] * 5


def test_a_journal_that_is_damaged_is_told_as_such(threaded: Threaded, file: Path):
    threaded.desk.adjust(PATH, 500, "the bill")
    connection = sqlite3.connect(file)
    with connection:
        connection.execute("UPDATE batches SET crc = crc + 1")
    connection.close()
    with pytest.raises(LedgerCorruptError):
        threaded.desk.verify()


def test_a_loop_that_does_not_answer_is_waited_for_only_so_long(threaded: Threaded, file: Path):
    desk = LedgerDesk(threaded.ledger, file, threaded.loop, timeout_s=0.05)
    release = threading.Event()
    threaded.loop.call_soon_threadsafe(release.wait)
    with pytest.raises(LedgerUnavailableError, match="did not answer"):
        desk.adjust(PATH, 1, "late")
    release.set()
    # What had not begun when its caller gave up is never begun.
    assert threaded.desk.status(PATH).budgets[0].posted == 0


def test_a_loop_that_is_closed_answers_nothing(file: Path):
    with threaded_ledger(file, lambda: NOVEMBER_24_MS) as threaded:
        desk = threaded.desk
    with pytest.raises(LedgerUnavailableError, match="stopping"):
        desk.status(PATH)


def test_nothing_is_posted_while_the_journal_cannot_be_written(file: Path):
    broken = threading.Event()

    def append(journal):
        def commit(seq: int, body: bytes) -> None:
            if broken.is_set():
                raise sqlite3.OperationalError("disk is full")
            journal.append(seq, body)

        return commit

    with threaded_ledger(file, lambda: NOVEMBER_24_MS, append=append, commit_timeout_s=0.2) as threaded:
        threaded.desk.adjust(PATH, 5, "before")
        broken.set()
        with pytest.raises(LedgerUnavailableError, match="before you try again"):
            threaded.desk.adjust(PATH, 7, "meanwhile")
        with pytest.raises(LedgerUnavailableError, match="nothing was posted"):
            threaded.desk.adjust(PATH, 11, "after")
        broken.clear()
        threaded.run(threaded.ledger.flushed())
        assert threaded.desk.status(PATH).budgets[0].posted == 12
        assert threaded.desk.verify().problems == ()
