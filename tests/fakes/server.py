"""A real HTTP server on a loopback port in a thread of its own, which fakes of providers' APIs are built on.

Synchronous tests and other processes can talk to it. Every request is recorded with its exact bytes, and a stream can
wait until its reader has acknowledged each event (``POST /control/ack/NAME``).
"""

import asyncio
import json
import socket
import ssl
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self

from tests.fakes.plan import Cut, Gate, Pause, Plan, Send, Stall

_REASONS = {200: "OK", 302: "Found", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found"}


class Exchange:
    """One request as it arrived, and how far its answer got."""

    def __init__(self, head: bytes, body: bytes) -> None:
        self.head = head
        self.body = body
        line, *fields = head.decode("latin-1").split("\r\n")
        self.method, self.target, _ = line.split(" ", 2)
        self.headers = [
            (name.lower(), value.strip()) for name, _, value in (field.partition(":") for field in fields if field)
        ]
        self.sent = 0
        """Pieces of the body written so far; on a stream these are events."""
        self.completed = threading.Event()
        """The plan was carried out to its end."""
        self.hung_up = threading.Event()
        """The other side went away first."""

    def header(self, name: str) -> str | None:
        """The first value of a field."""
        return next((value for key, value in self.headers if key == name), None)

    @property
    def json(self) -> Any:
        """The body as a value."""
        return json.loads(self.body)


class _Line(asyncio.StreamReaderProtocol):
    """A connection that tells at once when its peer hangs up, also while nobody reads."""

    def __init__(self, connected: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> None:
        super().__init__(asyncio.StreamReader(limit=64 * 1024 * 1024), connected)
        self.gone = asyncio.Event()

    def eof_received(self) -> bool | None:
        self.gone.set()
        return super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone.set()
        super().connection_lost(exc)


class FakeServer(ABC):
    """The server. Use as a context manager; `url` is the base URL to configure, `/v1` included.

    A subclass says what it answers; ``fixed_headers`` go out with every answer.
    """

    fixed_headers: tuple[tuple[str, str], ...] = ()

    def __init__(self) -> None:
        self.exchanges: list[Exchange] = []
        self.acknowledged: dict[str, int] = {}
        """Events acknowledged, by the name that the request gives its stream."""
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fake-upstream", daemon=True)
        self._connections: set[asyncio.Task[None]] = set()
        self._moved = asyncio.Condition()
        self.tls: ssl.SSLContext | None = None
        """Set before it starts; `url` stays what it is without."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @abstractmethod
    def answer(self, exchange: Exchange) -> tuple[Plan, str]:
        """The plan for a request, and the name under which its stream is acknowledged."""

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def acknowledge(self, user: str) -> None:
        """Let a gated stream send its next event."""
        asyncio.run_coroutine_threadsafe(self._acknowledge(user), self._loop).result(10)

    def wait_for_exchanges(self, count: int, within_s: float = 10.0) -> list[Exchange]:
        """Wait until this many requests have arrived and return them."""
        deadline = time.monotonic() + within_s
        while len(self.exchanges) < count:
            assert time.monotonic() < deadline, f"{len(self.exchanges)} requests reached the upstream, not {count}"
            time.sleep(0.01)
        return self.exchanges

    @property
    def last(self) -> Exchange:
        return self.exchanges[-1]

    async def _start(self) -> None:
        self._server = await self._loop.create_server(lambda: _Line(self._connected), "127.0.0.1", 0, ssl=self.tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        self._server.close()
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _acknowledge(self, user: str) -> None:
        async with self._moved:
            self.acknowledged[user] = self.acknowledged.get(user, 0) + 1
            self._moved.notify_all()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            while await self._serve_one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._connections.discard(task)
            writer.close()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; false when the connection is over."""
        head = (await reader.readuntil(b"\r\n\r\n"))[:-2]
        exchange = Exchange(head, b"")
        exchange.body = await _read_body(reader, exchange)
        if exchange.target.startswith("/control/ack/"):
            await self._acknowledge(exchange.target.removeprefix("/control/ack/"))
            plan, user = Plan([Send(b"{}")]), ""
        else:
            self.exchanges.append(exchange)
            plan, user = self.answer(exchange)
        loop, line = asyncio.get_running_loop(), writer.transport.get_protocol()
        assert isinstance(line, _Line)
        watcher = loop.create_task(line.gone.wait())
        performer = loop.create_task(self._perform(plan, exchange, writer, user))
        try:
            await asyncio.wait({performer, watcher}, return_when=asyncio.FIRST_COMPLETED)
            if performer.done():
                return performer.result()
            exchange.hung_up.set()
            return False
        except ConnectionError:
            exchange.hung_up.set()
            return False
        finally:
            performer.cancel()
            watcher.cancel()
            await asyncio.gather(performer, watcher, return_exceptions=True)

    async def _perform(self, plan: Plan, exchange: Exchange, writer: asyncio.StreamWriter, user: str) -> bool:
        raw = plan.framing == "raw"
        if not raw:
            writer.write(_head(plan, self.fixed_headers))
        for step in plan.steps:
            match step:
                case Send(data):
                    framed = b"%x\r\n%b\r\n" % (len(data), data) if plan.framing == "chunked" and data else data
                    writer.write(framed)
                    await writer.drain()
                    exchange.sent += 1
                case Pause(seconds):
                    await asyncio.sleep(seconds)
                case Stall():
                    await writer.drain()
                    await asyncio.Event().wait()
                case Gate(count):
                    async with self._moved:
                        await self._moved.wait_for(lambda count=count: self.acknowledged.get(user, 0) >= count)
                case Cut(reset):
                    await writer.drain()
                    if reset:
                        # SO_LINGER 0 makes close() send RST.
                        linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
                        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                        writer.transport.abort()
                    exchange.completed.set()
                    return False
        if plan.framing == "chunked":
            writer.write(b"0\r\n\r\n")
        await writer.drain()
        exchange.completed.set()
        return exchange.header("connection") != "close"


async def _read_body(reader: asyncio.StreamReader, exchange: Exchange) -> bytes:
    length = exchange.header("content-length")
    if length is not None:
        return await reader.readexactly(int(length))
    body = b""
    while exchange.header("transfer-encoding") == "chunked":
        size = int(await reader.readuntil(b"\r\n"), 16)
        body += (await reader.readexactly(size + 2))[:-2]
        if size == 0:
            break
    return body


def _head(plan: Plan, fixed: tuple[tuple[str, str], ...]) -> bytes:
    lines = [f"HTTP/1.1 {plan.status} {_REASONS.get(plan.status, 'Status')}", f"content-type: {plan.content_type}"]
    lines += [f"{name}: {value}" for name, value in (*fixed, *plan.headers)]
    if plan.framing == "chunked":
        lines.append("transfer-encoding: chunked")
    else:
        lines.append(f"content-length: {sum(len(step.data) for step in plan.steps if isinstance(step, Send))}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"


def closed_port() -> socket.socket:
    """A bound socket that does not listen: connecting to its port is refused as long as it is held."""
    holder = socket.socket()
    holder.bind(("127.0.0.1", 0))
    return holder
