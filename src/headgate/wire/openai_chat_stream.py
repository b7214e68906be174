"""OpenAI chat streams ⇄ hub events, sans-io: bytes in, events out, and back.

OpenAI's chunks do not say where a part begins or ends; the decoder numbers the parts of a choice and ends text,
thinking and refusals when another kind begins. Tool calls may interleave, so they end with their choice.
"""

from typing import Final

import msgspec
from msgspec import Raw, Struct

from headgate.domain.chat import (
    AudioDelta,
    Extras,
    ExtrasDelta,
    LogprobsDelta,
    OpaqueEvent,
    PartEnd,
    RedactedThinking,
    RefusalDelta,
    SignatureDelta,
    Stop,
    StreamEnd,
    StreamEvent,
    StreamFault,
    StreamStart,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolCallStart,
    UsageReport,
)
from headgate.domain.errors import InvalidRequestError
from headgate.wire.format import MalformedAnswerError
from headgate.wire.json_body import read_any
from headgate.wire.members import Members, to_json
from headgate.wire.openai_chat_answer import STOP_WORDS, parse_usage, render_usage
from headgate.wire.openai_chat_meter import DONE, DONE_EVENT
from headgate.wire.openai_chat_parts import DIALECT, render_redacted, render_signature
from headgate.wire.openai_errors import read_fault
from headgate.wire.rendering import Rendering
from headgate.wire.sse import MAX_EVENT_BYTES, SseDecoder, SseEvent, one_line


class _PlainFunction(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    arguments: str


class _PlainCall(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    index: int
    function: _PlainFunction


class _PlainDelta(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    content: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[_PlainCall] | None = None
    role: str | None = None
    refusal: None = None


class _PlainChoice(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    delta: _PlainDelta
    index: int = 0
    logprobs: None = None
    finish_reason: None = None


class _PlainChunk(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """A chunk that holds more of one thing and nothing unknown, as nearly all of a stream's are."""

    choices: list[_PlainChoice]
    id: str | None = None
    object: str | None = None
    created: int | None = None
    model: str | None = None
    service_tier: str | None = None
    system_fingerprint: str | None = None
    usage: None = None
    obfuscation: str | None = None


_PLAIN_CHUNK: Final = msgspec.json.Decoder(_PlainChunk)
_ENCODE: Final = msgspec.json.Encoder().encode
_TEXT_END: Final = b'},"logprobs":null,"finish_reason":null}]}\n\n'


class _Call:
    """A tool call that is being streamed."""

    __slots__ = ("call_id", "part")

    def __init__(self, part: int, call_id: str) -> None:
        self.part = part
        self.call_id = call_id


class _Parts:
    """The parts of one choice while they are numbered."""

    __slots__ = ("calls", "is_stopped", "open_kind", "open_part", "total")

    def __init__(self) -> None:
        self.total = 0
        self.open_kind = ""
        self.open_part = 0
        self.calls: dict[int, _Call] = {}
        self.is_stopped = False


class StreamDecoder:
    """Decodes one stream. Feed it; at the end call `close`."""

    __slots__ = ("_choices", "_extras", "_fingerprint", "_is_over", "_is_started", "_sse", "_tier")

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        """Start a stream."""
        self._sse = SseDecoder(max_event_bytes)
        self._choices: dict[int, _Parts] = {}
        self._extras: Extras = {}
        self._fingerprint: object = None
        self._tier: str | None = None
        self._is_started = False
        self._is_over = False

    def feed(self, data: bytes) -> list[StreamEvent]:
        """Take bytes, return the events that they complete.

        Raises:
            MalformedAnswerError: an event is unreadable or too long.
        """
        into: list[StreamEvent] = []
        for event in self._sse.feed(data):
            if not self._is_over:
                self._decode(event, into)
        return into

    def close(self) -> list[StreamEvent]:
        """Say that the body ended.

        Raises:
            MalformedAnswerError: the stream is not complete.
        """
        if self._is_over:
            return []
        pending = self._sse.pending.strip()
        if pending and pending.removeprefix(b"data:").strip() != DONE:
            raise MalformedAnswerError("the provider's stream ended in the middle of an event")
        if not pending and not (self._choices and all(parts.is_stopped for parts in self._choices.values())):
            raise MalformedAnswerError("the provider's stream ended without its end marker")
        self._is_over = True
        return [StreamEnd()]

    def _decode(self, event: SseEvent, into: list[StreamEvent]) -> None:
        if event.data is None:
            if not event.is_sse:
                raise MalformedAnswerError("the provider's answer is not a stream of events")
            return
        if self._is_started and self._decode_plain(event.data, into):
            return
        data = event.data.strip()
        if data == DONE:
            self._is_over = True
            into.append(StreamEnd())
        elif data:
            try:
                self._decode_chunk(Members(data), event.event, into)
            except (InvalidRequestError, ValueError, RecursionError) as error:
                raise MalformedAnswerError(f"the provider sent an unreadable event: {error}") from error

    def _decode_plain(self, data: bytes, into: list[StreamEvent]) -> bool:
        """Decode a chunk that only goes on with what has begun; False leaves it to the careful way."""
        try:
            chunk = _PLAIN_CHUNK.decode(data)
        except (ValueError, RecursionError):
            return False
        tier, print_ = chunk.service_tier, chunk.system_fingerprint
        if (
            len(chunk.choices) != 1
            or (tier is not None and tier != self._tier)
            or (print_ is not None and print_ != self._fingerprint)
        ):
            return False
        choice = chunk.choices[0]
        index, delta = choice.index, choice.delta
        parts = self._choices.get(index)
        if parts is None:
            return False
        text, thought, calls = delta.content, delta.reasoning_content, delta.tool_calls
        if calls is not None:
            call = parts.calls.get(calls[0].index) if len(calls) == 1 and not text and not thought else None
            if call is None or not calls[0].function.arguments:
                return False
            into.append(ToolCallDelta(index, call.part, calls[0].function.arguments))
            return True
        if thought:
            into.append(ThinkingDelta(index, _open(index, parts, "thinking", into), thought))
        if text:
            into.append(TextDelta(index, _open(index, parts, "text", into), text))
        return True

    def _decode_chunk(self, members: Members, event: bytes, into: list[StreamEvent]) -> None:
        error = members.take("error")
        if error is not None or event == b"error":
            self._fail(error, members, into)
            return
        members.take("object")
        members.take("obfuscation")  # Random padding against who reads the sizes of packets; it says nothing.
        choices, reported = members.array("choices"), members.take("usage")
        start_id, model, created = members.text("id"), members.text("model"), members.integer("created")
        tier, extras = members.text("service_tier"), members.rest()
        if not self._is_started:
            self._is_started = True
            self._tier, self._extras = tier, extras
            self._note_fingerprint()
            into.append(StreamStart(DIALECT, start_id or "", model or "", created, tier, extras))
        else:
            self._decode_extras(tier, extras, into)
        for index, item in enumerate(choices):
            if not self._is_over:
                self._decode_choice(Members(item, f"choices[{index}]"), into)
        if reported is not None and not self._is_over:
            usage, unmodelled = parse_usage(reported)
            if usage is not None:
                into.append(UsageReport(usage, unmodelled))
            else:
                into.append(ExtrasDelta(None, {"usage": reported}))

    def _fail(self, error: Raw | None, members: Members, into: list[StreamEvent]) -> None:
        whole = {name: read_any(value) for name, value in members.rest().items()}
        if error is not None:
            whole["error"] = read_any(error)
        fault = read_fault(whole)
        self._is_over = True
        if fault is None:
            into.append(StreamFault("the provider's stream failed"))
        else:
            into.append(StreamFault(fault.message, fault.type, fault.code, fault.param))

    def _decode_extras(self, tier: str | None, extras: Extras, into: list[StreamEvent]) -> None:
        """Report members of a later chunk that are new or changed; most repeat on every chunk."""
        changed = {name: value for name, value in extras.items() if self._extras.get(name) != value}
        if tier is not None and tier != self._tier:
            self._tier = tier
            changed["service_tier"] = Raw(to_json(tier))
        if changed:
            self._extras = {**self._extras, **changed}
            self._note_fingerprint()
            into.append(ExtrasDelta(None, changed))

    def _note_fingerprint(self) -> None:
        raw = self._extras.get("system_fingerprint")
        self._fingerprint = None if raw is None else read_any(raw)

    def _decode_choice(self, members: Members, into: list[StreamEvent]) -> None:
        error = members.take("error")
        if error is not None:
            self._fail(error, members, into)
            return
        index = members.integer("index") or 0
        parts = self._choices.setdefault(index, _Parts())
        delta = members.object("delta")
        if delta is not None:
            delta.take("role")
            self._decode_delta(index, parts, delta, into)
        logprobs = members.take("logprobs")
        if logprobs is not None:
            into.append(LogprobsDelta(index, logprobs))
        word = members.text("finish_reason")
        rest = members.rest()
        if rest:
            into.append(ExtrasDelta(index, rest))
        if word is not None:
            self._end_parts(index, parts, into)
            parts.is_stopped = True
            into.append(Stop(index, *STOP_WORDS.parse(word)))

    def _decode_delta(self, index: int, parts: _Parts, delta: Members, into: list[StreamEvent]) -> None:
        thought, other = _take_text(delta, "reasoning_content"), _take_text(delta, "reasoning")
        if text := thought or other:
            into.append(ThinkingDelta(index, _open(index, parts, "thinking", into), text))
        if text := _take_text(delta, "content"):
            into.append(TextDelta(index, _open(index, parts, "text", into), text))
        if text := _take_text(delta, "refusal"):
            into.append(RefusalDelta(index, _open(index, parts, "refusal", into), text))
        audio = delta.object("audio")
        if audio is not None:
            sound, said, name, end = (
                audio.text("data"),
                audio.text("transcript"),
                audio.text("id"),
                audio.integer("expires_at"),
            )
            into.append(AudioDelta(index, _open(index, parts, "audio", into), sound, said, name, end))
        for number, item in enumerate(delta.array("tool_calls")):
            _decode_call(index, parts, Members(item, f"{delta.at('tool_calls')}[{number}]"), into)

    def _end_parts(self, index: int, parts: _Parts, into: list[StreamEvent]) -> None:
        if parts.open_kind:
            into.append(PartEnd(index, parts.open_part))
            parts.open_kind = ""
        into.extend(PartEnd(index, call.part) for call in parts.calls.values())
        parts.calls = {}


def _take_text(delta: Members, name: str) -> str | None:
    """Take a member where it is a string; Mistral streams arrays of parts as ``content``, which stay extras."""
    value = delta.take(name)
    if value is None:
        return None
    if bytes(value).startswith(b'"'):
        text: object = read_any(value)
        return text if isinstance(text, str) else None
    delta.put_back(name, value)
    return None


def _open(index: int, parts: _Parts, kind: str, into: list[StreamEvent]) -> int:
    """Return the number of the open part of this kind, ending one of another kind."""
    if parts.open_kind == kind:
        return parts.open_part
    if parts.open_kind:
        into.append(PartEnd(index, parts.open_part))
    parts.open_kind, parts.open_part = kind, parts.total
    parts.total += 1
    return parts.open_part


def _decode_call(index: int, parts: _Parts, members: Members, into: list[StreamEvent]) -> None:
    kind = members.text("type") or ("custom" if "custom" in members else "function")
    custom = kind == "custom"
    inner = members.object("custom" if custom else "function")
    call_id, name, text = members.text("id"), None, None
    if inner is not None:
        name, text = inner.text("name"), inner.text("input" if custom else "arguments")
    place = members.integer("index")
    if place is None:
        # Some servers leave the index out: a name begins another call.
        place = len(parts.calls) if name is not None or not parts.calls else len(parts.calls) - 1
    extras = members.rest()
    call = parts.calls.get(place)
    if call is not None and name and call_id and call_id != call.call_id:
        # Others give every call index 0 and tell them apart by id alone.
        into.append(PartEnd(index, call.part))
        call = None
    if call is None:
        if parts.open_kind:
            into.append(PartEnd(index, parts.open_part))
            parts.open_kind = ""
        call = parts.calls[place] = _Call(parts.total, call_id or "")
        parts.total += 1
        into.append(ToolCallStart(index, call.part, call_id or "", name or "", custom, extras))
        extras = {}
    if text or extras:
        into.append(ToolCallDelta(index, call.part, text or "", extras))


class StreamEncoder:
    """Encodes hub events as one OpenAI stream. One per stream; the first event is a `StreamStart`."""

    __slots__ = (
        "_calls",
        "_created_s",
        "_head",
        "_include_usage",
        "_pending",
        "_rendering",
        "_spoken",
        "_text_start",
        "_usage",
    )

    def __init__(self, created_s: int = 0, include_usage: bool = True) -> None:
        """Start a stream; ``created_s`` is the time to state where the provider gave none.

        ``include_usage`` says whether the caller asked for the usage event.
        """
        self._created_s = created_s
        self._include_usage = include_usage
        self._rendering = Rendering(DIALECT, DIALECT, is_answer=True)
        self._head: dict[str, object] = {}
        self._text_start = b""
        self._pending: Extras = {}
        self._usage: UsageReport | None = None
        self._spoken: set[int] = set()
        self._calls: dict[tuple[int, int], tuple[int, bool]] = {}

    def encode(self, event: StreamEvent) -> bytes:
        """Return the bytes for one event; empty where OpenAI's format says it by other means."""
        if type(event) is TextDelta and event.choice == 0 and not self._pending and 0 in self._spoken:
            return self._text_start + _ENCODE(event.text) + _TEXT_END
        if isinstance(event, PartEnd):
            return b""
        if isinstance(event, StreamStart):
            self._start(event)
            return b""
        if isinstance(event, StreamEnd):
            return self._end()
        if isinstance(event, StreamFault):
            error = {"message": event.message, "type": event.kind, "param": event.param, "code": event.code}
            return b"data: " + to_json({"error": error}) + b"\n\n"
        if isinstance(event, UsageReport):
            self._usage = event  # The last one counts, and its place is behind the last choice.
            return b""
        if isinstance(event, ExtrasDelta) and event.choice is None:
            self._pending = {**self._pending, **event.extras}
            return b""
        return self._choice(event)

    def _start(self, event: StreamStart) -> None:
        self._rendering = Rendering(DIALECT, event.dialect, is_answer=True)
        self._pending = event.extras
        self._head = {
            "id": event.id,
            "object": "chat.completion.chunk",
            "created": self._created_s if event.created_s is None else event.created_s,
            "model": event.model,
        }
        if event.service_tier is not None:
            self._head["service_tier"] = event.service_tier
        self._text_start = b"data: " + to_json(self._head)[:-1] + b',"choices":[{"index":0,"delta":{"content":'

    def _end(self) -> bytes:
        """Return the usage event, a chunk for members that no chunk has taken along, and the end marker."""
        more: dict[str, object] = {}
        if self._usage is not None and self._include_usage:
            more["usage"] = render_usage(self._usage.usage, self._usage.extras, self._rendering)
        return (self._chunk([], more) if more or self._pending else b"") + DONE_EVENT

    def _chunk(self, choices: list[object], more: dict[str, object]) -> bytes:
        chunk = {**self._head, "choices": choices, **more}
        if self._pending:
            self._rendering.carry(chunk, self._pending)
            self._pending = {}
        return b"data: " + one_line(to_json(chunk)) + b"\n\n"

    def _choice(self, event: StreamEvent) -> bytes:
        assert not isinstance(event, StreamStart | StreamEnd | StreamFault | UsageReport | PartEnd)
        index = event.choice or 0
        delta = self._delta(event)
        if index not in self._spoken:
            self._spoken.add(index)
            delta = {"role": "assistant", **delta}
        choice: dict[str, object] = {"index": index, "delta": delta, "logprobs": None, "finish_reason": None}
        if isinstance(event, Stop):
            choice["finish_reason"] = STOP_WORDS.render(event.reason, event.native_stop, self._rendering.source)
        elif isinstance(event, LogprobsDelta):
            choice["logprobs"] = event.logprobs
        elif isinstance(event, ExtrasDelta):
            self._rendering.carry(choice, event.extras)
        elif isinstance(event, OpaqueEvent):
            self._rendering.carry_members(choice, {event.kind: event.raw})
        return self._chunk([choice], {})

    def _delta(self, event: StreamEvent) -> dict[str, object]:
        """Return what an event puts into the delta."""
        if isinstance(event, TextDelta):
            return {"content": event.text}
        if isinstance(event, ThinkingDelta):
            return {"reasoning_content": event.text}
        if isinstance(event, RefusalDelta):
            return {"refusal": event.text}
        if isinstance(event, SignatureDelta):
            return {"reasoning_details": [render_signature(event.signature)]}
        if isinstance(event, RedactedThinking):
            return {"reasoning_details": [render_redacted(event.data)]}
        if isinstance(event, AudioDelta):
            members = {
                "id": event.audio_id,
                "data": event.data,
                "transcript": event.transcript,
                "expires_at": event.expires_at_s,
            }
            return {"audio": {name: value for name, value in members.items() if value is not None}}
        if isinstance(event, ToolCallStart | ToolCallDelta):
            return {"tool_calls": [self._call(event)]}
        return {}

    def _call(self, event: ToolCallStart | ToolCallDelta) -> dict[str, object]:
        key = (event.choice, event.part)
        if isinstance(event, ToolCallStart):
            place = sum(1 for choice, _ in self._calls if choice == event.choice)
            self._calls[key] = (place, event.custom)
            kind, argument = ("custom", "input") if event.custom else ("function", "arguments")
            inner = {"name": event.name, argument: ""}
            target: dict[str, object] = {"index": place, "id": event.call_id, "type": kind, kind: inner}
        else:
            place, custom = self._calls[key]
            target = {"index": place, **({"custom": {"input": event.arguments}} if custom else {})}
            if not custom:
                target["function"] = {"arguments": event.arguments}
        self._rendering.carry(target, event.extras)
        return target
