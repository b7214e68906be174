"""The way back to the client: a thin state over ASGI's ``send`` and ``receive`` (asgi.readthedocs.io, HTTP 2.3)."""

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from headgate.pipeline.inline import Suspended, Watch, start

Message = dict[str, Any]
Send = Callable[[Message], Coroutine[Any, Any, None]]
Receive = Callable[[], Coroutine[Any, Any, Message]]
HeaderList = list[tuple[bytes, bytes]]


class Reply:
    """One answer being written. Order: `whole`, or `begin` → `write`… → `end`."""

    __slots__ = ("_receive", "_send", "_watch", "begun", "client_gone", "ended")

    def __init__(self, receive: Receive, send: Send) -> None:
        """Write to ``send``; ``receive`` is only watched for the client's leaving."""
        self._receive = receive
        self._send = send
        self._watch: Watch | None = None
        self.begun = False
        """The status line has been written."""
        self.ended = False
        self.client_gone = False

    def watch_client(self, left: Callable[[], object]) -> None:
        """Call ``left`` once if the client closes its connection before `stop_watching`."""

        def on_message(message: Message) -> None:
            if message["type"] == "http.disconnect" and not self.ended:
                self.client_gone = True
                left()

        self._watch = Watch(self._receive(), on_message)

    def stop_watching(self) -> None:
        """Stop looking out for the client's leaving."""
        if self._watch is not None:
            self._watch.stop()
            self._watch = None

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
        return start(self._send({"type": "http.response.body", "body": data, "more_body": True}))

    async def end(self, data: bytes = b"") -> None:
        """Send the last piece and finish."""
        self.ended = True
        await self._send({"type": "http.response.body", "body": data, "more_body": False})
