"""The connections of one origin: the one used last is used next, and who waits is served in order."""

import asyncio
from asyncio import AbstractEventLoop, Future
from collections import deque
from collections.abc import Awaitable, Callable

from headgate.upstream.connection import Connection
from headgate.upstream.options import TransportOptions
from headgate.upstream.outbox import Outbox
from headgate.upstream.transport import ConnectError, ConnectTimeoutError

MakeConnection = Callable[[], Connection]
Dial = Callable[[float, MakeConnection], Awaitable[Connection]]
"""Takes the deadline (loop time, s) and how a connection object is made."""


class Pool:
    """At most ``options.max_connections`` connections, the idle ones as a stack (the oldest run into their expiry)."""

    def __init__(self, loop: AbstractEventLoop, options: TransportOptions, dial: Dial) -> None:
        self.loop = loop
        self._options = options
        self._dial = dial
        self._outbox = Outbox(loop)
        self._idle: list[Connection] = []
        self._open: set[Connection] = set()
        self._slots = options.max_connections
        """Connections that may still be opened; one that is being dialled holds its slot already."""
        self._waiting: deque[Future[Connection | None]] = deque()
        self._retired = False
        self._closed = False
        self._all_lost: Future[None] | None = None

    def take(self, now: float) -> Connection | None:
        """Return an idle connection that is fit for use, or ``None``; unfit ones met on the way are closed."""
        idle = self._idle
        while idle:
            connection = idle.pop()
            if connection.fit(now):
                return connection
            connection.close()
        return None

    async def acquire(self, deadline: float) -> Connection:
        """Open a connection, or wait for one until ``deadline`` (loop time, s).

        Raises:
            UpstreamFailure: `ConnectTimeoutError`, or what dialling raises.
        """
        if self._closed:
            raise ConnectError("the transport is closed", sent=False)
        try:
            async with asyncio.timeout_at(deadline):
                while self._slots <= 0:
                    handed = await self._wait()
                    if handed is None:
                        return await self._connect(deadline)
                    if handed.fit(self.loop.time()):
                        return handed
                    handed.close()
                self._slots -= 1
                return await self._connect(deadline)
        except TimeoutError as error:
            raise ConnectTimeoutError("no connection within the time for it", sent=False) from error

    def retire(self) -> None:
        """Keep no connection that nobody waits for: close the idle ones now, the others as they are given back."""
        self._retired = True
        for connection in tuple(self._idle):
            connection.close()
        self._idle.clear()

    async def aclose(self) -> None:
        """Close every connection, fail who waits, and return when the sockets are gone."""
        self._closed = True
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_exception(ConnectError("the transport is closed", sent=False))
        if self._open:
            self._all_lost = self.loop.create_future()
            for connection in tuple(self._open):
                connection.cut()
            await self._all_lost

    async def _connect(self, deadline: float) -> Connection:
        """Dial with a slot in hand; it goes back if that fails."""
        try:
            connection = await self._dial(deadline, self._make)
        except BaseException:
            self._free_slot()
            raise
        if self._closed or connection.lost:
            self._free_slot()
            connection.close()
            raise ConnectError("the connection was closed as soon as it was open", sent=False)
        self._open.add(connection)
        return connection

    def _make(self) -> Connection:
        return Connection(
            self.loop,
            outbox=self._outbox,
            idle_expiry_s=self._options.idle_expiry_s,
            max_age_s=self._options.max_connection_age_s,
            on_idle=self._on_idle,
            on_lost=self._on_lost,
        )

    async def _wait(self) -> Connection | None:
        """Wait in line for a connection, or for a slot (``None``)."""
        waiter: Future[Connection | None] = self.loop.create_future()
        self._waiting.append(waiter)
        try:
            return await waiter
        except BaseException:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                # It was served in the very moment it gave up: pass it on.
                connection = waiter.result()
                if connection is None:
                    self._free_slot()
                else:
                    self._on_idle(connection)
            elif waiter in self._waiting:
                self._waiting.remove(waiter)
            raise

    def _on_idle(self, connection: Connection) -> None:
        if self._closed:
            connection.close()
            return
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return
        if self._retired:
            connection.close()
            return
        self._idle.append(connection)

    def _on_lost(self, connection: Connection) -> None:
        if connection not in self._open:
            return  # it never left `_connect`, which still holds its slot
        self._open.remove(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        self._free_slot()
        if self._all_lost is not None and not self._open and not self._all_lost.done():
            self._all_lost.set_result(None)

    def _free_slot(self) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self._slots += 1
