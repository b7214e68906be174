"""Tests of headgate.cache.admission: every line of what is never cached."""

import json
from typing import Any

import pytest
from msgspec import Raw

from headgate.cache.admission import is_time_bound, why_not_kept, why_not_sought
from headgate.domain.caching import CachePolicy, CacheSampling, CacheScope
from headgate.domain.chat import (
    AudioPart,
    ChatRequest,
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
from headgate.wire import anthropic_messages_hub, openai_chat_hub

POLICY = CachePolicy()
USER = {"role": "user", "content": "Why?"}


def openai(**members: Any) -> ChatRequest:
    return openai_chat_hub.parse_request(json.dumps({"model": "m", "messages": [USER], **members}).encode())


def anthropic(**members: Any) -> ChatRequest:
    return anthropic_messages_hub.parse_request(
        json.dumps({"model": "m", "max_tokens": 9, "messages": [USER], **members}).encode()
    )


def content(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(parts)}]}


CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
PNG = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


@pytest.mark.parametrize(
    "request_", [openai(), openai(temperature=1), openai(**content(PNG)), openai(n=2), anthropic()]
)
def test_an_ordinary_request_is_looked_for(request_: ChatRequest) -> None:
    assert why_not_sought(request_, POLICY) is None


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (openai(previous_response_id="resp_1"), "stateful"),
        (openai(conversation="conv_1"), "stateful"),
        (openai(background=True), "stateful"),
        (openai(store=True), "stateful"),
        (anthropic(container="c_1"), "stateful"),
        (openai(web_search_options={}), "server_tools"),
        (openai(tools=[{"type": "web_search"}]), "server_tools"),
        (anthropic(tools=[{"type": "web_search_20250305", "name": "web_search"}]), "server_tools"),
        (anthropic(mcp_servers=[{"type": "url"}]), "server_tools"),
        (openai(modalities=["text", "audio"], audio={"voice": "alloy", "format": "wav"}), "modality"),
        (openai(**content({"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}})), "modality"),
        (
            openai(
                messages=[
                    USER,
                    {"role": "assistant", "tool_calls": [CALL]},
                    {"role": "tool", "tool_call_id": "c", "content": "1"},
                ]
            ),
            "tool_results",
        ),
        (anthropic(**content({"type": "tool_result", "tool_use_id": "c", "content": "1"})), "tool_results"),
        (openai(**content({"type": "image_url", "image_url": {"url": "https://example.com/a.png"}})), "remote_url"),
        (openai(**content({"type": "file", "file": {"file_id": "file_1"}})), "stateful"),
        (
            anthropic(
                messages=[
                    USER,
                    {"role": "assistant", "content": [{"type": "thinking", "thinking": "…", "signature": "s"}]},
                    USER,
                ]
            ),
            "sealed_reasoning",
        ),
        (
            anthropic(
                messages=[USER, {"role": "assistant", "content": [{"type": "redacted_thinking", "data": "s"}]}, USER]
            ),
            "sealed_reasoning",
        ),
        (anthropic(**content({"type": "a_part_of_tomorrow", "x": 1})), "unknown_part"),
    ],
)
def test_what_depends_on_more_than_the_request_is_not_looked_for(request_: ChatRequest, reason: str) -> None:
    assert why_not_sought(request_, POLICY) == reason


def test_only_what_is_not_drawn_at_random_where_the_policy_says_so() -> None:
    policy = CachePolicy(sampling=CacheSampling.DETERMINISTIC_ONLY)
    assert [why_not_sought(openai(**given), policy) for given in ({}, {"temperature": 0.1}, {"temperature": 0})] == [
        "sampling",
        "sampling",
        None,
    ]


def answer(*parts: Part, stop: StopReason | None = StopReason.END) -> ChatResponse:
    return ChatResponse("openai_chat", "id", "m", (Choice(0, parts, stop),))


TEXT = TextPart("Because.")


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (answer(TEXT), None),
        (answer(TEXT, stop=StopReason.STOP_SEQUENCE), None),
        (answer(ThinkingPart("Hm."), TEXT), None),
        (answer(TEXT, stop=StopReason.MAX_TOKENS), "cut_at_max_tokens"),
        (answer(TEXT, stop=StopReason.CONTENT_FILTER), "content_filter"),
        (answer(TEXT, stop=StopReason.REFUSAL), "refusal"),
        (answer(TEXT, stop=StopReason.PAUSE), "paused"),
        (answer(TEXT, stop=StopReason.OTHER), "odd_stop"),
        (answer(TEXT, stop=None), "odd_stop"),
        (answer(RefusalPart("I can't.")), "refusal"),
        (answer(), "empty"),
        (answer(TextPart("  \n")), "empty"),
        (answer(ThinkingPart("Hm.")), "empty"),
        (ChatResponse("openai_chat", "id", "m", ()), "empty"),
        (answer(TEXT, ToolCallPart("c", "f", "{}"), stop=StopReason.TOOL_CALLS), "tool_calls"),
        (answer(AudioPart(None, transcript="Hi")), "modality"),
        (answer(TEXT, OpaquePart("server_tool_use", Raw(b"{}"))), "unknown_part"),
        (answer(ThinkingPart("Hm.", "signature"), TEXT), "sealed_reasoning"),
        (answer(RedactedThinkingPart("x"), TEXT), "sealed_reasoning"),
    ],
)
def test_what_is_no_good_a_second_time_is_not_kept(said: ChatResponse, reason: str | None) -> None:
    assert why_not_kept(said, POLICY) == reason


def test_a_policy_may_keep_tool_calls_cut_answers_and_a_keys_own_sealed_reasoning() -> None:
    calls = answer(ToolCallPart("c", "f", "{}"), stop=StopReason.TOOL_CALLS)
    assert why_not_kept(calls, CachePolicy(tool_calls=True)) is None
    assert why_not_kept(answer(TEXT, stop=StopReason.MAX_TOKENS), CachePolicy(cut_answers=True)) is None
    sealed = answer(ThinkingPart("Hm.", "signature"), TEXT)
    assert why_not_kept(sealed, CachePolicy(scope=CacheScope.KEY)) is None


def test_one_bad_choice_of_several_spoils_the_answer() -> None:
    said = ChatResponse("openai_chat", "id", "m", (Choice(0, (TEXT,), StopReason.END), Choice(1, (), StopReason.END)))
    assert why_not_kept(said, POLICY) == "empty"


@pytest.mark.parametrize(
    ("text", "is_bound"),
    [
        ("What is the weather in Kiel?", True),
        ("Who won today?", True),
        ("latest news", True),
        ("Wie ist das Wetter?", True),
        ("Who will win in 2027?", True),
        ("What happened last week?", True),
        ("The last one of the week", False),
        ("Who won in 2019?", False),
        ("Order 20271 of 12", False),
        ("Explain recursion.", False),
        ("Define nowhere.", False),
    ],
)
def test_a_question_about_the_present_is_told_from_others(text: str, is_bound: bool) -> None:
    request = openai(messages=[{"role": "system", "content": "Today is a day."}, {"role": "user", "content": text}])
    assert is_time_bound(request, 2026) is is_bound
