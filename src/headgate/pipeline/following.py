"""Reading along: a request whose answer another one, asked just before, is being given at this moment."""

import asyncio
from collections.abc import Sequence
from typing import Final, cast

from headgate.domain.caching import CacheNote, CacheStatus
from headgate.domain.chat import StreamEvent
from headgate.domain.errors import InternalError, UnsupportedFeatureError
from headgate.pipeline.attempt import deadline_exceeded
from headgate.pipeline.replay import Replay, Turn, render, saved_nano_usd
from headgate.pipeline.reply import EVENT_STREAM, PING_EVERY_S
from headgate.pipeline.tape import Tape
from headgate.wire.format import Metered, WireFormat
from headgate.wire.rendition import RenditionEncoder, fresh_id

_OF_THE_REQUEST: Final = (400, 413, 422)
"""Statuses of a provider that everybody who asks the same will get."""


class _Shared:
    """A stream in one format while it comes, written once for all who read it so."""

    __slots__ = ("_encoder", "_pieces")

    def __init__(self, encoder: RenditionEncoder) -> None:
        self._encoder = encoder
        self._pieces: list[Sequence[bytes]] = []

    def upto(self, events: Sequence[StreamEvent]) -> list[Sequence[bytes]]:
        """Return every event as it is written, with the answer's id between the pieces of each."""
        self._pieces += map(self._encoder.encode, events[len(self._pieces) :])
        return self._pieces


def _shared(tape: Tape, form: WireFormat, usage: bool, created_s: int, marker: str) -> _Shared:
    shape = (form.name, usage)
    found = tape.renditions.get(shape)
    if found is None:
        encoder = RenditionEncoder(form, created_s, wants_usage=usage, marker=marker)
        found = tape.renditions[shape] = _Shared(encoder)
    return cast("_Shared", found)


class Follower:
    """One request that reads another one's answer along."""

    __slots__ = ("_asked", "_gateway", "_replay", "_reply", "_trace", "is_final")

    def __init__(self, turn: Turn) -> None:
        """Answer that request."""
        self._gateway = turn.gateway
        self._asked = turn.asked
        self._trace = turn.trace
        self._reply = turn.reply
        self._replay = Replay(turn)
        self.is_final = False
        """The answer that was not given would be the same for everybody."""

    async def follow(self, tape: Tape, marker: str) -> bool:
        """Give what ``tape`` says; False, with nothing given, where it came to nothing.

        Raises:
            HeadgateError: it broke off after content had reached the caller, or the caller's own time ran out.
        """
        self._reply.watch_client(0.0)
        tape.follow()
        try:
            async with asyncio.timeout(self._left_s()):
                if self._asked.envelope.stream:
                    return await self._stream(tape, marker)
                return await self._whole(tape, marker)
        except TimeoutError as error:
            raise deadline_exceeded() from error
        finally:
            tape.leave()

    def _left_s(self) -> float | None:
        call = self._trace.call
        if call.timeout_s is None:
            return None
        return max(0.0, call.started + call.timeout_s - self._gateway.clock())

    async def _whole(self, tape: Tape, marker: str) -> bool:
        while not tape.is_over:
            await tape.more()
        return await self._complete(tape, marker)

    async def _complete(self, tape: Tape, marker: str) -> bool:
        """Give an answer that is complete by now."""
        recorded = tape.result
        if recorded is None:
            return self._failed(tape)
        envelope, form = self._asked.envelope, self._trace.call.wire_format
        created_s = self._gateway.clock_ms() // 1000
        try:
            rendition = render(
                form, recorded, created_s, stream=envelope.stream, usage=envelope.wants_usage, marker=marker
            )
        except (UnsupportedFeatureError, ValueError):
            return False
        self._note(tape)
        await self._replay.give(recorded, rendition)
        return True

    async def _stream(self, tape: Tape, marker: str) -> bool:
        await self._until_open(tape)
        if not tape.is_open:
            # Nothing comes in pieces: the other caller wants it whole, or it came to nothing.
            if await self._complete(tape, marker):
                return True
            if self._reply.begun:  # There is no other answer than this one any more.
                raise tape.error or InternalError("The answer that was shared cannot be streamed.")
            return False
        await self._read_along(tape, marker)
        return True

    async def _until_open(self, tape: Tape) -> None:
        """Wait for the first content. Where it takes long, the head is given and pings show that the stream lives."""
        while not (tape.is_open or tape.is_over):
            try:
                async with asyncio.timeout(PING_EVERY_S):
                    await tape.more()
            except TimeoutError:
                self._begin()
                waiting = self._reply.write(self._trace.call.wire_format.ping)
                if waiting is not None:
                    await waiting

    def _begin(self) -> None:
        if not self._reply.begun:
            self._note(None)
            deployment = self._asked.deployment
            self._reply.begin(200, [*self._replay.headers(deployment.provider, deployment.name), *EVENT_STREAM])

    async def _read_along(self, tape: Tape, marker: str) -> None:
        """Pass on what comes as it comes."""
        trace, reply, form = self._trace, self._reply, self._trace.call.wire_format
        shared = _shared(tape, form, self._asked.envelope.wants_usage, self._gateway.clock_ms() // 1000, marker)
        answer_id = fresh_id(form, trace.call.request_id).encode()
        self._begin()
        trace.first_event = self._gateway.clock()
        read = 0
        while True:
            pieces = shared.upto(tape.events)
            data = b"".join([answer_id.join(each) for each in pieces[read:]])
            read = len(pieces)
            waiting = None
            if tape.has_ended and not reply.ended:
                waiting = reply.end(data)
            elif data:
                waiting = reply.write(data)
            if waiting is not None:
                await waiting
            if tape.is_over:
                break
            if read == len(tape.events):
                await tape.more()
        if tape.error is not None and not reply.ended:
            raise tape.error
        self._note(tape)

    def _note(self, tape: Tape | None) -> None:
        """Note that the answer is shared; with ``tape``, what was saved, which its end says."""
        recorded = None if tape is None else tape.result
        trace = self._trace
        before = trace.cache
        entry = None if before is None else before.entry
        if recorded is None:
            trace.cache = CacheNote(CacheStatus.COALESCED, entry=entry)
            return
        trace.metered = Metered(usage=None, finish_reason=recorded.finish_reason)
        usage = recorded.usage
        trace.cache = CacheNote(
            CacheStatus.COALESCED,
            entry=entry,
            saved_nano_usd=saved_nano_usd(self._asked.deployment, usage),
            saved_input_tokens=usage.input_tokens,
            saved_output_tokens=usage.output_tokens,
        )

    def _failed(self, tape: Tape) -> bool:
        error = tape.error
        self.is_final = error is not None and error.status in _OF_THE_REQUEST
        return False
