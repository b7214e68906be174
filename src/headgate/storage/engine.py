"""The database as the rest of the house sees it: one writer, a few readers, transactions as ``with`` blocks.

SQLite before 3.51.3 has a race between two connections that write or checkpoint one WAL in the same instant
(sqlite.org/wal.html#walresetbug). So exactly one connection of one process writes and checkpoints: `Database.write`
hands it out under a lock, readers are opened read-only and never checkpoint, and `WriterLock` keeps other processes
out.
"""

import logging
import os
import sqlite3
import threading
from collections.abc import Generator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Final
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DatabaseError
from sqlalchemy.pool import QueuePool, StaticPool

from headgate.storage.lock import WriterLock
from headgate.storage.tables import REVISION

READERS: Final = 4
BUSY_TIMEOUT_MS: Final = 5000

_SAFETY: Final = (
    f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}",
    "PRAGMA foreign_keys = ON",
    "PRAGMA trusted_schema = OFF",
    "PRAGMA cell_size_check = ON",
    # A stray write through a memory map corrupts the file; a read through it turns a disk error into SIGBUS.
    "PRAGMA mmap_size = 0",
)
_WRITER: Final = (
    *_SAFETY,
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    # Without it INSERT OR REPLACE deletes a row past its DELETE trigger, and audit_events must not lose one.
    "PRAGMA recursive_triggers = ON",
)
_READER: Final = (*_SAFETY, "PRAGMA query_only = ON", "PRAGMA wal_autocheckpoint = 0")
_log: Final = logging.getLogger("headgate.storage")


class Check(StrEnum):
    """How thoroughly a database is looked through for damage when it is opened."""

    WHERE_DUE = "where_due"
    """``PRAGMA quick_check`` (about 1 s per GB) unless it was closed in order and not touched since (ADR 0003)."""
    FULL = "full"
    """``PRAGMA integrity_check``, always: also whether every index holds what its table holds."""


class StorageError(Exception):
    """The database cannot be used; the text tells the operator why and what to do."""


class DatabaseUrlError(StorageError):
    """The URL is not one of a kind that Headgate stores to."""


class DatabaseCorruptError(StorageError):
    """SQLite's own check found damage, or the file is no database."""


class SchemaError(StorageError):
    """The tables are not those of this version of Headgate."""


def database_path(url: str) -> Path:
    """Return the file that a URL such as ``sqlite:///data/headgate.db`` names.

    Raises:
        DatabaseUrlError: not a SQLite URL, or one without a file.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise DatabaseUrlError(f"{url!r} is not a database URL; write sqlite:///path/to/headgate.db") from error
    if parsed.get_backend_name() != "sqlite":
        raise DatabaseUrlError(f"{parsed.get_backend_name()} is not supported; write sqlite:///path/to/headgate.db")
    if not parsed.database or parsed.database == ":memory:" or "?" in url:
        raise DatabaseUrlError("the database must be a file of its own: write sqlite:///path/to/headgate.db")
    return Path(parsed.database)


class Database:
    """An open database. Thread-safe; `open_database` makes one."""

    def __init__(self, path: Path, lock: WriterLock, writer: Engine, readers: Engine) -> None:
        self.path = path
        self._lock = lock
        self._writer = writer
        self._readers = readers
        self._turn = threading.Lock()

    @contextmanager
    def write(self) -> Generator[Connection]:
        """One transaction (``BEGIN IMMEDIATE``) on the only writing connection.

        Committed where the block ends, rolled back where it raises. Not re-entrant: a block inside a block of the
        same thread would wait for itself.
        """
        with self._turn, self._writer.begin() as connection:
            yield connection

    @contextmanager
    def read(self) -> Generator[Connection]:
        """A read-only connection with one consistent view of what was committed before the block's first query."""
        with self._readers.begin() as connection:
            yield connection

    def close(self) -> None:
        """Checkpoint the WAL, close every connection, seal and let go of the lock file. Safe to call twice."""
        self._readers.dispose()
        self._writer.dispose()
        self._lock.release(closed=True)


def open_database(url: str, check: Check = Check.WHERE_DUE) -> Database:
    """Open the database of ``url`` for this process alone.

    Args:
        url: ``sqlite:///…``; the file must have been migrated (`headgate.storage.migrate.migrate`).
        check: how thoroughly to look for damage first.

    Raises:
        DatabaseUrlError: a URL that Headgate cannot store to.
        DatabaseLockedError: another process has it open.
        DatabaseCorruptError: the file is damaged.
        SchemaError: its tables are not those of this version.
    """
    path = database_path(url)
    prepare_file(path)
    lock = WriterLock(path)
    writer = make_writer(path)
    readers = _make_readers(path)
    sound = False
    try:
        with _telling_damage(path):
            if check is Check.FULL or not lock.was_closed:
                _look_through(writer, path, check)
            sound = True
            _check_schema(writer, path)
    except BaseException:
        writer.dispose()
        lock.release(closed=sound)
        raise
    return Database(path, lock, writer, readers)


def prepare_file(path: Path) -> None:
    """Make the directory (0700) and the empty file (0600) where they do not exist."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


def make_writer(path: Path) -> Engine:
    """An engine of exactly one connection, whose transactions take the write lock when they begin.

    The caller holds the `WriterLock`.
    """
    # hide_parameters: an error's text may reach a log, and digests and e-mail addresses are parameters.
    engine = create_engine(
        "sqlite://",
        poolclass=StaticPool,
        hide_parameters=True,
        creator=lambda: _connect(path, "rw"),
    )
    _listen(engine, _WRITER, "BEGIN IMMEDIATE")
    return engine


def _make_readers(path: Path) -> Engine:
    engine = create_engine(
        "sqlite://",
        poolclass=QueuePool,
        pool_size=READERS,
        max_overflow=0,
        hide_parameters=True,
        creator=lambda: _connect(path, "ro"),
    )
    _listen(engine, _READER, "BEGIN")
    return engine


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    # isolation_level None: Python's sqlite3 would begin transactions by guessing from the statement; we say when.
    uri = f"file:{quote(str(path))}?mode={mode}"
    return sqlite3.connect(uri, uri=True, check_same_thread=False, isolation_level=None)


def _listen(engine: Engine, pragmas: tuple[str, ...], begin: str) -> None:
    def on_connect(dbapi_connection: sqlite3.Connection, _record: object) -> None:
        cursor = dbapi_connection.cursor()
        try:
            for pragma in pragmas:
                cursor.execute(pragma)
        finally:
            cursor.close()

    def on_begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    event.listen(engine, "connect", on_connect)
    event.listen(engine, "begin", on_begin)


@contextmanager
def _telling_damage(path: Path) -> Generator[None]:
    try:
        yield
    except (DatabaseError, sqlite3.DatabaseError) as error:
        cause = error.orig if isinstance(error, DatabaseError) else error
        raise DatabaseCorruptError(f"{path} is damaged or no SQLite database ({cause}); restore a backup") from error


def _look_through(writer: Engine, path: Path, check: Check) -> None:
    if check is Check.WHERE_DUE and path.stat().st_size > 0:
        _log.info("the database was not closed in order; looking through it for damage", extra={"file": str(path)})
    pragma = "integrity_check" if check is Check.FULL else "quick_check"
    with writer.begin() as connection:
        verdict = connection.execute(text(f"PRAGMA {pragma}(1)")).scalar_one()
    if verdict != "ok":
        raise DatabaseCorruptError(f"{path} is damaged ({verdict}); restore a backup")


def _check_schema(writer: Engine, path: Path) -> None:
    with writer.begin() as connection:
        if "alembic_version" not in inspect(connection).get_table_names():
            raise SchemaError(f"{path} has no Headgate tables yet; run `headgate migrate`")
        revisions = list(connection.execute(text("SELECT version_num FROM alembic_version")).scalars())
    if revisions != [REVISION]:
        found = ", ".join(revisions) or "none"
        raise SchemaError(f"{path} has schema {found}, this Headgate needs {REVISION}; run `headgate migrate`")
