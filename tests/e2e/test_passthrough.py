"""Same format on both sides: bytes pass through. Compared with what the upstream recorded."""

import json

import pytest

from tests.fakes.openai_api import CREDENTIAL, FakeOpenAI
from tests.gateway import KEY, Gateway, events_of, hello

# Spellings that a decoder and encoder would not give back: spaces, escapes, number forms, order, unpaired surrogates.
ODD = (
    b'{ "messages" : [ {"role":"user","content":"caf\\u00e9 \\/ \\ud83c\\udf0a"} ],\n'
    b'  "temperature" : 1.0e+0, "seed":  9007199254740993, "model":"gpt-4o",'
    b'"logit_bias":{"50256":-100}, "metadata" : {"b":"2","a":"1"},\t"top_p":1.00}'
)


def members(body: bytes) -> list[tuple[str, str]]:
    """The members of a JSON object with their values' own bytes."""
    import msgspec

    return [(name, bytes(raw).decode()) for name, raw in msgspec.json.decode(body, type=dict[str, msgspec.Raw]).items()]


def test_every_value_but_the_model_reaches_the_upstream_byte_for_byte(gateway: Gateway, fake: FakeOpenAI) -> None:
    assert gateway.chat(ODD).status == 200
    sent = dict(members(fake.last.body))
    assert sent == dict(members(ODD))
    assert [name for name, _ in members(fake.last.body)] == [name for name, _ in members(ODD)]


def test_an_alias_replaces_the_model_and_nothing_else(gateway: Gateway, fake: FakeOpenAI) -> None:
    assert gateway.chat(ODD.replace(b'"gpt-4o"', b'"free/gpt-4.1"')).status == 200
    assert dict(members(fake.last.body)) == dict(members(ODD)) | {"model": '"gpt-4.1"'}


def test_a_field_that_nobody_knows_is_the_upstreams_to_judge(gateway: Gateway, fake: FakeOpenAI) -> None:
    body = ODD.replace(b'"seed"', b'"x_new_field":{"deep":[1, 2 ,3]},"seed"')
    gateway.chat(body)
    assert dict(members(fake.last.body))["x_new_field"] == '{"deep":[1, 2 ,3]}'


def test_a_stream_asks_for_usage_and_changes_nothing_else(gateway: Gateway, fake: FakeOpenAI) -> None:
    body = ODD.replace(b'"top_p":1.00', b'"stream":true,"top_p":1.00')
    answer = gateway.chat(body)
    assert events_of(answer.body)[-1] == "[DONE]"
    sent = dict(members(fake.last.body))
    assert json.loads(sent.pop("stream_options")) == {"include_usage": True}
    assert sent == dict(members(body))
    assert b'"usage":{' not in answer.body


def test_stream_options_of_the_caller_are_kept(gateway: Gateway, fake: FakeOpenAI) -> None:
    gateway.chat(hello(stream=True, stream_options={"include_obfuscation": False}))
    assert fake.last.json["stream_options"] == {"include_obfuscation": False, "include_usage": True}


def test_the_limit_of_output_tokens_is_sent_under_the_name_that_the_vendor_takes(
    gateway: Gateway, fake: FakeOpenAI
) -> None:
    # OpenAI's reasoning models refuse max_tokens, and so does the fake.
    assert gateway.chat(hello(model="free/o3-mini", max_tokens=17)).status == 200
    assert (fake.last.json["max_completion_tokens"], "max_tokens" in fake.last.json) == (17, False)


def test_a_whole_answer_comes_back_byte_for_byte(gateway: Gateway, fake: FakeOpenAI) -> None:
    from tests.fakes.openai_answers import chat

    assert gateway.chat(hello()).body == chat(hello()).whole


def test_a_stream_comes_back_byte_for_byte(gateway: Gateway) -> None:
    from tests.fakes.openai_answers import chat

    body = hello(stream=True, stream_options={"include_usage": True})
    assert gateway.chat(body).body == b"".join(chat(body).events) + b"data: [DONE]\n\n"


def test_the_upstream_gets_its_own_credential_and_none_of_the_callers_headers(
    gateway: Gateway, fake: FakeOpenAI
) -> None:
    gateway.chat(hello(), headers={"cookie": "a=b", "x-forwarded-for": "1.2.3.4", "openai-organization": "org-x"})
    names = {name for name, _ in fake.last.headers}
    assert fake.last.header("authorization") == f"Bearer {CREDENTIAL}"
    assert not names & {"cookie", "x-forwarded-for", "openai-organization", "x-api-key"}
    assert KEY.encode() not in fake.last.head + fake.last.body


@pytest.mark.parametrize("field", ["api_base", "base_url", "api_key", "custom_llm_provider", "extra_headers"])
def test_a_routing_field_is_refused_and_never_used(gateway: Gateway, fake: FakeOpenAI, field: str) -> None:
    before = len(fake.exchanges)
    answer = gateway.chat(hello(**{field: "http://169.254.169.254"}))
    assert (answer.status, answer.code, answer.json["error"]["param"]) == (400, "unsupported_parameter", field)
    assert len(fake.exchanges) == before
