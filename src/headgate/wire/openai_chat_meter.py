"""Reading the usage off OpenAI chat answers while they go by, whole or streamed.

Answers are decoded only as far as metering needs, into Structs that skip everything else. Members whose type vendors
disagree about are decoded untyped: an odd delta must not fail a stream that the caller's SDK would have read.
"""

from typing import Any, Final, cast

import msgspec
from msgspec import Struct

from headgate.domain.usage import TokenUsage
from headgate.wire.format import FaultyAnswerError, MalformedAnswerError, Metered, UpstreamFault
from headgate.wire.json_body import member_of, read_any
from headgate.wire.openai_errors import parse_fault, read_fault
from headgate.wire.openai_usage import PlainUsage, read_plain_usage, read_usage
from headgate.wire.sse import MAX_EVENT_BYTES, SseDecoder, SseEvent

DONE: Final = b"[DONE]"
DONE_EVENT: Final = b"data: [DONE]\n\n"


class _Delta(Struct, frozen=True, gc=False):
    """The members of a delta or a message that are content."""

    content: Any = None
    reasoning_content: Any = None  # DeepSeek, vLLM, Qwen
    reasoning: Any = None  # OpenRouter, Groq
    refusal: Any = None
    tool_calls: Any = None
    function_call: Any = None
    audio: Any = None
    images: Any = None  # OpenRouter


class _Choice(Struct, frozen=True, gc=False):
    index: int = 0
    delta: _Delta | None = None
    message: _Delta | None = None
    finish_reason: Any = None
    error: Any = None  # OpenRouter


class _Answer(Struct, frozen=True, gc=False):
    """A chunk of a stream or a whole answer."""

    choices: list[_Choice] | None = None
    usage: Any = None
    error: Any = None
    x_groq: Any = None


_ANSWER: Final = msgspec.json.Decoder(_Answer)


class _PlainChoice(Struct, frozen=True, gc=False):
    finish_reason: str | None = None
    error: Any = None


class _PlainAnswer(Struct, frozen=True, gc=False):
    """A whole answer as OpenAI sends it: what usage reports need not be decoded for counting."""

    choices: list[_PlainChoice]
    usage: PlainUsage
    error: Any = None


_PLAIN_ANSWER: Final = msgspec.json.Decoder(_PlainAnswer)


def _read_answer(data: bytes) -> _Answer:
    try:
        return _ANSWER.decode(data)
    except (ValueError, RecursionError) as error:
        # Lone surrogates, and numbers beyond 64 bits in members that are skipped in the second reading.
        try:
            return msgspec.convert(read_any(data), _Answer)
        except (ValueError, RecursionError):
            raise MalformedAnswerError(f"the provider sent no chat answer: {error}") from error


def _reported(answer: _Answer) -> TokenUsage | None:
    usage = read_usage(answer.usage)
    return read_usage(member_of(answer.x_groq, "usage")) if usage is None and answer.x_groq is not None else usage


def _fault_of(answer: _Answer) -> UpstreamFault | None:
    """Return the error inside an answer: at the top, or in a choice as OpenRouter has it."""
    error = answer.error
    if not error:
        error = next((choice.error for choice in answer.choices or () if choice.error), None)
    if not error:
        return None
    return read_fault({"error": error}) or UpstreamFault("the provider reported an error without words")


def _collect(value: object, into: list[str]) -> None:
    """Add every text inside a content value: a string, or the parts and tool calls of any vendor."""
    if isinstance(value, str):
        into.append(value)
    elif isinstance(value, list):
        for item in cast("list[object]", value):
            _collect(item, into)
    elif isinstance(value, dict):
        for name in ("text", "thinking", "name", "arguments", "input", "function", "custom", "transcript"):
            if inner := member_of(cast("object", value), name):
                _collect(inner, into)


def _collect_delta(delta: _Delta, into: list[str]) -> bool:
    """Add a delta's text and say whether it holds content."""
    before = len(into)
    content = delta.content
    if content:
        if type(content) is str:
            into.append(content)
            return True
        _collect(content, into)
    if reasoning := delta.reasoning_content or delta.reasoning:
        _collect(reasoning, into)
    for value in (delta.refusal, delta.tool_calls, delta.function_call, delta.audio):
        if value:
            _collect(value, into)
    return len(into) > before or bool(content or delta.tool_calls or delta.function_call or delta.audio or delta.images)


def meter_body(body: bytes) -> Metered:
    """Read usage and finish reason off a whole answer.

    Raises:
        MalformedAnswerError: not JSON, or not an object with ``choices``.
        FaultyAnswerError: an error object under a good status.
    """
    return _meter_plain(body) or _meter_any(body)


def _meter_plain(body: bytes) -> Metered | None:
    """Meter an answer of OpenAI's own shape; ``None`` for anything else, which `_meter_any` then judges."""
    try:
        answer = _PLAIN_ANSWER.decode(body)
    except (ValueError, RecursionError):
        return None
    usage = read_plain_usage(answer.usage)
    if usage is None or answer.error:
        return None
    reason: str | None = None
    for choice in answer.choices:
        if choice.error:
            return None
        reason = reason or choice.finish_reason
    return Metered(usage, reason or None)


def _meter_any(body: bytes) -> Metered:
    answer = _read_answer(body)
    fault = _fault_of(answer)
    if fault is not None:
        raise FaultyAnswerError(fault)
    if answer.choices is None:
        raise MalformedAnswerError("the provider's answer has no `choices`")
    usage = _reported(answer)
    reason = next((choice.finish_reason for choice in answer.choices if choice.finish_reason), None)
    text: list[str] = []
    if usage is None:
        for choice in answer.choices:
            if choice.message is not None:
                _collect_message(choice.message, text)
    return Metered(usage, reason if isinstance(reason, str) else None, tuple(text))


def _collect_message(message: _Delta, into: list[str]) -> None:
    for value in (
        message.content,
        message.reasoning_content or message.reasoning,
        message.refusal,
        message.tool_calls,
        message.function_call,
        message.audio,
    ):
        if value:
            _collect(value, into)


class OpenAIChatMeter:
    """The `StreamMeter` of OpenAI's chat format. One per stream."""

    __slots__ = (
        "_finish_reason",
        "_hide_usage",
        "_open",
        "_seen",
        "_sse",
        "_text",
        "_texts_before_usage",
        "_usage",
        "content_started",
        "fault",
        "finished",
    )

    def __init__(self, hide_usage: bool, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        """Start a stream; ``hide_usage`` withholds the extra usage event that only the gateway asked for."""
        self.content_started = False
        self.finished = False
        self.fault: UpstreamFault | None = None
        self._hide_usage = hide_usage
        self._sse = SseDecoder(max_event_bytes)
        self._usage: TokenUsage | None = None
        self._finish_reason: str | None = None
        self._texts_before_usage = 0
        self._text: list[str] = []
        self._seen: set[int] = set()
        self._open: set[int] = set()

    def feed(self, data: bytes) -> bytes:
        """Take bytes as they arrive, return whole events to pass on, minus hidden ones.

        The result is ``data`` itself where nothing had to be held back. See `StreamMeter.feed`.
        """
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
        passed = b"".join(kept)
        return data if passed == data else passed

    def close(self) -> bytes:
        """Say that the body ended. See `StreamMeter.close`.

        Some local servers leave ``[DONE]`` out; where every choice had its finish reason, it is added.
        """
        if self.finished or self.fault is not None:
            return b""
        pending = self._sse.pending.strip()
        if pending:
            if pending.removeprefix(b"data:").strip() != DONE:
                raise MalformedAnswerError("the provider's stream ended in the middle of an event")
        elif not self._seen or self._open:
            raise MalformedAnswerError("the provider's stream ended without its end marker")
        self.finished = True
        return DONE_EVENT

    def metered(self) -> Metered:
        """Return what is known now.

        Some providers report usage with every chunk, or with the first: such a report is final only where no content
        came after it and the stream has ended, or every choice of it has.
        """
        has_ended = self.finished or (bool(self._seen) and not self._open)
        is_final = self._usage is None or (has_ended and self._texts_before_usage == len(self._text))
        if self._usage is not None and is_final:
            return Metered(self._usage, self._finish_reason)
        return Metered(self._usage, self._finish_reason, tuple(self._text), is_final)

    def _take(self, event: SseEvent) -> bool:
        """Learn from one event; say whether it is passed on."""
        if self.finished or self.fault is not None:
            return False
        data = event.data
        if data is None:
            if not event.is_sse:
                raise MalformedAnswerError("the provider's answer is not a stream of events")
            return True
        if data.startswith(b"{"):
            return self._take_chunk(data, event.event)
        data = data.strip()
        if data == DONE:
            self.finished = True
            return True
        if not data:
            return False  # No client can read an empty event as JSON; it says nothing.
        return self._take_chunk(data, event.event)

    def _take_chunk(self, data: bytes, event: bytes) -> bool:
        answer = _read_answer(data)
        choices = answer.choices
        if answer.error or event == b"error":
            self.fault = _fault_of(answer) or parse_fault(data) or UpstreamFault("the provider's stream failed")
            return False
        if choices:
            for choice in choices:
                if choice.error:
                    self.fault = _fault_of(answer)
                    return False
                self._take_choice(choice)
        if answer.usage is not None or answer.x_groq is not None:
            usage = _reported(answer)
            if usage is not None:
                self._usage = usage
                self._texts_before_usage = len(self._text)
            if self._hide_usage and not choices and answer.usage is not None:
                return False
        return True

    def _take_choice(self, choice: _Choice) -> None:
        index = choice.index
        if index not in self._seen:
            self._seen.add(index)
            self._open.add(index)
        reason = choice.finish_reason
        if reason:
            self._open.discard(index)
            if isinstance(reason, str):
                self._finish_reason = reason
        delta = choice.delta or choice.message
        if delta is not None and _collect_delta(delta, self._text):
            self.content_started = True
