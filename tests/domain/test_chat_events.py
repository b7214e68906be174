"""Tests of headgate.domain.chat_events, on answers that providers really gave (tests/golden)."""

import json
from typing import Any

import msgspec
import pytest
from msgspec import Raw
from msgspec.structs import replace

from headgate.domain.chat import (
    ChatResponse,
    Choice,
    ExtrasDelta,
    LogprobsDelta,
    OpaqueEvent,
    OpaquePart,
    RedactedThinkingPart,
    RefusalPart,
    Stop,
    StopReason,
    StreamEnd,
    StreamEvent,
    StreamFault,
    StreamStart,
    TextDelta,
    TextPart,
    ThinkingDelta,
    ThinkingPart,
    ToolCallDelta,
    ToolCallPart,
    ToolCallStart,
    UsageReport,
)
from headgate.domain.chat_events import PIECE_CHARS, collect, spread
from headgate.domain.usage import TokenUsage
from headgate.wire import WIRE_FORMATS
from tests.wire.golden import cases_with, given

FORMATS = ("openai_chat", "anthropic_messages")
WHOLE = [(form, case) for form in FORMATS for case in cases_with("response.json", form)]
STREAMED = [(form, case) for form in FORMATS for case in cases_with("stream.sse", form)]
SPOKEN = {("openai_chat", "audio"), ("anthropic_messages", "server_tools"), ("anthropic_messages", "document")}
"""Answers that hold what a stream or a whole answer cannot say: sound, tools of the provider, citations."""


def whole(form: str, case: str) -> ChatResponse:
    dialect = WIRE_FORMATS[form].dialect
    assert dialect is not None
    return dialect.parse_response(given(case, "response.json", form))


def streamed(form: str, case: str) -> list[StreamEvent]:
    dialect = WIRE_FORMATS[form].dialect
    assert dialect is not None
    decoder = dialect.decode_stream()
    return [*decoder.feed(given(case, "stream.sse", form)), *decoder.close()]


def telling(answer: ChatResponse) -> Any:
    """An answer without the members that say nothing."""

    def strip(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: kept for key, item in value.items() if (kept := strip(item)) not in (None, [], {})}
        return [strip(item) for item in value] if isinstance(value, list) else value

    return strip(json.loads(msgspec.json.encode(answer)))


@pytest.mark.parametrize(("form", "case"), [each for each in WHOLE if each not in SPOKEN])
def test_a_whole_answer_comes_back_from_its_events(form: str, case: str) -> None:
    answer = whole(form, case)
    assert telling(collect(spread(answer))) == telling(answer)


@pytest.mark.parametrize(("form", "case"), [each for each in STREAMED if each not in SPOKEN])
def test_a_stream_says_the_same_when_it_is_collected_and_spread_again(form: str, case: str) -> None:
    answer = collect(streamed(form, case))
    assert answer.choices
    assert all(choice.stop is not None for choice in answer.choices)
    assert collect(spread(answer)) == answer


@pytest.mark.parametrize(("form", "case"), sorted(SPOKEN))
def test_what_only_one_of_both_can_say_is_refused_and_not_dropped(form: str, case: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        _ = collect(streamed(form, case)) if (form, case) in STREAMED else spread(whole(form, case))


USAGE = TokenUsage(input_tokens=10, cached_input_tokens=4, output_tokens=7)
ANSWER = ChatResponse(
    "anthropic_messages",
    "id",
    "m",
    (
        Choice(
            0,
            (
                ThinkingPart("Hm." * 200, "sealed"),
                RedactedThinkingPart("x"),
                TextPart("ä€😀" * 200),
                ToolCallPart("c1", "f", '{"a":1}'),
                ToolCallPart("c2", "g", "free text", custom=True),
            ),
            StopReason.TOOL_CALLS,
        ),
        Choice(1, (RefusalPart("I can't."),), StopReason.END),
    ),
    usage=USAGE,
)


def test_every_kind_of_part_survives_in_pieces() -> None:
    events = spread(ANSWER)
    assert collect(events) == ANSWER
    pieces = [event.text for event in events if isinstance(event, TextDelta | ThinkingDelta)]
    assert max(map(len, pieces)) == PIECE_CHARS
    reports = [event.usage for event in events if isinstance(event, UsageReport)]
    assert reports == [replace(USAGE, output_tokens=0), USAGE]


def test_probabilities_that_come_in_pieces_are_joined() -> None:
    start, end = StreamStart("openai_chat", "id", "m"), (Stop(0, StopReason.END), StreamEnd())
    pieces = [LogprobsDelta(0, Raw(b'{"content":[{"token":"a"}],"refusal":null}')) for _ in range(2)]
    answer = collect([start, TextDelta(0, 0, "aa"), *pieces, *end])
    assert json.loads(bytes(answer.choices[0].logprobs or b"")) == {"content": [{"token": "a"}] * 2, "refusal": None}


START, TEXT, STOP, END = StreamStart("d", "id", "m"), TextDelta(0, 0, "a"), Stop(0, StopReason.END), StreamEnd()


@pytest.mark.parametrize(
    "events",
    [
        [],
        [START, TEXT, STOP],
        [START, TEXT, END],
        [TEXT, STOP, END],
        [START, TEXT, STOP, END, TEXT],
        [START, TEXT, StreamFault("broken")],
        [START, TEXT, ToolCallDelta(0, 0, "{}"), STOP, END],
        [START, ToolCallDelta(0, 0, "{}"), STOP, END],
        [START, TEXT, OpaqueEvent(0, None, "new", Raw(b"{}")), STOP, END],
        [START, OpaqueEvent(0, 0, "content_block_start", Raw(b"{}")), STOP, END],
        [START, TEXT, ExtrasDelta(None, {"ping/x": Raw(b"1")}), STOP, END],
        [START, TEXT, ExtrasDelta(0, {"x": Raw(b"1")}), ExtrasDelta(0, {"x": Raw(b"2")}), STOP, END],
        [START, TEXT, ExtrasDelta(0, {"message": Raw(b'{"content":"other"}')}), STOP, END],
        [START, TEXT, ExtrasDelta(0, {"delta/content": Raw(b'[{"type":"text"}]')}), STOP, END],
        [START, TEXT, ExtrasDelta(None, {"x": Raw(b"1")}), ExtrasDelta(None, {"x": Raw(b"2")}), STOP, END],
        [START, TEXT, ThinkingDelta(0, 1, "hm"), TextDelta(0, 2, "b"), STOP, END],
        # Cut in the middle of a call's arguments.
        [START, ToolCallStart(0, 0, "c", "f"), ToolCallDelta(0, 0, '{"a":'), STOP, END],
    ],
)
def test_a_stream_that_is_broken_or_says_what_is_not_known_is_no_answer(events: list[StreamEvent]) -> None:
    with pytest.raises(ValueError, match=r"."):
        collect(events)


def test_a_part_that_no_stream_can_say_is_refused() -> None:
    for part in (OpaquePart("new", Raw(b"{}")), TextPart("a", extras={"citations": Raw(b'[{"cited_text":"b"}]')})):
        with pytest.raises(ValueError, match="no stream can say"):
            spread(ChatResponse("d", "id", "m", (Choice(0, (part,), StopReason.END),)))
