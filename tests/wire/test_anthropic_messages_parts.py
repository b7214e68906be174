"""Content blocks into parts: what is modelled, and what stays opaque."""

import pytest
from msgspec import Raw

from headgate.domain import chat
from headgate.wire.anthropic_messages_parts import parse_block, parse_content, take_cache
from headgate.wire.members import Members


@pytest.mark.parametrize(
    ("ttl", "hint"),
    [(b"", chat.CacheHint()), (b',"ttl":"5m"', chat.CacheHint(300)), (b',"ttl":"1h"', chat.CacheHint(3600))],
)
def test_a_cache_control_is_a_hint(ttl: bytes, hint: chat.CacheHint) -> None:
    members = Members(b'{"cache_control":{"type":"ephemeral"%b}}' % ttl)

    assert take_cache(members) == hint
    assert not members.rest()


@pytest.mark.parametrize(
    "value", [b'{"type":"eternal"}', b'{"type":"ephemeral","ttl":"2h"}', b'{"ttl":"5m","x":1}', b"5"]
)
def test_a_cache_control_of_another_kind_stays_where_it_was(value: bytes) -> None:
    members = Members(b'{"cache_control":%b}' % value)

    assert take_cache(members) is None
    assert members.rest() == {"cache_control": Raw(value)}


@pytest.mark.parametrize(
    "raw",
    [
        b'{"type":"server_tool_use","id":"s","name":"web_search","input":{}}',
        b'{"type":"document","source":{"type":"content","content":"x"}}',
        b'{"type":"document","source":{"type":"text","media_type":"text/html","data":"x"}}',
        b'{"type":"image","source":{"type":"text","media_type":"text/plain","data":"x"}}',
        b'{"type":"image"}',
        b'{"type":"redacted_thinking","data":"d","x":1}',
    ],
)
def test_a_block_that_the_hub_does_not_model_stays_opaque(raw: bytes) -> None:
    part = parse_block(Raw(raw), "content[0]")

    assert isinstance(part, chat.OpaquePart)
    assert bytes(part.raw) == raw


def test_a_string_is_one_text_and_nothing_is_none() -> None:
    assert parse_content(Raw(b'"a"'), "content") == [chat.TextPart("a")]
    assert parse_content(None, "content") == []


def test_a_tool_call_without_input_has_an_empty_object() -> None:
    raw = Raw(b'{"type":"tool_use","id":"t","name":"f","input":null}')

    assert parse_block(raw, "content[0]") == chat.ToolCallPart("t", "f", "{}")
