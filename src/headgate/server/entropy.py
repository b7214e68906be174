"""Random bytes for request ids."""

import os
from typing import Final


class EntropyPool:
    """Random bytes for request ids, fetched many at a time: a system call each would cost more than the id itself."""

    _SIZE: Final = 4096

    def __init__(self) -> None:
        """Start empty."""
        self._bytes = b""
        self._at = 0

    def __call__(self, count: int) -> bytes:
        """Return ``count`` bytes that nobody else gets. For one thread."""
        end = self._at + count
        if end > len(self._bytes):
            self._bytes = os.urandom(max(self._SIZE, count))
            self._at, end = 0, count
        taken = self._bytes[self._at : end]
        self._at = end
        return taken
