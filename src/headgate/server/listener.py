"""A listening socket and the connections it brought: accept, sweep for slow clients, drain.

The drain does not wait for idle connections, and it does not skip the settlement of cancelled streams.
"""

import asyncio
import email.utils
import functools
import logging
import socket
import ssl
import time
from typing import Final

from headgate.server.inbound import Application
from headgate.server.protocol import EdgeProtocol, Site

_SWEEP_S: Final = 0.5
_DRAIN_LOOK_S: Final = 0.02
_BACKLOG: Final = 2048
_ACCEPTED_A_TURN: Final = 64
_ACCEPT_AGAIN_S: Final = 1.0
_CANCELLED_REQUESTS_S: Final = 5.0
_log: Final = logging.getLogger("headgate.server")


class Listener:
    """One address being served by one application."""

    def __init__(
        self,
        application: Application,
        sock: socket.socket,
        *,
        tls: ssl.SSLContext | None,
        header_timeout_s: float,
        max_connections: int = 10_000,
    ) -> None:
        """Serve ``application`` on the bound ``sock``; `open` begins."""
        self._site = Site(application, header_timeout_s, max_connections, asyncio.get_running_loop())
        self._socket = sock
        self._tls = tls
        self._arriving: set[asyncio.Task[None]] = set()
        """Connections that are accepted and not made yet."""
        self._retry: asyncio.TimerHandle | None = None
        self._sweep: asyncio.TimerHandle | None = None

    @property
    def url(self) -> str:
        """Where this listener answers, e.g. ``http://127.0.0.1:4100``."""
        host, port = self._socket.getsockname()[:2]
        return f"{'https' if self._tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"

    async def open(self) -> None:
        """Begin to accept connections."""
        self._tick()
        self._socket.listen(_BACKLOG)
        self._watch()

    async def drain(self, seconds: float, hurry: asyncio.Event) -> None:
        """Stop accepting, let requests finish for ``seconds``, then cancel the rest and wait for their settlement.

        ``hurry`` ends the wait early.
        """
        self._hang_up()
        for connection in self.connections:
            connection.shutdown()
        deadline = time.monotonic() + seconds
        # A look now and then, because nothing signals that a socket's buffer has been emptied.
        while self._is_busy() and time.monotonic() < deadline and not hurry.is_set():  # noqa: ASYNC110
            await asyncio.sleep(_DRAIN_LOOK_S)
        for connection in self.connections:
            connection.give_up()
        tasks = list(self._site.tasks)
        if tasks:
            _log.warning("drain is over, ending requests", extra={"requests": len(tasks)})
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=_CANCELLED_REQUESTS_S)
        for task in self._arriving:
            task.cancel()
        await asyncio.gather(*self._arriving, return_exceptions=True)
        await asyncio.sleep(0)
        if self._sweep is not None:
            self._sweep.cancel()
        self._site.outbox.flush()
        for connection in self.connections:
            connection.transport.close()

    @property
    def connections(self) -> list[EdgeProtocol]:
        """The open connections."""
        return list(self._site.connections)

    def _is_busy(self) -> bool:
        """Whether a request is here, or an answer has not left yet."""
        return bool(self._site.tasks) or any(
            connection.is_busy or connection.transport.get_write_buffer_size() for connection in self.connections
        )

    def _watch(self) -> None:
        asyncio.get_running_loop().add_reader(self._socket, self._accept)

    def _hang_up(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
        if self._socket.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()

    def _accept(self) -> None:
        """Take the connections that wait, many at a turn of the loop.

        A server of uvloop's takes one (github.com/libuv/libuv/pull/3696). Under load a turn takes long, and whoever
        connects, a health check too, would wait in line behind all the others.
        """
        loop = asyncio.get_running_loop()
        for _ in range(_ACCEPTED_A_TURN):
            try:
                sock, _ = self._socket.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                # No descriptor is left, most likely. The connection stays in line, and would call again at once.
                _log.error("cannot accept connections", extra={"reason": error.strerror})
                loop.remove_reader(self._socket)
                self._retry = loop.call_later(_ACCEPT_AGAIN_S, self._watch)
                return
            task = loop.create_task(self._connect(loop, sock))
            self._arriving.add(task)
            task.add_done_callback(self._arriving.discard)

    async def _connect(self, loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
        sock.setblocking(False)
        make = functools.partial(EdgeProtocol, self._site, loop)
        try:
            await loop.connect_accepted_socket(make, sock, ssl=self._tls)
        except OSError as error:
            # A handshake that failed, or a client that has left already.
            _log.debug("no connection", extra={"reason": str(error)})
            sock.close()

    def _tick(self) -> None:
        """Twice a second: the Date header, and the connections whose time is up."""
        loop = asyncio.get_running_loop()
        self._sweep = loop.call_later(_SWEEP_S, self._tick)
        self._site.date = b"date: %b\r\n" % email.utils.formatdate(usegmt=True).encode()
        now = loop.time()
        for connection in self.connections:
            connection.look(now)


def bind(address: str) -> socket.socket:
    """Return a listening-to-be socket bound to ``HOST:PORT`` (``[::1]:4100`` for IPv6; port 0 takes a free one).

    Raises:
        OSError: the address cannot be bound; the text names it.
    """
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, int(port)))
    except OSError as error:
        sock.close()
        raise OSError(error.errno, f"cannot listen on {address}: {error.strerror}") from error
    sock.setblocking(False)
    return sock
