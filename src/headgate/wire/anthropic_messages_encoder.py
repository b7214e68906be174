"""Hub events → one stream of Anthropic's Messages format, sans-io.

Source: platform.claude.com, "Streaming Messages": ``message_start``, then for each block ``content_block_start``,
deltas and ``content_block_stop``, then ``message_delta`` with the stop reason and the usage, then ``message_stop``.
OpenAI reports both of the latter at its very end, so they are held until the end is there.

Blocks follow one another: one begins, the one before it ends. Where a provider mixes the arguments of several tool
calls, a later piece names its block by index all the same, which is how Anthropic's own clients put them together.
"""

from typing import Final

import msgspec

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
    StopReason,
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
from headgate.wire.anthropic_messages_answer import NO_USAGE, STOP_WORDS
from headgate.wire.anthropic_messages_meter import MESSAGE_STOP
from headgate.wire.anthropic_messages_parts import DIALECT
from headgate.wire.anthropic_usage import render_usage
from headgate.wire.format import MalformedAnswerError
from headgate.wire.members import add_extras, to_json
from headgate.wire.rendering import Rendering
from headgate.wire.sse import one_line

_ENCODE: Final = msgspec.json.Encoder().encode
_TEXT: Final[dict[str, object]] = {"type": "text", "text": ""}
_THINKING: Final[dict[str, object]] = {"type": "thinking", "thinking": "", "signature": ""}
_DELTA: Final = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":'
_TEXT_DELTA: Final = _DELTA + b'"text_delta","text":'
_THINKING_DELTA: Final = _DELTA + b'"thinking_delta","thinking":'
_INPUT_DELTA: Final = _DELTA + b'"input_json_delta","partial_json":'
_SIGNATURE_DELTA: Final = _DELTA + b'"signature_delta","signature":'
_DELTA_END: Final = b"}}\n\n"


def _event(kind: str, data: object) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), one_line(to_json(data)))


class StreamEncoder:
    """Encodes hub events as one stream. One per stream; the first event is a `StreamStart`."""

    __slots__ = (
        "_apart",
        "_blocks",
        "_ends",
        "_has_refusal",
        "_next",
        "_open",
        "_open_start",
        "_rendering",
        "_rest",
        "_start",
        "_stop",
        "_usage",
    )

    def __init__(self, created_s: int = 0, include_usage: bool = True) -> None:
        """Start a stream. Anthropic's have no time, and always say what was used."""
        del created_s, include_usage
        self._rendering = Rendering(DIALECT, DIALECT, is_answer=True)
        self._start: StreamStart | None = None
        self._usage: UsageReport | None = None
        self._stop: Stop | None = None
        self._blocks: dict[int, int] = {}
        self._open: int | None = None
        self._open_start = b""
        self._next = 0
        self._has_refusal = False
        self._ends: Extras = {}
        self._rest: Extras = {}
        self._apart: list[object] = []

    def encode(self, event: StreamEvent) -> bytes:
        """Return the bytes for one event; empty where it is told later or by other means.

        Raises:
            MalformedAnswerError: the provider sends a second answer beside the first, which nobody asked for.
        """
        if type(event) is TextDelta and event.part == self._open and event.choice == 0:
            return self._open_start + _ENCODE(event.text) + _DELTA_END if event.text else b""
        if isinstance(event, StreamStart):
            self._start = event
            self._rendering = Rendering(DIALECT, event.dialect, is_answer=True)
            return b""
        if isinstance(event, UsageReport):
            self._usage = event
            return self._flush_start()
        if isinstance(event, StreamFault):
            error = {"type": event.kind or "api_error", "message": event.message}
            return _event("error", {"type": "error", "error": error})
        before = self._flush_start()
        if isinstance(event, StreamEnd):
            return before + self._end()
        if isinstance(event, ExtrasDelta):
            self._note(event)
            return before
        if event.choice != 0:
            raise MalformedAnswerError("the provider sent more than the one answer that was asked for")
        if isinstance(event, Stop):
            self._stop = event
            return before
        return before + self._encode_part(event)

    def _flush_start(self) -> bytes:
        """Return ``message_start``, with what is known of the usage by then."""
        start = self._start
        if start is None:
            return b""
        self._start = None
        message: dict[str, object] = {
            "id": start.id,
            "type": "message",
            "role": "assistant",
            "model": start.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": self._render_usage(),
        }
        self._rendering.carry(message, start.extras)
        if start.dialect != DIALECT:
            beyond = {"created": start.created_s, "service_tier": start.service_tier}
            self._rendering.carry_members(message, {name: it for name, it in beyond.items() if it is not None})
        return _event("message_start", {"type": "message_start", "message": message})

    def _render_usage(self) -> dict[str, object]:
        if self._usage is None:
            return dict(NO_USAGE)
        return render_usage(self._usage.usage, self._usage.extras, self._rendering)

    def _note(self, event: ExtrasDelta) -> None:
        if event.choice is None:
            self._rest = {**self._rest, **event.extras}
        else:
            self._ends = {**self._ends, **event.extras}

    def _end(self) -> bytes:
        closing = self._close_block()
        stop, reason = self._stop, None
        if stop is not None:
            is_refusal = self._has_refusal and stop.reason is StopReason.END
            reason = (
                "refusal" if is_refusal else STOP_WORDS.render(stop.reason, stop.native_stop, self._rendering.source)
            )
        delta: dict[str, object] = {"stop_reason": reason, "stop_sequence": None}
        target: dict[str, object] = {"type": "message_delta", "delta": delta, "usage": self._render_usage()}
        if self._rendering.is_native:
            add_extras(delta, self._ends)
        else:
            self._rendering.carry(target, self._ends)
        self._rendering.carry(target, self._rest)
        if self._apart:
            self._rendering.carry_members(target, {"events": self._apart})
        return closing + _event("message_delta", target) + MESSAGE_STOP

    def _encode_part(self, event: StreamEvent) -> bytes:
        if isinstance(event, TextDelta):
            return self._delta(event.part, _TEXT, _TEXT_DELTA, event.text)
        if isinstance(event, ThinkingDelta):
            return self._delta(event.part, _THINKING, _THINKING_DELTA, event.text)
        if isinstance(event, ToolCallDelta) and event.part in self._blocks:
            return self._delta(event.part, {}, _INPUT_DELTA, event.arguments)
        if isinstance(event, ToolCallStart) and not event.custom:
            block: dict[str, object] = {"type": "tool_use", "id": event.call_id, "name": event.name, "input": {}}
            self._rendering.carry(block, event.extras)
            return self._open_block(event.part, block, _INPUT_DELTA)
        if isinstance(event, PartEnd):
            return self._close_block() if event.part == self._open else b""
        if isinstance(event, SignatureDelta):
            return self._delta(event.part, _THINKING, _SIGNATURE_DELTA, event.signature)
        if isinstance(event, RedactedThinking):
            return self._open_block(event.part, {"type": "redacted_thinking", "data": event.data}, _TEXT_DELTA)
        if isinstance(event, RefusalDelta):
            self._has_refusal = True
            return self._delta(event.part, _TEXT, _TEXT_DELTA, event.text)
        if isinstance(event, OpaqueEvent) and self._rendering.is_native:
            return self._encode_opaque(event)
        assert isinstance(event, AudioDelta | LogprobsDelta | OpaqueEvent | ToolCallStart | ToolCallDelta)
        self._apart.append(event.raw if isinstance(event, OpaqueEvent) else event)
        return b""

    def _delta(self, part: int, block: dict[str, object], start: bytes, text: str) -> bytes:
        """Return a piece of a block, and the block's start where this is its first."""
        opening = b"" if part in self._blocks else self._open_block(part, block, start)
        return opening + start % self._blocks[part] + _ENCODE(text) + _DELTA_END if text else opening

    def _open_block(self, part: int, block: object, delta_start: bytes) -> bytes:
        closing = self._close_block()
        index = self._begin(part, delta_start)
        start = {"type": "content_block_start", "index": index, "content_block": block}
        return closing + _event("content_block_start", start)

    def _begin(self, part: int, delta_start: bytes) -> int:
        index = self._blocks[part] = self._next
        self._next += 1
        self._open = part
        self._open_start = delta_start % index
        return index

    def _close_block(self) -> bytes:
        if self._open is None:
            return b""
        index = self._blocks[self._open]
        self._open = None
        return b'event: content_block_stop\ndata: {"type":"content_block_stop","index":%d}\n\n' % index

    def _encode_opaque(self, event: OpaqueEvent) -> bytes:
        closing = b""
        if event.kind == "content_block_start" and event.part is not None:
            closing = self._close_block()
            self._begin(event.part, _TEXT_DELTA)
        return closing + b"event: %b\ndata: %b\n\n" % (event.kind.encode(), one_line(bytes(event.raw)))
