"""Metering Anthropic's answers: usage read off, bytes passed on."""

import json
from typing import Any

import pytest
from hypothesis import given as examples
from hypothesis import strategies as st

from headgate.domain.usage import TokenUsage
from headgate.wire.anthropic_messages_meter import MESSAGE_STOP, AnthropicMessagesMeter, meter_body
from headgate.wire.format import FaultyAnswerError, MalformedAnswerError, UpstreamFault
from tests.wire.golden import cases_with, given
from tests.wire.test_anthropic_messages_stream import END, START, TEXT, block, delta, event

FORM = "anthropic_messages"
STREAMS = cases_with("stream.sse", FORM)
HELLO = delta(0, "text_delta", text="Hello")


@pytest.mark.parametrize("case", cases_with("response.json", FORM))
def test_a_golden_answer_is_metered(case: str) -> None:
    body = given(case, "response.json", FORM)
    answer = json.loads(body)

    metered = meter_body(body)

    usage = answer["usage"]
    names = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    assert metered.usage is not None
    assert metered.usage.input_tokens == sum(usage[name] for name in names)
    assert metered.usage.output_tokens == usage["output_tokens"]
    assert metered.finish_reason == answer["stop_reason"]
    assert (metered.output_text, metered.is_final) == ((), True)


def test_an_answer_without_usable_usage_gives_its_text_to_count() -> None:
    content = [
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "text", "text": "hi"},
        {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}},
    ]
    for usage in (None, {}, {"input_tokens": -1, "output_tokens": 1}, {"input_tokens": 10**10, "output_tokens": 1}):
        metered = meter_body(json.dumps({"content": content, "usage": usage, "stop_reason": "end_turn"}).encode())
        assert metered.usage is None
        assert metered.output_text == ("hm", "hi", "f", '{"a":1}')


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"{}", b'{"content":{}}', b'{"content":"x","usage":{}}', b"[" * 10_000]
)
def test_what_is_no_answer_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedAnswerError):
        meter_body(body)


def test_an_error_under_a_good_status_is_a_fault() -> None:
    with pytest.raises(FaultyAnswerError) as caught:
        meter_body(b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}')

    assert caught.value.fault == UpstreamFault("Overloaded", "overloaded_error")


@pytest.mark.parametrize("case", STREAMS)
def test_a_golden_stream_passes_byte_for_byte_and_is_metered(case: str) -> None:
    stream = given(case, "stream.sse", FORM)
    meter = AnthropicMessagesMeter()

    assert meter.feed(stream) + meter.close() == stream
    metered = meter.metered()
    assert meter.finished
    assert meter.content_started
    assert metered.usage is not None
    assert (metered.is_final, metered.output_text) == (True, ())


@examples(st.data())
def test_a_stream_in_any_pieces_passes_the_same_bytes(data: st.DataObject) -> None:
    stream = given(data.draw(st.sampled_from(STREAMS)), "stream.sse", FORM)
    size = data.draw(st.integers(1, 200))
    meter, whole = AnthropicMessagesMeter(), AnthropicMessagesMeter()

    passed = b"".join(meter.feed(stream[at : at + size]) for at in range(0, len(stream), size))

    assert passed == whole.feed(stream)
    assert meter.metered() == whole.metered()


def feed(*pieces: bytes) -> AnthropicMessagesMeter:
    meter = AnthropicMessagesMeter()
    for piece in pieces:
        meter.feed(piece)
    return meter


def test_an_early_usage_is_a_floor_until_the_last_word() -> None:
    early = feed(START, TEXT, HELLO).metered()
    last = feed(START, TEXT, HELLO, END).metered()

    assert early.usage == TokenUsage(3, output_tokens=1)
    assert (early.is_final, early.output_text) == (False, ("Hello",))
    assert last.usage == TokenUsage(3, output_tokens=9)
    assert (last.is_final, last.output_text, last.finish_reason) == (True, (), "end_turn")


def test_content_behind_a_message_delta_makes_its_usage_a_floor_again() -> None:
    part = event("message_delta", delta={}, usage={"output_tokens": 5})

    assert not feed(START, TEXT, part, HELLO).metered().is_final
    assert feed(START, TEXT, part, HELLO, END).metered().usage == TokenUsage(3, output_tokens=9)


@pytest.mark.parametrize("usage", [None, {}, {"output_tokens": -1}, {"output_tokens": 10**12}, {"input_tokens": "x"}])
def test_a_last_word_without_sense_leaves_the_floor(usage: Any) -> None:
    end = event("message_delta", delta={"stop_reason": "end_turn"}, usage=usage)
    metered = feed(START, TEXT, HELLO, end).metered()

    assert metered.usage == TokenUsage(3, output_tokens=1)
    assert not metered.is_final


@pytest.mark.parametrize(
    ("piece", "started"),
    [
        (START, False),
        (TEXT, False),
        (block(0, type="thinking", thinking="", signature=""), False),
        (b'event: ping\ndata: {"type":"ping"}\n\n', False),
        (delta(0, "text_delta", text=""), False),
        (HELLO, True),
        (delta(0, "thinking_delta", thinking="hm"), True),
        (delta(0, "input_json_delta", partial_json="{"), True),
        (block(0, type="tool_use", id="t", name="f", input={}), True),
        (block(0, type="redacted_thinking", data="x"), True),
        (block(0, type="web_search_tool_result", content=[]), True),
    ],
)
def test_content_starts_with_what_says_something(piece: bytes, started: bool) -> None:
    assert feed(piece).content_started is started


def test_a_stream_without_message_stop_is_cut() -> None:
    meter = feed(START, TEXT, HELLO, END[: END.index(b"event: message_stop")])

    with pytest.raises(MalformedAnswerError):
        meter.close()
    assert not meter.finished
    assert meter.metered().is_final  # The last word on usage has come all the same.


def test_a_last_event_without_its_blank_line_still_ends_the_message() -> None:
    meter = feed(START, END.rstrip())

    assert meter.close() == MESSAGE_STOP
    assert meter.finished


@pytest.mark.parametrize("rest", [b"event: mess", b'data: {"type":"message_st', b"data: {}"])
def test_half_an_event_at_the_end_is_a_cut(rest: bytes) -> None:
    with pytest.raises(MalformedAnswerError):
        feed(START, rest).close()


def test_an_error_event_is_withheld_and_told() -> None:
    meter = AnthropicMessagesMeter()
    error = event("error", error={"type": "overloaded_error", "message": "Overloaded"})

    assert meter.feed(START + error + TEXT) == START
    assert meter.fault == UpstreamFault("Overloaded", "overloaded_error")
    assert meter.close() == b""


def test_what_is_no_stream_of_events_is_malformed_and_what_came_before_is_passed() -> None:
    with pytest.raises(MalformedAnswerError):
        feed(b"<html>\n\n")
    with pytest.raises(MalformedAnswerError) as caught:
        feed(START + b"data: {\n\n")
    assert caught.value.passed == START
    with pytest.raises(MalformedAnswerError):
        AnthropicMessagesMeter(100).feed(b"data: " + b"x" * 200)


def test_comments_pass_and_empty_events_do_not() -> None:
    meter = AnthropicMessagesMeter()

    assert meter.feed(b": hi\n\ndata: \n\n") == b": hi\n\n"


def test_half_a_surrogate_pair_and_huge_numbers_do_not_fail_a_stream() -> None:
    meter = feed(
        b'data: {"type":"content_block_delta","delta":{"type":"text_delta","text":"\\ud83d"},"x":%b}\n\n' % (b"9" * 40)
    )

    assert meter.content_started
