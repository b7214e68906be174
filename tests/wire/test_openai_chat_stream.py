"""Chat streams into hub events and back."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given as examples
from hypothesis import strategies as st
from msgspec import Raw

from headgate.domain import chat
from headgate.domain.usage import TokenUsage
from headgate.wire.format import MalformedAnswerError
from headgate.wire.openai_chat_stream import StreamDecoder, StreamEncoder
from tests.wire.golden import cases_with, check_golden, given

STREAMS = cases_with("stream.sse")


def decode(*pieces: bytes) -> list[chat.StreamEvent]:
    decoder = StreamDecoder()
    events = [event for piece in pieces for event in decoder.feed(piece)]
    return events + decoder.close()


def chunk(choice: dict[str, object] | None = None, **more: object) -> bytes:
    return b"data: " + json.dumps({"choices": [choice] if choice else [], **more}).encode() + b"\n\n"


def delta(reason: str | None = None, **members: object) -> bytes:
    return chunk({"index": 0, "delta": members, "finish_reason": reason})


def add_call(calls: dict[int, Any], call: dict[str, Any]) -> None:
    place = calls.setdefault(call["index"], {"arguments": ""})
    place |= {key: call[key] for key in ("id", "type") if key in call}
    function = call["function"]
    place["arguments"] += function.get("arguments", "")
    place |= {"name": function["name"]} if "name" in function else {}


def add_audio(audio: dict[str, Any], more: dict[str, Any]) -> None:
    for key, item in more.items():
        audio[key] = item if key in ("id", "expires_at") else audio.get(key, "") + item


def add_choice(into: dict[str, Any], choice: dict[str, Any]) -> None:
    if choice["finish_reason"]:
        into["finish_reason"] = choice["finish_reason"]
    if choice["logprobs"]:
        into.setdefault("logprobs", []).append(choice["logprobs"])
    for name, value in choice["delta"].items():
        if name == "tool_calls":
            for call in value:
                add_call(into.setdefault("calls", {}), call)
        elif name == "audio":
            add_audio(into.setdefault("audio", {}), value)
        elif name == "role":
            into["role"] = value
        elif value:  # An empty first delta says no more than none.
            into[name] = into[name] + value if name in into else value


def accumulate(stream: bytes) -> dict[str, Any]:
    """Put a stream together as a client does."""
    whole: dict[str, Any] = {"choices": {}}
    for line in stream.decode().splitlines():
        data = line.removeprefix("data: ")
        if data == "[DONE]":
            whole["done"] = True
        elif line.startswith("data: "):
            event = json.loads(data)
            for name in ("id", "object", "created", "model", "service_tier", "system_fingerprint", "usage"):
                if event.get(name) is not None:
                    whole[name] = event[name]
            for choice in event["choices"]:
                add_choice(whole["choices"].setdefault(choice["index"], {}), choice)
    return whole


@pytest.mark.parametrize("case", STREAMS)
def test_a_stream_reads_into_hub_events_as_written_down(case: str) -> None:
    check_golden(case, "stream.hub.json", decode(given(case, "stream.sse")))


@pytest.mark.parametrize("case", STREAMS)
def test_a_stream_split_at_every_byte_decodes_the_same(case: str) -> None:
    stream = given(case, "stream.sse")
    whole = decode(stream)

    assert decode(*(stream[at : at + 1] for at in range(len(stream)))) == whole
    for at in range(0, len(stream), max(1, len(stream) // 200)):
        assert decode(stream[:at], stream[at:]) == whole


@pytest.mark.parametrize("case", STREAMS)
def test_an_encoded_stream_says_what_the_original_said(case: str) -> None:
    stream, encoder = given(case, "stream.sse"), StreamEncoder()

    encoded = b"".join(encoder.encode(event) for event in decode(stream))

    assert accumulate(encoded) == accumulate(stream)


@pytest.mark.parametrize("case", STREAMS)
def test_the_quick_way_through_a_chunk_says_what_the_careful_way_says(
    case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = given(case, "stream.sse")
    quick = decode(stream)

    monkeypatch.setattr(StreamDecoder, "_decode_plain", lambda *_: False)

    assert decode(stream) == quick


def test_padding_against_who_reads_sizes_is_no_news() -> None:
    pieces = [chunk({"index": 0, "delta": {"content": text}}, obfuscation=text) for text in "abc"]

    assert [type(event) for event in decode(*pieces, delta("stop"))[1:4]] == [chat.TextDelta] * 3


def test_the_usage_is_told_once_behind_the_last_choice_and_only_on_demand() -> None:
    report = chat.UsageReport(TokenUsage(3, output_tokens=1))
    events = [
        chat.StreamStart("openai_chat", "c", "m"),
        report,
        chat.TextDelta(0, 0, "a"),
        chat.UsageReport(TokenUsage(3, output_tokens=2)),
        chat.StreamEnd(),
    ]

    shown, hidden = (b"".join(map(StreamEncoder(0, wants).encode, events)) for wants in (True, False))

    assert shown.count(b'"usage"') == 1
    assert accumulate(shown)["usage"]["completion_tokens"] == 2
    assert b'"usage"' not in hidden


def test_an_event_of_another_dialect_travels_apart_on_one_line() -> None:
    encoder = StreamEncoder()
    encoder.encode(chat.StreamStart("anthropic_messages", "msg", "claude"))

    told = encoder.encode(chat.OpaqueEvent(0, 1, "content_block_start", Raw(b'{"index":\n1}')))

    assert told.count(b"\n") == 2
    choice = json.loads(told[6:])["choices"][0]
    assert choice["headgate"] == {"anthropic_messages": {"content_block_start": {"index": 1}}}


@examples(st.data())
def test_random_pieces_decode_the_same(data: st.DataObject) -> None:
    stream = given(data.draw(st.sampled_from(STREAMS)), "stream.sse")
    if data.draw(st.booleans()):
        stream = stream.replace(b"\n", data.draw(st.sampled_from([b"\r\n", b"\r"])))
    cuts = sorted({0, len(stream), *data.draw(st.lists(st.integers(0, len(stream)), max_size=20))})

    pieces = [stream[start:end] for start, end in pairwise(cuts)]

    assert decode(*pieces) == decode(stream)


def test_parts_are_numbered_and_end_when_another_kind_begins() -> None:
    events = decode(
        delta(role="assistant", content=""),
        delta(reasoning="hm"),
        delta(content="a"),
        delta(content="b"),
        delta(tool_calls=[{"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]),
        delta("tool_calls"),
    )

    assert events[1:] == [
        chat.ThinkingDelta(0, 0, "hm"),
        chat.PartEnd(0, 0),
        chat.TextDelta(0, 1, "a"),
        chat.TextDelta(0, 1, "b"),
        chat.PartEnd(0, 1),
        chat.ToolCallStart(0, 2, "c", "f"),
        chat.ToolCallDelta(0, 2, "{}"),
        chat.PartEnd(0, 2),
        chat.Stop(0, chat.StopReason.TOOL_CALLS),
        chat.StreamEnd(),
    ]


@pytest.mark.parametrize(
    "places",
    [({"index": 0}, {"index": 0}), ({}, {}), ({"index": 0}, {"index": 1})],
    ids=["all at index 0", "no index", "as OpenAI has it"],
)
def test_parallel_calls_are_told_apart_however_they_are_numbered(places: tuple[dict[str, int], ...]) -> None:
    calls = [
        {**place, "id": f"c{number}", "type": "function", "function": {"name": "f", "arguments": f"[{number}]"}}
        for number, place in enumerate(places)
    ]

    events = decode(*(delta(tool_calls=[call]) for call in calls), delta("tool_calls"))

    starts = [event for event in events if isinstance(event, chat.ToolCallStart)]
    texts = {event.part: event.arguments for event in events if isinstance(event, chat.ToolCallDelta)}
    assert [(start.call_id, texts[start.part]) for start in starts] == [("c0", "[0]"), ("c1", "[1]")]


def test_custom_tools_stream_their_input() -> None:
    call = {"index": 0, "id": "c", "type": "custom", "custom": {"name": "sql", "input": "SELECT"}}
    more = {"index": 0, "custom": {"input": " 1"}}
    events = decode(delta(tool_calls=[call]), delta(tool_calls=[more]), delta("tool_calls"))

    assert chat.ToolCallStart(0, 0, "c", "sql", custom=True) in events
    assert [event.arguments for event in events if isinstance(event, chat.ToolCallDelta)] == ["SELECT", " 1"]

    encoder = StreamEncoder()
    assert decode(*(encoder.encode(event) for event in events))[1:] == events[1:]


def test_unmodelled_members_come_as_extras_and_go_back_in_place() -> None:
    stream = [
        chunk({"index": 0, "delta": {"content": "a", "x_delta": 1}, "x_choice": 2, "finish_reason": None}, x_top=3),
        chunk({"index": 0, "delta": {"content": [{"type": "text", "text": "b"}]}}, x_top=4),
        chunk({"index": 0, "delta": {"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f"}, "x": 5}]}}),
        delta("stop"),
    ]

    events = decode(*stream)

    assert chat.ExtrasDelta(0, {"delta/x_delta": Raw(b"1"), "x_choice": Raw(b"2")}) in events
    assert chat.ExtrasDelta(None, {"x_top": Raw(b"4")}) in events
    assert chat.ExtrasDelta(0, {"delta/content": Raw(b'[{"type": "text", "text": "b"}]')}) in events
    encoder = StreamEncoder()
    encoded = b"".join(encoder.encode(event) for event in events)
    for member in (b'"x_delta":1', b'"x_choice":2', b'"x_top":3', b'"x_top":4', b'"content":[{"type"', b'"x":5'):
        assert encoded.count(member) == 1


@pytest.mark.parametrize(
    "event",
    [
        b'data: {"error":{"message":"boom","type":"server_error","code":500}}\n\n',
        b'event: error\ndata: {"message":"boom","type":"server_error","code":"500"}\n\n',
        b'data: {"choices":[{"index":0,"delta":{},"error":{"message":"boom","type":"server_error","code":500}}]}\n\n',
    ],
)
def test_an_error_inside_the_stream_is_its_last_event(event: bytes) -> None:
    events = decode(delta(content="a"), event, delta(content="never"))

    assert events[-1] == chat.StreamFault("boom", "server_error", "500")
    assert StreamEncoder().encode(events[-1]).startswith(b'data: {"error":{"message":"boom"')


def test_a_stream_without_its_end_marker_ends_well_only_after_every_finish_reason() -> None:
    assert decode(delta(content="a"), delta("stop"))[-1] == chat.StreamEnd()
    assert decode(delta("stop"), b"data: [DONE]\n")[-1] == chat.StreamEnd()
    for pieces in ([], [delta(content="a")], [delta("stop"), b"data: {"]):
        with pytest.raises(MalformedAnswerError):
            decode(*pieces)


@pytest.mark.parametrize(
    "data", [b"<html>\n\n", b"data: {\n\n", b"data: 5\n\n", b'data: {"choices":[{"index":"a"}]}\n\n']
)
def test_what_is_no_chunk_is_malformed(data: bytes) -> None:
    with pytest.raises(MalformedAnswerError):
        StreamDecoder().feed(data)


def test_thinking_of_another_dialect_is_encoded_with_its_proof() -> None:
    encoder = StreamEncoder(created_s=5)
    encoder.encode(chat.StreamStart("anthropic_messages", "msg", "claude", extras={"x": Raw(b"1")}))

    signed = encoder.encode(chat.SignatureDelta(0, 0, "sig"))
    hidden = encoder.encode(chat.RedactedThinking(0, 1, "xx"))

    assert json.loads(signed[6:])["headgate"] == {"anthropic_messages": {"x": 1}}
    assert json.loads(signed[6:])["created"] == 5
    assert b'"reasoning_details":[{"type":"reasoning.text","signature":"sig"}]' in signed
    assert b'"reasoning_details":[{"type":"reasoning.encrypted","data":"xx"}]' in hidden
    assert encoder.encode(chat.PartEnd(0, 1)) == b""


@pytest.mark.parametrize(
    "odd",
    [
        b'{"m\xff":1}',
        b'{"choices":[{"delta":{"content":"\xe4"}}]}',
        b'{"error":"\xff"}',
        b'{"choices":[{"error":{"a\xff":1}}]}',
    ],
)
def test_bytes_that_are_no_text_make_an_unreadable_event(odd: bytes) -> None:
    with pytest.raises(MalformedAnswerError):
        StreamDecoder().feed(b"data: " + odd + b"\n\n")
