"""O5 and the group commit: what the ledger does while its disk is full, read-only, slow, or gone for good."""

import asyncio
import logging
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from headgate.domain.errors import LedgerUnavailableError
from headgate.domain.limits import RateLimits
from headgate.ledger.embedded import EmbeddedLedger, open_ledger
from headgate.ledger.journal_file import JournalFile
from headgate.ledger.outcomes import Ask, Held
from headgate.ledger.verify import verify_journal
from tests.ledger.tree import Clock, budget, claim, held, key_path

ACCOUNT = "key/key_1/bud_1/2026-11"
PATH = key_path(budget("bud_1", 10_000))


class Disk:
    """What commits batches, with a fault that a test switches on: a real error of SQLite's, or real time."""

    def __init__(self) -> None:
        self.fault: Callable[[JournalFile], None] | None = None
        self.commits = 0

    def __call__(self, file: JournalFile) -> Callable[[int, bytes], None]:
        def append(seq: int, body: bytes) -> None:
            if self.fault is not None:
                self.fault(file)
            file.append(seq, body)
            self.commits += 1

        return append


def full(file: JournalFile) -> None:
    pages = file.connection.execute("PRAGMA page_count").fetchone()[0]
    file.connection.execute(f"PRAGMA max_page_count = {pages}")
    while True:
        file.append(10**9 + time.monotonic_ns(), bytes(8_000))


def read_only(file: JournalFile) -> None:
    file.connection.execute("PRAGMA query_only = ON")


@asynccontextmanager
async def opened(file: Path, disk: Disk, timeout_s: float = 5.0) -> AsyncIterator[EmbeddedLedger]:
    ledger = open_ledger(file, clock=Clock(), commit_timeout_s=timeout_s, append=disk)
    ledger.start()
    try:
        yield ledger
    finally:
        await ledger.aclose()


async def until(condition: Callable[[], bool], within_s: float = 10.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.005)


@pytest.mark.parametrize(("fault", "word"), [(full, "full"), (read_only, "readonly")])
async def test_o5_a_disk_that_cannot_be_written_refuses_money_at_once_and_heals_by_itself(
    fault: Callable[[JournalFile], None], word: str, tmp_path: Path
) -> None:
    disk, file = Disk(), tmp_path / "ledger.db"
    async with opened(file, disk) as ledger:
        await ledger.reserve(claim("before", PATH, 100))
        disk.fault = fault
        with pytest.raises(LedgerUnavailableError) as refusal:
            await ledger.reserve(claim("a", PATH, 100))
        assert word in (refusal.value.reason or "")
        assert (refusal.value.status, refusal.value.code) == (503, "ledger_unavailable")
        assert refusal.value.retry_after_s == 2
        assert ledger.balances() == {ACCOUNT: (0, 100)}
        began = time.monotonic()
        for number in range(50):
            with pytest.raises(LedgerUnavailableError):
                await ledger.reserve(claim(f"b{number}", PATH, 100))
        assert time.monotonic() - began < 1
        assert isinstance(await ledger.reserve(claim("free", key_path(rates=RateLimits(tpm=9)), 0, 1)), Held)
        ledger.settle("before", 70, 0)

        disk.fault = None
        await until(lambda: ledger.unavailable is None)
        assert held(await ledger.reserve(claim("after", PATH, 100)))
        await ledger.flushed()
        report = verify_journal(file, ledger.balances())
        assert (report.problems, report.voided, report.posted) == ((), 1, 1)


async def test_o5_a_disk_that_is_slow_refuses_in_time_and_is_asked_again(tmp_path: Path) -> None:
    disk, file = Disk(), tmp_path / "ledger.db"
    async with opened(file, disk, timeout_s=0.1) as ledger:
        await ledger.flushed()
        disk.fault = lambda _: time.sleep(0.6)
        began = time.monotonic()
        outcomes = await asyncio.gather(
            *(ledger.reserve(claim(f"a{number}", PATH, 100)) for number in range(20)), return_exceptions=True
        )
        assert {type(outcome) for outcome in outcomes} == {LedgerUnavailableError}
        assert {outcome.reason for outcome in outcomes} == {"commit_timeout"}
        assert 0.1 <= time.monotonic() - began < 0.5
        assert ledger.balances() == {ACCOUNT: (0, 0)}

        disk.fault = None
        await asyncio.sleep(0.7)
        assert held(await ledger.reserve(claim("after", PATH, 100)))
        await ledger.flushed()
        report = verify_journal(file, ledger.balances())
        assert (report.problems, report.intents, report.voided) == ((), 21, 20)


async def test_an_extension_that_cannot_be_made_durable_holds_nothing_more(tmp_path: Path) -> None:
    disk = Disk()
    async with opened(tmp_path / "ledger.db", disk) as ledger:
        await ledger.reserve(claim("a", PATH, 100))
        disk.fault = read_only
        for _ in range(2):
            with pytest.raises(LedgerUnavailableError):
                await ledger.extend("a", Ask(50))
            assert ledger.balances() == {ACCOUNT: (0, 100)}
        disk.fault = None
        await until(lambda: ledger.unavailable is None)
        assert held(await ledger.extend("a", Ask(50))).held_nano_usd == 150


LIMITED = """
import asyncio, resource, sys
from pathlib import Path
from headgate.domain.errors import LedgerUnavailableError
from headgate.ledger.embedded import open_ledger
from headgate.ledger.verify import verify_journal
from tests.ledger.tree import budget, claim, key_path

async def main(file):
    path = key_path(budget("bud_1", 10**12))
    ledger = open_ledger(file, commit_timeout_s=5)
    ledger.start()
    await ledger.flushed()
    log = Path(f"{file}-wal").stat().st_size
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (log + 60_000, hard))
    written = refused = 0
    while not refused:
        try:
            await ledger.reserve(claim(f"r{written}", path, 10))
            written += 1
        except LedgerUnavailableError as error:
            refused += 1
            print(error.reason)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    while ledger.unavailable:
        await asyncio.sleep(0.01)
    await ledger.reserve(claim("healed", path, 10))
    await ledger.flushed()
    report = verify_journal(file, ledger.balances())
    assert report.adds_up, report
    assert written > 3 and report.open_holds == written + 1 and report.voided == 1, (written, report)
    await ledger.aclose()
    print("healed")

asyncio.run(main(Path(sys.argv[1])))
"""


def test_o5_the_kernel_refuses_to_let_the_file_grow_and_then_lets_it(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path / "ledger.db")],
        cwd=root,
        env={"PYTHONPATH": f"{root / 'src'}:{root}", "PATH": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.stdout.endswith("healed\n"), done.stderr
    assert "OperationalError" in done.stdout


async def test_a_commit_that_failed_unclearly_is_not_written_twice(tmp_path: Path) -> None:
    disk, file = Disk(), tmp_path / "ledger.db"
    failures = [OSError("the answer was lost")]

    def lose_the_answer(journal: JournalFile) -> None:
        if failures:
            newest = journal.last_seq()
            journal.append(newest + 1, disk_body[0])
            raise failures.pop()

    disk_body: list[bytes] = []
    plain = disk.__call__

    def keep(journal: JournalFile) -> Callable[[int, bytes], None]:
        append = plain(journal)

        def kept(seq: int, body: bytes) -> None:
            disk_body[:] = [body]
            append(seq, body)

        return kept

    ledger = open_ledger(file, clock=Clock(), commit_timeout_s=5, append=keep)
    ledger.start()
    disk.fault = lose_the_answer
    with pytest.raises(LedgerUnavailableError):
        await ledger.reserve(claim("a", PATH, 100))
    await until(lambda: ledger.unavailable is None)
    await ledger.flushed()

    report = verify_journal(file, ledger.balances())
    assert (report.problems, report.intents, report.voided) == ((), 1, 1)
    await ledger.aclose()


async def test_what_queues_while_a_commit_runs_is_the_next_group(tmp_path: Path) -> None:
    disk = Disk()
    async with opened(tmp_path / "ledger.db", disk) as ledger:
        await ledger.flushed()
        disk.fault, disk.commits = lambda _: time.sleep(0.02), 0
        await asyncio.gather(*(ledger.reserve(claim(f"r{number}", PATH, 1)) for number in range(500)))

        assert disk.commits <= 3


async def test_who_asked_before_a_checkpoint_is_not_kept_waiting_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, saved = Disk(), []
    async with opened(tmp_path / "ledger.db", disk) as ledger:
        await ledger.flushed()
        save = JournalFile.save
        gate = threading.Event()

        def kept(*arguments: object) -> None:
            assert gate.wait(10)
            saved.append(save(*arguments))

        monkeypatch.setattr(JournalFile, "save", kept)
        loop = asyncio.get_running_loop()
        before = loop.create_task(ledger.reserve(claim("before", PATH, 1)))
        await asyncio.sleep(0)
        ledger.checkpoint()
        after = loop.create_task(ledger.reserve(claim("after", PATH, 1)))

        assert held(await before)
        assert (saved, after.done()) == ([], False)
        gate.set()
        assert held(await after)
        assert saved == [None]
        assert verify_journal(tmp_path / "ledger.db", ledger.balances()).adds_up


async def test_more_than_one_group_of_rows_is_told_only_when_all_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headgate.ledger.journal._MOST_TOGETHER", 3)
    disk, file = Disk(), tmp_path / "ledger.db"
    async with opened(file, disk) as ledger:
        await ledger.flushed()
        for number in range(20):
            ledger.note(b"hit %d" % number)
        await ledger.reserve(claim("a", PATH, 1))
        reader = JournalFile(file, writable=False)
        rows = [row[1] for _, batch in reader.batches(0) for row in batch]
        reader.close()

        assert "a" in rows
        assert disk.commits >= 7


async def test_an_idle_writer_commits_at_once_and_writes_alone_what_nobody_waits_for(tmp_path: Path) -> None:
    file = tmp_path / "ledger.db"
    async with opened(file, Disk()) as ledger:
        took = []
        for number in range(20):
            began = time.perf_counter()
            await ledger.reserve(claim(f"r{number}", PATH, 1))
            took.append(time.perf_counter() - began)
            ledger.settle(f"r{number}", 1, 0)
        await until(lambda: verify_journal(file).posted == 20, within_s=2)

        assert min(took) < 0.015


async def test_rows_that_come_to_a_sleeping_writer_wake_it(tmp_path: Path) -> None:
    disk = Disk()
    async with opened(tmp_path / "ledger.db", disk) as ledger:
        await asyncio.sleep(0.1)
        before = disk.commits
        ledger.note(b"a cache hit")
        await until(lambda: disk.commits > before, within_s=2)


async def test_a_ledger_that_is_closed_while_its_disk_fails_ends_and_says_what_is_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    disk = Disk()
    with caplog.at_level(logging.ERROR, "headgate.ledger"):
        async with opened(tmp_path / "ledger.db", disk) as ledger:
            await ledger.flushed()
            disk.fault = read_only
            with pytest.raises(LedgerUnavailableError):
                await ledger.reserve(claim("a", PATH, 1))

    assert "ledger rows lost at shutdown" in caplog.messages


async def test_a_writer_that_breaks_is_a_ledger_that_refuses(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def broken(_: JournalFile) -> None:
        raise ZeroDivisionError

    disk = Disk()
    async with opened(tmp_path / "ledger.db", disk, timeout_s=0.2) as ledger:
        await ledger.flushed()
        disk.fault = broken
        for number in range(2):
            with pytest.raises(LedgerUnavailableError):
                await ledger.reserve(claim(f"a{number}", PATH, 1))
        assert "the journal's writer has failed" in caplog.messages


async def test_a_journal_that_is_too_long_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk()
    async with opened(tmp_path / "ledger.db", disk) as ledger:
        await ledger.flushed()
        disk.fault = lambda _: time.sleep(0.3)
        monkeypatch.setattr("headgate.ledger.journal.CAPACITY", 10)
        ledger.note(b"x")
        await asyncio.sleep(0.1)
        for _ in range(10):
            ledger.note(b"x")
        assert ledger.is_full
        with pytest.raises(LedgerUnavailableError) as refusal:
            await ledger.reserve(claim("a", PATH, 1))
        assert refusal.value.reason == "journal_full"
