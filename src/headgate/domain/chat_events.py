"""A whole answer as the events of a stream that says the same, and the other way round.

Nothing is dropped: what one of the two cannot say raises `ValueError`, and whoever asked does without.
"""

from collections.abc import Iterable
from typing import Any, Final

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from headgate.domain.chat import (
    ChatResponse,
    Choice,
    Extras,
    ExtrasDelta,
    LogprobsDelta,
    Part,
    PartEnd,
    RedactedThinking,
    RedactedThinkingPart,
    RefusalDelta,
    RefusalPart,
    SignatureDelta,
    Stop,
    StreamEnd,
    StreamEvent,
    StreamStart,
    TextDelta,
    TextPart,
    ThinkingDelta,
    ThinkingPart,
    ToolCallDelta,
    ToolCallPart,
    ToolCallStart,
    UsageReport,
)

PIECE_CHARS: Final = 256
"""Texts that came whole are streamed in pieces of this length, so that clients show them as they are used to."""
_SILENT: Final = (b"null", b"[]", b"{}")
_TAKEN: Final = frozenset({"message", "delta", "index", "finish_reason", "logprobs"})
"""Members of a choice that the hub's own fields are written as."""
_BESIDE: Final = frozenset({"message/annotations", "message/reasoning_details"})
"""Members of a message that stand beside what the hub says of it."""
_NOWHERE: Final = (-1, -1)
_decode: Final = msgspec.json.Decoder().decode
_encode: Final = msgspec.json.Encoder().encode


def spread(answer: ChatResponse) -> tuple[StreamEvent, ...]:
    """Return the events of a stream that says what ``answer`` does.

    Raises:
        ValueError: it holds what no stream can say, such as citations of a text or sound.
    """
    start = StreamStart(
        answer.dialect, answer.id, answer.model, answer.created_s, answer.service_tier, _spoken(answer.extras)
    )
    events: list[StreamEvent] = [start]
    if answer.usage is not None:
        # What was read is known from the beginning, and some clients look for it there.
        first = replace(answer.usage, output_tokens=0, reasoning_tokens=0, output_audio_tokens=0)
        events.append(UsageReport(first, answer.usage_extras))
    for choice in answer.choices:
        _spread_choice(choice, events)
    if answer.usage is not None:
        events.append(UsageReport(answer.usage, answer.usage_extras))
    events.append(StreamEnd())
    return tuple(events)


def _spread_choice(choice: Choice, events: list[StreamEvent]) -> None:
    index = choice.index
    for number, part in enumerate(choice.parts):
        _spread_part(index, number, part, events)
        events.append(PartEnd(index, number))
    if choice.logprobs is not None and bytes(choice.logprobs) not in _SILENT:
        events.append(LogprobsDelta(index, choice.logprobs))
    extras = {name.replace("message/", "delta/", 1): value for name, value in _spoken(choice.extras).items()}
    if extras:
        events.append(ExtrasDelta(index, extras))
    if choice.stop is not None:
        events.append(Stop(index, choice.stop, choice.native_stop))


def _spread_part(index: int, number: int, part: Part, events: list[StreamEvent]) -> None:
    if isinstance(part, ToolCallPart):
        events.append(ToolCallStart(index, number, part.call_id, part.name, part.custom, part.extras))
        events.extend(ToolCallDelta(index, number, piece) for piece in _pieces(part.arguments))
        return
    if isinstance(part, RedactedThinkingPart):
        events.append(RedactedThinking(index, number, part.data))
        return
    if not isinstance(part, TextPart | ThinkingPart | RefusalPart) or _spoken(part.extras):
        raise ValueError(f"no stream can say a part of this kind: {type(part).__name__}")
    delta = {TextPart: TextDelta, ThinkingPart: ThinkingDelta, RefusalPart: RefusalDelta}[type(part)]
    events.extend(delta(index, number, piece) for piece in _pieces(part.text) or [""])
    if isinstance(part, ThinkingPart) and part.signature is not None:
        events.append(SignatureDelta(index, number, part.signature))


def _pieces(text: str) -> list[str]:
    return [text[at : at + PIECE_CHARS] for at in range(0, len(text), PIECE_CHARS)]


def _spoken(extras: Extras) -> Extras:
    """Return the members that say anything."""
    return {name: value for name, value in extras.items() if bytes(value) not in _SILENT} if extras else extras


def collect(events: Iterable[StreamEvent]) -> ChatResponse:
    """Return the whole answer that a complete stream said.

    Raises:
        ValueError: it is not complete, or said what no whole answer of the hub holds.
    """
    answer, has_ended = _Answer(), False
    place, say = _NOWHERE, _silence
    for event in events:
        if type(event) is TextDelta and (event.choice, event.part) == place:
            say(event.text)  # As nearly all events of a stream are.
            continue
        if has_ended:
            raise ValueError("the stream goes on after its end")
        place = _NOWHERE
        if isinstance(event, StreamEnd):
            has_ended = True
            continue
        pieces = answer.add(event)
        if type(event) is TextDelta and pieces is not None:
            place, say = (event.choice, event.part), pieces.append
    if not has_ended:
        raise ValueError("the stream has no end")
    return answer.whole()


def _silence(text: str) -> None:
    del text


class _Answer:
    """What a stream has said so far."""

    def __init__(self) -> None:
        self._start: StreamStart | None = None
        self._extras: Extras = {}
        self._usage: UsageReport | None = None
        self._choices: dict[int, _Choice] = {}

    def add(self, event: StreamEvent) -> list[str] | None:
        """Take an event; return where more of its text goes, if it has any."""
        if isinstance(event, StreamStart):
            self._start, self._extras = event, dict(event.extras)
        elif isinstance(event, UsageReport):
            self._usage = event
        elif isinstance(event, ExtrasDelta) and event.choice is None:
            for name, value in event.extras.items():
                if "/" in name or bytes(self._extras.get(name, value)) != bytes(value):
                    raise ValueError(f"no whole answer can say {name} as this stream did")
                self._extras[name] = value
        else:
            index = getattr(event, "choice", None)
            if index is None:
                raise ValueError(f"the stream broke off: {type(event).__name__}")
            return self._choices.setdefault(index, _Choice()).add(event)
        return None

    def whole(self) -> ChatResponse:
        start, usage = self._start, self._usage
        if start is None:
            raise ValueError("the stream has no beginning")
        return ChatResponse(
            dialect=start.dialect,
            id=start.id,
            model=start.model,
            choices=tuple([choice.whole(index) for index, choice in sorted(self._choices.items())]),
            created_s=start.created_s,
            usage=None if usage is None else usage.usage,
            usage_extras={} if usage is None else usage.extras,
            service_tier=start.service_tier,
            extras=self._extras,
        )


class _Choice:
    """What a stream has said of one choice."""

    def __init__(self) -> None:
        self._parts: dict[int, _Part] = {}
        self._stop: Stop | None = None
        self._logprobs: dict[str, list[Any] | None] = {}
        self._extras: Extras = {}

    def add(self, event: StreamEvent) -> list[str] | None:
        if isinstance(event, Stop):
            self._stop = event
        elif isinstance(event, LogprobsDelta):
            for name, given in _decode(event.logprobs).items():
                known = self._logprobs.get(name)
                self._logprobs[name] = given if known is None else [*known, *(given or [])]
        elif isinstance(event, ExtrasDelta):
            for name, value in event.extras.items():
                place = name.replace("delta/", "message/", 1)
                if place in _TAKEN or (place.startswith("message/") and place not in _BESIDE):
                    raise ValueError(f"no whole answer can say {name} beside what it says already")
                before = self._extras.get(place)
                self._extras[place] = value if before is None else _joined(name, before, value)
        elif not isinstance(event, PartEnd):
            number = getattr(event, "part", None)
            if number is None:
                raise ValueError(f"no whole answer can say an event of this kind: {type(event).__name__}")
            return self._parts.setdefault(number, _Part()).add(event)
        return None

    def whole(self, index: int) -> Choice:
        stop = self._stop
        if stop is None:
            raise ValueError("a choice was not finished")
        parts = tuple([part.whole() for _, part in sorted(self._parts.items())])
        kinds = [type(part) for part in parts if not (isinstance(part, ThinkingPart) and part.signature)]
        if any(kinds[at : at + 3] == [TextPart, ThinkingPart, TextPart] for at in range(len(kinds))):
            raise ValueError("text and thoughts take turns, which only a stream can say")
        logprobs = Raw(_encode(self._logprobs)) if self._logprobs else None
        return Choice(index, parts, stop.reason, stop.native_stop, logprobs, self._extras)


def _joined(name: str, before: Raw, more: Raw) -> Raw:
    """Return a list that came in pieces, such as annotations, as one."""
    both = [_decode(before), _decode(more)]
    if not all(isinstance(each, list) for each in both):
        raise ValueError(f"the stream says {name} twice")
    return Raw(_encode([*both[0], *both[1]]))


class _Part:
    """What a stream has said of one part."""

    def __init__(self) -> None:
        self._kind: type | None = None
        self._pieces: list[str] = []
        self._signature: str | None = None
        self._call: ToolCallStart | None = None
        self._extras: Extras = {}

    def add(self, event: StreamEvent) -> list[str]:
        if isinstance(event, SignatureDelta):
            self._signature = (self._signature or "") + event.signature
            self._be(ThinkingPart)
        elif isinstance(event, TextDelta | ThinkingDelta | RefusalDelta):
            self._be(_KINDS[type(event)])
            self._pieces.append(event.text)
        elif isinstance(event, RedactedThinking):
            self._be(RedactedThinkingPart)
            self._pieces.append(event.data)
        elif isinstance(event, ToolCallStart):
            self._be(ToolCallPart)
            self._call = event
        elif isinstance(event, ToolCallDelta):
            self._be(ToolCallPart)
            self._pieces.append(event.arguments)
            self._extras.update(event.extras)
        else:
            raise ValueError(f"no whole answer can say an event of this kind: {type(event).__name__}")
        return self._pieces

    def _be(self, kind: type) -> None:
        if self._kind not in (None, kind):
            raise ValueError("a part is of two kinds")
        self._kind = kind

    def whole(self) -> Part:
        text = "".join(self._pieces)
        if self._kind is ToolCallPart:
            call = self._call
            if call is None:
                raise ValueError("a tool call has no beginning")
            if not call.custom:
                _decode(text or "{}")  # Cut in the middle, it would be no JSON where others write it as JSON.
            return ToolCallPart(call.call_id, call.name, text, call.custom, extras={**call.extras, **self._extras})
        if self._kind is ThinkingPart:
            return ThinkingPart(text, self._signature)
        if self._kind is RedactedThinkingPart:
            return RedactedThinkingPart(text)
        return RefusalPart(text) if self._kind is RefusalPart else TextPart(text)


_KINDS: Final[dict[type, type]] = {TextDelta: TextPart, ThinkingDelta: ThinkingPart, RefusalDelta: RefusalPart}
