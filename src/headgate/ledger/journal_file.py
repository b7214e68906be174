"""The journal's SQLite file: batches of rows, and what checkpoints saved of the state before them.

A file of its own beside the database, since each of its commits is waited for. One connection of one process writes
and checkpoints it (ADR 0003). Tables:

- ``batches``: one row per commit, its body the msgpack array of the ledger's rows with a CRC-32. Append-only; what a
  checkpoint covers and nobody reads any more is taken out from the front.
- ``accounts``, ``windows``, ``holds``: the state as of the checkpoint. ``accounts.posted`` is the engine's balance;
  ``accounts.folded`` is the sum of the rows themselves, worked out apart from it (`headgate.ledger.fold`).
- ``facts``: the sequence the checkpoint covers, the next number, the horizon.
"""

import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import quote

from msgspec import Struct, msgpack, to_builtins

from headgate.ledger.periods import FOREVER_MS
from headgate.ledger.replay import Checkpoint, SavedAccount, SavedHold, SavedWindow
from headgate.ledger.rows import ACCOUNT, Row
from headgate.storage.engine import prepare_file

FORMAT: Final = 2
"""Of rows, tables and saved state together: a file of another one is refused, never guessed at."""
SYNCHRONOUS: Final = {"fsync": "FULL", "os": "NORMAL"}
"""``fsync``: a commit survives the machine; ``os``: it survives the process (sqlite.org/pragma.html#pragma_synchronous:
in WAL mode NORMAL syncs at checkpoints only)."""

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS batches (seq INTEGER PRIMARY KEY, crc INTEGER NOT NULL, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS accounts (
  number INTEGER PRIMARY KEY, kind TEXT NOT NULL, scope_id TEXT NOT NULL, budget_id TEXT NOT NULL,
  period_id TEXT NOT NULL, amount INTEGER NOT NULL, enforced INTEGER NOT NULL, starts_ms INTEGER NOT NULL,
  ends_ms INTEGER NOT NULL, posted INTEGER NOT NULL, fired INTEGER NOT NULL, folded INTEGER NOT NULL DEFAULT 0,
  closed INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS ix_accounts_open ON accounts (number) WHERE closed = 0;
CREATE TABLE IF NOT EXISTS windows (number INTEGER PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS holds (rid TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
"""
_PRAGMAS: Final = (
    "PRAGMA busy_timeout = 5000",
    "PRAGMA trusted_schema = OFF",
    "PRAGMA cell_size_check = ON",
    "PRAGMA mmap_size = 0",
    "PRAGMA journal_mode = WAL",
)
_SAVE_ACCOUNT: Final = """
INSERT INTO accounts (number, kind, scope_id, budget_id, period_id, amount, enforced, starts_ms, ends_ms, posted, fired)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (number) DO UPDATE SET
  amount = excluded.amount, enforced = excluded.enforced, posted = excluded.posted, fired = excluded.fired
"""
_ACCOUNTS: Final = """
SELECT number, kind, scope_id, budget_id, period_id, amount, enforced, starts_ms, ends_ms, posted, fired, folded
FROM accounts WHERE closed = 0
"""

_MOST: Final = 2**63 - 1
_encode: Final = msgpack.Encoder().encode
_rows: Final = msgpack.Decoder(list[tuple[Any, ...]])
_window: Final = msgpack.Decoder(SavedWindow)
_hold: Final = msgpack.Decoder(SavedHold)


class LedgerCorruptError(Exception):
    """The journal is damaged, or of a version this code does not read; the text tells the operator what to do."""


class Saved(Struct, frozen=True):
    """What the file holds but for the batches."""

    accounts: tuple[SavedAccount, ...]
    folded: dict[int, int]
    """What the rows up to ``seq`` posted, by account number."""
    windows: tuple[SavedWindow, ...]
    holds: tuple[SavedHold, ...]
    seq: int
    """The last batch that all this covers."""
    next_number: int
    horizon_ms: int


def encode_rows(rows: list[Row]) -> bytes:
    """Return the body of a batch.

    A row that cannot be written would keep back all that come after it. So half a surrogate pair, which a caller may
    put into a name and which has no UTF-8, becomes a question mark; and a number that has no 64 bits, such as a
    provider's absurd usage, becomes the largest that has.
    """
    try:
        return _encode(rows)
    except (UnicodeEncodeError, OverflowError):
        return _encode(_mended(to_builtins(rows)))


def _mended(value: object) -> object:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, int):
        return value if isinstance(value, bool) else max(-_MOST, min(value, _MOST))
    if isinstance(value, list | tuple):
        return [_mended(each) for each in cast("list[object]", value)]
    if isinstance(value, dict):
        return {name: _mended(each) for name, each in cast("dict[str, object]", value).items()}
    return value


class JournalFile:
    """One open file. Not safe for threads: whoever writes has it alone."""

    def __init__(self, path: Path, *, durability: str = "fsync", writable: bool = True) -> None:
        """Open the file, and make it where there is none.

        Raises:
            LedgerCorruptError: it is damaged or of another version.
            sqlite3.Error: it cannot be opened.
        """
        self.path: Final = path
        self._durability = durability
        self._writable = writable
        self._connection: sqlite3.Connection | None = None
        if writable:
            prepare_file(path)
        try:
            self._check()
        except BaseException:
            self.close()
            raise

    @property
    def connection(self) -> sqlite3.Connection:
        """The connection, opened anew where `reopen` has closed it."""
        if self._connection is None:
            self._connection = self._connect()
        return self._connection

    def _connect(self) -> sqlite3.Connection:
        mode = "rw" if self._writable else "ro"
        uri = f"file:{quote(str(self.path))}?mode={mode}"
        # Statements on their own are their own transactions; where several belong together, BEGIN says so.
        connection = sqlite3.connect(uri, uri=True, check_same_thread=False, isolation_level=None)
        try:
            if self._writable:
                for pragma in _PRAGMAS:
                    connection.execute(pragma)
                connection.execute(f"PRAGMA synchronous = {SYNCHRONOUS[self._durability]}")
            else:
                # A reader must never checkpoint (ADR 0003).
                connection.execute("PRAGMA query_only = ON")
                connection.execute("PRAGMA wal_autocheckpoint = 0")
        except BaseException:
            connection.close()
            raise
        return connection

    def _check(self) -> None:
        try:
            connection = self.connection
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if self._writable and not tables:
                # In one transaction: a file is either empty or says what it is.
                connection.executescript("BEGIN;" + _SCHEMA)
                connection.execute("INSERT INTO facts VALUES ('format', ?)", (FORMAT,))
                connection.execute("COMMIT")
                tables = {"facts"}
            verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            found = self._facts().get("format") if "facts" in tables else None
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as error:
            raise LedgerCorruptError(f"{self.path} is damaged ({error}); restore a backup") from error
        if verdict != "ok":
            raise LedgerCorruptError(f"{self.path} is damaged ({verdict}); restore a backup")
        if found != FORMAT:
            told = "is no ledger's journal" if found is None else f"has format {found}, this Headgate reads {FORMAT}"
            raise LedgerCorruptError(f"{self.path} {told}")

    def _facts(self) -> Mapping[str, int]:
        return dict(self.connection.execute("SELECT name, value FROM facts"))

    def load(self) -> Saved:
        """Return the state that the last checkpoint saved."""
        facts = self._facts()
        accounts: list[SavedAccount] = []
        folded: dict[int, int] = {}
        for number, *key, amount, enforced, starts_ms, ends_ms, posted, fired, sums in self.connection.execute(
            _ACCOUNTS
        ):
            row = (ACCOUNT, number, *key, amount, bool(enforced), starts_ms, ends_ms)
            accounts.append(SavedAccount(row, posted, fired))
            folded[number] = sums
        bodies = self.connection.execute
        return Saved(
            tuple(accounts),
            folded,
            tuple(_window.decode(body) for (body,) in bodies("SELECT body FROM windows ORDER BY number")),
            tuple(_hold.decode(body) for (body,) in bodies("SELECT body FROM holds ORDER BY rid")),
            facts.get("seq", 0),
            facts.get("next_number", 1),
            facts.get("horizon_ms", -FOREVER_MS),
        )

    def last_seq(self) -> int:
        """The last batch there ever was."""
        newest = self.connection.execute("SELECT max(seq) FROM batches").fetchone()[0]
        return max(newest or 0, self._facts().get("seq", 0))

    def first_seq(self) -> int:
        """The oldest batch that is kept; the one after the last where none is."""
        oldest = self.connection.execute("SELECT min(seq) FROM batches").fetchone()[0]
        return oldest if oldest is not None else self.last_seq() + 1

    def batches(self, after_seq: int) -> Iterator[tuple[int, list[Row]]]:
        """Yield the batches after ``after_seq``, oldest first.

        Raises:
            LedgerCorruptError: a batch is not what was written, or one is missing.
        """
        expected = after_seq + 1
        found = self.connection.execute("SELECT seq, crc, body FROM batches WHERE seq > ? ORDER BY seq", (after_seq,))
        for seq, crc, body in found:
            if zlib.crc32(body) != crc:
                raise LedgerCorruptError(f"batch {seq} of {self.path} is not what was written; restore a backup")
            if seq != expected:
                raise LedgerCorruptError(f"batch {expected} of {self.path} is missing; restore a backup")
            expected = seq + 1
            yield seq, _rows.decode(body)

    def append(self, seq: int, body: bytes) -> None:
        """Commit one batch. Committing the same one again, after an unclear failure, changes nothing."""
        self.connection.execute("INSERT OR IGNORE INTO batches VALUES (?, ?, ?)", (seq, zlib.crc32(body), body))

    def save(self, checkpoint: Checkpoint, seq: int, sums: Mapping[int, int], retain_after: int) -> None:
        """Save a checkpoint that covers the batches up to ``seq``, in one transaction.

        ``sums`` is what the rows since the checkpoint before posted by account; batches after ``retain_after`` stay.
        """
        connection = self.connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            # First what frees pages: a full disk must not keep a checkpoint from making room.
            connection.execute("DELETE FROM batches WHERE seq <= ?", (min(seq, retain_after),))
            connection.execute("DELETE FROM holds")
            connection.executemany(_SAVE_ACCOUNT, (_account_values(saved) for saved in checkpoint.accounts))
            connection.executemany(
                "UPDATE accounts SET folded = folded + ? WHERE number = ?",
                ((amount, number) for number, amount in sums.items()),
            )
            connection.executemany("UPDATE accounts SET closed = 1 WHERE number = ?", _ones(checkpoint.gone.accounts))
            connection.executemany("DELETE FROM accounts WHERE number = ?", _ones(checkpoint.gone.idle_accounts))
            connection.executemany(
                "INSERT OR REPLACE INTO windows VALUES (?, ?)",
                ((window.number, _encode(window)) for window in checkpoint.windows),
            )
            connection.executemany("DELETE FROM windows WHERE number = ?", _ones(checkpoint.gone.windows))
            connection.executemany(
                "INSERT INTO holds VALUES (?, ?)", ((hold.rid, _encode(hold)) for hold in checkpoint.holds)
            )
            facts = {"seq": seq, "next_number": checkpoint.next_number, "horizon_ms": checkpoint.horizon_ms}
            connection.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?)", facts.items())
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def reopen(self) -> None:
        """Let go of a connection that failed; the next use makes a new one."""
        self.close()

    def close(self) -> None:
        """Close the file; safe to call twice."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _account_values(saved: SavedAccount) -> tuple[Any, ...]:
    return (*saved.row[1:], saved.posted, saved.fired)


def _ones(numbers: Iterable[int]) -> Iterator[tuple[int]]:
    return ((number,) for number in numbers)
