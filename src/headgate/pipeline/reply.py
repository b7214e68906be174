"""The way back to the client, as the pipeline sees it. `headgate.server.inbound.Inbound` is the one over a socket.

`headgate.pipeline.idempotency.RememberedReply` stands before it where the answer may have to be given again.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

Headers = Sequence[tuple[bytes, bytes]]
HeaderList = list[tuple[bytes, bytes]]

JSON: Final = (b"content-type", b"application/json")
"""The head of a whole answer."""
EVENT_STREAM: Final = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
)
"""The head of a stream: proxies are to pass on what comes as it comes."""
PING_EVERY_S: Final = 10.0
"""Proxies give up connections that are silent for 30 to 60 s."""


class Reply(Protocol):
    """One answer being written. Order: `whole`, or `begin` → `write`… → `end`.

    What sends returns ``None`` where the client keeps up; where it reads too slowly, what to await before going on.
    Writing to a client that has left does nothing.
    """

    @property
    def begun(self) -> bool:
        """The head has been given."""
        ...

    @property
    def ended(self) -> bool:
        """The last piece has been given."""
        ...

    @property
    def client_gone(self) -> bool:
        """The client left while it was watched."""
        ...

    def watch_client(self, patience_s: float, give_up: Callable[[float], None] | None = None) -> None:
        """From now on, cancel the task that answers ``patience_s`` seconds after the client has left.

        With ``give_up``, that is told ``patience_s`` when the client leaves, and nothing is cancelled here.
        """
        ...

    def stop_watching(self) -> None:
        """The request is over, however it ended: cancel nothing any more."""
        ...

    def whole(self, status: int, headers: Headers, body: bytes) -> Awaitable[None] | None:
        """Send a complete answer; the content-length is added.

        Raises:
            ValueError: a header holds a line break or a zero byte; nothing was sent.
        """
        ...

    def begin(self, status: int, headers: Headers) -> None:
        """Begin a streamed answer; its head leaves with the first piece. Raises as `whole` does."""
        ...

    def write(self, data: bytes) -> Awaitable[None] | None:
        """Send a piece of the body."""
        ...

    def end(self, data: bytes = b"") -> Awaitable[None] | None:
        """Send the last piece and finish."""
        ...
