"""Anthropic's streams → hub events, sans-io. `anthropic_messages_encoder` writes them.

Source: platform.claude.com, "Streaming Messages". A content block is a part of the hub, its index the part's number.
Events that only go on with a block, nearly all of them, are decoded in one typed step; the rest member by member, so
that nothing unknown is lost.
"""

from typing import Final, cast

import msgspec
from msgspec import Raw, Struct

from headgate.domain.chat import (
    ExtrasDelta,
    OpaqueEvent,
    PartEnd,
    RedactedThinking,
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
from headgate.wire.anthropic_errors import read_fault
from headgate.wire.anthropic_messages_answer import STOP_WORDS
from headgate.wire.anthropic_messages_parts import DIALECT
from headgate.wire.anthropic_usage import merge_usage, parse_usage
from headgate.wire.format import MalformedAnswerError
from headgate.wire.json_body import is_null, json_text, read_any
from headgate.wire.members import Members
from headgate.wire.sse import MAX_EVENT_BYTES, SseDecoder, SseEvent, parse_event


class _PlainText(Struct, frozen=True, gc=False, tag="text_delta", tag_field="type", forbid_unknown_fields=True):
    text: str


class _PlainThinking(Struct, frozen=True, gc=False, tag="thinking_delta", tag_field="type", forbid_unknown_fields=True):
    thinking: str


class _PlainInput(Struct, frozen=True, gc=False, tag="input_json_delta", tag_field="type", forbid_unknown_fields=True):
    partial_json: str


class _PlainEvent(
    Struct, frozen=True, gc=False, tag="content_block_delta", tag_field="type", forbid_unknown_fields=True
):
    index: int
    delta: _PlainText | _PlainThinking | _PlainInput


_PLAIN_EVENT: Final = msgspec.json.Decoder(_PlainEvent)
_DELTA_NAMES: Final = (b"content_block_delta", b"")  # Some imitators leave the name to the data.
_SILENT: Final = (b"null", b"[]")


class StreamDecoder:
    """Decodes one stream. Feed it; at the end call `close`."""

    __slots__ = ("_inputs", "_is_over", "_is_started", "_kinds", "_sse", "_usage")

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        """Start a stream."""
        self._sse = SseDecoder(max_event_bytes)
        self._usage: dict[str, object] = {}
        self._kinds: dict[int, str] = {}
        self._inputs: set[int] = set()
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
            MalformedAnswerError: ``message_stop`` has not come.
        """
        into: list[StreamEvent] = []
        pending = self._sse.pending.strip()
        if pending and not self._is_over:
            self._decode(parse_event(pending + b"\n\n", 1), into)
        if not self._is_over:
            raise MalformedAnswerError("the provider's stream ended without its end marker")
        return into

    def _decode(self, event: SseEvent, into: list[StreamEvent]) -> None:
        data = event.data
        if data is None:
            if not event.is_sse:
                raise MalformedAnswerError("the provider's answer is not a stream of events")
            return
        if event.event in _DELTA_NAMES and self._decode_plain(data, into):
            return
        if not data.strip():
            return
        try:
            self._decode_any(Members(data), data, event.event.decode("latin-1"), into)
        except InvalidRequestError as error:
            raise MalformedAnswerError(f"the provider sent an unreadable event: {error.message}") from error

    def _decode_plain(self, data: bytes, into: list[StreamEvent]) -> bool:
        """Decode an event that only goes on with an open block; False leaves it to the careful way."""
        try:
            event = _PLAIN_EVENT.decode(data)
        except (ValueError, RecursionError):
            return False
        index, delta = event.index, event.delta
        kind = self._kinds.get(index)
        if type(delta) is _PlainText and kind == "text":
            if delta.text:
                into.append(TextDelta(0, index, delta.text))
        elif type(delta) is _PlainInput and kind == "tool_use":
            if delta.partial_json:
                self._inputs.add(index)
                into.append(ToolCallDelta(0, index, delta.partial_json))
        elif type(delta) is _PlainThinking and kind == "thinking":
            if delta.thinking:
                into.append(ThinkingDelta(0, index, delta.thinking))
        else:
            return False
        return True

    def _decode_any(self, members: Members, data: bytes, name: str, into: list[StreamEvent]) -> None:
        kind = members.text("type") or name
        if kind == "ping":
            return
        if kind == "error" or (not kind and "error" in members):
            self._fail(data, into)
            return
        if kind == "message_start":
            self._start(members.required_object("message"), into)
            self._note_rest(members, kind, into, but="message/")
            return
        if not self._is_started:
            self._is_started = True
            into.append(StreamStart(DIALECT, "", ""))
        if kind == "content_block_start":
            self._start_block(members, data, into)
        elif kind == "content_block_delta":
            self._continue_block(members, data, into)
        elif kind == "content_block_stop":
            self._stop_block(members.integer("index") or 0, into)
            self._note_rest(members, kind, into)
        elif kind == "message_delta":
            self._end(members, into)
        elif kind == "message_stop":
            self._note_rest(members, kind, into)
            self._is_over = True
            into.append(StreamEnd())
        else:
            into.append(OpaqueEvent(0, None, kind, Raw(data)))

    def _fail(self, data: bytes, into: list[StreamEvent]) -> None:
        self._is_over = True
        try:
            fault = read_fault(read_any(data))
        except (ValueError, RecursionError):
            fault = None
        if fault is None:
            into.append(StreamFault("the provider's stream failed"))
        else:
            into.append(StreamFault(fault.message, fault.type, fault.code, fault.param))

    def _note_rest(self, members: Members, kind: str, into: list[StreamEvent], but: str = "\0") -> None:
        """Report what nobody reads of an event, under the event's name; ``but`` begins what is told elsewhere."""
        rest = {
            f"{kind}/{name}": value
            for name, value in members.rest().items()
            if bytes(value) not in _SILENT and not name.startswith(but)
        }
        if rest:
            into.append(ExtrasDelta(None, rest))

    def _start(self, message: Members, into: list[StreamEvent]) -> None:
        self._is_started = True
        for name in ("type", "role", "stop_reason", "stop_sequence", "stop_details"):
            message.take(name)
        content, reported = message.take("content"), message.take("usage")
        if content is not None and bytes(content) not in _SILENT:
            message.put_back("content", content)
        message_id, model = message.text("id"), message.text("model")
        into.append(StreamStart(DIALECT, message_id or "", model or "", extras=message.rest()))
        self._report(reported, into)

    def _report(self, reported: Raw | None, into: list[StreamEvent]) -> None:
        if reported is None:
            return
        try:
            merged = merge_usage(self._usage, cast("object", read_any(reported)))
        except (ValueError, RecursionError):
            return
        usage, extras = parse_usage(merged)
        if usage is not None:
            self._usage = merged
            into.append(UsageReport(usage, extras))

    def _start_block(self, members: Members, data: bytes, into: list[StreamEvent]) -> None:
        index = members.integer("index") or 0
        block = members.required_object("content_block")
        kind = block.required_text("type")
        self._kinds[index] = kind
        text = ""
        place = len(into)
        if kind == "text":
            text = block.text("text") or ""
            into.append(TextDelta(0, index, text))
        elif kind == "thinking":
            text = block.text("thinking") or ""
            into.append(ThinkingDelta(0, index, text))
            if signature := block.text("signature"):
                into.append(SignatureDelta(0, index, signature))
        elif kind == "redacted_thinking":
            into.append(RedactedThinking(0, index, block.required_text("data")))
        elif kind == "tool_use":
            call_id, name, given = block.required_text("id"), block.required_text("name"), block.take("input")
            into.append(ToolCallStart(0, index, call_id, name, extras=block.rest()))
            if given is not None and bytes(given) != b"{}":  # An imitator's whole call in one event.
                self._inputs.add(index)
                into.append(ToolCallDelta(0, index, json_text(given, block.at("input"))))
        else:
            into.append(OpaqueEvent(0, index, "content_block_start", Raw(data)))
            return
        told = kind in ("text", "thinking", "tool_use")
        self._note_rest(members, "content_block_start", into, but="content_block/" if told else "\0")
        if kind in ("text", "thinking") and any(bytes(value) not in _SILENT for value in block.rest().values()):
            into.insert(place, OpaqueEvent(0, index, "content_block_start", _without_text(data, kind, text)))

    def _continue_block(self, members: Members, data: bytes, into: list[StreamEvent]) -> None:
        index = members.integer("index") or 0
        delta = members.required_object("delta")
        kind = delta.text("type")
        if kind == "text_delta" and self._kinds.get(index, "text") == "text":
            into.append(TextDelta(0, index, delta.text("text") or ""))
        elif kind == "thinking_delta":
            into.append(ThinkingDelta(0, index, delta.text("thinking") or ""))
        elif kind == "signature_delta":
            into.append(SignatureDelta(0, index, delta.text("signature") or ""))
        elif kind == "input_json_delta" and self._kinds.get(index) == "tool_use":
            text = delta.text("partial_json") or ""
            if text:
                self._inputs.add(index)
            into.append(ToolCallDelta(0, index, text))
        else:
            into.append(OpaqueEvent(0, index, "content_block_delta", Raw(data)))
            return
        self._note_rest(members, "content_block_delta", into)

    def _stop_block(self, index: int, into: list[StreamEvent]) -> None:
        if self._kinds.get(index) == "tool_use" and index not in self._inputs:
            into.append(ToolCallDelta(0, index, "{}"))  # A tool without arguments gets none; no text is no JSON.
        into.append(PartEnd(0, index))

    def _end(self, members: Members, into: list[StreamEvent]) -> None:
        delta, reported = members.object("delta"), members.take("usage")
        word = None if delta is None else delta.text("stop_reason")
        if delta is not None:
            ends = {name: value for name, value in delta.rest().items() if not is_null(value)}
            if ends:
                into.append(ExtrasDelta(0, ends))
        rest = {
            name: value
            for name, value in members.rest().items()
            if not name.startswith("delta/") and not is_null(value)
        }
        if rest:
            into.append(ExtrasDelta(None, rest))
        if word is not None:
            into.append(Stop(0, *STOP_WORDS.parse(word)))
        self._report(reported, into)


def _without_text(data: bytes, kind: str, text: str) -> Raw:
    """Return a block's start as it came, less the text that a delta says after it."""
    if not text:
        return Raw(data)
    event = read_any(data)
    event["content_block"][kind] = ""
    return Raw(msgspec.json.encode(event))
