"""The lock file beside an embedded database: one process writes, and a second one is told which file says so.

Two processes that write one SQLite file of a version before 3.51.3 can corrupt it (sqlite.org/wal.html#walresetbug).

While the database is open, the file holds the process' number; once it was closed in order, what the database's file
then looked like. A file that still looks so has not been touched since, by a crash or by anybody (ADR 0003).
"""

import fcntl
import os
from pathlib import Path
from typing import Final

_LONGEST: Final = 128


class DatabaseLockedError(Exception):
    """Another process has the database open for writing."""


class WriterLock:
    """An exclusive ``flock``: the kernel lets go of it when the process dies, however it dies."""

    def __init__(self, database: Path) -> None:
        """Take the lock of ``database``.

        Raises:
            DatabaseLockedError: somebody else holds it.
        """
        self.path = database.with_name(database.name + ".lock")
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(self._file, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(self._file)
            raise DatabaseLockedError(
                f"{database} is in use by another Headgate process (pid {holder}, lock file {self.path}); "
                "only one process may write it"
            ) from error
        seal = os.pread(self._file, _LONGEST, 0).decode("ascii", "replace").strip()
        self.was_closed: Final = seal != "" and seal == _seal_of(database)
        """Whether the database was closed in order and is as it was left then."""
        self._database = database
        self._write(f"{os.getpid()}\n")
        # A power failure must not bring back the seal of the time before.
        os.fsync(self._file)

    def release(self, *, closed: bool = False) -> None:
        """Let go. The file stays: removing it would let two processes lock two files of the same name.

        Args:
            closed: the database is whole, and no connection to it is open: seal it.
        """
        if self._file < 0:
            return
        if closed:
            self._write(f"{_seal_of(self._database)}\n")
        os.close(self._file)
        self._file = -1

    def _write(self, text: str) -> None:
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, text.encode(), 0)


def _seal_of(database: Path) -> str:
    """Return what tells this state of the database's file from any other; empty where there is a log to recover."""
    try:
        found = database.stat()
    except FileNotFoundError:
        return ""
    if database.with_name(database.name + "-wal").exists():
        return ""
    return f"closed {found.st_ino} {found.st_size} {found.st_mtime_ns}"
