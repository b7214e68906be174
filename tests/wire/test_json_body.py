"""Reading a body without trusting it: members untouched, or a clean refusal, whatever the bytes are."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import Raw

from headgate.domain.errors import InvalidRequestError, UnsupportedParameterError
from headgate.wire.json_body import MAX_MEMBERS, mask_lone_surrogates, read_any, read_members, refuse_routing_fields

ROUTING = """
api_base base_url api_key api_version api_type custom_llm_provider organization extra_headers extra_body extra_query
headers timeout fallbacks mock_response deployment_id azure_endpoint azure_ad_token aws_access_key_id
aws_secret_access_key aws_bedrock_runtime_endpoint vertex_project vertex_credentials litellm_params litellm_metadata
user_api_key_team_id model_list user_config models input_cost_per_token
""".split()  # noqa: SIM905  words in a block read better
# Bodies of OpenAI and of documented OpenAI-compatible vendors.
LEGITIMATE = """
model messages metadata user organization_id_of_mine top_k min_p repetition_penalty chat_template_kwargs guided_json
provider route transforms reasoning plugins safe_prompt random_seed search_parameters enable_thinking keep_alive
format options raw prompt_cache_key service_tier store web_search_options models_hint vertexes
""".split()  # noqa: SIM905


@pytest.mark.parametrize("name", ROUTING)
def test_a_routing_field_is_refused_by_name(name: str) -> None:
    with pytest.raises(UnsupportedParameterError) as caught:
        refuse_routing_fields({"model": Raw(b'"m"'), name: Raw(b'"https://evil.example"')})

    assert caught.value.param == name
    assert caught.value.code == "unsupported_parameter"
    assert "evil.example" not in caught.value.message


@pytest.mark.parametrize("name", LEGITIMATE)
def test_a_vendors_own_parameter_is_let_through(name: str) -> None:
    members = read_members(json.dumps({"model": "m", name: "x"}).encode())

    refuse_routing_fields(members)
    assert members[name] in (Raw(b'"x"'), Raw(b'"m"'))


def test_an_escaped_name_of_a_routing_field_is_still_refused() -> None:
    with pytest.raises(UnsupportedParameterError):
        refuse_routing_fields(read_members(b'{"api_b\\u0061se":"https://evil.example"}'))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"\xef\xbb\xbf{}", "byte order mark"),
        (b"[]", "must be a JSON object"),
        (b'"x"', "must be a JSON object"),
        (b"null", "must be a JSON object"),
        (b"{", "not valid JSON"),
        (b'{"a":1} x', "not valid JSON"),
        (b'{"a":NaN}', "not valid JSON"),
        (b'{"a":Infinity}', "not valid JSON"),
        (b"{'a':1}", "not valid JSON"),
        (b'{"a":01}', "not valid JSON"),
        (b'{"a":"\x00"}', "not valid JSON"),
        (b'{"a":"\xff"}', "not valid UTF-8"),
        (b'{"a":"\xed\xa0\xbd"}', "not valid UTF-8"),
        (b'{"a":"\xc3', "not valid UTF-8"),
        (b'{"\\ud83d":1}', "not valid JSON"),
        (b'{"a":' + b"[" * 10_000 + b"]" * 10_000 + b"}", "nested too deeply"),
        (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "nested too deeply"),
        (json.dumps({f"k{n}": 1 for n in range(MAX_MEMBERS + 1)}).encode(), "more than 1024 fields"),
        (b"\x1f\x8b\x08\x00", "not valid"),
    ],
)
def test_what_cannot_be_read_is_refused_in_words(body: bytes, words: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        read_members(body)

    assert words in caught.value.message


@pytest.mark.parametrize(
    "value",
    [
        b"1e400",
        b"-1E+400",
        b"9" * 5000,
        b'"\\ud83d"',
        b'"\\uDC00 and \\ud83d\\ud83d\\ude00"',
        b'"\\\\ud83d \\ud83d"',
        b'"\\ud83d\\\\"',
        b'{"\\ud83d":[ ]}',
        '"¡\\ud83d"'.encode(),
        b"[" * 300 + b"]" * 300,
        b'"\x7f"',
    ],
)
def test_odd_but_valid_values_stay_the_callers_bytes(value: bytes) -> None:
    members = read_members(b'{"a" : ' + value + b' ,"b":1}')

    assert bytes(members["a"]) == value
    assert bytes(members["b"]) == b"1"


def test_a_thousand_members_are_fine() -> None:
    assert len(read_members(json.dumps({f"k{n}": {"a": n} for n in range(MAX_MEMBERS)}).encode())) == MAX_MEMBERS


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":1,"b":2,"a":3}',
        b'{"a":1,"b":2,"\\u0061":3}',
        b'{"a":1,"a":1}',
        b'{"":0,"":0}',
        b'{ "a" : 1 , "a" : 2 }',
        b'{"a":"\\ud83d","a":2}',
        '{"ä":1,"ä":2}'.encode(),
    ],
)
def test_one_key_twice_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequestError, match="same field twice"):
        read_members(body)


@given(st.dictionaries(st.text(max_size=4), st.integers() | st.text(max_size=5), max_size=6), st.booleans())
def test_an_object_without_duplicates_is_never_taken_for_one(value: dict[str, object], compact: bool) -> None:
    body = json.dumps(value, separators=(",", ":") if compact else None).encode("utf-8", "surrogatepass")
    assert len(read_members(body)) == len(value)


@given(st.binary(max_size=60) | st.text(max_size=40).map(lambda text: text.encode("utf-8", "surrogatepass")))
@example(b'{"a":"\\ud83d')
@example(b"{" * 2000)
def test_any_bytes_give_members_or_a_clean_refusal(body: bytes) -> None:
    try:
        members = read_members(body)
    except InvalidRequestError:
        members = None

    assert members is None or members.keys() == json.loads(body).keys()


@given(st.text(st.characters(), max_size=20))
def test_masking_half_surrogate_pairs_can_be_undone(text: str) -> None:
    data = json.dumps(text).encode()
    masked = mask_lone_surrogates(data)

    if masked is None:
        assert not any(0xD800 <= ord(character) <= 0xDFFF for character in text)
    else:
        assert len(masked[0]) == len(data)
        assert masked[0].replace(masked[1], b"\\u") == data
        assert read_any(data) == text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
