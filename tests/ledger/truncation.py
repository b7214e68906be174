"""A7: a journal whose log ends at any byte. Long runs cut at every one: ``python -m bench.ledger_proof``.

SQLite's log is a header of 32 bytes and frames of 24 bytes and a page (sqlite.org/fileformat2.html#walformat). The
journal is written without a checkpoint, so every batch of the tail is in the log alone.
"""

import shutil
from pathlib import Path
from typing import NamedTuple

from headgate.domain.limits import LimitedKind, RateLimits
from headgate.ledger.derivation import Derivation
from headgate.ledger.embedded import recover
from headgate.ledger.engine import Engine
from headgate.ledger.journal_file import JournalFile, encode_rows
from headgate.ledger.limit_book import LimitBook
from headgate.ledger.outcomes import Ask
from tests.ledger.tree import ORGANIZATION, Clock, budget, claim, limits, scopes

ROWS = 200
HEADER, FRAME = 32, 24


class Tail(NamedTuple):
    """A journal, its log's size and where the log's frames end."""

    file: Path
    size: int
    frames: list[int]
    batches: list[list[tuple]]


def write_tail(directory: Path) -> Tail:
    """Write `ROWS` rows and more, each batch a row, and copy the file as a crash would leave it."""
    directory.mkdir()
    file = directory / "ledger.db"
    book = LimitBook.build(
        [
            limits(LimitedKind.ORGANIZATION, ORGANIZATION, budget("bud_o", 2_000)),
            limits(LimitedKind.TEAM, "team_1", budget("bud_t", 1_500), rates=RateLimits(tph=5_000)),
        ]
    )
    clock, rows = Clock(), []
    engine = Engine(rows.append)
    path = book.path(scopes(), "key_1")
    number = 0
    while len(rows) < ROWS:
        number += 1
        clock.pass_ms(50)
        rid = f"r{number}"
        if hasattr(engine.reserve(claim(rid, path, 30, 20), clock()), "rid") and number % 4:
            engine.dispatched(rid)
            if number % 3 == 0:
                engine.extend(rid, Ask(20, 5, 5), clock())
            if number % 5 == 0:
                engine.post_part(rid, 10, 5, "openai", clock())
            engine.settle(rid, 9, 5, clock(), payload=b"x" * 200)
    journal = JournalFile(file, durability="os")
    journal.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    journal.connection.execute("PRAGMA wal_autocheckpoint = 0")
    log = Path(f"{file}-wal")
    batches = [[row] for row in rows]
    for seq, batch in enumerate(batches, 1):
        journal.append(seq, encode_rows(batch))
    whole = directory / "whole.db"
    shutil.copy(file, whole)
    shutil.copy(log, f"{whole}-wal")
    page = journal.connection.execute("PRAGMA page_size").fetchone()[0]
    journal.close()
    size = Path(f"{whole}-wal").stat().st_size
    frames = [HEADER, *range(HEADER + FRAME + page, size + 1, FRAME + page)]
    return Tail(whole, size, frames, batches)


def check_truncated(tail: Tail, directory: Path, cut: int) -> int:
    """Cut the log, recover, hold every invariant, and return how many batches were left."""
    directory.mkdir(exist_ok=True)
    file = directory / "ledger.db"
    log = Path(f"{file}-wal")
    Path(f"{file}-shm").unlink(missing_ok=True)
    shutil.copy(tail.file, file)
    log.write_bytes(Path(f"{tail.file}-wal").read_bytes()[:cut])

    journal = JournalFile(file, durability="os")
    found = [rows for _, rows in journal.batches(0)]
    engine = recover(journal, Clock()())[0]
    last_seq = journal.last_seq()
    journal.close()

    assert [[tuple_of(row) for row in rows] for rows in found] == tail.batches[: len(found)], "no prefix of what was"
    assert last_seq == len(found)
    derivation = Derivation()
    derivation.take(row for rows in found for row in rows)
    assert derivation.problems == []
    for account in engine.chart.accounts.values():
        posted, held = derivation.posted.get(account.number, 0), derivation.held.get(account.number, 0)
        # Recovery has posted in full what was open.
        assert (account.posted, account.held) == (posted + held, 0)
        assert account.posted <= account.limit
    assert not engine.open
    return len(found)


def tuple_of(row: object) -> object:
    """Msgpack knows no difference between lists and tuples."""
    return tuple(tuple_of(each) for each in row) if isinstance(row, list | tuple) else row
