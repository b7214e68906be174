"""OpenAI chat answers ⇄ the hub.

An answer is paid for when it is rendered, so nothing about it may fail for a side note: what another dialect says
beyond the hub is carried under ``headgate.<dialect>``, where a curious caller finds it.
"""

from typing import Final

from msgspec import Raw

from headgate.domain.chat import ChatResponse, Choice, Extras, StopReason
from headgate.domain.errors import InvalidRequestError
from headgate.domain.usage import TokenUsage
from headgate.wire.format import MalformedAnswerError
from headgate.wire.json_body import read_any
from headgate.wire.members import Members, to_json
from headgate.wire.openai_chat_parts import DIALECT, parse_assistant, render_assistant
from headgate.wire.openai_usage import read_usage
from headgate.wire.rendering import Rendering
from headgate.wire.stop_words import StopWords

STOP_WORDS: Final = StopWords(
    DIALECT,
    reasons={
        "stop": StopReason.END,
        "length": StopReason.MAX_TOKENS,
        "tool_calls": StopReason.TOOL_CALLS,
        "function_call": StopReason.TOOL_CALLS,
        "content_filter": StopReason.CONTENT_FILTER,
    },
    words={
        StopReason.END: "stop",
        StopReason.STOP_SEQUENCE: "stop",
        StopReason.MAX_TOKENS: "length",
        StopReason.TOOL_CALLS: "tool_calls",
        StopReason.CONTENT_FILTER: "content_filter",
        StopReason.REFUSAL: "content_filter",
    },
)


def parse_usage(value: Raw) -> tuple[TokenUsage | None, Extras]:
    """Return a usage object's counts and its unmodelled members."""
    try:
        usage = read_usage(read_any(value))
    except (ValueError, RecursionError):
        usage = None
    if usage is None:
        return None, {}
    members = Members(value, "usage")
    for name in ("prompt_tokens", "completion_tokens", "total_tokens"):
        members.take(name)
    for name, kinds in (
        ("prompt_tokens_details", ("cached_tokens", "cache_write_tokens", "audio_tokens")),
        ("completion_tokens_details", ("reasoning_tokens", "audio_tokens")),
    ):
        details = members.object(name)
        for kind in kinds if details is not None else ():
            details.take(kind)  # pyright: ignore[reportOptionalMemberAccess]  there are no kinds then
    return usage, members.rest()


def render_usage(usage: TokenUsage, extras: Extras, rendering: Rendering) -> dict[str, object]:
    """Return OpenAI's usage object."""
    given: dict[str, object] = {
        "cached_tokens": usage.cached_input_tokens,
        "audio_tokens": usage.input_audio_tokens,
    }
    if usage.cache_write_tokens:
        given["cache_write_tokens"] = usage.cache_write_tokens
    target: dict[str, object] = {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": given,
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens,
            "audio_tokens": usage.output_audio_tokens,
        },
    }
    rendering.carry(target, extras)
    return target


def parse_response(body: bytes) -> ChatResponse:
    """Read a whole chat answer into the hub.

    Raises:
        MalformedAnswerError: it is not one.
    """
    try:
        return _parse_response(Members(body))
    except InvalidRequestError as error:
        raise MalformedAnswerError(f"the provider sent no chat answer: {error.message}") from error


def _parse_response(members: Members) -> ChatResponse:
    if "choices" not in members:
        raise MalformedAnswerError("the provider's answer has no `choices`")
    kind = members.take("object")
    if kind is not None and bytes(kind) != b'"chat.completion"':
        members.put_back("object", kind)
    choices = tuple(
        _parse_choice(Members(item, f"choices[{index}]"), index) for index, item in enumerate(members.array("choices"))
    )
    usage, usage_extras = None, {}
    reported = members.take("usage")
    if reported is not None:
        usage, usage_extras = parse_usage(reported)
        if usage is None:
            members.put_back("usage", reported)
    return ChatResponse(
        dialect=DIALECT,
        id=members.text("id") or "",
        model=members.text("model") or "",
        choices=choices,
        created_s=members.integer("created"),
        usage=usage,
        usage_extras=usage_extras,
        service_tier=members.text("service_tier"),
        extras=members.rest(),
    )


def _parse_choice(members: Members, position: int) -> Choice:
    index = members.integer("index")
    message = members.required_object("message")
    message.take("role")
    parts = tuple(parse_assistant(message))
    word = members.text("finish_reason")
    stop, native = (None, None) if word is None else STOP_WORDS.parse(word)
    logprobs = members.take("logprobs")
    return Choice(position if index is None else index, parts, stop, native, logprobs, members.rest())


def render_response(response: ChatResponse, created_s: int = 0) -> bytes:
    """Write a whole chat answer; ``created_s`` is the time to state where the provider gave none."""
    rendering = Rendering(DIALECT, response.dialect, is_answer=True)
    body: dict[str, object] = {
        "id": response.id,
        "object": "chat.completion",
        "created": created_s if response.created_s is None else response.created_s,
        "model": response.model,
        "choices": [_render_choice(choice, rendering) for choice in response.choices],
    }
    if response.service_tier is not None:
        body["service_tier"] = response.service_tier
    if response.usage is not None:
        body["usage"] = render_usage(response.usage, response.usage_extras, rendering)
    rendering.carry(body, response.extras)
    return to_json(body)


def _render_choice(choice: Choice, rendering: Rendering) -> dict[str, object]:
    message: dict[str, object] = {"role": "assistant", "content": None, "refusal": None}
    render_assistant(message, choice.parts, rendering, f"choices[{choice.index}].message")
    target: dict[str, object] = {
        "index": choice.index,
        "message": message,
        "logprobs": choice.logprobs,
        "finish_reason": None
        if choice.stop is None
        else STOP_WORDS.render(choice.stop, choice.native_stop, rendering.source),
    }
    rendering.carry(target, choice.extras)
    return target
