"""Mangled requests, answers and streams: read or refused in our own words, never another exception."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given as examples
from hypothesis import settings
from hypothesis import strategies as st

from headgate.domain.errors import HeadgateError
from headgate.wire.anthropic_messages import ANTHROPIC_MESSAGES
from headgate.wire.format import Dialect, MalformedAnswerError, UpstreamBody, WireFormat
from headgate.wire.openai_chat import OPENAI_CHAT
from headgate.wire.translate import TranslatingMeter, translate_answer, translate_request
from tests.wire.golden import cases_with, given

ODD = st.sampled_from([None, 1, -1, 1.5, "x", "", [], {}, True, [1], {"a": 1}, "\ud83d", [None], [{}], 2**70])
FORMS = [OPENAI_CHAT, ANTHROPIC_MESSAGES]
OTHER = {OPENAI_CHAT.name: ANTHROPIC_MESSAGES, ANTHROPIC_MESSAGES.name: OPENAI_CHAT}


def dialect_of(form: WireFormat) -> Dialect:
    assert form.dialect is not None
    return form.dialect


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


def mangled(form: WireFormat, name: str, data: st.DataObject) -> bytes:
    value = json.loads(given(data.draw(st.sampled_from(cases_with(name, form.name))), name, form.name))
    for _ in range(data.draw(st.integers(1, 3))):
        value = mangle(value, data)
    return json.dumps(value).encode()


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
@settings(max_examples=300)
@examples(st.data())
def test_a_mangled_request_is_read_or_refused(form: WireFormat, data: st.DataObject) -> None:
    body, dialect = mangled(form, "request.json", data), dialect_of(form)

    with contextlib.suppress(HeadgateError):
        envelope = form.parse_envelope(body)
        assert form.input_text(envelope) is not None
        other = OTHER[form.name]
        other.parse_envelope(translate_request(form, other, envelope, UpstreamBody("m")).body)
    with contextlib.suppress(HeadgateError):
        request = dialect.parse_request(body)
        rendered = dialect.render_request(request, UpstreamBody(request.model)).body
        again = dialect.parse_request(rendered)
        assert dialect.render_request(again, UpstreamBody(request.model)).body == rendered


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
@settings(max_examples=300)
@examples(st.data())
def test_a_mangled_answer_is_read_or_malformed(form: WireFormat, data: st.DataObject) -> None:
    body, dialect = mangled(form, "response.json", data), dialect_of(form)

    with contextlib.suppress(MalformedAnswerError):
        metered = form.meter_body(body)
        assert (metered.usage is None) or not metered.output_text
    with contextlib.suppress(MalformedAnswerError):
        answer = dialect.parse_response(body)
        assert dialect.parse_response(dialect.render_response(answer, 0)).choices == answer.choices
    with contextlib.suppress(MalformedAnswerError):
        other = OTHER[form.name]
        assert dialect_of(other).parse_response(translate_answer(other, form, body, 0)) is not None


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
@settings(max_examples=300)
@examples(st.data())
def test_a_mangled_stream_is_read_or_malformed(form: WireFormat, data: st.DataObject) -> None:
    case = data.draw(st.sampled_from(cases_with("stream.sse", form.name)))
    events = given(case, "stream.sse", form.name).split(b"\n\n")
    at = data.draw(st.integers(0, len(events) - 1))
    head, found, body = events[at].partition(b"data: {")
    if found:
        events[at] = head + b"data: " + json.dumps(mangle(json.loads(b"{" + body), data)).encode()
    stream, dialect = b"\n\n".join(events), dialect_of(form)

    with contextlib.suppress(MalformedAnswerError):
        meter = form.meter_stream(False)
        passed = meter.feed(stream) + meter.close()
        assert meter.fault is not None or passed == stream
    with contextlib.suppress(MalformedAnswerError):
        decoder, encoder = dialect.decode_stream(), dialect.encode_stream(0, True)
        hub = decoder.feed(stream) + decoder.close()
        encoded = b"".join(encoder.encode(event) for event in hub)
        assert dialect.decode_stream().feed(encoded)[-1] == hub[-1]
    with contextlib.suppress(MalformedAnswerError):
        translating = TranslatingMeter(OTHER[form.name], form, True, 0)
        told = translating.feed(stream) + translating.close()
        again = OTHER[form.name].meter_stream(False)
        again.feed(told)
        assert again.finished or translating.fault is not None
