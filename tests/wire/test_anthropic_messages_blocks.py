"""Parts into content blocks."""

import json

from msgspec import Raw

from headgate.domain import chat
from headgate.wire.anthropic_messages_blocks import (
    is_object,
    render_cache,
    render_content,
    render_part,
    render_tool_use,
)
from headgate.wire.members import to_json
from headgate.wire.rendering import Rendering

FOREIGN = ("anthropic_messages", "openai_chat")


def test_empty_texts_of_another_dialect_are_left_out_beside_other_parts_only() -> None:
    call = chat.ToolCallPart("c", "f", "{}")
    native = Rendering("anthropic_messages", "anthropic_messages")

    assert render_content([chat.TextPart("")], Rendering(*FOREIGN), "content") == ""
    assert len(render_content([chat.TextPart(""), call], Rendering(*FOREIGN), "content")) == 1  # pyright: ignore
    assert len(render_content([chat.TextPart(""), call], native, "content")) == 2  # pyright: ignore


def test_a_time_to_live_without_a_word_is_left_out_aloud() -> None:
    rendering, block = Rendering(*FOREIGN), {"type": "text"}

    render_cache(block, chat.CacheHint(60), rendering, "system[0]")

    assert block["cache_control"] == {"type": "ephemeral"}
    assert rendering.ignored == ("system[].cache.ttl_s",)


def test_arguments_that_are_no_object_travel_apart_in_an_answer() -> None:
    rendering = Rendering(*FOREIGN, is_answer=True)

    block = render_tool_use(chat.ToolCallPart("c", "f", '{"half'), rendering, "content[0]")

    assert block["input"] == {}
    assert block["headgate"] == {"openai_chat": {"arguments": '{"half'}}


def test_signed_thinking_is_carried_whoever_sends_it() -> None:
    part = chat.ThinkingPart("hm", "sig", {"x": Raw(b"null")})

    block = render_part(part, Rendering(*FOREIGN), "content[0]")

    assert json.loads(to_json(block)) == {"type": "thinking", "thinking": "hm", "signature": "sig"}


def test_only_an_object_is_one() -> None:
    assert is_object(' {"a":1}')
    assert not any(map(is_object, ("[]", "5", "{", "", '{"a":}', "\ud83d")))
