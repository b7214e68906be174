"""Metering answers while they go by: bytes untouched, usage read, errors held back."""

import json
from itertools import pairwise

import pytest
from hypothesis import given as examples
from hypothesis import strategies as st

from headgate.domain.usage import TokenUsage
from headgate.wire.format import FaultyAnswerError, MalformedAnswerError, Metered, UpstreamFault
from headgate.wire.openai_chat_meter import DONE_EVENT, OpenAIChatMeter, meter_body
from tests.wire.golden import cases_with, given

STREAMS = cases_with("stream.sse")
USAGE = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
METERED = TokenUsage(3, output_tokens=4)


def event(value: object) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def chunk(reason: str | None = None, index: int = 0, **delta: object) -> bytes:
    return event({"choices": [{"index": index, "delta": delta, "finish_reason": reason}], "usage": None})


TEXT = chunk(content="hi")
STOP = chunk("stop")
EXTRA = event({"choices": [], "usage": USAGE})


def run(meter: OpenAIChatMeter, *pieces: bytes) -> bytes:
    return b"".join([meter.feed(piece) for piece in pieces] + [meter.close()])


@pytest.mark.parametrize("case", STREAMS)
@pytest.mark.parametrize("hide", [False, True])
def test_a_stream_split_at_every_byte_passes_and_meters_the_same(case: str, hide: bool) -> None:
    stream, whole = given(case, "stream.sse"), OpenAIChatMeter(hide)
    passed = run(whole, stream)
    extra = b'"choices":[],"usage":{'

    assert passed == stream if not hide else extra not in passed
    assert b"".join(e for e in stream.split(b"\n\n") if extra not in e or not hide) == passed.replace(b"\n\n", b"")
    for at in range(len(stream)):
        meter = OpenAIChatMeter(hide)
        assert run(meter, stream[:at], stream[at:]) == passed
        assert meter.metered() == whole.metered()


@examples(st.data())
def test_random_pieces_and_line_ends_pass_and_meter_the_same(data: st.DataObject) -> None:
    stream = given(data.draw(st.sampled_from(STREAMS)), "stream.sse")
    stream = stream.replace(b"\n", data.draw(st.sampled_from([b"\n", b"\r\n", b"\r"])))
    cuts = sorted({0, len(stream), *data.draw(st.lists(st.integers(0, len(stream)), max_size=30))})
    whole, meter = OpenAIChatMeter(False), OpenAIChatMeter(False)

    assert run(meter, *(stream[start:end] for start, end in pairwise(cuts))).rstrip() == stream.rstrip()
    assert run(whole, stream) == stream
    assert meter.metered() == whole.metered()
    assert meter.finished


def test_whole_events_are_passed_on_without_a_copy() -> None:
    meter = OpenAIChatMeter(True)
    several = TEXT + TEXT

    assert meter.feed(TEXT) is TEXT
    assert meter.feed(several) is several


def test_only_whole_events_are_passed_on() -> None:
    meter = OpenAIChatMeter(False)

    assert meter.feed(TEXT + STOP[:10]) == TEXT
    assert meter.feed(STOP[10:20]) == b""
    assert meter.feed(STOP[20:]) == STOP


def test_the_usage_event_is_hidden_only_when_asked_and_only_it() -> None:
    with_content = event({"choices": [{"index": 0, "delta": {"content": "x"}}], "usage": USAGE, "x": 1})
    for hide, expected in ((True, TEXT + with_content + STOP + DONE_EVENT), (False, None)):
        stream = TEXT + with_content + STOP + EXTRA + DONE_EVENT
        meter = OpenAIChatMeter(hide)
        assert run(meter, stream) == (expected or stream)
        assert meter.metered().usage == METERED


@pytest.mark.parametrize("choices", [[], None])
def test_azures_first_event_without_choices_is_not_taken_for_usage(choices: object) -> None:
    first = event({"choices": choices, "prompt_filter_results": [], "usage": None})

    assert OpenAIChatMeter(True).feed(first) == first


@pytest.mark.parametrize(
    "delta",
    [
        {"content": "x"},
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "x"}]}]},
        {"reasoning_content": "x"},
        {"reasoning": "x"},
        {"refusal": "x"},
        {"tool_calls": [{"index": 0, "function": {"arguments": "x"}}]},
        {"function_call": {"name": "f", "arguments": "x"}},
        {"audio": {"transcript": "x"}},
    ],
)
def test_every_kind_of_content_counts_as_content_and_is_kept_for_counting(delta: dict[str, object]) -> None:
    meter = OpenAIChatMeter(False)
    meter.feed(chunk(**delta))

    assert meter.content_started
    assert "x" in "".join(meter.metered().output_text)


@pytest.mark.parametrize(
    "data",
    [
        chunk(role="assistant", content=""),
        chunk(role="assistant", content=None, refusal=None, tool_calls=[]),
        b": OPENROUTER PROCESSING\n\n",
        b"event: ping\n\n",
        EXTRA,
    ],
)
def test_life_is_not_content(data: bytes) -> None:
    meter = OpenAIChatMeter(False)

    assert meter.feed(data) == data
    assert not meter.content_started
    assert not meter.finished


def test_an_empty_event_is_held_back_for_no_client_can_read_it() -> None:
    meter = OpenAIChatMeter(False)

    assert run(meter, b"data: \n\n" + TEXT + b"data:\n\n" + STOP + DONE_EVENT) == TEXT + STOP + DONE_EVENT


@pytest.mark.parametrize(
    "error",
    [
        event({"error": {"message": "boom", "type": "server_error"}}),
        event(
            {"error": {"message": "boom", "type": "server_error"}, "choices": [{"index": 0, "delta": {"content": ""}}]}
        ),
        event({"choices": [{"index": 0, "delta": {}, "error": {"message": "boom", "type": "server_error"}}]}),
        b'event: error\ndata: {"message": "boom", "type": "server_error"}\n\n',
        b'event: error\ndata: {"error": {"message": "boom", "type": "server_error"}}\n\n',
    ],
)
def test_an_error_inside_the_stream_is_held_back_with_all_that_follows(error: bytes) -> None:
    meter = OpenAIChatMeter(False)

    assert meter.feed(TEXT + error + TEXT) == TEXT
    assert meter.feed(STOP + DONE_EVENT) == b""
    assert meter.close() == b""
    assert meter.fault == UpstreamFault("boom", "server_error")
    assert not meter.finished
    assert meter.metered().output_text == ("hi",)


def test_an_error_without_words_is_still_an_error() -> None:
    for data in (event({"error": True}), b"event: error\ndata: {}\n\n"):
        meter = OpenAIChatMeter(False)
        assert meter.feed(data) == b""
        assert meter.fault is not None


@pytest.mark.parametrize(
    ("reports", "expected"),
    [
        ([USAGE, {**USAGE, "completion_tokens": 9, "total_tokens": 12}], TokenUsage(3, output_tokens=9)),
        ([{**USAGE, "completion_tokens": 9, "total_tokens": 12}, USAGE], METERED),
        ([USAGE, None, {"prompt_tokens": -1}, {"prompt_tokens": 2.5, "completion_tokens": 1}], METERED),
        ([{"prompt_tokens": 2**60, "completion_tokens": 1}], None),
    ],
)
def test_of_several_reports_the_last_valid_one_counts(reports: list[object], expected: TokenUsage | None) -> None:
    meter = OpenAIChatMeter(False)
    for report in reports:
        meter.feed(event({"choices": [{"index": 0, "delta": {"content": "x"}}], "usage": report}))

    assert meter.metered().usage == expected
    assert meter.metered().output_text == ("x",) * len(reports)
    assert meter.metered().is_final == (expected is None)


@pytest.mark.parametrize("report", [USAGE, {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}])
def test_usage_reported_before_the_last_content_is_no_final_word(report: object) -> None:
    first = event({"choices": [{"index": 0, "delta": {"content": "a"}}], "usage": report})
    for end in (b"", STOP, STOP + DONE_EVENT):
        meter = OpenAIChatMeter(False)
        meter.feed(first + TEXT + end)
        assert meter.metered().usage is not None
        assert not meter.metered().is_final
        assert meter.metered().output_text == ("a", "hi")


@pytest.mark.parametrize(
    "stream",
    [
        TEXT + STOP + EXTRA,
        TEXT + STOP + EXTRA + DONE_EVENT,
        TEXT + event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": USAGE}),
        event({"choices": [{"index": 0, "delta": {"content": "hi"}}], "usage": USAGE}) + DONE_EVENT,
    ],
)
def test_usage_reported_behind_the_last_content_is_final(stream: bytes) -> None:
    meter = OpenAIChatMeter(False)
    meter.feed(stream)

    assert meter.metered().usage == METERED
    assert meter.metered().is_final
    assert meter.metered().output_text == ()


def test_usage_while_one_choice_of_several_still_runs_is_not_final() -> None:
    meter = OpenAIChatMeter(False)
    meter.feed(TEXT + chunk(index=1, content="b") + STOP + EXTRA)

    assert not meter.metered().is_final


def test_groqs_own_place_for_usage_is_read_and_passed_on() -> None:
    last = event(
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "x_groq": {"id": "r", "usage": USAGE}}
    )
    meter = OpenAIChatMeter(True)

    assert meter.feed(last) == last
    assert meter.metered() == Metered(METERED, "stop")


@pytest.mark.parametrize("end", [b"data: [DONE]\n\n", b"data:[DONE]\r\n\r\n", b"data: [DONE] \n\n"])
def test_the_end_marker_finishes_the_stream_and_nothing_comes_after(end: bytes) -> None:
    meter = OpenAIChatMeter(False)

    assert meter.feed(TEXT + end + TEXT + end) == TEXT + end
    assert meter.finished
    assert meter.close() == b""


@pytest.mark.parametrize("tail", [b"", b"data: [DONE]", b"data: [DONE]\n"])
def test_a_missing_end_marker_is_added_when_every_choice_has_finished(tail: bytes) -> None:
    meter = OpenAIChatMeter(False)
    stream = chunk(content="a") + chunk(index=1, content="b") + chunk("stop") + chunk("length", index=1)

    assert run(meter, stream + tail) == stream + DONE_EVENT
    assert meter.finished


@pytest.mark.parametrize(
    "stream",
    [
        b"",
        b": ping\n\n",
        TEXT,
        TEXT + STOP + chunk(index=1, content="b"),
        TEXT + STOP + b"data: {",
        TEXT + STOP + STOP[:-1],
        EXTRA,
        b"<html>",
        b"Bad Gateway\n",
    ],
)
def test_a_stream_that_was_cut_is_malformed(stream: bytes) -> None:
    meter = OpenAIChatMeter(False)
    meter.feed(stream)

    with pytest.raises(MalformedAnswerError):
        meter.close()
    assert not meter.finished


@pytest.mark.parametrize(
    "data",
    [
        b"<html><body>502</body></html>\n\n",
        b'{"error": {"message": "no stream for you"}}\n\n',
        b"data: <html>\n\n",
        b'data: {"choices": [\n\n',
        b'data: {"choices": "x"}\n\n',
        b'data: {"choices": [{"delta": 5}]}\n\n',
        b"data: []\n\n",
        b"data: " + b"[" * 10_000 + b"\n\n",
        b'data: {"x": NaN}\n\n',
    ],
)
def test_what_is_no_chat_stream_is_malformed(data: bytes) -> None:
    with pytest.raises(MalformedAnswerError):
        OpenAIChatMeter(False).feed(data)


def test_an_event_beyond_the_bound_is_malformed() -> None:
    with pytest.raises(MalformedAnswerError):
        OpenAIChatMeter(False, max_event_bytes=100).feed(b"data: " + b"x" * 200)


@pytest.mark.parametrize(
    "data",
    [
        b'data: {"choices": [{"delta": {"content": "\\ud83d"}}]}\n\n',
        b'data: {"choices": [{"delta": {"content": "x"}}], "x": 1e400}\n\n',
        b'data: {"choices": [{"delta": {"content": "x"}}], "x": 123456789012345678901234567890}\n\n',
        b'data: {"choices": [{"delta": {"content": "x"}}], "usage": {"prompt_tokens": "many"}}\n\n',
        b'data: {"choices": [{"delta": {"content": "x", "content": "y"}}]}\n\n',
    ],
)
def test_odd_but_readable_events_pass_unchanged(data: bytes) -> None:
    meter = OpenAIChatMeter(False)

    assert meter.feed(data) is data
    assert meter.content_started


@pytest.mark.parametrize("case", cases_with("response.json"))
def test_a_whole_answer_gives_its_usage(case: str) -> None:
    body = given(case, "response.json")
    metered, answer = meter_body(body), json.loads(body)

    assert metered.usage is not None
    assert metered.usage.input_tokens == answer["usage"]["prompt_tokens"]
    assert metered.usage.output_tokens == answer["usage"]["completion_tokens"]
    assert metered.finish_reason == answer["choices"][0]["finish_reason"]
    assert metered.output_text == ()


def test_a_whole_answer_without_usage_gives_its_text_for_counting() -> None:
    message = {
        "content": "a",
        "reasoning_content": "b",
        "refusal": "c",
        "tool_calls": [{"id": "never", "type": "function", "function": {"name": "d", "arguments": "e"}}],
    }
    body = json.dumps({"choices": [{"message": message}, {"message": {"content": "f"}}], "usage": None}).encode()

    assert sorted("".join(meter_body(body).output_text)) == list("abcdef")


@pytest.mark.parametrize(
    "usage", [None, {}, {"prompt_tokens": -3, "completion_tokens": 4}, "x", {"prompt_tokens": 2**60}]
)
def test_a_report_without_sense_leads_to_counting(usage: object) -> None:
    metered = meter_body(json.dumps({"choices": [{"message": {"content": "a"}}], "usage": usage}).encode())

    assert metered.usage is None
    assert metered.output_text == ("a",)


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"{}", b"[]", b'{"choices":null}', b'{"error":{"message":"x"}}', b'{"choices":[', b"[" * 10_000],
)
def test_what_is_no_chat_answer_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedAnswerError):
        meter_body(body)


def test_an_error_object_under_a_good_status_keeps_the_providers_words_apart() -> None:
    for body in (
        b'{"error":{"message":"wrong key sk-1","code":"y"}}',
        b'{"choices":[{"error":{"message":"wrong key sk-1"}}]}',
    ):
        with pytest.raises(FaultyAnswerError) as caught:
            meter_body(body)
        assert caught.value.fault.message == "wrong key sk-1"
        assert "sk-1" not in str(caught.value)


@pytest.mark.parametrize(
    "odd", [b'{"usage":{"a\xff":1}}', b'{"choices":[{"delta":{"content":"\xe4"}}]}', b'{"error":"\xff"}']
)
def test_bytes_that_are_no_text_make_a_malformed_answer_and_no_defect_of_ours(odd: bytes) -> None:
    meter = OpenAIChatMeter(False)
    with pytest.raises(MalformedAnswerError) as caught:
        meter.feed(TEXT + b"data: " + odd + b"\n\n")
    assert caught.value.passed == TEXT
    with pytest.raises(MalformedAnswerError):
        meter_body(odd)


def test_an_error_event_whose_words_cannot_be_read_is_an_error_all_the_same() -> None:
    meter = OpenAIChatMeter(False)
    assert meter.feed(b'event: error\ndata: {"a":"\xff"}\n\n') == b""
    assert meter.fault == UpstreamFault("the provider's stream failed")
