"""A ledger that adds up passes; one whose figures were touched, anywhere, is found out by name."""

import sqlite3
import zlib
from pathlib import Path

import msgspec
import pytest

from headgate.ledger.embedded import open_ledger
from headgate.ledger.journal_file import LedgerCorruptError
from headgate.ledger.outcomes import Ask
from headgate.ledger.rows import END, INTENT
from headgate.ledger.verify import verify_journal
from tests.ledger.tree import Clock, budget, claim, key_path

ACCOUNT = "key/key_1/bud_1/2026-11"
PATH = key_path(budget("bud_1", 1_000))


@pytest.fixture
async def file(tmp_path: Path) -> Path:
    """A journal with a checkpoint and rows of every kind after it."""
    ledger = open_ledger(tmp_path / "ledger.db", clock=Clock(), durability="os", commit_timeout_s=30)
    ledger.start()
    for number in range(6):
        await ledger.reserve(claim(f"a{number}", PATH, 50))
        ledger.settle(f"a{number}", 20, 0)
    await ledger.reserve(claim("open", PATH, 100))
    ledger.checkpoint()
    await ledger.reserve(claim("b", PATH, 50))
    ledger.post_part("b", 10, 0, "openai")
    await ledger.extend("b", Ask(10))
    ledger.release_part("b", Ask(5))
    ledger.settle("b", 20, 0)
    await ledger.reserve(claim("c", PATH, 50))
    ledger.void("c")
    ledger.adjust((ACCOUNT,), -15, "invoice")
    ledger.note(b"hit")
    await ledger.flushed()
    assert ledger.balances() == {ACCOUNT: (135, 100)}
    await ledger.aclose()
    return tmp_path / "ledger.db"


def change(file: Path, statement: str, *values: object) -> None:
    connection = sqlite3.connect(file)
    with connection:
        connection.execute(statement, values)
    connection.close()


def rewrite(file: Path, change_row: object) -> None:
    """Change rows of the last batches, with a checksum that fits: what a careful hand would do."""
    connection = sqlite3.connect(file)
    with connection:
        for seq, body in connection.execute("SELECT seq, body FROM batches").fetchall():
            rows = [new for row in msgspec.msgpack.decode(body) for new in change_row(row)]
            changed = msgspec.msgpack.encode(rows)
            values = (changed, zlib.crc32(changed), seq)
            connection.execute("UPDATE batches SET body = ?, crc = ? WHERE seq = ?", values)
    connection.close()


def test_a_ledger_that_adds_up(file: Path) -> None:
    report = verify_journal(file, {ACCOUNT: (135, 100)})

    assert report.adds_up
    assert (report.accounts, report.intents, report.posted, report.voided, report.open_holds) == (1, 2, 1, 1, 1)
    assert report.overrun_nano_usd == 0


def test_a_kept_balance_that_was_touched(file: Path) -> None:
    change(file, "UPDATE accounts SET posted = posted - 1")

    assert verify_journal(file).problems == (f"{ACCOUNT} has 119 posted, its rows say 120",)


def test_a_balance_in_memory_that_is_another(file: Path) -> None:
    assert verify_journal(file, {ACCOUNT: (135, 99)}).problems == (
        f"{ACCOUNT} has posted and held (135, 99) in memory, its rows say (135, 100)",
    )


def test_a_batch_whose_bytes_were_touched(file: Path) -> None:
    change(file, "UPDATE batches SET body = CAST(substr(body, 2) AS BLOB) WHERE seq = (SELECT max(seq) FROM batches)")

    with pytest.raises(LedgerCorruptError, match="is not what was written"):
        verify_journal(file)


def test_a_batch_that_is_gone(file: Path) -> None:
    change(file, "DELETE FROM batches WHERE seq = (SELECT min(seq) + 1 FROM batches)")

    with pytest.raises(LedgerCorruptError, match="is missing"):
        verify_journal(file)


def test_an_end_that_is_there_twice(file: Path) -> None:
    rewrite(file, lambda row: [row, row] if row[0] == END and row[1] == "b" else [row])

    assert any("b ends and is not open" in problem for problem in verify_journal(file).problems)


def test_an_intent_that_is_above_the_limit(file: Path) -> None:
    rewrite(file, lambda row: [[*row[:4], 5_000, *row[5:]]] if row[0] == INTENT else [row])

    assert any(f"was admitted on {ACCOUNT}" in problem for problem in verify_journal(file).problems)


def test_an_end_without_its_intent(file: Path) -> None:
    rewrite(file, lambda row: [] if row[0] == INTENT and row[1] == "c" else [row])

    assert any(problem.startswith("c ends and is not open") for problem in verify_journal(file).problems)


def test_what_is_no_journal(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_bytes(b"not a database, whatever its name says" * 100)

    with pytest.raises(LedgerCorruptError):
        verify_journal(tmp_path / "ledger.db")
