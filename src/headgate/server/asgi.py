"""The admin API's way in: an ASGI application (asgi.readthedocs.io, HTTP 2.3) behind a connection of ours.

The data plane does not pass here: its requests go from `headgate.server.edge` straight to the pipeline.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, cast
from urllib.parse import unquote

from headgate.server.inbound import Inbound

Message = dict[str, Any]
Send = Callable[[Message], Coroutine[Any, Any, None]]
Receive = Callable[[], Coroutine[Any, Any, Message]]
AsgiApp = Callable[[dict[str, Any], Receive, Send], Awaitable[None]]

_VERSIONS: Final = {"version": "3.0", "spec_version": "2.3"}


async def serve_asgi(app: AsgiApp, inbound: Inbound) -> None:
    """Let ``app`` answer a request; a refused one is answered by the listener itself."""
    exchange = _Exchange(inbound)
    await app(_scope_of(inbound), exchange.receive, exchange.send)


def _scope_of(inbound: Inbound) -> dict[str, Any]:
    transport = inbound.connection.transport
    path = inbound.raw_path.decode("ascii", "replace")
    return {
        "type": "http",
        "asgi": _VERSIONS,
        "http_version": "1.0" if inbound.is_http_1_0 else "1.1",
        "method": inbound.method,
        "scheme": "http" if transport.get_extra_info("sslcontext") is None else "https",
        "path": unquote(path),
        "raw_path": inbound.raw_path,
        "query_string": inbound.query,
        "root_path": "",
        "headers": inbound.fields,
        "client": _address(transport.get_extra_info("peername")),
        "server": _address(transport.get_extra_info("sockname")),
    }


def _address(name: object) -> tuple[str, int] | None:
    if not isinstance(name, tuple):
        return None
    host, port, *_ = cast("tuple[str, int]", name)
    return host, port


class _Exchange:
    """The two halves of one ASGI connection."""

    def __init__(self, inbound: Inbound) -> None:
        self._inbound = inbound
        self._is_taken = False
        self._start: Message = {}

    async def receive(self) -> Message:
        """The whole body, then the client's leaving."""
        if not self._is_taken:
            self._is_taken = True
            return {"type": "http.request", "body": self._inbound.body, "more_body": False}
        left = asyncio.get_running_loop().create_future()
        self._inbound.on_left(lambda: left.done() or left.set_result(None))
        if not self._inbound.ended:
            await left
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Keep the start until it is known whether the body comes whole."""
        inbound = self._inbound
        if message["type"] == "http.response.start":
            self._start = message
            return
        body, more = message.get("body", b""), message.get("more_body", False)
        status, headers = self._start["status"], list(self._start.get("headers", ()))
        if not inbound.begun and not more:
            waiting = inbound.whole(status, [field for field in headers if field[0] != b"content-length"], body)
        else:
            if not inbound.begun:
                inbound.begin(status, headers)
            waiting = inbound.write(body) if more else inbound.end(body)
        if waiting is not None:
            await waiting
