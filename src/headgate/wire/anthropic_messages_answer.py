"""Anthropic's whole answers ⇄ the hub.

An answer is paid for when it is rendered, so nothing about it fails for a side note: what another dialect says beyond
Anthropic's words travels under ``headgate.<dialect>`` (`rendering`).
"""

from typing import Any, Final

from headgate.domain.chat import (
    ChatResponse,
    Choice,
    OpaquePart,
    Part,
    RedactedThinkingPart,
    RefusalPart,
    StopReason,
    TextPart,
    ThinkingPart,
    ToolCallPart,
)
from headgate.domain.errors import InvalidRequestError
from headgate.wire.anthropic_messages_blocks import render_part, render_thinking, render_tool_use
from headgate.wire.anthropic_messages_parts import DIALECT, parse_block
from headgate.wire.anthropic_usage import parse_usage, render_usage
from headgate.wire.format import MalformedAnswerError
from headgate.wire.json_body import read_any
from headgate.wire.members import Members, to_json
from headgate.wire.rendering import Rendering
from headgate.wire.stop_words import StopWords

NO_USAGE: Final = {"input_tokens": 0, "output_tokens": 0}
"""Anthropic's clients demand a usage object; a provider that reports none leaves it at this."""

STOP_WORDS: Final = StopWords(
    DIALECT,
    reasons={
        "end_turn": StopReason.END,
        "max_tokens": StopReason.MAX_TOKENS,
        "stop_sequence": StopReason.STOP_SEQUENCE,
        "tool_use": StopReason.TOOL_CALLS,
        "pause_turn": StopReason.PAUSE,
        "refusal": StopReason.REFUSAL,
        "model_context_window_exceeded": StopReason.MAX_TOKENS,
    },
    words={
        StopReason.END: "end_turn",
        StopReason.MAX_TOKENS: "max_tokens",
        StopReason.STOP_SEQUENCE: "stop_sequence",
        StopReason.TOOL_CALLS: "tool_use",
        StopReason.CONTENT_FILTER: "refusal",
        StopReason.REFUSAL: "refusal",
        StopReason.PAUSE: "pause_turn",
    },
)


def parse_response(body: bytes) -> ChatResponse:
    """Read a whole answer into the hub.

    Raises:
        MalformedAnswerError: it is not one.
    """
    try:
        return _parse_response(Members(body))
    except InvalidRequestError as error:
        raise MalformedAnswerError(f"the provider sent no message: {error.message}") from error


def _parse_response(members: Members) -> ChatResponse:
    if "content" not in members:
        raise MalformedAnswerError("the provider's answer has no `content`")
    for name, usual in (("type", b'"message"'), ("role", b'"assistant"')):
        value = members.take(name)
        if value is not None and bytes(value) != usual:
            members.put_back(name, value)
    parts = tuple(parse_block(item, f"content[{index}]") for index, item in enumerate(members.array("content")))
    word = members.text("stop_reason")
    stop, native = (None, None) if word is None else STOP_WORDS.parse(word)
    ends = {name: value for name in ("stop_sequence", "stop_details") if (value := members.take(name)) is not None}
    usage, usage_extras = None, {}
    reported = members.take("usage")
    if reported is not None:
        usage, usage_extras = parse_usage(_decoded(reported))
        if usage is None:
            members.put_back("usage", reported)
    return ChatResponse(
        dialect=DIALECT,
        id=members.text("id") or "",
        model=members.text("model") or "",
        choices=(Choice(0, parts, stop, native, extras=ends),),
        usage=usage,
        usage_extras=usage_extras,
        extras=members.rest(),
    )


def _decoded(raw: Any) -> dict[str, object]:
    try:
        value = read_any(raw)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}  # pyright: ignore[reportUnknownVariableType]


def render_response(response: ChatResponse, created_s: int = 0) -> bytes:
    """Write a whole answer. Anthropic's have no time, so ``created_s`` is of no use here.

    One answer is all that was asked for, and all that this format can hold; others travel apart.
    """
    del created_s
    rendering = Rendering(DIALECT, response.dialect, is_answer=True)
    choice = response.choices[0] if response.choices else Choice(0, ())
    body: dict[str, object] = {
        "id": response.id,
        "type": "message",
        "role": "assistant",
        "model": response.model,
        "content": [],
        "stop_reason": _stop_of(choice, rendering),
        "stop_sequence": None,
        "usage": dict(NO_USAGE),
    }
    body["content"] = _render_parts(body, choice.parts, rendering)
    if response.usage is not None:
        body["usage"] = render_usage(response.usage, response.usage_extras, rendering)
    rendering.carry(body, choice.extras)
    rendering.carry(body, response.extras)
    if not rendering.is_native:
        beyond = {
            "created": response.created_s,
            "service_tier": response.service_tier,
            "logprobs": choice.logprobs,
            "choices": response.choices[1:] or None,
        }
        rendering.carry_members(body, {name: value for name, value in beyond.items() if value is not None})
    return to_json(body)


def _stop_of(choice: Choice, rendering: Rendering) -> str | None:
    """Return the ``stop_reason``; OpenAI's refusals end like any answer, Anthropic's say so there."""
    if choice.stop is None:
        return None
    if choice.stop is StopReason.END and any(isinstance(part, RefusalPart) for part in choice.parts):
        return STOP_WORDS.words[StopReason.REFUSAL]
    return STOP_WORDS.render(choice.stop, choice.native_stop, rendering.source)


def _render_parts(body: dict[str, object], parts: tuple[Part, ...], rendering: Rendering) -> list[object]:
    if rendering.is_native:
        return [_render_native(part, rendering, f"content[{index}]") for index, part in enumerate(parts)]
    blocks: list[object] = []
    apart: list[object] = []
    for index, part in enumerate(parts):
        if isinstance(part, TextPart | RefusalPart):
            if not part.text and len(parts) > 1:
                continue  # OpenAI's ``""`` beside tool calls: Anthropic's clients know no empty block.
            block: dict[str, object] = {"type": "text", "text": part.text}
        elif isinstance(part, ToolCallPart):
            block = render_tool_use(part, rendering, f"content[{index}]")
        elif isinstance(part, ThinkingPart):
            block = render_thinking(part)
        elif isinstance(part, RedactedThinkingPart):
            blocks.append({"type": "redacted_thinking", "data": part.data})
            continue
        else:
            apart.append(part.raw if isinstance(part, OpaquePart) else part)
            continue
        rendering.carry(block, part.extras)
        blocks.append(block)
    if apart:
        rendering.carry_members(body, {"content": apart})
    return blocks


def _render_native(part: Part, rendering: Rendering, path: str) -> object:
    return part.raw if isinstance(part, OpaquePart) else render_part(part, rendering, path)
