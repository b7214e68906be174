"""Anthropic's requests into the hub and back."""

import json

import pytest
from msgspec import Raw

from headgate.domain import chat
from headgate.domain.errors import InvalidRequestError, UnsupportedFeatureError
from headgate.wire.anthropic_messages_hub import parse_request
from headgate.wire.anthropic_messages_render import render_request
from tests.wire.golden import cases_with, check_golden, given, without_nulls

FORM = "anthropic_messages"
REQUESTS = cases_with("request.json", FORM)


def canonical(body: bytes) -> object:
    """Return a request with the spellings that the hub unites written one way."""
    request = json.loads(body)
    for message in request["messages"]:
        if isinstance(message["content"], list):
            for block in message["content"]:
                content = block.get("content")
                if block["type"] == "tool_result" and isinstance(content, list) and len(content) == 1:
                    block["content"] = content[0]["text"]
    return without_nulls(request)


@pytest.mark.parametrize("case", REQUESTS)
def test_a_request_reads_into_the_hub_as_written_down(case: str) -> None:
    check_golden(case, "request.hub.json", parse_request(given(case, "request.json", FORM)), FORM)


@pytest.mark.parametrize("case", REQUESTS)
def test_every_field_of_a_request_survives_the_hub(case: str) -> None:
    body = given(case, "request.json", FORM)

    rendered = render_request(parse_request(body))

    assert without_nulls(json.loads(rendered.body)) == canonical(body)
    assert rendered.ignored == ()
    assert parse_request(rendered.body) == parse_request(body)


def test_unknown_fields_survive_the_hub_byte_for_byte_at_every_level() -> None:
    odd = b'{"b" :1e2,  "a":"\\u00e9"}'
    body = (
        b'{"model":"m","max_tokens":1,"x_top":%b,"a/b~c":%b,"metadata":{"x_meta":%b},"output_config":{"x_config":%b},'
        b'"thinking":{"type":"adaptive","x_thinking":%b},"messages":[{"role":"user","x_message":%b,"content":['
        b'{"type":"text","text":"a","x_text":%b},{"type":"image","source":{"type":"url","url":"u"},"x_image":%b},'
        b'{"type":"image","source":{"type":"url","url":"u","x_source":%b}},{"type":"new_block","x_new":%b},'
        b'{"type":"tool_result","tool_use_id":"t","x_result":%b,"content":[{"type":"tool_reference","x_ref":%b}]},'
        b'{"type":"redacted_thinking","data":"d","x_hidden":%b}]}],"tools":[{"name":"f","input_schema":{},"x_tool":%b},'
        b'{"type":"bash_20250124","name":"bash","x_bash":%b}],"tool_choice":{"type":"auto","x_choice":%b}}'
    ).replace(b"%b", odd)

    rendered = render_request(parse_request(body)).body

    assert rendered.count(odd) == body.count(odd) == 16
    assert json.loads(rendered) == json.loads(body)


def test_schemas_and_inputs_keep_their_bytes() -> None:
    schema, given_input = b'{ "type":"object",\n"properties":{} }', b'{"n" : 1.0e2}'
    body = (
        b'{"model":"m","max_tokens":1,"messages":[{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"f",'
        b'"input":%b}]}],"tools":[{"name":"f","input_schema":%b}]}' % (given_input, schema)
    )

    request = parse_request(body)

    assert request.tools == (chat.FunctionTool("f", parameters=Raw(schema)),)
    assert request.messages[0].parts == (chat.ToolCallPart("t", "f", given_input.decode()),)
    rendered = render_request(request).body
    assert schema in rendered
    assert given_input in rendered


@pytest.mark.parametrize(
    ("members", "param"),
    [
        (b'"messages":[{"role":"user"},{"content":"x"}]', "messages[1].role"),
        (b'"messages":[{"role":"user","content":5}]', "messages[0].content"),
        (b'"messages":[{"role":"user","content":[{"text":"x"}]}]', "messages[0].content[0].type"),
        (b'"messages":[{"role":"user","content":[{"type":"text"}]}]', "messages[0].content[0].text"),
        (
            b'"messages":[{"role":"user","content":[{"type":"image","source":{"type":"url"}}]}]',
            "messages[0].content[0].source.url",
        ),
        (
            b'"messages":[{"role":"user","content":[{"type":"tool_result","content":"x"}]}]',
            "messages[0].content[0].tool_use_id",
        ),
        (b'"messages":[],"system":5', "system"),
        (b'"messages":[],"temperature":"hot"', "temperature"),
        (b'"messages":[],"stop_sequences":"x"', "stop_sequences"),
        (b'"messages":[],"thinking":"on"', "thinking"),
        (b'"messages":[],"tools":[{"input_schema":{}}]', "tools[0].name"),
        (b'"messages":[],"tool_choice":{"type":"tool"}', "tool_choice.name"),
        (b'"messages":{}', "messages"),
    ],
)
def test_a_wrong_type_is_refused_by_the_name_of_its_field(members: bytes, param: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse_request(b'{"model":"m",%b}' % members)

    assert caught.value.param == param


def test_an_unknown_role_is_refused_rather_than_guessed() -> None:
    with pytest.raises(UnsupportedFeatureError) as caught:
        parse_request(b'{"model":"m","messages":[{"role":"tool","content":"x"}]}')

    assert caught.value.param == "messages[0].role"


def test_a_deprecated_output_format_comes_back_under_its_new_name() -> None:
    form = b'{"type":"json_schema","schema":{"type":"object"}}'
    request = parse_request(b'{"model":"m","messages":[{"role":"user","content":"x"}],"output_format":%b}' % form)

    assert request.answer_format == chat.JsonSchemaFormat(schema=Raw(b'{"type":"object"}'), strict=True)
    assert json.loads(render_request(request).body)["output_config"] == {"format": json.loads(form)}


@pytest.mark.parametrize(
    "value",
    [
        b'"thinking":{"type":"between_tools"}',
        b'"output_config":{"format":{"type":"xml"}}',
        b'"output_format":{"type":"json_schema","schema":{},"x":1}',
        b'"tool_choice":{"type":"none","disable_parallel_tool_use":true}',
        b'"cache_control":{"type":"ephemeral","ttl":"2h"}',
    ],
)
def test_a_value_that_the_hub_does_not_model_stays_where_it_was(value: bytes) -> None:
    body = b'{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"x"}],%b}' % value

    assert json.loads(render_request(parse_request(body)).body) == json.loads(body)
