"""Anthropic's counting of tokens: what is asked, what is sent, what it costs."""

import json

import pytest
from msgspec import Raw

from headgate.domain.errors import InvalidRequestError, UnsupportedParameterError
from headgate.domain.usage import TokenUsage
from headgate.wire import WIRE_FORMATS
from headgate.wire.format import MalformedAnswerError, UpstreamBody
from tests.wire.golden import cases_with, check_golden, given

COUNT = WIRE_FORMATS["anthropic_count_tokens"]
BODY = b'{"model":"claude","system":"Be brief.","messages":[{"role":"user","content":"hi"}],"tools":[],"x":1.0}'


@pytest.mark.parametrize("case", cases_with("request.json", COUNT.name))
def test_what_is_sent_and_counted_of_a_request_is_as_written_down(case: str) -> None:
    envelope = COUNT.parse_envelope(given(case, "request.json", COUNT.name))
    read = {
        "model": envelope.model,
        "end_user": envelope.end_user,
        "texts_to_count": COUNT.input_text(envelope),
        "sent": Raw(COUNT.render_upstream(envelope, UpstreamBody("upstream-model"))),
    }
    check_golden(case, "request.read.json", read, COUNT.name)


@pytest.mark.parametrize("case", cases_with("response.json", COUNT.name))
def test_an_answer_uses_nothing(case: str) -> None:
    assert COUNT.meter_body(given(case, "response.json", COUNT.name)).usage == TokenUsage()


def test_only_the_model_is_replaced() -> None:
    envelope = COUNT.parse_envelope(BODY)
    assert COUNT.render_upstream(envelope, UpstreamBody("claude-9")) == BODY.replace(b'"claude"', b'"claude-9"')
    assert COUNT.input_text(envelope) == ("Be brief.", "hi")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b'{"messages":[{"role":"user","content":"hi"}]}', "model"),
        (b'{"model":"claude"}', "messages"),
        (b'{"model":"claude","messages":[{"role":"user","content":"hi"},7]}', "messages[1]"),
    ],
)
def test_a_field_that_is_wrong_is_named(body: bytes, param: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        COUNT.parse_envelope(body)
    assert caught.value.param == param


def test_no_field_chooses_where_it_goes() -> None:
    with pytest.raises(UnsupportedParameterError):
        COUNT.parse_envelope(BODY[:-1] + b',"api_base":"http://x"}')


def test_a_count_uses_nothing() -> None:
    metered = COUNT.meter_body(b'{"input_tokens":2095}')
    assert (metered.usage, metered.is_final) == (TokenUsage(), True)
    for rubbish in (b"<html>", b"{}", b'{"input_tokens":"x"}', b"[" * 100_000):
        with pytest.raises(MalformedAnswerError):
            COUNT.meter_body(rubbish)


def test_a_count_of_our_own_looks_like_anthropics() -> None:
    assert COUNT.render_count is not None
    assert json.loads(COUNT.render_count(17)) == {"input_tokens": 17}
