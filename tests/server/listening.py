"""A listener around a small application, and raw conversations with it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from headgate.server.asgi import AsgiApp, serve_asgi
from headgate.server.inbound import Application, Inbound
from headgate.server.listener import Listener, bind

MAX_BODY = 64_000_000
GET = b"GET / HTTP/1.1\r\nhost: gate\r\n\r\n"


class Echo:
    """Answers with the body's size; a path of its own waits until it is let go."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.held = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            size += len(message["body"])
            if not message["more_body"]:
                break
        if scope["path"] == "/held":
            self.held.set()
            try:
                await self.gate.wait()
            except asyncio.CancelledError:
                self.cancelled.set()
        body = b"%d" % size
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def admit(inbound: Inbound) -> None:
    """Take every request's body."""
    inbound.max_body = MAX_BODY


def asgi(app: AsgiApp) -> Application:
    """An ASGI application as a listener takes it."""
    return Application(admit, lambda inbound: serve_asgi(app, inbound))


@contextlib.asynccontextmanager
async def listening(
    app: Echo | Application, header_timeout_s: float = 30.0, max_connections: int = 100
) -> AsyncIterator[Listener]:
    served = asgi(app) if isinstance(app, Echo) else app
    listener = Listener(
        served,
        bind("127.0.0.1:0"),
        tls=None,
        header_timeout_s=header_timeout_s,
        max_connections=max_connections,
    )
    await listener.open()
    try:
        yield listener
    finally:
        if isinstance(app, Echo):
            app.gate.set()
        await listener.drain(1.0, asyncio.Event())


async def connect(listener: Listener) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, _, port = listener.url.removeprefix("http://").rpartition(":")
    return await asyncio.open_connection(host, int(port))


async def converse(listener: Listener, data: bytes) -> bytes:
    """Send ``data`` and return everything until the server closes or says nothing more."""
    reader, writer = await connect(listener)
    try:
        writer.write(data)
        answer = b""
        with contextlib.suppress(TimeoutError, ConnectionResetError):
            while piece := await asyncio.wait_for(reader.read(65536), 0.7):
                answer += piece
        return answer
    finally:
        writer.close()
