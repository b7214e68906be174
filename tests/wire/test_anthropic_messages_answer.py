"""Anthropic's whole answers into the hub and back."""

import json
from typing import Any

import pytest
from msgspec import Raw

from headgate.domain import chat
from headgate.domain.usage import TokenUsage
from headgate.wire.anthropic_messages_answer import STOP_WORDS, parse_response, render_response
from headgate.wire.format import MalformedAnswerError
from tests.wire.golden import cases_with, check_golden, given, without_nulls

FORM = "anthropic_messages"
ANSWERS = cases_with("response.json", FORM)


@pytest.mark.parametrize("case", ANSWERS)
def test_an_answer_reads_into_the_hub_as_written_down(case: str) -> None:
    check_golden(case, "response.hub.json", parse_response(given(case, "response.json", FORM)), FORM)


@pytest.mark.parametrize("case", ANSWERS)
def test_every_field_of_an_answer_survives_the_hub(case: str) -> None:
    body = given(case, "response.json", FORM)

    rendered = render_response(parse_response(body))

    assert without_nulls(json.loads(rendered)) == without_nulls(json.loads(body))


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"{}", b'{"content":5}', b'{"content":[5]}', b'{"content":[{"type":"text"}]}']
)
def test_what_is_no_answer_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedAnswerError):
        parse_response(body)


def test_a_usage_object_without_sense_is_kept_but_not_believed() -> None:
    answer = parse_response(b'{"content":[],"usage":{"input_tokens":-1}}')

    assert answer.usage is None
    assert answer.extras["usage"] == Raw(b'{"input_tokens":-1}')


def foreign(*parts: chat.Part, **members: Any) -> dict[str, Any]:
    members = {"stop": chat.StopReason.END, **members}
    answer = chat.ChatResponse(
        "openai_chat",
        "chatcmpl-1",
        "gpt",
        (chat.Choice(0, parts, members["stop"], members.get("native")), *members.get("more", ())),
        created_s=5,
        usage=TokenUsage(10, 4, 2, output_tokens=5),
        usage_extras={"prompt_tokens_details/text_tokens": Raw(b"8")},
        service_tier="flex",
        extras={"system_fingerprint": Raw(b'"fp"'), "moderation": Raw(b"null")},
    )
    return json.loads(render_response(answer))


def test_what_another_dialect_says_beyond_the_hub_is_carried_apart() -> None:
    second = chat.Choice(1, (chat.TextPart("two"),))

    body = foreign(chat.TextPart("hi"), chat.OpaquePart("x", Raw(b'{"type":"x"}')), more=(second,))

    apart = body.pop("headgate")["openai_chat"]
    assert body == {
        "id": "chatcmpl-1",
        "type": "message",
        "role": "assistant",
        "model": "gpt",
        "content": [{"type": "text", "text": "hi"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 4,
            "cache_creation_input_tokens": 2,
            "cache_read_input_tokens": 4,
            "output_tokens": 5,
            "headgate": {"openai_chat": {"prompt_tokens_details": {"text_tokens": 8}}},
        },
    }
    assert apart == {
        "content": [{"type": "x"}],
        "system_fingerprint": "fp",
        "created": 5,
        "service_tier": "flex",
        "choices": [{"index": 1, "parts": [{"type": "text", "text": "two"}]}],
    }


def test_openais_refusal_ends_as_anthropics_does() -> None:
    body = foreign(chat.RefusalPart("I cannot."))

    assert body["content"] == [{"type": "text", "text": "I cannot."}]
    assert body["stop_reason"] == "refusal"


def test_thinking_and_tool_calls_become_blocks_and_empty_texts_do_not() -> None:
    body = foreign(
        chat.ThinkingPart("hm"),
        chat.TextPart(""),
        chat.ToolCallPart("c", "f", ""),
        chat.RedactedThinkingPart("x"),
        stop=chat.StopReason.TOOL_CALLS,
    )

    assert body["content"] == [
        {"type": "thinking", "thinking": "hm", "signature": ""},
        {"type": "tool_use", "id": "c", "name": "f", "input": {}},
        {"type": "redacted_thinking", "data": "x"},
    ]
    assert body["stop_reason"] == "tool_use"


def test_an_answer_without_usage_or_choice_is_still_one() -> None:
    body = json.loads(render_response(chat.ChatResponse("openai_chat", "c", "m", ())))

    assert body["usage"] == {"input_tokens": 0, "output_tokens": 0}
    assert (body["content"], body["stop_reason"]) == ([], None)


@pytest.mark.parametrize(
    "word",
    [
        "end_turn",
        "max_tokens",
        "stop_sequence",
        "tool_use",
        "pause_turn",
        "refusal",
        "model_context_window_exceeded",
        "x",
    ],
)
def test_a_stop_reason_comes_back_as_it_was(word: str) -> None:
    assert STOP_WORDS.render(*STOP_WORDS.parse(word), "anthropic_messages") == word


@pytest.mark.parametrize(
    ("reason", "native", "word"),
    [
        (chat.StopReason.CONTENT_FILTER, None, "refusal"),
        (chat.StopReason.TOOL_CALLS, "function_call", "tool_use"),
        (chat.StopReason.OTHER, "malfunction", "malfunction"),
        (chat.StopReason.OTHER, None, "other"),
    ],
)
def test_a_foreign_stop_never_looks_like_a_normal_end(reason: chat.StopReason, native: str | None, word: str) -> None:
    assert STOP_WORDS.render(reason, native, "openai_chat") == word
