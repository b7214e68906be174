"""Answers on the disk: an SQLite file of its own, written behind by one thread, read by another.

A cache is never a reason to fail. What cannot be written is counted and left out; a row whose checksum is wrong is no
row; a file that cannot be read is set aside and a new one begun. A process that dies in the middle loses what it had
not written yet, and SQLite's journal keeps the rest whole.
"""

import contextlib
import json
import logging
import os
import queue
import sqlite3
import threading
import time
import zlib
from collections.abc import Callable, Iterable
from hashlib import blake2b
from pathlib import Path
from typing import Final, NamedTuple

from headgate.cache.entry import Entry

VERSION: Final = 1
"""Of the tables; a file of another version is set aside."""
PREFIX_BYTES: Final = 16
"""So much of a key is remembered of each answer on the disk."""
_SCHEMA: Final = """
CREATE TABLE entry (
    key BLOB PRIMARY KEY, seq INTEGER NOT NULL, created_at_ms INTEGER NOT NULL, expires_at_ms INTEGER NOT NULL,
    stale_until_ms INTEGER NOT NULL, labels TEXT NOT NULL, is_packed INTEGER NOT NULL, checksum BLOB NOT NULL,
    payload BLOB NOT NULL
);
CREATE INDEX entry_seq ON entry (seq);
CREATE INDEX entry_stale ON entry (stale_until_ms);
CREATE TABLE secret (organization_id TEXT PRIMARY KEY, secret BLOB NOT NULL);
CREATE TABLE purge (label TEXT PRIMARY KEY, seq INTEGER NOT NULL);
"""
_READ: Final = (
    "SELECT seq, created_at_ms, expires_at_ms, stale_until_ms, labels, is_packed, checksum, payload"
    " FROM entry WHERE key = ?"
)
_COUNT: Final = (
    "SELECT count(*) FROM entry WHERE seq > ? AND stale_until_ms > ?"
    " AND EXISTS (SELECT 1 FROM json_each(labels) AS each WHERE each.value = ?)"
)
_PACK_FROM_BYTES: Final = 4096
_MOST_WAITING: Final = 4096
"""Writes that wait; beyond that they are dropped, for they come faster than the disk takes them."""
_BATCH: Final = 256
_GATHER_S: Final = 0.02
_TIDY_EVERY_S: Final = 60.0
_EVICT_SHARE: Final = 0.1
_SWEEP_ROWS: Final = 500
"""A purge is carried out on the disk by so many rows at a time, between which others are written."""
_MARK_S: Final = 1.0
"""How long a count waits for what was kept before it."""
_WARN_EVERY_S: Final = 60.0
_log: Final = logging.getLogger("headgate.cache")


class Contents(NamedTuple):
    """What a file holds, when it is opened."""

    secrets: dict[str, bytes]
    purges: dict[str, int]
    last_seq: int


class Put(NamedTuple):
    """Keep an answer."""

    entry: Entry
    seq: int


class Drop(NamedTuple):
    """Forget an answer."""

    key: bytes


class Keep(NamedTuple):
    """Keep the secret of an organization."""

    organization_id: str
    secret: bytes


class Purge(NamedTuple):
    """Forget what has this label and is no younger than ``seq``."""

    label: str
    seq: int


class Mark(NamedTuple):
    """Say when all that was asked before has been written."""

    written: threading.Event


class Heal(NamedTuple):
    """The reading thread found the file to be no database any more."""

    error: sqlite3.Error
    reader: sqlite3.Connection
    """The connection that found it; where there is another one by now, the file is another one too."""


_Write = Heal | Put | Drop | Keep | Purge | Mark


class CacheFile:
    """One file. `put` and its kin may be called by one thread, `read` and its kin by another."""

    def __init__(self, path: Path, most_bytes: int, clock_ms: Callable[[], int]) -> None:
        """Open or make it.

        Raises:
            OSError, sqlite3.Error: there can be no such file.
        """
        self._path = path
        self._most_bytes = most_bytes
        self._clock_ms = clock_ms
        self._writes: queue.Queue[_Write | None] = queue.Queue()
        self._warned_at = -_WARN_EVERY_S
        self._tidied_at = -_TIDY_EVERY_S
        self._on_gone: Callable[[Iterable[bytes] | None], None] = _nobody
        self.dropped = 0
        """Writes that were left out because too many waited or the disk refused them."""
        self.errors = 0
        self.corrupt = 0
        """Rows that were not what had been written."""
        self.evictions = 0
        self.size = 0
        self._thread = threading.Thread(target=self._run, name="headgate-cache-writer", daemon=True)
        self._writer, self._reader = self._connect()
        try:
            self.contents: Final = self._contents()
        except BaseException:
            self.close()
            raise

    def start(self, on_gone: Callable[[Iterable[bytes] | None], None]) -> None:
        """Begin to write; ``on_gone`` is told, from the writing thread, the beginnings of keys that went.

        ``None`` stands for all that there was: the file could not be read any more, and another one was begun.
        """
        self._on_gone = on_gone
        self._thread.start()

    def put(self, write: _Write) -> bool:
        """Have something written soon; False where so much waits that an answer is left out. Nothing else is."""
        if isinstance(write, Put) and self._writes.qsize() >= _MOST_WAITING:
            self.dropped += 1
            return False
        self._writes.put(write)
        return True

    def close(self) -> None:
        """Write what waits and close."""
        if self._thread.is_alive():
            self._writes.put(None)
            self._thread.join(5.0)
        for connection in (self._writer, self._reader):
            with contextlib.suppress(sqlite3.Error):
                connection.close()

    # What the reading thread asks

    def keys(self) -> set[bytes]:
        """Return the beginnings of all keys; empty where they cannot be read.

        From any thread, by a connection of its own.
        """
        try:
            with contextlib.closing(self._connect_to_read()) as connection:
                rows = connection.execute(f"SELECT substr(key, 1, {PREFIX_BYTES}) FROM entry")  # noqa: S608
                return {row[0] for row in rows}
        except sqlite3.Error as error:
            self._failed("its keys cannot be read", error)
            return set()

    def read(self, key: bytes) -> tuple[Entry, int] | None:
        """Return an answer and its number in the order of keeping; ``None`` where there is none that is whole.

        Raises:
            sqlite3.Error: the file cannot be read now.
        """
        reader = self._reader
        try:
            row = reader.execute(_READ, (key,)).fetchone()
        except sqlite3.Error as error:
            if _is_corrupt(error):
                self.put(Heal(error, reader))
            raise
        if row is None:
            return None
        seq, created, expires, stale, labels, is_packed, checksum, payload = row
        try:
            if checksum != _checksum(key, labels, (seq, created, expires, stale, is_packed), payload):
                raise ValueError("the checksum is wrong")
            entry = Entry(
                key,
                tuple(json.loads(labels)),
                created,
                expires,
                stale,
                zlib.decompress(payload) if is_packed else payload,
            )
        except (ValueError, TypeError, zlib.error):
            self.corrupt += 1
            self.put(Drop(key))
            return None
        return entry, seq

    def count(self, label: str, after_seq: int) -> int:
        """Return how many answers have ``label`` and are younger than ``after_seq``, those just kept among them.

        From any thread but the two others', by a connection of its own.

        Raises:
            sqlite3.Error: the file cannot be read now.
        """
        mark = Mark(threading.Event())
        if self.put(mark):
            mark.written.wait(_MARK_S)
        with contextlib.closing(self._connect_to_read()) as connection:
            row = connection.execute(_COUNT, (after_seq, self._clock_ms(), label)).fetchone()
        return int(row[0])

    # The writing thread

    def _run(self) -> None:
        owed: list[_Write] = []
        """What the disk refused and must not be lost: purges, secrets."""
        is_last = False
        while not is_last:
            batch = owed
            try:
                first = self._writes.get(timeout=_TIDY_EVERY_S)
            except queue.Empty:
                first = None
            else:
                if first is None:
                    is_last = True
                else:
                    time.sleep(_GATHER_S)
                    batch = [*owed, first]
            while len(batch) < _BATCH and not is_last:
                try:
                    write = self._writes.get_nowait()
                except queue.Empty:
                    break
                if write is None:
                    is_last = True
                else:
                    batch.append(write)
            owed = self._carry_out(batch)

    def _carry_out(self, batch: list[_Write]) -> list[_Write]:
        """Write a batch and tidy up; return what could not be written and must be."""
        gone: list[bytes] = []
        owed: list[_Write] = []
        try:
            with self._writer:  # One transaction.
                self._writer.execute("BEGIN")
                for write in batch:
                    self._write(write, gone)
            for write in batch:
                if isinstance(write, Purge):
                    self._sweep(write, gone)
                elif isinstance(write, Mark):
                    write.written.set()
            self._tidy(gone)
        except (sqlite3.Error, ValueError) as error:
            gone += [write.entry.key for write in batch if isinstance(write, Put)]
            self.dropped += sum(isinstance(write, Put) for write in batch)
            self._failed("answers cannot be written", error)
            if isinstance(error, sqlite3.Error):
                # A value that no row can hold is no better the next time; all else is.
                owed = [write for write in batch if isinstance(write, Purge | Keep)]
                if self._heal(error, gone):
                    self._on_gone(None)
                    return owed
        if gone:
            self._on_gone([key[:PREFIX_BYTES] for key in gone])
        return owed

    def _write(self, write: _Write, gone: list[bytes]) -> None:
        if isinstance(write, Put):
            self._writer.execute("INSERT OR REPLACE INTO entry VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", _row(write))
        elif isinstance(write, Drop):
            self._writer.execute("DELETE FROM entry WHERE key = ?", (write.key,))
            gone.append(write.key)
        elif isinstance(write, Keep):
            self._writer.execute("INSERT OR IGNORE INTO secret VALUES (?, ?)", write)
        elif isinstance(write, Heal):
            if write.reader is self._reader:
                raise write.error
        elif isinstance(write, Purge):
            self._writer.execute("INSERT OR REPLACE INTO purge VALUES (?, ?)", (_storable(write.label), write.seq))

    def _sweep(self, purge: Purge, gone: list[bytes]) -> None:
        """Delete what a purge has made unreachable."""
        after = -1
        while True:
            rows = self._writer.execute(
                "SELECT key, seq, EXISTS (SELECT 1 FROM json_each(labels) AS each WHERE each.value = ?)"
                " FROM entry WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?",
                (_storable(purge.label), after, purge.seq, _SWEEP_ROWS),
            ).fetchall()
            if not rows:
                return
            after = rows[-1][1]
            self._delete([key for key, _, has_label in rows if has_label], gone)

    def _delete(self, keys: list[bytes], gone: list[bytes]) -> None:
        with self._writer:
            self._writer.execute("BEGIN")
            self._writer.executemany("DELETE FROM entry WHERE key = ?", [(key,) for key in keys])
        gone += keys

    def _tidy(self, gone: list[bytes]) -> None:
        """Delete what is past its time now and then, and the oldest where the file has become too large."""
        now = time.monotonic()
        if now - self._tidied_at >= _TIDY_EVERY_S:
            self._tidied_at = now
            self._delete(self._past_their_time(), gone)
        while (used := self._used()) > self._most_bytes:
            keys = self._past_their_time() or self._oldest()
            if not keys:
                break
            self.evictions += len(keys)
            self._delete(keys, gone)
        self.size = used

    def _past_their_time(self) -> list[bytes]:
        sql = "SELECT key FROM entry WHERE stale_until_ms <= ? LIMIT 10000"
        return [row[0] for row in self._writer.execute(sql, (self._clock_ms(),))]

    def _oldest(self) -> list[bytes]:
        total = self._writer.execute("SELECT count(*) FROM entry").fetchone()[0]
        some = max(1, int(total * _EVICT_SHARE))
        return [row[0] for row in self._writer.execute("SELECT key FROM entry ORDER BY seq LIMIT ?", (some,))]

    def _used(self) -> int:
        """Return the bytes of the file that are in use; what was deleted is used again before it grows."""
        pages, free, size = (
            self._writer.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count", "page_size")
        )
        return (pages - free) * size

    def _heal(self, error: sqlite3.Error, gone: list[bytes]) -> bool:
        """Make room on a full disk; begin anew where the file is no database any more, and say so."""
        with contextlib.suppress(sqlite3.Error, OSError):
            if _is_corrupt(error):
                self._writer.close()
                self._reader.close()
                _set_aside(self._path)
                self._writer, self._reader = self._connect()
                return True
            if "full" in str(error):
                rows = self._writer.execute("SELECT key FROM entry ORDER BY seq LIMIT 100").fetchall()
                self._delete([row[0] for row in rows], gone)
        return False

    # Opening

    def _connect(self) -> tuple[sqlite3.Connection, sqlite3.Connection]:
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        os.close(handle)
        writer = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=1.0)
        try:
            writer.execute("PRAGMA journal_mode = WAL")
            writer.execute("PRAGMA synchronous = NORMAL")
            version = writer.execute("PRAGMA user_version").fetchone()[0]
            if version == 0 and not writer.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                writer.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {VERSION}; COMMIT;")
            elif version != VERSION:
                raise sqlite3.DatabaseError(f"malformed: version {version}, not {VERSION}")
            reader = self._connect_to_read()
        except BaseException:
            writer.close()
            raise
        return writer, reader

    def _connect_to_read(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=0.05)
        connection.execute("PRAGMA query_only = ON")
        return connection

    def _contents(self) -> Contents:
        secrets = dict(self._writer.execute("SELECT organization_id, secret FROM secret").fetchall())
        purges = dict(self._writer.execute("SELECT label, seq FROM purge").fetchall())
        last = self._writer.execute("SELECT max(seq) FROM (SELECT seq FROM entry UNION ALL SELECT seq FROM purge)")
        self.size = self._used()
        return Contents(secrets, purges, last.fetchone()[0] or 0)

    def _failed(self, what: str, error: Exception) -> None:
        self.errors += 1
        now = time.monotonic()
        if now - self._warned_at >= _WARN_EVERY_S:
            self._warned_at = now
            _log.warning(f"the response cache: {what}; requests go on without", extra={"error": str(error)})


def open_cache_file(path: Path, *, most_bytes: int, clock_ms: Callable[[], int]) -> CacheFile | None:
    """Open the cache's file; ``None``, with a warning, where there can be none."""
    try:
        try:
            return CacheFile(path, most_bytes, clock_ms)
        except sqlite3.DatabaseError as error:
            if not _is_corrupt(error):
                raise
            _log.warning("the response cache cannot be read and is begun anew", extra={"error": str(error)})
            _set_aside(path)
            return CacheFile(path, most_bytes, clock_ms)
    except (sqlite3.Error, OSError) as error:
        _log.warning(
            "the response cache keeps nothing on the disk: its file cannot be opened", extra={"error": str(error)}
        )
        return None


def _row(put: Put) -> tuple[object, ...]:
    entry, payload = put.entry, put.entry.payload
    is_packed = len(payload) >= _PACK_FROM_BYTES
    if is_packed:
        payload = zlib.compress(payload, 1)
    labels = json.dumps(entry.labels)
    times = (put.seq, entry.created_at_ms, entry.expires_at_ms, entry.stale_until_ms)
    checksum = _checksum(entry.key, labels, (*times, int(is_packed)), payload)
    return (entry.key, *times, labels, int(is_packed), checksum, payload)


def _checksum(key: bytes, labels: str, numbers: tuple[int, ...], payload: bytes) -> bytes:
    digest = blake2b(payload, digest_size=8)
    digest.update(key + labels.encode() + repr(numbers).encode())
    return digest.digest()


def _storable(label: str) -> str:
    """Return a label as a row can hold it: half a surrogate pair has no place there, and no kept answer has it."""
    return label.encode("utf-8", "replace").decode()


def _is_corrupt(error: sqlite3.Error) -> bool:
    return not isinstance(error, sqlite3.OperationalError) and any(
        word in str(error) for word in ("malformed", "not a database", "corrupt")
    )


def _set_aside(path: Path) -> None:
    """Move a file that cannot be read out of the way; the one before it that was moved goes."""
    for suffix in ("-wal", "-shm"):
        with contextlib.suppress(OSError):
            Path(f"{path}{suffix}").unlink()
    path.replace(f"{path}.unreadable")


def _nobody(keys: Iterable[bytes] | None) -> None:
    del keys
