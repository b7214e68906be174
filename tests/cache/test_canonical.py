"""Tests of headgate.cache.canonical."""

import json
from typing import Any

import pytest

from headgate.cache.canonical import canonical_chat, canonical_fields
from headgate.wire import anthropic_messages_hub, openai_chat_hub, openai_embeddings

ASKED: dict[str, Any] = {
    "model": "gpt-4o",
    "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why is the sky blue?"}],
    "max_tokens": 100,
}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {"a": {}}}}}


def openai(**members: Any) -> bytes:
    return canonical_chat(openai_chat_hub.parse_request(json.dumps({**ASKED, **members}).encode()))


def anthropic(body: dict[str, Any]) -> bytes:
    return canonical_chat(anthropic_messages_hub.parse_request(json.dumps(body).encode()))


@pytest.mark.parametrize(
    "members",
    [
        {"stream": True},
        {"stream": True, "stream_options": {"include_usage": True}},
        {"user": "someone"},
        {"safety_identifier": "someone"},
        {"metadata": {"job": "nightly"}},
        {"prompt_cache_key": "k"},
        {"prompt_cache_retention": "24h"},
        {"store": False},
        {"n": 1},
        {"logprobs": False},
        {"tool_choice": "auto"},
        {"response_format": {"type": "text"}},
        {"model": "another-name-of-it"},
        {"max_tokens": None, "max_completion_tokens": 100},
        {
            "messages": [
                *ASKED["messages"][:1],
                {"role": "user", "content": [{"type": "text", "text": "Why is the sky blue?"}]},
            ]
        },
    ],
)
def test_what_does_not_change_an_answer_does_not_change_the_form(members: dict[str, Any]) -> None:
    assert openai(**members) == openai()


@pytest.mark.parametrize(
    "members",
    [
        {"temperature": 1},
        {"temperature": 0},
        {"top_p": 0.5},
        {"seed": 1},
        {"stop": ["x"]},
        {"max_tokens": 101},
        {"n": 2},
        {"logprobs": True},
        {"logit_bias": {"5": 1}},
        {"reasoning_effort": "high"},
        {"tools": [TOOL]},
        {"tools": [TOOL], "tool_choice": "required"},
        {"response_format": {"type": "json_object"}},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {}}}},
        {"parallel_tool_calls": False},
        {"modalities": ["text", "audio"]},
        {"verbosity": "low"},
        {"a_parameter_of_tomorrow": 1},
        {"messages": ASKED["messages"][1:]},
        {"messages": ASKED["messages"][::-1]},
        {"messages": [*ASKED["messages"], {"role": "user", "content": "Really?"}]},
        {"messages": [{"role": "developer", "content": "Be brief."}, ASKED["messages"][1]]},
        {"messages": [ASKED["messages"][0], {"role": "user", "name": "x", "content": "Why is the sky blue?"}]},
        {"messages": [ASKED["messages"][0], {"role": "user", "content": "Why is the sky blue ?"}]},
    ],
)
def test_whatever_else_differs_is_another_form(members: dict[str, Any]) -> None:
    assert openai(**members) != openai()


def test_the_order_of_members_and_blanks_do_not_count_but_the_order_of_lists_does() -> None:
    one = {"name": "f", "parameters": {"type": "object", "required": ["a", "b"]}}
    same = {"parameters": {"required": ["a", "b"], "type": "object"}, "name": "f"}
    other = {"name": "f", "parameters": {"type": "object", "required": ["b", "a"]}}
    forms = [openai(tools=[{"type": "function", "function": each}]) for each in (one, same, other)]
    assert forms[0] == forms[1] != forms[2]
    spaced = json.dumps({**ASKED, "tools": [TOOL]}, indent=2).encode()
    assert canonical_chat(openai_chat_hub.parse_request(spaced)) == openai(tools=[TOOL])
    assert openai(tools=[TOOL, {**TOOL, "function": {"name": "g"}}]) != openai(
        tools=[{**TOOL, "function": {"name": "g"}}, TOOL]
    )


def test_numbers_that_are_equal_are_the_same() -> None:
    assert openai(temperature=0) == openai(temperature=0.0)
    assert openai(top_p=0.1) == canonical_chat(
        openai_chat_hub.parse_request(json.dumps(ASKED)[:-1].encode() + b',"top_p":1e-1}')
    )


def test_both_dialects_ask_the_same_in_the_same_form() -> None:
    said = {
        "model": "claude-sonnet",
        "max_tokens": 100,
        "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
        "messages": [{"role": "user", "content": "Why is the sky blue?"}],
        "metadata": {"user_id": "someone"},
        "stream": True,
    }
    assert anthropic(said) == openai()
    tools = [{"name": "f", "input_schema": TOOL["function"]["parameters"], "cache_control": {"type": "ephemeral"}}]
    assert anthropic({**said, "tools": tools}) == openai(tools=[TOOL])
    # The same name of an unknown member may mean something else in each.
    assert anthropic({**said, "verbosity": "low"}) != openai(verbosity="low")


def test_an_embedding_is_asked_for_by_all_members_but_those_of_transport() -> None:
    def form(**members: Any) -> bytes:
        body = json.dumps({"model": "e", "input": "a text", **members}).encode()
        return canonical_fields(openai_embeddings.parse_envelope(body).fields)

    assert form() == form(user="x") == form(model="other")
    assert len({form(), form(dimensions=5), form(input=["a text"]), form(encoding_format="base64")}) == 4
