"""The quick way reads what the careful way reads, or leaves it alone."""

import json

import pytest
from msgspec import Raw

from headgate.wire import anthropic_messages_hub as hub
from headgate.wire.anthropic_messages_parts import parse_content
from headgate.wire.anthropic_messages_plain import read_plain_message, read_plain_texts, read_plain_tool
from headgate.wire.members import Members
from tests.wire.golden import cases_with, given

BODIES = [
    json.loads(given(case, "request.json", "anthropic_messages"))
    for case in cases_with("request.json", "anthropic_messages")
]
ODD = (
    {"role": "user", "content": "x", "x_vendor": 1},
    {"role": "user", "content": None},
    {"role": "tool", "content": "x"},
    {"role": "user", "content": [{"type": "text", "text": "a", "citations": None}]},
    {
        "role": "user",
        "content": [{"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "a"}]}],
    },
    {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": None}]},
    {"role": "assistant", "content": []},
)
MESSAGES = [message for body in BODIES for message in body["messages"]]
TOOLS = [tool for body in BODIES for tool in body.get("tools", ())]


@pytest.mark.parametrize("message", [*MESSAGES, *ODD])
def test_a_message_reads_the_same_either_way(message: object) -> None:
    raw = Raw(json.dumps(message).encode())
    plain = read_plain_message(raw)

    if plain is not None:
        assert plain == hub._parse_message(Members(raw, "messages[0]"))


@pytest.mark.parametrize("tool", [*TOOLS, {"name": "f", "input_schema": None}, {"name": "f"}])
def test_a_tool_reads_the_same_either_way(tool: object) -> None:
    raw = Raw(json.dumps(tool).encode())
    plain = read_plain_tool(raw)

    if plain is not None:
        assert plain == hub._parse_tool(Members(raw, "tools[0]"), raw)


@pytest.mark.parametrize("body", BODIES)
def test_instructions_read_the_same_either_way(body: dict[str, object]) -> None:
    raw = Raw(json.dumps(body.get("system", [])).encode())
    plain = read_plain_texts(raw)

    if plain is not None:
        assert plain == parse_content(raw, "system")


def test_what_is_usual_goes_the_quick_way() -> None:
    usual = [message for message in MESSAGES if read_plain_message(Raw(json.dumps(message).encode())) is not None]

    assert len(usual) > len(MESSAGES) // 2
    assert not any(read_plain_message(Raw(json.dumps(message).encode())) for message in ODD[:4])
