"""One request and its answer on a client connection: uvicorn's cycle with an answer's head and body in one write.

uvicorn writes the head as soon as it is known; each write is a system call of about 8 µs, a fifth of what a whole
relayed request costs here. The head therefore waits for the first piece of the body, which follows at once.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

_BODILESS: Final = frozenset({204, 304})


class EdgeCycle(RequestResponseCycle):
    """Sends what the application says; `receive` is uvicorn's."""

    _head: bytes = b""
    _until_close: bool = False
    _left: Callable[[], object] | None = None

    def on_disconnect(self, left: Callable[[], object]) -> None:
        """Call ``left`` when the client closes its connection before the answer is complete."""
        self._left = left

    def disconnect(self) -> None:
        """The connection is gone: say so to whoever asked."""
        if not self.response_complete:
            self.disconnected = True
        self.message_event.set()
        left, self._left = self._left, None
        if left is not None and not self.response_complete:
            left()

    async def send(self, message: Any) -> None:
        """Take one ASGI message; waits only while the client reads too slowly."""
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        if not self.response_started:
            self._start(message["status"], message["headers"])
        else:
            self._write(message.get("body", b""), more_body=message.get("more_body", False))

    def push(self, data: bytes) -> Awaitable[None] | None:
        """Send a piece of a body that was begun: `send` without a message and a coroutine for each event of a stream.

        Returns what to await where the client reads too slowly.
        """
        if self.disconnected:
            return None
        if self.flow.write_paused:
            return self.send({"type": "http.response.body", "body": data, "more_body": True})
        self._write(data, more_body=True)
        return None

    def _start(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self.response_started = True
        self.waiting_for_100_continue = False
        parts = [STATUS_LINE[status]]
        for name, value in self.default_headers:
            parts += (name, b": ", value, b"\r\n")
        lines = 2 + len(self.default_headers) + len(headers)
        is_closed = False
        for name, value in headers:
            if name == b"content-length":
                self.chunked_encoding = False
                self.expected_content_length = int(value)
            elif name == b"connection" and value == b"close":
                self.keep_alive = False
                is_closed = True
            parts += (name, b": ", value, b"\r\n")
        if not self.keep_alive and not is_closed:
            parts.append(b"connection: close\r\n")
            lines += 1
        if self.scope["method"] == "HEAD" or status in _BODILESS:
            self.chunked_encoding = False
            self.expected_content_length = 0
        elif self.chunked_encoding is None and self.scope["http_version"] == "1.0":
            # No chunks there (RFC 9112 §6.1): the body ends with the connection.
            self.chunked_encoding = False
            self._until_close = True
        elif self.chunked_encoding is None:
            self.chunked_encoding = True
            parts.append(b"transfer-encoding: chunked\r\n")
            lines += 1
        parts.append(b"\r\n")
        head = b"".join(parts)
        # One look at the whole head instead of one at each value.
        if head.count(b"\n") != lines or head.count(b"\r") != lines or b"\0" in head:
            raise ValueError("a header of the answer holds a line break or a zero byte")
        self._head = head

    def _write(self, body: bytes, *, more_body: bool) -> None:
        if self.response_complete:
            raise RuntimeError("the answer is complete already")
        if self.chunked_encoding:
            # An empty chunk would end the body (RFC 9112 §7.1).
            data = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            if not more_body:
                data += b"0\r\n\r\n"
        elif self.scope["method"] == "HEAD":
            data = b""
        elif self._until_close:
            data = body
        else:
            self.expected_content_length -= len(body)
            if self.expected_content_length < 0 or (self.expected_content_length and not more_body):
                raise RuntimeError("the body's length is not the content-length that was announced")
            data = body
        if self._head:
            data, self._head = self._head + data, b""
        if data:
            self.transport.write(data)
        if not more_body:
            self.response_complete = True
            self.message_event.set()
            self.on_response()
