"""Anthropic's streams into hub events."""

import json
from itertools import pairwise

import pytest
from hypothesis import given as examples
from hypothesis import strategies as st
from msgspec import Raw

from headgate.domain import chat
from headgate.domain.usage import TokenUsage
from headgate.wire.anthropic_messages_stream import StreamDecoder
from headgate.wire.format import MalformedAnswerError
from tests.wire.golden import cases_with, check_golden, given

FORM = "anthropic_messages"
STREAMS = cases_with("stream.sse", FORM)


def decode(*pieces: bytes) -> list[chat.StreamEvent]:
    decoder = StreamDecoder()
    events = [event for piece in pieces for event in decoder.feed(piece)]
    return events + decoder.close()


def event(kind: str, **members: object) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **members})}\n\n".encode()


def block(index: int, **members: object) -> bytes:
    return event("content_block_start", index=index, content_block=members)


def delta(index: int, kind: str, **members: object) -> bytes:
    return event("content_block_delta", index=index, delta={"type": kind, **members})


START = event(
    "message_start", message={"id": "i", "model": "m", "content": [], "usage": {"input_tokens": 3, "output_tokens": 1}}
)
TEXT = block(0, type="text", text="")
END = event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 9}) + event("message_stop")


@pytest.mark.parametrize("case", STREAMS)
def test_a_stream_reads_into_hub_events_as_written_down(case: str) -> None:
    check_golden(case, "stream.hub.json", decode(given(case, "stream.sse", FORM)), FORM)


@pytest.mark.parametrize("case", STREAMS)
def test_a_stream_split_at_every_byte_decodes_the_same(case: str) -> None:
    stream = given(case, "stream.sse", FORM)
    whole = decode(stream)

    assert decode(*(stream[at : at + 1] for at in range(len(stream)))) == whole
    for at in range(0, len(stream), max(1, len(stream) // 200)):
        assert decode(stream[:at], stream[at:]) == whole


@examples(st.data())
def test_random_pieces_decode_the_same(data: st.DataObject) -> None:
    stream = given(data.draw(st.sampled_from(STREAMS)), "stream.sse", FORM)
    if data.draw(st.booleans()):
        stream = stream.replace(b"\n", data.draw(st.sampled_from([b"\r\n", b"\r"])))
    cuts = sorted({0, len(stream), *data.draw(st.lists(st.integers(0, len(stream)), max_size=20))})

    pieces = [stream[start:end] for start, end in pairwise(cuts)]

    assert decode(*pieces) == decode(stream)


def test_usage_of_the_end_replaces_what_it_names_and_keeps_the_rest() -> None:
    usages = [each.usage for each in decode(START + TEXT + END) if isinstance(each, chat.UsageReport)]

    assert usages == [TokenUsage(3, output_tokens=1), TokenUsage(3, output_tokens=9)]


def test_a_tool_without_arguments_gets_an_empty_object() -> None:
    call = block(0, type="tool_use", id="t", name="now", input={})

    events = decode(
        START, call, delta(0, "input_json_delta", partial_json=""), event("content_block_stop", index=0), END
    )

    assert chat.ToolCallDelta(0, 0, "{}") in events


def test_a_whole_call_in_its_first_event_is_read() -> None:
    call = block(0, type="tool_use", id="t", name="f", input={"a": 1})

    events = decode(START, call, event("content_block_stop", index=0), END)

    assert [each.arguments for each in events if isinstance(each, chat.ToolCallDelta)] == ['{"a": 1}']


def test_events_without_their_name_are_read_by_their_data() -> None:
    stream = START + TEXT + delta(0, "text_delta", text="a") + END
    nameless = b"".join(line + b"\n" for line in stream.splitlines() if not line.startswith(b"event:"))

    assert decode(nameless.replace(b"\n\n\n", b"\n\n")) == decode(stream)


def test_unmodelled_members_are_reported_under_the_name_of_their_event() -> None:
    events = decode(
        event("message_start", x_event=1, message={"id": "i", "model": "m", "x_message": 2}),
        TEXT,
        delta(0, "text_delta", text="a", x_delta=3),
        event("message_delta", delta={"stop_reason": "end_turn", "x_end": 4}, x_last=5),
        event("message_stop", x_stop=6),
    )

    assert isinstance(events[0], chat.StreamStart)
    assert events[0].extras == {"x_message": Raw(b"2")}
    assert [each for each in events if isinstance(each, chat.ExtrasDelta)] == [
        chat.ExtrasDelta(None, {"message_start/x_event": Raw(b"1")}),
        chat.ExtrasDelta(None, {"content_block_delta/delta/x_delta": Raw(b"3")}),
        chat.ExtrasDelta(0, {"x_end": Raw(b"4")}),
        chat.ExtrasDelta(None, {"x_last": Raw(b"5")}),
        chat.ExtrasDelta(None, {"message_stop/x_stop": Raw(b"6")}),
    ]


def test_a_text_that_stands_beside_unmodelled_members_is_told_once() -> None:
    events = decode(START, block(0, type="text", text="a", citations=[1]), END)

    opaque, text = events[2:4]
    assert isinstance(opaque, chat.OpaqueEvent)
    assert json.loads(bytes(opaque.raw))["content_block"] == {"type": "text", "text": "", "citations": [1]}
    assert text == chat.TextDelta(0, 0, "a")


def test_kinds_of_blocks_deltas_and_events_that_are_new_stay_opaque() -> None:
    pieces = [block(0, type="new"), delta(0, "new_delta", x=1), event("new_event", y=2)]

    opaque = [each for each in decode(START, *pieces, END) if isinstance(each, chat.OpaqueEvent)]

    assert [(each.kind, each.part) for each in opaque] == [
        ("content_block_start", 0),
        ("content_block_delta", 0),
        ("new_event", None),
    ]


@pytest.mark.parametrize(
    "piece",
    [
        b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n',
        b'data: {"error":{"type":"overloaded_error","message":"Overloaded"}}\n\n',
    ],
)
def test_an_error_inside_the_stream_is_its_last_event(piece: bytes) -> None:
    events = decode(START, piece, TEXT)

    assert events[-1] == chat.StreamFault("Overloaded", "overloaded_error")


def test_a_stream_is_complete_with_message_stop_alone() -> None:
    assert decode(START, END.rstrip())[-1] == chat.StreamEnd()
    for pieces in ([], [START], [START, TEXT, END[: END.index(b"event: message_stop")]], [START, END[:-10]]):
        with pytest.raises(MalformedAnswerError):
            decode(*pieces)


@pytest.mark.parametrize(
    "data",
    [
        b"<html>\n\n",
        b"data: {\n\n",
        b"data: 5\n\n",
        b'data: {"type":"message_start"}\n\n',
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":"a","delta":{}}\n\n',
        b'data: {"type":"content_block_start","index":0,"content_block":{}}\n\n',
    ],
)
def test_what_is_no_event_is_malformed(data: bytes) -> None:
    with pytest.raises(MalformedAnswerError):
        StreamDecoder().feed(data)
