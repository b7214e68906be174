"""What a provider says, recorded while it says it: for the cache, and for those who ask the same meanwhile.

A tape belongs to one request, its *leader*, over all its tries. Those who asked the same, its *followers*, read what is
on it and wait for more. Nothing is on it before the first content: until then another provider may still answer.
"""

import asyncio
from collections.abc import Callable

from headgate.cache.recorded import Recorded
from headgate.domain.chat import ChatResponse, StreamEnd, StreamEvent, StreamFault
from headgate.domain.errors import HeadgateError, InternalError
from headgate.domain.usage import TokenUsage
from headgate.routing.table import Deployment
from headgate.wire.format import MalformedAnswerError, StreamDecoder, WireFormat


class Tape:
    """One answer being recorded. Belongs to the event loop."""

    __slots__ = (
        "_answer",
        "_body",
        "_decoder",
        "_is_broken",
        "_more",
        "error",
        "events",
        "followers",
        "has_ended",
        "is_open",
        "on_abandoned",
        "renditions",
        "result",
        "size",
    )

    def __init__(self) -> None:
        """Begin with nothing."""
        self.events: list[StreamEvent] = []
        """What the stream said so far; it only grows once there is content."""
        self.size = 0
        """How many bytes the provider sent for it."""
        self.is_open = False
        """There is content, so there will be no other answer than this one."""
        self.has_ended = False
        """The stream's end is among the events."""
        self.result: Recorded | None = None
        """The leader has its whole answer, and it was good: this is it."""
        self.error: HeadgateError | None = None
        """Why it will never be complete."""
        self.followers = 0
        """How many read it now."""
        self.on_abandoned: Callable[[], None] | None = None
        """Told when the last of them has left."""
        self.renditions: dict[tuple[str, bool], object] = {}
        """What its followers have made of it, by format and whether the usage is told."""
        self._answer: ChatResponse | None = None
        self._body: bytes | None = None
        self._decoder: StreamDecoder | None = None
        self._is_broken = False
        self._more: asyncio.Future[None] | None = None

    # What the leader's tries write

    def begin(self, form: WireFormat, *, stream: bool) -> None:
        """A try begins; what one before it said, which reached nobody, is forgotten."""
        self.events.clear()
        self.size = 0
        self._is_broken = False
        self._answer = self._body = None
        self._decoder = form.dialect.decode_stream() if stream and form.dialect is not None else None

    def feed(self, data: bytes) -> None:
        """Take a piece of the stream as the provider sent it."""
        decoder = self._decoder
        if decoder is None or self._is_broken:
            return
        self.size += len(data)
        try:
            self._take(decoder.feed(data))
        except MalformedAnswerError:
            self._is_broken = True

    def open(self) -> None:
        """The first content has come: whoever follows may read."""
        if not self.is_open:
            self.is_open = True
            self._wake()

    def close(self) -> None:
        """Say that the provider's stream ended as it should."""
        decoder = self._decoder
        if decoder is None or self._is_broken:
            return
        try:
            self._take(decoder.close())
        except MalformedAnswerError:
            self._is_broken = True

    def whole(self, form: WireFormat, body: bytes) -> None:
        """Take a whole answer as the provider sent it."""
        self.size = len(body)
        if form.dialect is None:
            self._body = body
            return
        try:
            self._answer = form.dialect.parse_response(body)
        except MalformedAnswerError:
            self._is_broken = True

    def _take(self, events: list[StreamEvent]) -> None:
        if not events:
            return
        for event in events:
            if type(event) is StreamFault:
                self._is_broken = True  # The leader's error says it to everybody, each in its own format.
                break
            self.events.append(event)
            if type(event) is StreamEnd:
                self.has_ended = True
        if self.is_open:
            self._wake()

    # What the leader's end says

    def complete(self, deployment: Deployment, usage: TokenUsage, finish_reason: str | None) -> Recorded | None:
        """The leader's answer is whole and good; return it, ``None`` where it could not be read along."""
        if self._is_broken or not (self.has_ended or self._answer is not None or self._body is not None):
            self.fail(InternalError("An answer that was to be shared could not be read."))
            return None
        self.result = Recorded(
            provider=deployment.provider,
            deployment=deployment.name,
            usage=usage,
            finish_reason=finish_reason,
            answer=self._answer,
            events=tuple(self.events) if self._answer is None else (),
            body=None if self._body is None else self._body.decode(),
        )
        self._wake()
        return self.result

    def fail(self, error: HeadgateError) -> None:
        """The leader has no whole answer."""
        if not self.is_over:
            self.error = error
            self._wake()

    # What followers read

    @property
    def is_over(self) -> bool:
        """Nothing more will come."""
        return self.result is not None or self.error is not None

    def follow(self) -> None:
        """Begin to read."""
        self.followers += 1

    def leave(self) -> None:
        """Read no more."""
        self.followers -= 1
        if not self.followers and self.on_abandoned is not None:
            self.on_abandoned()

    async def more(self) -> None:
        """Wait until there is more to read, or nothing more to wait for."""
        if self._more is None:
            self._more = asyncio.get_running_loop().create_future()
        # Who gives up must not take the future away from the others.
        await asyncio.shield(self._more)

    def _wake(self) -> None:
        more, self._more = self._more, None
        if more is not None and not more.done():
            more.set_result(None)
