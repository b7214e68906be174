"""What is to be written, collected over one turn of the event loop and handed to the sockets together.

Writing to a socket runs a good part of the kernel's network code and may wake another process; between two requests'
worth of Python that code is cold again each time. Back to back, the same writes cost about 10 µs less each
(`docs/adr/0006-own-server-protocol.md` has the figures). What it costs is the rest of one turn of the loop in latency.
"""

import asyncio
from asyncio import AbstractEventLoop


class Outbox:
    """Waiting pieces of any number of transports, in order. For one event loop."""

    __slots__ = ("_loop", "_waiting")

    def __init__(self, loop: AbstractEventLoop) -> None:
        """Start empty."""
        self._loop = loop
        self._waiting: list[tuple[asyncio.Transport, bytes]] = []

    def put(self, transport: asyncio.Transport, data: bytes) -> None:
        """Write ``data`` at the loop's next turn. Call `flush` before anything else is done to the transport."""
        if not self._waiting:
            self._loop.call_soon(self.flush)
        self._waiting.append((transport, data))

    def flush(self) -> None:
        """Write everything now; what was meant for a transport that has been closed is dropped."""
        waiting, self._waiting = self._waiting, []
        for transport, data in waiting:
            if not transport.is_closing():
                transport.write(data)
