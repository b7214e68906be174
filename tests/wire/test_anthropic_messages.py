"""The envelope of Anthropic's Messages format: what is checked, what is replaced, and that all else stays."""

import json
from pathlib import Path

import pytest
from hypothesis import given as examples
from hypothesis import strategies as st
from msgspec.structs import replace

from headgate.domain.errors import InvalidRequestError
from headgate.wire import WIRE_FORMATS
from headgate.wire.anthropic_messages import (
    ANTHROPIC_MESSAGES,
    input_text,
    meter_stream,
    parse_envelope,
    render_upstream,
)
from headgate.wire.format import UpstreamBody
from tests.wire.golden import cases_with, given
from tests.wire.hostile import cost_of
from tests.wire.test_openai_chat import BODIES

FORM = "anthropic_messages"
MESSAGES = b'"messages":[{"role":"user","content":"hi"}]'
SAME = UpstreamBody("m")


def body(members: bytes = b"") -> bytes:
    return b'{"model":"m","max_tokens":9,' + MESSAGES + (b"," + members if members else b"") + b"}"


@pytest.mark.parametrize("case", cases_with("request.json", FORM))
def test_the_envelope_of_a_golden_request(case: str) -> None:
    data = given(case, "request.json", FORM)
    request, envelope = json.loads(data), parse_envelope(data)

    assert (envelope.model, envelope.max_output_tokens) == (request["model"], request["max_tokens"])
    assert envelope.max_output_field == "max_tokens"
    assert envelope.stream is request.get("stream", False)
    assert list(envelope.fields) == list(request)
    assert all(bytes(value) in data for value in envelope.fields.values())


def test_everything_the_gateway_acts_on_is_read() -> None:
    envelope = parse_envelope(body(b'"stream":true,"metadata":{"user_id":"u"}'))

    assert (envelope.stream, envelope.wants_usage, envelope.end_user, envelope.tags) == (True, False, "u", ())


@pytest.mark.parametrize(
    ("data", "param"),
    [
        (b'{"max_tokens":9,%b}' % MESSAGES, "model"),
        (b'{"model":"","max_tokens":9,%b}' % MESSAGES, "model"),
        (b'{"model":"a\\r\\nx: y","max_tokens":9,%b}' % MESSAGES, "model"),
        (b'{"model":"m","max_tokens":9}', "messages"),
        (b'{"model":"m","max_tokens":9,"messages":[]}', "messages"),
        (b'{"model":"m","max_tokens":9,"messages":"x"}', "messages"),
        (b'{"model":"m","max_tokens":9,"messages":["x"]}', "messages[0]"),
        (b'{"model":"m","max_tokens":9,"messages":[{"role":"user"},{}]}', "messages[1]"),
        (b'{"model":"m","max_tokens":9,"messages":[{"role":"tool"}]}', "messages[0].role"),
        (b'{"model":"m","max_tokens":9,"messages":[{"role":"user"},{"role":7}]}', "messages[1].role"),
        (b'{"model":"m",%b}' % MESSAGES, "max_tokens"),
        (b'{"model":"m","max_tokens":null,%b}' % MESSAGES, "max_tokens"),
        (b'{"model":"m","max_tokens":-1,%b}' % MESSAGES, "max_tokens"),
        (b'{"model":"m","max_tokens":1.5,%b}' % MESSAGES, "max_tokens"),
        (b'{"model":"m","max_tokens":"9",%b}' % MESSAGES, "max_tokens"),
        (b'{"model":"m","max_tokens":true,%b}' % MESSAGES, "max_tokens"),
        (b'{"model":"m","max_tokens":2147483649,%b}' % MESSAGES, "max_tokens"),
        (body(b'"stream":1'), "stream"),
        (body(b'"metadata":5'), "metadata"),
        (body(b'"metadata":{"user_id":5}'), "metadata.user_id"),
        (body(b'"metadata":{"user_id":"a\\nb"}'), "metadata.user_id"),
        (body(b'"metadata":{"user_id":"%b"}' % (b"x" * 513)), "metadata.user_id"),
        (body(b'"metadata":{"user_api_key_team_id":"x"}'), "metadata.user_api_key_team_id"),
        (body(b'"metadata":{%b}' % b",".join(b'"k%d":1' % n for n in range(17))), "metadata"),
        (body(b'"api_base":"x"'), "api_base"),
        (body(b'"fallbacks":[]'), "fallbacks"),
        (body(b'"vertex_project":"x"'), "vertex_project"),
    ],
)
def test_a_malformed_envelope_names_the_field(data: bytes, param: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse_envelope(data)

    assert caught.value.param == param
    assert caught.value.status == 400
    assert len(caught.value.message) < 1000


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"5", b"{", b'\xff{"model":"m"}', b'{"model":"m","model":"n"}', b"[" * 10_000]
)
def test_what_is_no_object_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidRequestError):
        parse_envelope(data)


@pytest.mark.parametrize(
    "data",
    [
        b'{"model":"m","max_tokens":0,%b}' % MESSAGES,
        b'{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"a"},{"role":"system","content":"b"}]}',
        body(b'"metadata":{"user_id":null,"other":{"a":1}}'),
        body(b'"metadata":null,"stream":null'),
        body(b'"system":"half \\ud83d"'),
        body(b'"temperature":1.0e0,"x_vendor":{ "b":1e400, "a":12345678901234567890123 }'),
    ],
)
def test_unusual_but_fine_bodies_pass_byte_for_byte(data: bytes) -> None:
    assert render_upstream(parse_envelope(data), SAME) == data


def test_only_the_model_and_the_maximum_are_replaced() -> None:
    data = b' {"max_tokens": 100,\n"model":"alias", "messages":[ {"role":"user","content":"\\u00e9"} ]}'
    envelope = replace(parse_envelope(data), max_output_tokens=50)

    sent = render_upstream(envelope, UpstreamBody("claude", "max_completion_tokens", include_usage=True))

    assert sent == b'{"max_tokens":50,"model":"claude","messages":[ {"role":"user","content":"\\u00e9"} ]}'


def test_the_text_that_a_tokenizer_would_see() -> None:
    data = body(
        b'"system":[{"type":"text","text":"S","cache_control":{"type":"ephemeral"}}],"tools":[{"name":"f",'
        b'"description":"D","input_schema":{"a":1}}],"output_config":{"format":{"type":"json_schema","schema":{"b":2}}}'
    )
    blocks = [
        {"type": "text", "text": "T"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "DOC"}, "title": "N"},
        {"type": "thinking", "thinking": "H", "signature": "SIG"},
        {"type": "tool_use", "id": "t", "name": "f", "input": {"c": 3}},
        {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "R"}]},
    ]
    envelope = parse_envelope(data.replace(b'"hi"', json.dumps(blocks).encode()))

    texts = input_text(envelope)

    assert texts == ("S", "T", "DOC", "N", "H", "f", '{"c":3}', "R", "f", "D", '{"a":1}', '{"b":2}')


def test_text_that_is_too_odd_to_read_counts_as_it_stands() -> None:
    odd = body(b'"system":[%b]' % (b"9" * 5000))

    assert any("9" * 100 in text for text in input_text(parse_envelope(odd)))


def test_the_row_says_what_the_format_is() -> None:
    assert WIRE_FORMATS[FORM] is ANTHROPIC_MESSAGES
    assert ANTHROPIC_MESSAGES.name == FORM
    assert (ANTHROPIC_MESSAGES.operation, ANTHROPIC_MESSAGES.upstream_path) == ("chat", "/messages")
    assert ANTHROPIC_MESSAGES.dialect is not None
    assert not meter_stream(True).finished


@pytest.mark.parametrize(
    ("kind", "outcome"),
    [
        ("a million keys", "more than 1024 fields"),
        ("a million tags", "more than 16 entries"),
        ("two million messages", "accepted"),
        ("a million odd roles", "messages[0].role"),
        ("one long text", "accepted"),
        ("deep lists", "nested too deeply"),
        ("long model", "longer than 256"),
        ("long role", "messages[0].role"),
        ("backslashes", "accepted"),
    ],
)
def test_a_hostile_body_costs_little_memory_and_linear_time(kind: str, outcome: str, tmp_path: Path) -> None:
    cost = cost_of(FORM, BODIES[kind]().replace(b'{"model":', b'{"max_tokens":9,"model":', 1), tmp_path)

    assert outcome in cost.outcome
    assert len(cost.outcome) < 1000
    assert cost.parsing_mib <= 64
    assert cost.sending_mib <= 64
    assert cost.seconds < 5


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=6,
)


@examples(st.dictionaries(st.text(min_size=1, max_size=6), JSON, max_size=5))
def test_members_that_nobody_knows_pass_byte_for_byte(members: dict[str, object]) -> None:
    known = {"model": "m", "max_tokens": 9, "messages": [{"role": "user"}]}
    data = json.dumps({**members, **known}, separators=(",", ":"), ensure_ascii=False).encode()

    try:
        envelope = parse_envelope(data)
    except InvalidRequestError as error:
        assert error.param is not None  # noqa: PT017  a random member that is known, of a wrong type
    else:
        assert json.loads(render_upstream(envelope, SAME)) == json.loads(data)
