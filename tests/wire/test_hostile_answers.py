"""Mangled requests, answers and streams: read or refused in our own words, never another exception."""

import contextlib
import json
from typing import Any

from hypothesis import given as examples
from hypothesis import settings
from hypothesis import strategies as st

from headgate.domain.errors import HeadgateError
from headgate.wire.format import MalformedAnswerError
from headgate.wire.openai_chat import input_text, parse_envelope
from headgate.wire.openai_chat_answer import parse_response, render_response
from headgate.wire.openai_chat_hub import parse_request, render_request
from headgate.wire.openai_chat_meter import OpenAIChatMeter, meter_body
from headgate.wire.openai_chat_stream import StreamDecoder, StreamEncoder
from tests.wire.golden import cases_with, given

ODD = st.sampled_from([None, 1, -1, 1.5, "x", "", [], {}, True, [1], {"a": 1}, "\ud83d", [None], [{}], 2**70])


def mangle(value: Any, data: st.DataObject) -> Any:
    """Go down to some member of a golden value and put something odd in its place, or take it away."""
    if isinstance(value, dict) and value:
        name = data.draw(st.sampled_from(sorted(value)))
        if data.draw(st.integers(0, 4)) == 0:
            return {key: item for key, item in value.items() if key != name}
        return {**value, name: mangle(value[name], data)}
    if isinstance(value, list) and value:
        at = data.draw(st.integers(0, len(value) - 1))
        return [*value[:at], mangle(value[at], data), *value[at + 1 :]]
    return data.draw(ODD)


def mangled(name: str, data: st.DataObject) -> bytes:
    value = json.loads(given(data.draw(st.sampled_from(cases_with(name))), name))
    for _ in range(data.draw(st.integers(1, 3))):
        value = mangle(value, data)
    return json.dumps(value).encode()


@settings(max_examples=300)
@examples(st.data())
def test_a_mangled_request_is_read_or_refused(data: st.DataObject) -> None:
    body = mangled("request.json", data)

    with contextlib.suppress(HeadgateError):
        assert input_text(parse_envelope(body)) is not None
    with contextlib.suppress(HeadgateError):
        rendered = render_request(parse_request(body)).body
        assert render_request(parse_request(rendered)).body == rendered


@settings(max_examples=300)
@examples(st.data())
def test_a_mangled_answer_is_read_or_malformed(data: st.DataObject) -> None:
    body = mangled("response.json", data)

    with contextlib.suppress(MalformedAnswerError):
        metered = meter_body(body)
        assert (metered.usage is None) or not metered.output_text
    with contextlib.suppress(MalformedAnswerError):
        answer = parse_response(body)
        assert parse_response(render_response(answer)).choices == answer.choices


@settings(max_examples=300)
@examples(st.data())
def test_a_mangled_stream_is_read_or_malformed(data: st.DataObject) -> None:
    events = given(data.draw(st.sampled_from(cases_with("stream.sse"))), "stream.sse").split(b"\n\n")
    at = data.draw(st.integers(0, len(events) - 1))
    if events[at].startswith(b"data: {"):
        events[at] = b"data: " + json.dumps(mangle(json.loads(events[at][6:]), data)).encode()
    stream = b"\n\n".join(events)

    with contextlib.suppress(MalformedAnswerError):
        meter = OpenAIChatMeter(False)
        passed = meter.feed(stream) + meter.close()
        assert meter.fault is not None or passed == stream
    with contextlib.suppress(MalformedAnswerError):
        decoder, encoder = StreamDecoder(), StreamEncoder()
        hub = decoder.feed(stream) + decoder.close()
        encoded = b"".join(encoder.encode(event) for event in hub)
        assert StreamDecoder().feed(encoded)[-1] == hub[-1]
