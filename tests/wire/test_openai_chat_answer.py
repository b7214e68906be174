"""Chat answers into the hub and back."""

import json

import pytest
from msgspec import Raw

from headgate.domain import chat
from headgate.domain.usage import TokenUsage
from headgate.wire.format import MalformedAnswerError
from headgate.wire.openai_chat_answer import STOP_WORDS, parse_response, render_response
from tests.wire.golden import cases_with, check_golden, given, without_nulls


@pytest.mark.parametrize("case", cases_with("response.json"))
def test_an_answer_reads_into_the_hub_as_written_down(case: str) -> None:
    check_golden(case, "response.hub.json", parse_response(given(case, "response.json")))


@pytest.mark.parametrize("case", cases_with("response.json"))
def test_every_field_of_an_answer_survives_the_hub(case: str) -> None:
    body = given(case, "response.json")

    rendered = render_response(parse_response(body))

    assert without_nulls(json.loads(rendered)) == without_nulls(json.loads(body))


def test_unknown_fields_survive_the_hub_byte_for_byte_at_every_level() -> None:
    odd = b'{"b" :1e2,  "a":"\\u00e9"}'
    body = (
        b'{"id":"i","object":"chat.completion","created":1,"model":"m","x_top":%b,"choices":[{"index":0,"x_choice":%b,'
        b'"message":{"role":"assistant","content":"a","x_message":%b},"finish_reason":"stop"}],"usage":{"x_usage":%b,'
        b'"prompt_tokens":1,"completion_tokens":1,"total_tokens":2,"prompt_tokens_details":{"x_details":%b}}}'
    ).replace(b"%b", odd)

    rendered = render_response(parse_response(body))

    assert rendered.count(odd) == 5
    assert json.loads(rendered)["choices"][0]["message"]["x_message"] == json.loads(odd)
    assert json.loads(rendered)["usage"]["prompt_tokens_details"]["x_details"] == json.loads(odd)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"choices":[{}]}', b'{"choices":[{"message":5}]}'])
def test_what_is_no_answer_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedAnswerError):
        parse_response(body)


def test_a_usage_object_without_sense_is_kept_but_not_believed() -> None:
    answer = parse_response(b'{"choices":[],"usage":{"prompt_tokens":-1}}')

    assert answer.usage is None
    assert answer.extras["usage"] == Raw(b'{"prompt_tokens":-1}')


def foreign(*parts: chat.Part, stop: chat.StopReason = chat.StopReason.END, native: str | None = None) -> bytes:
    choice = chat.Choice(0, parts, stop, native, extras={"container": Raw(b'{"id":"c"}')})
    usage = TokenUsage(10, 4, 2, output_tokens=5)
    extras = {"server_tool_use": Raw(b'{"n":1}')}
    return render_response(
        chat.ChatResponse("anthropic_messages", "msg_1", "claude", (choice,), usage=usage, usage_extras=extras), 77
    )


def test_what_another_dialect_says_beyond_the_hub_is_carried_apart() -> None:
    body = json.loads(foreign(chat.TextPart("hi")))

    assert body["choices"][0]["headgate"] == {"anthropic_messages": {"container": {"id": "c"}}}
    assert body["usage"]["headgate"] == {"anthropic_messages": {"server_tool_use": {"n": 1}}}
    assert body["created"] == 77
    assert body["usage"]["prompt_tokens_details"] == {"cached_tokens": 4, "audio_tokens": 0, "cache_write_tokens": 2}


def test_signed_thinking_reaches_the_caller_with_its_proof() -> None:
    message = json.loads(foreign(chat.ThinkingPart("hm", "sig"), chat.RedactedThinkingPart("xx"), chat.TextPart("hi")))[
        "choices"
    ][0]["message"]

    assert message["reasoning_content"] == "hm"
    assert message["reasoning_details"] == [
        {"type": "reasoning.text", "signature": "sig", "text": "hm"},
        {"type": "reasoning.encrypted", "data": "xx"},
    ]


def test_texts_of_another_dialect_are_one_string_and_what_stood_beside_them_travels_apart() -> None:
    cited = chat.TextPart("b", extras={"citations": Raw(b"[1]")})
    search = chat.OpaquePart("server_tool_use", Raw(b'{"type":"server_tool_use"}'))

    message = json.loads(foreign(chat.TextPart("a"), search, cited))["choices"][0]["message"]

    assert message["content"] == "ab"
    assert message["headgate"]["anthropic_messages"]["content"] == [
        {"type": "server_tool_use"},
        {"index": 2, "citations": [1]},
    ]


def test_a_tool_call_of_another_dialect_keeps_its_side_notes_and_says_no_commonplaces() -> None:
    direct, other = Raw(b'{"type":"direct"}'), Raw(b'{"type":"code"}')
    calls = [
        chat.ToolCallPart(name, "f", "{}", extras={"caller": caller}) for name, caller in (("a", direct), ("b", other))
    ]

    rendered = json.loads(foreign(*calls))["choices"][0]["message"]["tool_calls"]

    assert "headgate" not in rendered[0]
    assert rendered[1]["headgate"] == {"anthropic_messages": {"caller": {"type": "code"}}}


@pytest.mark.parametrize("word", ["stop", "length", "tool_calls", "function_call", "content_filter", "eos", "error"])
def test_a_finish_reason_comes_back_as_it_was(word: str) -> None:
    assert STOP_WORDS.render(*STOP_WORDS.parse(word), "openai_chat") == word


@pytest.mark.parametrize(
    ("reason", "native", "word"),
    [
        (chat.StopReason.STOP_SEQUENCE, "stop_sequence", "stop"),
        (chat.StopReason.REFUSAL, "refusal", "content_filter"),
        (chat.StopReason.PAUSE, "pause_turn", "pause_turn"),
        (chat.StopReason.PAUSE, None, "pause"),
        (chat.StopReason.OTHER, "malfunction", "malfunction"),
    ],
)
def test_a_foreign_stop_never_looks_like_a_normal_finish(
    reason: chat.StopReason, native: str | None, word: str
) -> None:
    assert STOP_WORDS.render(reason, native, "anthropic_messages") == word


@pytest.mark.parametrize("odd", [b'{"m\xff":1}', b'{"model":"\xff","choices":[]}'])
def test_bytes_that_are_no_text_are_no_answer(odd: bytes) -> None:
    with pytest.raises(MalformedAnswerError):
        parse_response(odd)
