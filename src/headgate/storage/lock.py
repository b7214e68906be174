"""The lock file beside an embedded database: one process writes, and a second one is told which file says so.

Two processes that write one SQLite file of a version before 3.51.3 can corrupt it (sqlite.org/wal.html#walresetbug).
"""

import fcntl
import os
from pathlib import Path


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
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let go. The file stays: removing it would let two processes lock two files of the same name."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
