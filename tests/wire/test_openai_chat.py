"""The chat envelope: what is checked, what is replaced, and that everything else stays the caller's bytes."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given as examples
from hypothesis import strategies as st
from msgspec.structs import replace

from headgate.domain.errors import InvalidRequestError
from headgate.wire import WIRE_FORMATS
from headgate.wire.format import UpstreamBody
from headgate.wire.openai_chat import OPENAI_CHAT, input_text, parse_envelope, render_upstream
from tests.wire.golden import cases_with, given
from tests.wire.hostile import cost_of

MESSAGES = b'"messages":[{"role":"user","content":"hi"}]'
SAME = UpstreamBody("m")


def body(members: bytes = b"") -> bytes:
    return b'{"model":"m",' + MESSAGES + (b"," + members if members else b"") + b"}"


def test_the_table_lists_the_format_by_its_name() -> None:
    assert WIRE_FORMATS["openai_chat"] is OPENAI_CHAT
    assert all(name == row.name for name, row in WIRE_FORMATS.items())


@pytest.mark.parametrize("case", cases_with("request.json"))
def test_the_envelope_of_a_golden_request(case: str) -> None:
    data = given(case, "request.json")
    request, envelope = json.loads(data), parse_envelope(data)

    assert envelope.model == request["model"]
    assert envelope.stream is request.get("stream", False)
    assert list(envelope.fields) == list(request)
    assert all(bytes(value) in data for value in envelope.fields.values())


def test_everything_the_gateway_acts_on_is_read() -> None:
    envelope = parse_envelope(
        body(
            b'"stream":true,"stream_options":{"include_usage":true},"max_tokens":9,"user":"u","n":2,'
            b'"metadata":{"team":"web","a":"b"}'
        )
    )

    assert (envelope.stream, envelope.wants_usage) == (True, True)
    assert (envelope.max_output_tokens, envelope.max_output_field) == (9, "max_tokens")
    assert envelope.end_user == "u"
    assert envelope.tags == (("team", "web"), ("a", "b"))


def test_nulls_count_as_absent() -> None:
    names = ("stream", "stream_options", "max_tokens", "max_completion_tokens", "n", "user", "metadata")
    data = body(",".join(f'"{name}":null' for name in names).encode())
    envelope = parse_envelope(data)

    assert replace(envelope, fields={}) == replace(parse_envelope(body()), fields={})
    assert render_upstream(envelope, SAME) == data


def test_the_safety_identifier_is_preferred_as_end_user() -> None:
    assert parse_envelope(body(b'"safety_identifier":"b","user":"a"')).end_user == "b"
    assert parse_envelope(body(b'"safety_identifier":null,"user":"a"')).end_user == "a"


@pytest.mark.parametrize(
    ("data", "param"),
    [
        (b"{%b}" % MESSAGES, "model"),
        (b'{"model":"",%b}' % MESSAGES, "model"),
        (b'{"model":" ",%b}' % MESSAGES, "model"),
        (b'{"model":null,%b}' % MESSAGES, "model"),
        (b'{"model":5,%b}' % MESSAGES, "model"),
        (b'{"model":"a\\r\\nx: y",%b}' % MESSAGES, "model"),
        (b'{"model":"a\\u0000",%b}' % MESSAGES, "model"),
        (b'{"model":"\\ud83d",%b}' % MESSAGES, "model"),
        (b'{"model":"%b",%b}' % (b"x" * 257, MESSAGES), "model"),
        (b'{"model":"m"}', "messages"),
        (b'{"model":"m","messages":[]}', "messages"),
        (b'{"model":"m","messages":null}', "messages"),
        (b'{"model":"m","messages":{}}', "messages"),
        (b'{"model":"m","messages":"x"}', "messages"),
        (b'{"model":"m","messages":["x"]}', "messages[0]"),
        (b'{"model":"m","messages":[{"role":"user"},{}]}', "messages[1]"),
        (b'{"model":"m","messages":[{"role":"user"},{"role":"user"},{"role":7}]}', "messages[2].role"),
        (body(b'"stream":"yes"'), "stream"),
        (body(b'"stream":1'), "stream"),
        (body(b'"stream_options":5'), "stream_options"),
        (body(b'"stream_options":{"include_usage":"x"}'), "stream_options.include_usage"),
        (body(b'"max_tokens":0'), "max_tokens"),
        (body(b'"max_tokens":-1'), "max_tokens"),
        (body(b'"max_tokens":1.5'), "max_tokens"),
        (body(b'"max_tokens":"9"'), "max_tokens"),
        (body(b'"max_tokens":true'), "max_tokens"),
        (body(b'"max_tokens":1e18'), "max_tokens"),
        (body(b'"max_tokens":%b' % (b"9" * 5000)), "max_tokens"),
        (body(b'"max_completion_tokens":2147483649'), "max_completion_tokens"),
        (body(b'"max_completion_tokens":5,"max_tokens":5'), "max_tokens"),
        (body(b'"n":0'), "n"),
        (body(b'"n":129'), "n"),
        (body(b'"n":1000'), "n"),
        (body(b'"user":5'), "user"),
        (body(b'"user":"a\\nb"'), "user"),
        (body(b'"user":"a\\u2028b"'), "user"),
        (body(b'"user":"%b"' % (b"x" * 513)), "user"),
        (body(b'"safety_identifier":"a\\u001b[0m"'), "safety_identifier"),
        (body(b'"metadata":[]'), "metadata"),
        (body(b'"metadata":{"a":1}'), "metadata.a"),
        (body(b'"metadata":{"a":"b\\r\\nc"}'), "metadata.a"),
        (body(b'"metadata":{"a":"%b"}' % (b"x" * 513)), "metadata.a"),
        (body(b'"metadata":{"%b":"x"}' % (b"x" * 65)), "metadata"),
        (body(b'"metadata":{%b}' % b",".join(b'"k%d":"x"' % n for n in range(17))), "metadata"),
        (body(b'"metadata":{"user_api_key_team_id":"x"}'), "metadata.user_api_key_team_id"),
    ],
)
def test_a_malformed_envelope_names_the_field(data: bytes, param: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse_envelope(data)

    assert caught.value.param == param
    assert caught.value.status == 400
    assert len(caught.value.message) < 1000


@pytest.mark.parametrize(
    "data",
    [
        body(b'"user":"%b"' % "👩‍💻 ada@example.org".encode()),
        body(b'"metadata":{}'),
        body(b'"max_tokens":2147483648'),
        body(b'"n":128'),
        b'{"model":"%b",%b}' % ("модель/ü-1:latest".encode(), MESSAGES),
        b'{"model":"m","messages":[{"role":"observation"}]}',
    ],
)
def test_unusual_but_fine_envelopes_are_accepted(data: bytes) -> None:
    assert render_upstream(parse_envelope(data), UpstreamBody(json.loads(data)["model"])) == data


# --- The body sent upstream ---------------------------------------------------------------------------------------


def test_every_other_value_is_forwarded_byte_for_byte_in_its_place() -> None:
    data = (
        b' {"temperature" : 1.0e0 , "model":"alias",\n "messages":[ {"role":"user","content":"\\u00e9\\/"} ],'
        b' "tools":[],"x_vendor":{ "b":1e400, "a":12345678901234567890123 },"seed":-0}'
    )

    sent = render_upstream(parse_envelope(data), UpstreamBody("gpt-4o"))

    assert sent == (
        b'{"temperature":1.0e0,"model":"gpt-4o","messages":[ {"role":"user","content":"\\u00e9\\/"} ],"tools":[],'
        b'"x_vendor":{ "b":1e400, "a":12345678901234567890123 },"seed":-0}'
    )


def test_a_field_given_twice_is_refused_before_either_is_believed() -> None:
    with pytest.raises(InvalidRequestError, match="same field twice"):
        parse_envelope(b'{"model":"cheap","mod\\u0065l":"dear",%b}' % MESSAGES)


@pytest.mark.parametrize("given_name", ["max_tokens", "max_completion_tokens"])
@pytest.mark.parametrize("vendors", ["max_tokens", "max_completion_tokens", "max_new_tokens", None])
def test_the_maximum_of_output_takes_the_vendors_name_in_the_callers_place(
    given_name: str, vendors: str | None
) -> None:
    data = b'{"model":"m","%b":7,%b,"top_p":1}' % (given_name.encode(), MESSAGES)

    sent = json.loads(render_upstream(parse_envelope(data), UpstreamBody("m", vendors)))

    assert list(sent) == ["model", vendors or given_name, "messages", "top_p"]
    assert sent[vendors or given_name] == 7


def test_a_null_under_the_vendors_name_is_not_sent_again() -> None:
    data = body(b'"max_completion_tokens":7,"max_tokens":null')

    sent = render_upstream(parse_envelope(data), UpstreamBody("m", "max_tokens"))

    assert sent == body(b'"max_tokens":7')


def test_a_maximum_that_the_gateway_sets_is_sent() -> None:
    envelope = replace(parse_envelope(body()), max_output_tokens=50)

    assert json.loads(render_upstream(envelope, SAME))["max_completion_tokens"] == 50
    assert json.loads(render_upstream(envelope, UpstreamBody("m", "max_tokens")))["max_tokens"] == 50


@pytest.mark.parametrize(
    ("options", "sent"),
    [
        (b"", b'{"include_usage":true}'),
        (b',"stream_options":null', b'{"include_usage":true}'),
        (b',"stream_options":{}', b'{"include_usage":true}'),
        (b',"stream_options":{"include_usage":false}', b'{"include_usage":true}'),
        (b',"stream_options":{"x":[ 1 ],"include_usage":null}', b'{"x":[ 1 ],"include_usage":true}'),
        (b',"stream_options":{"include_usage" : true}', b'{"include_usage" : true}'),
    ],
)
def test_usage_is_asked_for_beside_the_callers_own_stream_options(options: bytes, sent: bytes) -> None:
    data = body(b'"stream":true' + options)

    rendered = render_upstream(parse_envelope(data), UpstreamBody("m", None, True))

    assert rendered == body(b'"stream":true,"stream_options":' + sent)


def test_usage_is_not_asked_for_without_a_stream() -> None:
    assert render_upstream(parse_envelope(body()), UpstreamBody("m", None, True)) == body()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@examples(st.dictionaries(st.text(max_size=6).map(lambda name: "x" + name), JSON, max_size=6), st.booleans())
def test_any_unknown_field_survives_byte_for_byte(unknown: dict[str, object], escaped: bool) -> None:
    values = {name: json.dumps(value, ensure_ascii=escaped).encode() for name, value in unknown.items()}
    members = b",".join(json.dumps(name).encode() + b":" + value for name, value in values.items())
    data = body(members)

    sent = render_upstream(parse_envelope(data), SAME)

    assert json.loads(sent) == json.loads(data)
    assert all(value in sent for value in values.values())


# --- Text for counting --------------------------------------------------------------------------------------------


def test_all_text_that_a_tokenizer_would_see_is_given() -> None:
    texts = " ".join(input_text(parse_envelope(given("tool_result", "request.json"))))

    for word in ("Weather in Paris and Rome?", "get_weather", '{"city":"Paris"}', "18 °C", "sunny", '"required"'):
        assert word in texts


def test_media_and_half_surrogate_pairs_do_not_disturb_the_text() -> None:
    assert "iVBORw0KGgo" not in "".join(input_text(parse_envelope(given("image", "request.json"))))
    odd = b'{"model":"m","messages":[{"role":"user","content":"a \\ud83d b"}]}'
    assert "a \ufffd b" in input_text(parse_envelope(odd))


# --- Hostile bodies: what a process pays for them -----------------------------------------------------------------

MIB = 1 << 20
TAIL = b',"messages":[{"role":"user","content":"x"}]}'


def many(form: bytes) -> bytes:
    return b",".join(form % number for number in range(10**6))


def with_text(content: bytes) -> bytes:
    return b'{"model":"m","messages":[{"role":"user","content":"' + content + b'"}]}'


def with_messages(items: bytes) -> bytes:
    return b'{"model":"m","messages":[' + items + b"]}"


BODIES: dict[str, Callable[[], bytes]] = {
    "a million keys": lambda: b'{"model":"m",' + many(b'"k%d":1') + TAIL,
    "a million tags": lambda: b'{"model":"m","metadata":{' + many(b'"k%d":"1"') + b"}" + TAIL,
    "a million duplicates": lambda: b'{"model":"m",' + b",".join([b'"k":1'] * 10**6) + TAIL,
    "two million messages": lambda: with_messages(b",".join([b'{"role":"user"}'] * (2 * MIB))),
    "a million odd roles": lambda: with_messages(many(b'{"role":"r%d"}')),
    "one long text": lambda: with_text(b"x" * (32 * MIB)),
    "one long text of emoji": lambda: with_text("👋".encode() * (8 * MIB)),
    "many small lists": lambda: b'{"model":"m","x":[' + b"[]," * (10 * MIB) + b"1]" + TAIL,
    "deep lists": lambda: b'{"model":"m","x":' + b"[" * (16 * MIB) + b"]" * (16 * MIB) + TAIL,
    "lone surrogates": lambda: with_text(b"\\ud83d" * (5 * MIB)),
    "colons in text": lambda: with_text(b"{:" * (16 * MIB)),
    "long model": lambda: b'{"model":"' + b"m" * (32 * MIB) + b'"' + TAIL,
    "long role": lambda: with_messages(b'{"role":"' + b"r" * (32 * MIB) + b'"}'),
    "backslashes": lambda: b'{"model":"m","x":"' + b"\\\\" * (16 * MIB - 1) + b'\\ud83d"' + TAIL,
}


@pytest.mark.parametrize(
    ("kind", "outcome"),
    [
        ("a million keys", "more than 1024 fields"),
        ("a million tags", "more than 16 entries"),
        ("a million duplicates", "more than 1024 fields"),
        ("two million messages", "accepted"),
        ("a million odd roles", "messages[0].role"),
        ("one long text", "accepted"),
        ("one long text of emoji", "accepted"),
        ("many small lists", "accepted"),
        ("deep lists", "nested too deeply"),
        ("lone surrogates", "not valid JSON"),
        ("colons in text", "accepted"),
        ("long model", "longer than 256"),
        ("long role", "accepted"),
        ("backslashes", "accepted"),
    ],
)
def test_a_hostile_body_costs_little_memory_and_linear_time(kind: str, outcome: str, tmp_path: Path) -> None:
    cost = cost_of("openai_chat", BODIES[kind](), tmp_path)

    assert outcome in cost.outcome
    assert len(cost.outcome) < 1000
    assert cost.parsing_mib <= 64
    assert cost.sending_mib <= 64
    assert cost.seconds < 5
