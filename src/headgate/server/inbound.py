"""One request as a client connection brings it, and the answer as it goes back: HTTP/1.1 framing (RFC 9112).

`headgate.server.protocol` makes one of these from each head and lets an `Application` answer it. Each write to a socket
is a system call of about 10 µs, so the head of an answer waits for the first piece of its body, which follows at once.
"""

import http
from asyncio import Task, TimerHandle
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from headgate.domain.errors import HeadgateError

if TYPE_CHECKING:
    from headgate.server.protocol import EdgeProtocol

Fields = list[tuple[bytes, bytes]]
"""Header fields in order: names in lower case, values as sent."""

_BODILESS: Final = frozenset({204, 304})
_JOIN_BELOW_BYTES: Final = 64 * 1024
"""Bodies up to this are copied behind the head for one write; larger ones are not copied."""
_STATUS_LINES: Final = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in http.HTTPStatus
}


def status_line(status: int) -> bytes:
    """Return the first line of an answer; a status without a name has none there either (RFC 9112 §4)."""
    return _STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status


class Inbound:
    """A request whose head has arrived, and a `headgate.pipeline.reply.Reply` to it."""

    __slots__ = (
        "_connection",
        "_give_up",
        "_head",
        "_is_chunked",
        "_on_left",
        "_patience",
        "_patience_s",
        "begun",
        "body",
        "client_gone",
        "ended",
        "fields",
        "found",
        "is_complete",
        "is_http_1_0",
        "keep_alive",
        "matter",
        "max_body",
        "method",
        "query",
        "raw_path",
        "refusal",
        "task",
    )

    def __init__(
        self,
        connection: "EdgeProtocol",
        method: str,
        target: tuple[bytes, bytes],
        fields: Fields,
        found: dict[bytes, bytes],
        *,
        is_http_1_0: bool,
        keep_alive: bool,
    ) -> None:
        """Begin with the head; ``target`` is the path as it was sent and the query without its question mark."""
        self._connection = connection
        self.method = method
        self.raw_path, self.query = target
        self.fields = fields
        self.found = found
        """The fields that Headgate acts on, by name (`headgate.server.head.ACTED_ON`)."""
        self.is_http_1_0 = is_http_1_0
        self.keep_alive = keep_alive
        self.max_body = 0
        """Bytes of body that are taken; `Application.admit` sets it."""
        self.matter: Any = None
        """What `Application.admit` learned from the head; `Application.answer` finds it here."""
        self.refusal: HeadgateError | None = None
        """Why this is answered without its body."""
        self.body = b""
        self.is_complete = False
        """The whole request has arrived."""
        self.task: Task[None] | None = None
        self.begun = False
        self.ended = False
        self.client_gone = False
        self._on_left: Callable[[], object] | None = None
        self._patience_s: float | None = None
        self._give_up: Callable[[float], None] | None = None
        self._patience: TimerHandle | None = None
        self._head = b""
        self._is_chunked = False

    @property
    def connection(self) -> "EdgeProtocol":
        """The connection it came on."""
        return self._connection

    # The way back

    def watch_client(self, patience_s: float, give_up: Callable[[float], None] | None = None) -> None:
        """Cancel the task ``patience_s`` after the client has left; see `headgate.pipeline.reply.Reply`."""
        self._patience_s = patience_s
        self._give_up = give_up
        if self._connection.is_lost:
            self.leave()

    def stop_watching(self) -> None:
        """Cancel nothing any more."""
        self._patience_s = None
        if self._patience is not None:
            self._patience.cancel()

    def on_left(self, callback: Callable[[], object]) -> None:
        """Call ``callback`` once if the client closes its connection before the answer is complete."""
        self._on_left = callback
        if self._connection.is_lost:
            self.leave()

    def leave(self) -> None:
        """The connection is gone."""
        if self.ended:
            return
        patience_s, self._patience_s = self._patience_s, None
        if patience_s is not None and self.task is not None:
            self.client_gone = True
            if self._give_up is not None:
                self._give_up(patience_s)
            elif patience_s:
                self._patience = self.task.get_loop().call_later(patience_s, self.task.cancel)
            else:
                self.task.cancel()
        callback, self._on_left = self._on_left, None
        if callback is not None:
            callback()

    def whole(self, status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> Awaitable[None] | None:
        """Send a complete answer; see `headgate.pipeline.reply.Reply.whole`."""
        if status in _BODILESS:
            head, body = self._render(status, headers, b""), b""
        else:
            head = self._render(status, headers, b"content-length: %d" % len(body))
            if self.method == "HEAD":
                body = b""
        self.begun = self.ended = True
        self._put(head, body)
        self._connection.answered(self)
        return self._connection.drained()

    def whole_prepared(self, status: int, rest: bytes) -> None:
        """Send a complete answer of which all behind the Date field was written beforehand, body and length too."""
        connection = self._connection
        if connection.is_last:
            self.keep_alive = False
        close = b"" if self.keep_alive else b"connection: close\r\n"
        self.begun = self.ended = True
        self._put(b"%b%b%b" % (status_line(status), connection.site.date, close), rest)
        connection.answered(self)

    def begin(self, status: int, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """Keep the head of a streamed answer until its first piece comes."""
        # HTTP/1.0 has no chunks (RFC 9112 §6.1): there the body ends with the connection.
        self._is_chunked = not self.is_http_1_0
        if self.is_http_1_0:
            self.keep_alive = False
        self._head = self._render(status, headers, b"transfer-encoding: chunked" if self._is_chunked else b"")
        self.begun = True

    def write(self, data: bytes) -> Awaitable[None] | None:
        """Send a piece of the body now; an awaitable comes back only where the client reads too slowly."""
        if data:
            # An empty chunk would end the body (RFC 9112 §7.1).
            self._send(b"%x\r\n%b\r\n" % (len(data), data) if self._is_chunked else data)
        return self._connection.drained()

    def end(self, data: bytes = b"") -> Awaitable[None] | None:
        """Send the last piece and finish."""
        if not self._is_chunked:
            last = data
        elif data:
            last = b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data)
        else:
            last = b"0\r\n\r\n"
        self.ended = True
        self._send(last)
        self._connection.answered(self)
        return self._connection.drained()

    def _send(self, data: bytes) -> None:
        head, self._head = self._head, b""
        if self.method == "HEAD":
            data = b""
        self._put(head, data)

    def _put(self, head: bytes, data: bytes) -> None:
        connection = self._connection
        if connection.is_lost:
            return
        outbox = connection.site.outbox
        if len(data) > _JOIN_BELOW_BYTES:
            outbox.flush()
            connection.transport.writelines((head, data))
        elif head or data:
            outbox.put(connection.transport, head + data)

    def _render(self, status: int, headers: Sequence[tuple[bytes, bytes]], framing: bytes) -> bytes:
        lines = [b": ".join(field) for field in headers]
        if framing:
            lines.append(framing)
        if (b"connection", b"close") in headers:
            self.keep_alive = False
        elif not self.keep_alive or self._connection.is_last:
            self.keep_alive = False
            lines.append(b"connection: close")
        count = len(lines) + 3
        lines.append(b"")  # So that the last line ends as the others do.
        head = b"%b%b%b\r\n" % (status_line(status), self._connection.site.date, b"\r\n".join(lines))
        # One look at the whole head instead of one at each value.
        if head.count(b"\n") != count or head.count(b"\r") != count or b"\0" in head:
            raise ValueError("a header of the answer holds a line break or a zero byte")
        return head


class Application(Struct, frozen=True):
    """What answers the requests of a listener."""

    admit: Callable[[Inbound], None]
    """Looks at a head before the body comes: sets `Inbound.max_body`, and `Inbound.refusal` to answer without it."""
    answer: Callable[[Inbound], Coroutine[Any, Any, None]]
    """Answers a request that is complete, or refused."""
    answer_at_once: Callable[[Inbound], bool] = lambda _: False
    """Answers, before `answer` is asked to, what needs no waiting; False where there is nothing of the kind."""
