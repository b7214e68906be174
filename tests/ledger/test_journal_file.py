import sqlite3
from pathlib import Path

import pytest
from msgspec import msgpack

from headgate.ledger.chart import Gone
from headgate.ledger.journal_file import JournalFile, LedgerCorruptError, encode_rows
from headgate.ledger.outcomes import Moment
from headgate.ledger.replay import Checkpoint, take_checkpoint
from tests.ledger.tree import Clock, budget, claim, key_path, make_engine

EMPTY = Checkpoint((), (), (), Gone((), (), ()), 1, 0)


@pytest.fixture
def file(tmp_path: Path) -> JournalFile:
    opened = JournalFile(tmp_path / "ledger.db")
    yield opened
    opened.close()


def test_batches_come_back_in_order_and_as_they_were(file: JournalFile) -> None:
    for seq in range(1, 4):
        file.append(seq, encode_rows([(10, seq, b"\x00\xff"), (4, "r", seq)]))

    assert list(file.batches(1)) == [(seq, [(10, seq, b"\x00\xff"), (4, "r", seq)]) for seq in (2, 3)]
    assert file.last_seq() == 3


def test_the_same_batch_twice_is_once(file: JournalFile) -> None:
    for _ in range(2):
        file.append(1, encode_rows([(10, 1, b"")]))

    assert len(list(file.batches(0))) == 1


def test_a_checkpoint_takes_batches_out_but_for_those_that_are_still_read(file: JournalFile) -> None:
    for seq in range(1, 6):
        file.append(seq, encode_rows([(10, seq, b"")]))

    file.save(EMPTY, 4, {}, retain_after=2)
    assert [seq for seq, _ in file.batches(2)] == [3, 4, 5]
    with pytest.raises(LedgerCorruptError, match=r"batch 1 of .* is missing"):
        list(file.batches(0))
    file.save(EMPTY, 5, {}, retain_after=9)
    assert (list(file.batches(5)), file.last_seq(), file.load().seq) == ([], 5, 5)


def test_a_checkpoint_is_all_or_nothing(file: JournalFile) -> None:
    file.append(1, encode_rows([(10, 1, b"")]))
    (engine, _), now = make_engine(), Clock()
    engine.reserve(claim("a", key_path(budget("bud_1", 100)), 5), now())
    engine.reserve(claim("b", key_path(budget("bud_1", 100)), 5), now())
    saved = take_checkpoint(engine, Moment(now.wall_ms, now.mono_ms))
    twice = Checkpoint(saved.accounts, (), saved.holds + saved.holds[:1], saved.gone, 9, 0)

    with pytest.raises(sqlite3.IntegrityError):
        file.save(twice, 1, {}, retain_after=1)

    assert (file.load().accounts, file.load().seq, len(list(file.batches(0)))) == ((), 0, 1)
    file.save(saved, 1, {1: 7}, retain_after=1)
    loaded = file.load()
    assert (loaded.accounts, loaded.holds, loaded.folded) == (saved.accounts, saved.holds, {1: 7})


@pytest.mark.parametrize(("durability", "synchronous"), [("fsync", 2), ("os", 1)])
def test_the_durability_is_sqlites(tmp_path: Path, durability: str, synchronous: int) -> None:
    opened = JournalFile(tmp_path / "ledger.db", durability=durability)

    assert opened.connection.execute("PRAGMA synchronous").fetchone() == (synchronous,)
    assert opened.connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert (tmp_path / "ledger.db").stat().st_mode & 0o777 == 0o600
    opened.close()


def test_a_reader_can_neither_write_nor_make_a_file(file: JournalFile, tmp_path: Path) -> None:
    reader = JournalFile(file.path, writable=False)
    with pytest.raises(sqlite3.OperationalError):
        reader.append(1, b"")
    reader.close()

    with pytest.raises(sqlite3.OperationalError):
        JournalFile(tmp_path / "none.db", writable=False)
    assert not (tmp_path / "none.db").exists()


def test_a_damaged_file_is_told_to_the_operator(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_bytes(b"SQLite format 3\0" + bytes(4_080))

    with pytest.raises(LedgerCorruptError, match="restore a backup"):
        JournalFile(tmp_path / "ledger.db")


def test_what_a_caller_or_a_provider_makes_unwritable_keeps_back_no_row() -> None:
    body = encode_rows([(10, 0, {"model": "\ud800x", "tags": (("a", "\udfff"),)}), (10, 0, [2**70, -(2**70), True])])
    assert msgpack.decode(body) == [
        [10, 0, {"model": "?x", "tags": [["a", "?"]]}],
        [10, 0, [2**63 - 1, -(2**63 - 1), True]],
    ]


@pytest.mark.parametrize("found", [1, 99])
def test_a_file_of_another_format_is_refused_and_left_as_it_is(tmp_path: Path, found: int) -> None:
    path = tmp_path / "ledger.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE facts (name TEXT PRIMARY KEY, value INTEGER NOT NULL)")
    connection.execute("INSERT INTO facts VALUES ('format', ?)", (found,))
    connection.commit()

    for writable in (True, False):
        with pytest.raises(LedgerCorruptError, match=f"has format {found}, this Headgate reads 2"):
            JournalFile(path, writable=writable)
    assert connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall() == [("facts",)]
    connection.close()


def test_a_database_that_is_no_journal_is_refused(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "ledger.db")
    connection.execute("CREATE TABLE records (id TEXT)")
    connection.close()

    with pytest.raises(LedgerCorruptError, match="is no ledger's journal"):
        JournalFile(tmp_path / "ledger.db")
