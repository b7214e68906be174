"""Hub events into Anthropic's streams."""

import json
from typing import Any

import pytest
from msgspec import Raw

from headgate.domain import chat
from headgate.domain.usage import TokenUsage
from headgate.wire.anthropic_messages_encoder import StreamEncoder
from headgate.wire.anthropic_messages_stream import StreamDecoder
from headgate.wire.format import MalformedAnswerError
from tests.wire.golden import cases_with, given, without_nulls

FORM = "anthropic_messages"
START = chat.StreamStart("openai_chat", "c", "gpt", created_s=5, extras={"system_fingerprint": Raw(b'"fp"')})
STOP = chat.Stop(0, chat.StopReason.END)


def encode(*events: chat.StreamEvent) -> bytes:
    encoder = StreamEncoder()
    return b"".join(map(encoder.encode, events))


def events_of(stream: bytes) -> list[dict[str, Any]]:
    """Read a stream's events; each carries its own name twice."""
    found = []
    for piece in stream.decode().split("\n\n")[:-1]:
        name, data = piece.split("\n")
        found.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {found[-1]['type']}"
    return found


def accumulate(stream: bytes) -> dict[str, Any]:
    """Put a message together as Anthropic's clients do (`accumulate_event` of their Python library)."""
    message: dict[str, Any] = {}
    inputs: dict[int, str] = {}
    for event in events_of(stream):
        kind = event["type"]
        if kind == "message_start":
            message = event["message"]
        elif kind == "content_block_start":
            assert event["index"] == len(message["content"])
            message["content"].append(event["content_block"])
        elif kind == "content_block_delta":
            add_delta(message["content"][event["index"]], event["delta"], inputs, event["index"])
        elif kind == "message_delta":
            message |= event["delta"]
            message["usage"] |= {name: value for name, value in event["usage"].items() if value is not None}
            message |= {name: value for name, value in event.items() if name not in ("type", "delta", "usage")}
        elif kind == "message_stop":
            message["ended"] = True
    for index, text in inputs.items():
        message["content"][index]["input"] = json.loads(text or "{}")
    return message


def add_delta(block: dict[str, Any], delta: dict[str, Any], inputs: dict[int, str], index: int) -> None:
    kind = delta["type"]
    if kind == "input_json_delta":
        inputs[index] = inputs.get(index, "") + delta["partial_json"]
    elif kind == "citations_delta":
        block["citations"] = [*(block.get("citations") or []), delta["citation"]]
    elif kind == "signature_delta":
        block["signature"] = delta["signature"]
    else:
        name = kind.removesuffix("_delta")
        block[name] += delta[name]


@pytest.mark.parametrize("case", cases_with("stream.sse", FORM))
def test_an_encoded_stream_says_what_the_original_said(case: str) -> None:
    stream = given(case, "stream.sse", FORM)

    encoded = encode(*StreamDecoder().feed(stream))

    assert without_nulls(accumulate(encoded)) == without_nulls(
        accumulate(stream.replace(b'event: ping\ndata: {"type":"ping"}\n\n', b""))
    )


def test_stop_and_usage_are_held_until_the_end_is_there() -> None:
    report = chat.UsageReport(TokenUsage(9, 4, output_tokens=2))

    stream = encode(START, chat.TextDelta(0, 0, "hi"), chat.PartEnd(0, 0), STOP, report, chat.StreamEnd())

    events = events_of(stream)
    assert [event["type"] for event in events] == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert events[0]["message"]["usage"] == {"input_tokens": 0, "output_tokens": 0}
    assert events[0]["message"]["headgate"] == {"openai_chat": {"system_fingerprint": "fp", "created": 5}}
    assert events[4]["delta"] == {"stop_reason": "end_turn", "stop_sequence": None}
    assert events[4]["usage"]["input_tokens"] == 5
    assert events[4]["usage"]["cache_read_input_tokens"] == 4


def test_the_start_tells_the_usage_that_is_known_by_then() -> None:
    encoder = StreamEncoder()

    assert encoder.encode(chat.StreamStart(FORM, "m", "claude")) == b""
    told = encoder.encode(chat.UsageReport(TokenUsage(3, output_tokens=1)))

    assert events_of(told)[0]["message"]["usage"]["input_tokens"] == 3


def test_blocks_follow_one_another_and_late_arguments_find_theirs() -> None:
    stream = encode(
        START,
        chat.ThinkingDelta(0, 0, "hm"),
        chat.SignatureDelta(0, 0, "sig"),
        chat.ToolCallStart(0, 1, "a", "f"),
        chat.ToolCallDelta(0, 1, '{"n":'),
        chat.ToolCallStart(0, 2, "b", "g"),
        chat.ToolCallDelta(0, 2, "{}"),
        chat.ToolCallDelta(0, 1, "1}"),
        chat.PartEnd(0, 1),
        chat.PartEnd(0, 2),
        STOP,
        chat.StreamEnd(),
    )

    message = accumulate(stream)
    assert message["content"] == [
        {"type": "thinking", "thinking": "hm", "signature": "sig"},
        {"type": "tool_use", "id": "a", "name": "f", "input": {"n": 1}},
        {"type": "tool_use", "id": "b", "name": "g", "input": {}},
    ]
    assert [event["index"] for event in events_of(stream) if event["type"] == "content_block_stop"] == [0, 1, 2]


def test_a_refusal_is_text_and_the_reason_to_stop() -> None:
    message = accumulate(encode(START, chat.RefusalDelta(0, 0, "I cannot."), STOP, chat.StreamEnd()))

    assert message["content"] == [{"type": "text", "text": "I cannot."}]
    assert message["stop_reason"] == "refusal"


def test_what_anthropics_events_cannot_carry_travels_apart() -> None:
    message = accumulate(
        encode(
            START,
            chat.AudioDelta(0, 0, transcript="hi"),
            chat.LogprobsDelta(0, Raw(b'{"content":[]}')),
            chat.ToolCallStart(0, 1, "a", "python", custom=True),
            chat.ToolCallDelta(0, 1, "print(1)"),
            chat.ExtrasDelta(0, {"x_choice": Raw(b"1")}),
            chat.ExtrasDelta(None, {"x_top": Raw(b"2\n")}),
            STOP,
            chat.StreamEnd(),
        )
    )

    apart = message["headgate"]["openai_chat"]
    assert (apart["x_choice"], apart["x_top"]) == (1, 2)
    assert [event["type"] for event in apart["events"]] == [
        "audio_delta",
        "logprobs",
        "tool_call_start",
        "tool_call_delta",
    ]
    assert message["content"] == []


def test_a_fault_is_an_error_event_and_the_end() -> None:
    assert encode(START, chat.StreamFault("boom", "server_error")) == (
        b'event: error\ndata: {"type":"error","error":{"type":"server_error","message":"boom"}}\n\n'
    )
    assert b'"type":"api_error"' in encode(START, chat.StreamFault("boom"))


def test_a_second_answer_is_malformed() -> None:
    with pytest.raises(MalformedAnswerError):
        encode(START, chat.TextDelta(1, 0, "two"))


def test_raw_json_of_several_lines_stays_one_event() -> None:
    opaque = chat.OpaqueEvent(0, None, "new_event", Raw(b'{"type":\n"new_event"}'))

    stream = encode(chat.StreamStart(FORM, "m", "c", extras={"x": Raw(b"[1,\n2]")}), opaque)

    assert [event["type"] for event in events_of(stream)] == ["message_start", "new_event"]
