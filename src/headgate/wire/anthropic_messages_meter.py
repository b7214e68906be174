"""Reading the usage off Anthropic's answers while they go by, whole or streamed.

Source: platform.claude.com, "Streaming Messages". The usage of ``message_start`` is what is known before the first
token; that of ``message_delta`` is cumulative and the last word. As in `openai_chat_meter`, only what metering needs is
decoded, and members that imitators fill otherwise are read untyped.
"""

from typing import Any, Final, cast

import msgspec
from msgspec import Struct

from headgate.domain.usage import TokenUsage
from headgate.wire.anthropic_errors import read_fault
from headgate.wire.anthropic_usage import PlainUsage, merge_usage, read_plain_usage, read_usage
from headgate.wire.format import FaultyAnswerError, MalformedAnswerError, Metered, UpstreamFault
from headgate.wire.json_body import member_of, read_any
from headgate.wire.sse import MAX_EVENT_BYTES, SseDecoder, SseEvent, parse_event

MESSAGE_STOP: Final = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'


class _Delta(Struct, frozen=True, gc=False):
    text: Any = None
    thinking: Any = None
    partial_json: Any = None
    stop_reason: Any = None


class _Event(Struct, frozen=True, gc=False):
    type: Any = None
    delta: _Delta | None = None
    content_block: Any = None
    message: Any = None
    usage: Any = None
    error: Any = None


class _PlainAnswer(Struct, frozen=True, gc=False):
    """A whole answer as Anthropic sends it: what usage reports need not be decoded for counting."""

    content: msgspec.Raw
    usage: PlainUsage
    stop_reason: str | None = None
    error: Any = None


_EVENT: Final = msgspec.json.Decoder(_Event)
_PLAIN_ANSWER: Final = msgspec.json.Decoder(_PlainAnswer)


def meter_body(body: bytes) -> Metered:
    """Read usage and stop reason off a whole answer.

    Raises:
        MalformedAnswerError: not JSON, or not an object with a list ``content``.
        FaultyAnswerError: an error object under a good status.
    """
    try:
        plain = _PLAIN_ANSWER.decode(body)
    except (ValueError, RecursionError):
        return _meter_any(body)
    usage = read_plain_usage(plain.usage)
    if usage is None or plain.error or not bytes(plain.content).startswith(b"["):
        return _meter_any(body)
    return Metered(usage, plain.stop_reason)


def _meter_any(body: bytes) -> Metered:
    try:
        answer = cast("object", read_any(body))
    except (ValueError, RecursionError) as error:
        raise MalformedAnswerError(f"the provider sent no message: {error}") from error
    if member_of(answer, "error") or member_of(answer, "type") == "error":
        raise FaultyAnswerError(read_fault(answer) or UpstreamFault("the provider reported an error without words"))
    content = member_of(answer, "content")
    if not isinstance(content, list):
        raise MalformedAnswerError("the provider's answer has no `content`")
    usage, reason = read_usage(member_of(answer, "usage")), member_of(answer, "stop_reason")
    text: list[str] = []
    if usage is None:
        for block in cast("list[object]", content):
            _collect_block(block, text)
    return Metered(usage, reason if isinstance(reason, str) else None, tuple(text))


def _collect_block(block: object, into: list[str]) -> None:
    """Add the text of a content block; a tool's input as the JSON that the model wrote."""
    for name in ("text", "thinking", "name"):
        value = member_of(block, name)
        if isinstance(value, str) and value:
            into.append(value)
    given = member_of(block, "input")
    if given:
        into.append(given if isinstance(given, str) else msgspec.json.encode(given).decode())


def _has_content(block: object) -> bool:
    """Say whether a block's start says something: an empty text or thought does not yet."""
    kind = member_of(block, "type")
    if kind in ("text", "thinking"):
        return bool(member_of(block, kind))
    return block is not None


class AnthropicMessagesMeter:
    """The `StreamMeter` of Anthropic's Messages format. One per stream. Nothing is hidden: usage is always sent."""

    __slots__ = (
        "_has_last_word",
        "_sse",
        "_stop_reason",
        "_text",
        "_texts_before_usage",
        "_usage",
        "_usage_object",
        "content_started",
        "fault",
        "finished",
    )

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        """Start a stream."""
        self.content_started = False
        self.finished = False
        self.fault: UpstreamFault | None = None
        self._sse = SseDecoder(max_event_bytes)
        self._usage: TokenUsage | None = None
        self._usage_object: dict[str, object] = {}
        self._has_last_word = False
        self._stop_reason: str | None = None
        self._text: list[str] = []
        self._texts_before_usage = 0

    def feed(self, data: bytes) -> bytes:
        """Take bytes as they arrive, return whole events to pass on. See `StreamMeter.feed`."""
        events = self._sse.feed(data)
        if len(events) == 1 and events[0].raw is data:
            return data if self._take(events[0]) else b""
        kept: list[bytes] = []
        try:
            for event in events:
                if self._take(event):
                    kept.append(event.raw)  # noqa: PERF401  what was kept is needed when the next event is broken
        except MalformedAnswerError as error:
            error.passed = b"".join(kept)
            raise
        return b"".join(kept)

    def close(self) -> bytes:
        """Say that the body ended. See `StreamMeter.close`.

        Only ``message_stop`` ends a message; the blank line behind it may be missing.
        """
        if self.finished or self.fault is not None:
            return b""
        pending = self._sse.pending.strip()
        if pending:
            last = parse_event(pending + b"\n\n", 1)
            if last.data is None or member_of(_read_loosely(last.data), "type") != "message_stop":
                raise MalformedAnswerError("the provider's stream ended in the middle of an event")
            self.finished = True
            return MESSAGE_STOP
        raise MalformedAnswerError("the provider's stream ended without its end marker")

    def metered(self) -> Metered:
        """Return what is known now. Usage is final once a ``message_delta`` has told it and no content followed."""
        is_final = self._usage is None or (self._has_last_word and self._texts_before_usage == len(self._text))
        if self._usage is not None and is_final:
            return Metered(self._usage, self._stop_reason)
        return Metered(self._usage, self._stop_reason, tuple(self._text), is_final)

    def _take(self, event: SseEvent) -> bool:
        """Learn from one event; say whether it is passed on."""
        if self.finished or self.fault is not None:
            return False
        data = event.data
        if data is None:
            if not event.is_sse:
                raise MalformedAnswerError("the provider's answer is not a stream of events")
            return True
        if not data.strip():
            return False  # No client can read an empty event as JSON; it says nothing.
        told = _read_event(data)
        kind = told.type if isinstance(told.type, str) else event.event.decode("latin-1")
        if kind == "content_block_delta":
            if told.delta is not None:
                self._take_delta(told.delta)
        elif kind == "content_block_start":
            _collect_block(told.content_block, self._text)
            self.content_started |= _has_content(told.content_block)
        elif kind == "message_start":
            self._take_usage(member_of(told.message, "usage"))
        elif kind == "message_delta":
            self._take_end(told)
        elif kind == "message_stop":
            self.finished = True
        elif kind == "error" or told.error:
            self.fault = read_fault(read_any(data)) or UpstreamFault("the provider's stream failed")
            return False
        return True

    def _take_delta(self, delta: _Delta) -> None:
        text = delta.text or delta.partial_json or delta.thinking
        if text and isinstance(text, str):
            self._text.append(text)
            self.content_started = True

    def _take_end(self, told: _Event) -> None:
        if told.delta is not None and isinstance(told.delta.stop_reason, str):
            self._stop_reason = told.delta.stop_reason
        if self._take_usage(told.usage) and member_of(told.usage, "output_tokens") is not None:
            self._has_last_word = True

    def _take_usage(self, reported: object) -> bool:
        merged = merge_usage(self._usage_object, reported)
        usage = read_usage(merged) if isinstance(reported, dict) else None
        if usage is None:
            return False
        self._usage, self._usage_object = usage, merged
        self._texts_before_usage = len(self._text)
        return True


def _read_event(data: bytes) -> _Event:
    try:
        return _EVENT.decode(data)
    except (ValueError, RecursionError) as error:
        # Lone surrogates, and numbers beyond 64 bits in members that are skipped in the second reading.
        try:
            return msgspec.convert(read_any(data), _Event)
        except (ValueError, RecursionError):
            raise MalformedAnswerError(f"the provider sent an unreadable event: {error}") from error


def _read_loosely(data: bytes) -> object:
    try:
        return read_any(data)
    except (ValueError, RecursionError):
        return None
