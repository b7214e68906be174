"""The embeddings format: the envelope, the body sent upstream, the usage."""

import json
from pathlib import Path

import pytest
from msgspec import Raw

from headgate.domain.errors import InvalidRequestError, UnsupportedFeatureError, UnsupportedParameterError
from headgate.domain.usage import TokenUsage
from headgate.wire import WIRE_FORMATS
from headgate.wire.format import FaultyAnswerError, MalformedAnswerError, Metered, UpstreamBody
from headgate.wire.openai_embeddings import OPENAI_EMBEDDINGS, input_text, meter_body, parse_envelope, render_upstream
from tests.wire.golden import cases_with, check_golden, given
from tests.wire.hostile import cost_of

FORM = OPENAI_EMBEDDINGS


@pytest.mark.parametrize("case", cases_with("request.json", FORM.name))
def test_a_request_is_read_and_sent_on_as_written_down(case: str) -> None:
    data = given(case, "request.json", FORM.name)
    envelope = parse_envelope(data)
    sent = render_upstream(envelope, UpstreamBody("upstream-model", "max_tokens", include_usage=True))

    # There is no hub for embeddings: what is acted on, and the bytes that leave.
    read = {
        "model": envelope.model,
        "end_user": envelope.end_user,
        "texts_to_count": input_text(envelope),
        "sent": Raw(sent),
    }
    check_golden(case, "request.read.json", read, FORM.name)
    assert json.loads(sent) == json.loads(data) | {"model": "upstream-model"}


@pytest.mark.parametrize("case", cases_with("response.json", FORM.name))
def test_the_usage_of_an_answer_is_as_written_down(case: str) -> None:
    check_golden(case, "response.read.json", meter_body(given(case, "response.json", FORM.name)), FORM.name)


@pytest.mark.parametrize("case", cases_with("response.json", FORM.name))
def test_the_usage_of_an_answer_is_what_it_says_however_it_is_spaced(case: str) -> None:
    data = given(case, "response.json", FORM.name)

    assert meter_body(json.dumps(json.loads(data), separators=(",", ":")).encode()) == meter_body(data)


def test_every_wire_format_has_golden_files() -> None:
    for name in WIRE_FORMATS:
        cases = cases_with("request.json", name)
        assert len(cases) >= 3, name
        assert cases_with("response.json", name), name


def body(given: bytes, more: bytes = b"") -> bytes:
    return b'{"model":"m","input":' + given + more + b"}"


@pytest.mark.parametrize(
    "given",
    [
        b'"text"',
        b'["a", "b"]',
        b"[1, 2,3]",
        b"[[1],[2 ,3]]",
        b" [ [ 1 ] , [ 2 ] ] ",
        b'"\\ud83d"',
        b'["\\ud83d","b"]',
        b'["\\\\","\\""]',
        b"[%b]" % b",".join([b'"x"'] * 2048),
    ],
)
def test_every_kind_of_input_is_forwarded_byte_for_byte(given: bytes) -> None:
    more = b',"dimensions":256,"encoding_format":"base64","user":"u","x":[ ]'
    envelope = parse_envelope(body(given, more))

    assert envelope.end_user == "u"
    assert not envelope.stream
    assert render_upstream(envelope, UpstreamBody("n")) == body(given.strip(), more).replace(b'"m"', b'"n"')


@pytest.mark.parametrize(
    ("data", "param"),
    [
        (b'{"model":"m"}', "input"),
        (b'{"input":"x"}', "model"),
        (body(b'""'), "input"),
        (body(b"[]"), "input"),
        (body(b'["a",""]'), "input"),
        (body(b"[[]]"), "input"),
        (body(b"[[1],[]]"), "input"),
        (body(b"5"), "input"),
        (body(b"null"), "input"),
        (body(b'{"a":"b"}'), "input"),
        (body(b'["a",1]'), "input[1]"),
        (body(b'[["a"]]'), "input[0]"),
        (body(b"[1.5]"), "input"),
        (body(b"[-1]"), "input"),
        (body(b"[null]"), "input"),
        (body(b"[1,[2]]"), "input"),
        (body(b"[[1],2]"), "input"),
        (body(b"[[1],2,[3]]"), "input"),
        (body(b"[[1,[2]]]"), "input"),
        (body(b"[[[1]]]"), "input"),
        (body(b"[%b]" % b",".join([b'"x"'] * 2049)), "input"),
        (body(b"[%b]" % b",".join([b"[1]"] * 2049)), "input"),
        (body(b'"x"', b',"encoding_format":"hex"'), "encoding_format"),
        (body(b'"x"', b',"dimensions":0'), "dimensions"),
        (body(b'"x"', b',"dimensions":"9"'), "dimensions"),
    ],
)
def test_a_malformed_envelope_names_the_field(data: bytes, param: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse_envelope(data)

    assert caught.value.param == param


def test_a_stream_is_refused() -> None:
    with pytest.raises(UnsupportedFeatureError) as caught:
        parse_envelope(body(b'"x"', b',"stream":true'))

    assert caught.value.param == "stream"
    assert parse_envelope(body(b'"x"', b',"stream":false')).stream is False
    with pytest.raises(UnsupportedFeatureError):
        FORM.meter_stream(False)


def test_a_routing_field_is_refused() -> None:
    with pytest.raises(UnsupportedParameterError):
        parse_envelope(body(b'"x"', b',"api_base":"https://evil.example"'))


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"prompt_tokens": 8, "total_tokens": 8}, 8),
        ({"total_tokens": 8}, 8),
        ({"prompt_tokens": -1}, None),
        ({"prompt_tokens": None}, None),
        (None, None),
    ],
)
def test_usage_is_input_alone(usage: object, tokens: int | None) -> None:
    data = [{"object": "embedding", "index": 0, "embedding": [0.1, -0.2]}]
    answer = json.dumps({"object": "list", "data": data, "model": "m", "usage": usage}).encode()

    assert meter_body(answer) == Metered(None if tokens is None else TokenUsage(tokens))


@pytest.mark.parametrize("answer", [b"", b"<html>", b"{}", b"[]", b'{"error":{"message":"x"}}', b'{"data":5}'])
def test_what_is_no_answer_is_malformed(answer: bytes) -> None:
    with pytest.raises(MalformedAnswerError):
        meter_body(answer)


def test_the_text_to_count_is_the_input() -> None:
    assert input_text(parse_envelope(body(b'"a"'))) == ("a",)
    assert input_text(parse_envelope(body(b'["a","b \\ud83d"]'))) == ("a", "b \ufffd")
    assert input_text(parse_envelope(body(b"[[1,2],[3]]"))) == (" a a a",)


@pytest.mark.parametrize(
    ("hostile", "outcome"),
    [
        (b"[" + b"1," * (15 << 20) + b"1]", "accepted"),
        (b"[" + b'"a",' * (7 << 20) + b'"a"]', "more than 2048 entries"),
        (b"[" + b'"\\\\",' * (5 << 20) + b'"a"]', "more than 2048 entries"),
        (b"[" + b"[1]," * (7 << 20) + b"[1]]", "more than 2048 entries"),
        (b"[" * (15 << 20) + b"]" * (15 << 20), "nested too deeply"),
    ],
    ids=["tokens", "strings", "backslashes", "lists", "depth"],
)
def test_a_hostile_input_costs_little_memory_and_linear_time(hostile: bytes, outcome: str, tmp_path: Path) -> None:
    cost = cost_of("openai_embeddings", body(hostile), tmp_path)

    assert outcome in cost.outcome
    assert cost.parsing_mib <= 64
    assert cost.sending_mib <= 64
    assert cost.seconds < 5


def test_an_error_object_under_a_good_status_keeps_the_providers_words_apart() -> None:
    with pytest.raises(FaultyAnswerError) as caught:
        meter_body(b'{"error":{"message":"wrong key sk-1","code":"y"}}')
    assert caught.value.fault.code == "y"
    assert "sk-1" not in str(caught.value)
    with pytest.raises(MalformedAnswerError) as other:
        meter_body(b'{"message":"not an error object"}')
    assert not isinstance(other.value, FaultyAnswerError)


def test_an_answer_that_is_no_text_is_malformed() -> None:
    with pytest.raises(MalformedAnswerError):
        meter_body(b'{"data":[],"usage":{"a\xff":1}}')
