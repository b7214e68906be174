"""The quick way reads what the careful way reads, or leaves it alone."""

import json

import pytest
from msgspec import Raw

from headgate.wire import openai_chat_hub as hub
from headgate.wire.members import Members
from headgate.wire.openai_chat_plain import read_plain_message, read_plain_tool
from tests.wire.golden import cases_with, given

BODIES = [json.loads(given(case, "request.json")) for case in cases_with("request.json")]
MESSAGES = [message for body in BODIES for message in body["messages"]]
TOOLS = [tool for body in BODIES for tool in body.get("tools", ())]
ODD = (
    {"role": "user", "content": "x", "name": "ann"},
    {"role": "user", "content": "x", "tool_calls": []},
    {"role": "user", "content": "x", "tool_call_id": "c"},
    {"role": "tool", "content": "x"},
    {"role": "assistant", "content": "x", "refusal": "no"},
    {"role": "assistant", "content": None, "tool_calls": []},
    {"role": "user"},
    {"role": "user", "content": []},
)


@pytest.mark.parametrize("message", [*MESSAGES, *ODD])
def test_a_message_reads_the_same_either_way(message: object) -> None:
    raw = Raw(json.dumps(message).encode())
    plain = read_plain_message(raw)

    if plain is not None:
        assert plain == hub._parse_message(Members(raw, "messages[0]"))


@pytest.mark.parametrize("tool", [*TOOLS, {"type": "function", "function": {"name": "f", "parameters": None}}])
def test_a_tool_reads_the_same_either_way(tool: object) -> None:
    raw = Raw(json.dumps(tool).encode())
    plain = read_plain_tool(raw)

    if plain is not None:
        assert plain == hub._parse_tool(raw, "tools[0]")


def test_what_is_usual_goes_the_quick_way() -> None:
    usual = [message for message in MESSAGES if read_plain_message(Raw(json.dumps(message).encode())) is not None]

    assert len(usual) > len(MESSAGES) // 2
    assert not any(read_plain_message(Raw(json.dumps(message).encode())) for message in ODD[:5])
