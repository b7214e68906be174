"""The way back to the client: a thin state over ASGI's ``send`` and ``receive`` (asgi.readthedocs.io, HTTP 2.3)."""

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from headgate.pipeline.inline import Suspended, Watch, start

Message = dict[str, Any]
Send = Callable[[Message], Coroutine[Any, Any, None]]
Receive = Callable[[], Coroutine[Any, Any, Message]]
Notify = Callable[[Callable[[], object]], None]
"""Takes a callback for the moment at which the client closes its connection."""
Push = Callable[[bytes], Awaitable[None] | None]
"""Sends a piece of a body now; an awaitable comes back where the client reads too slowly."""
HeaderList = list[tuple[bytes, bytes]]


class Reply:
    """One answer being written. Order: `whole`, or `begin` → `write`… → `end`."""

    __slots__ = ("_left", "_notify", "_push", "_receive", "_send", "_watch", "begun", "client_gone", "ended")

    def __init__(self, receive: Receive, send: Send, *, notify: Notify | None = None, push: Push | None = None) -> None:
        """Write to ``send``.

        Two shortcuts that a server may offer: ``notify`` tells that the client has left, else ``receive`` is watched;
        ``push`` sends a piece of a body, else ``send`` does.
        """
        self._receive = receive
        self._send = send
        self._notify = notify
        self._push = push
        self._watch: Watch | None = None
        self._left: Callable[[], object] | None = None
        self.begun = False
        """The status line has been written."""
        self.ended = False
        self.client_gone = False

    def watch_client(self, left: Callable[[], object]) -> None:
        """Call ``left`` once if the client closes its connection before `stop_watching`."""
        self._left = left
        if self._notify is not None:
            self._notify(self._on_left)
        else:
            self._watch = Watch(self._receive(), self._on_message)

    def stop_watching(self) -> None:
        """Stop looking out for the client's leaving."""
        self._left = None
        if self._watch is not None:
            self._watch.stop()
            self._watch = None

    def _on_message(self, message: Message) -> None:
        if message["type"] == "http.disconnect":
            self._on_left()

    def _on_left(self) -> None:
        left = self._left
        if left is not None and not self.ended:
            self.client_gone = True
            left()

    async def whole(self, status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> None:
        """Send a complete answer; the content-length is added."""
        self.begun = self.ended = True
        await self._send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [*headers, (b"content-length", b"%d" % len(body))],
            }
        )
        await self._send({"type": "http.response.body", "body": body, "more_body": False})

    def begin(self, status: int, headers: Sequence[tuple[bytes, bytes]]) -> Suspended | None:
        """Send the head of a streamed answer; the result is as of `write`."""
        self.begun = True
        return start(self._send({"type": "http.response.start", "status": status, "headers": headers}))

    def write(self, data: bytes) -> Awaitable[None] | None:
        """Send a piece of the body now; an awaitable comes back only where the client reads too slowly."""
        if self._push is not None:
            return self._push(data)
        return start(self._send({"type": "http.response.body", "body": data, "more_body": True}))

    async def end(self, data: bytes = b"") -> None:
        """Send the last piece and finish."""
        self.ended = True
        await self._send({"type": "http.response.body", "body": data, "more_body": False})
