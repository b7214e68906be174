"""Server-sent events: the standard's framing, every byte accounted for, at any split."""

import random  # noqa: TID251  seeded, to cut one stream in the same places every time
import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.wire.format import MalformedAnswerError
from headgate.wire.sse import SseDecoder, SseEvent, one_line, parse_event

ENDS = [b"\n", b"\r\n", b"\r"]


def feed(*pieces: bytes) -> tuple[list[SseEvent], bytes]:
    decoder = SseDecoder()
    events = [event for piece in pieces for event in decoder.feed(piece)]
    return events, decoder.pending


def seen(events: list[SseEvent]) -> list[tuple[bytes | None, bytes, bytes | None]]:
    return [(event.data, event.event, event.id) for event in events if event.data is not None]


@pytest.mark.parametrize("end", ENDS)
def test_lines_end_in_any_of_the_three_ways(end: bytes) -> None:
    stream = end.join([b"event: a", b"id: 7", b"data: one", b"data:two", b"", b": ping", b"", b"data", b"", b""])

    events, pending = feed(stream)

    assert [(event.data, event.event, event.id) for event in events] == [
        (b"one\ntwo", b"a", b"7"),
        (None, b"", None),
        (b"", b"", None),
    ]
    assert pending == b""
    assert b"".join(event.raw for event in events) == stream


@pytest.mark.parametrize(
    ("block", "data"),
    [
        (b"data: x\n\n", b"x"),
        (b"data:x\n\n", b"x"),
        (b"data:  x\n\n", b" x"),
        (b"data:\n\n", b""),
        (b"data\n\n", b""),
        (b"data: a\ndata: b\n\n", b"a\nb"),
        (b"data: a\ndata\n\n", b"a\n"),
        (b"data: a:b\n\n", b"a:b"),
        (b"\xef\xbb\xbfdata: x\n\n", b"x"),
        (b": comment\n\n", None),
        (b"retry: 10\n\n", None),
        (b"\n\n", None),
    ],
)
def test_fields_are_read_as_the_standard_says(block: bytes, data: bytes | None) -> None:
    events, pending = feed(block)

    assert [event.data for event in events] == [data]
    assert all(event.is_sse for event in events)
    assert pending == b""


def test_a_byte_order_mark_counts_only_at_the_start() -> None:
    events, _ = feed(b"data: a\n\n\xef\xbb\xbfdata: b\n\n")

    assert [event.data for event in events] == [b"a", None]
    assert not events[1].is_sse


def test_an_id_with_a_null_is_ignored() -> None:
    assert parse_event(b"id: a\0b\ndata: x\n\n").id is None


@pytest.mark.parametrize("block", [b"<html><body>\n\n", b'{"error": "x"}\n\n', b"Bad Gateway\n\n"])
def test_what_is_no_event_stream_is_told_apart(block: bytes) -> None:
    events, _ = feed(block)

    assert [(event.data, event.is_sse) for event in events] == [(None, False)]


def test_the_usual_event_is_handed_out_without_a_copy() -> None:
    data = b'data: {"a": 1}\n\n'

    events, _ = feed(data)

    assert events[0].raw is data


def test_offsets_cover_the_stream_without_a_gap() -> None:
    stream = b"data: a\n\n: x\n\ndata: b\r\n\r\n\ndata: c\n\n"

    events, _ = feed(stream[:13], stream[13:])

    assert [stream[event.start : event.end] for event in events] == [event.raw for event in events]
    assert [event.start for event in events[1:]] == [event.end for event in events[:-1]]


LINES = st.sampled_from(
    [b"data: a", b"data:b", b"data", b"event: e", b"id: 1", b": c", b"", b"", b"", b"x y", b"data: \xf0\x9f\x91\x8b"]
)


@given(st.lists(st.tuples(LINES, st.sampled_from(ENDS)), max_size=30), st.data())
def test_any_split_gives_the_same_events_and_every_byte(lines: list[tuple[bytes, bytes]], data: st.DataObject) -> None:
    stream = b"".join(line + end for line, end in lines)
    whole, left = feed(stream)
    cuts = sorted({0, len(stream), *data.draw(st.lists(st.integers(0, len(stream)), max_size=10))})

    events, pending = feed(*(stream[start:end] for start, end in pairwise(cuts)))
    singly, last = feed(*(stream[at : at + 1] for at in range(len(stream))))

    assert seen(events) == seen(singly) == seen(whole)
    assert b"".join(event.raw for event in events) + pending == stream
    assert b"".join(event.raw for event in singly) + last == stream
    assert b"".join(event.raw for event in whole) + left == stream


def test_an_event_beyond_the_bound_is_malformed_whole_or_in_pieces() -> None:
    for pieces in ([b"data: " + b"x" * 100 + b"\n\n"], [b"data: ", b"x" * 60, b"x" * 60], [b"data: \r", b"x" * 110]):
        decoder = SseDecoder(max_event_bytes=100)
        for piece in pieces[:-1]:
            assert decoder.feed(piece) == []
        with pytest.raises(MalformedAnswerError):
            decoder.feed(pieces[-1])


@pytest.mark.parametrize("end", ENDS)
def test_many_tiny_pieces_of_a_large_event_stay_linear(end: bytes) -> None:
    stream = b"data: " + b"x" * 400_000 + end + end
    decoder, chance = SseDecoder(), random.Random(7)

    start, at, events = time.process_time(), 0, []
    while at < len(stream):
        size = chance.randrange(1, 9)
        events += decoder.feed(stream[at : at + size])
        at += size

    assert len(events[0].raw) >= len(stream) - 1
    assert time.process_time() - start < 3, "a quadratic search would take minutes"


@pytest.mark.parametrize(
    "raw",
    [
        b"event: ping\ndata: {}\n\n",
        b"event: \ndata: {}\n\n",
        b"event:  x\ndata:  y\n\n",
        b"event: a\ndata: b\ndata: c\n\n",
        b"event: a\nid: 1\ndata: b\n\n",
        b"event: a\ndata: \n\n",
        b"event: a\n\n",
        b"data: b\nevent: a\n\n",
    ],
)
def test_an_event_with_a_name_reads_the_same_the_quick_way(raw: bytes) -> None:
    decoder = SseDecoder()

    assert SseDecoder().feed(b": first\n\n" + raw)[1] == parse_event(raw, 9)
    assert decoder.feed(raw) + decoder.feed(raw) == [parse_event(raw, 0), parse_event(raw, len(raw))]


def test_json_of_several_lines_becomes_one() -> None:
    assert one_line(b'{"a":\r\n1}') == b'{"a":  1}'
    assert one_line(b'{"a":"\\n"}') == b'{"a":"\\n"}'
