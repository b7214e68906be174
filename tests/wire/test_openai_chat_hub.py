"""Chat requests into the hub and back."""

import json
from pathlib import Path

import pytest
from hypothesis import given as examples
from hypothesis import strategies as st
from msgspec import Raw
from msgspec.structs import replace

from headgate.domain import chat
from headgate.domain.errors import InvalidRequestError, UnsupportedFeatureError
from headgate.wire.format import UpstreamBody
from headgate.wire.openai_chat_hub import parse_request, render_request
from tests.wire.golden import cases_with, check_golden, given, without_nulls

OPENAPI = Path(__file__).resolve().parents[3] / "shared" / "data" / "openai-openapi.json"


def canonical(body: bytes) -> object:
    """Return a request with the spellings that the hub unites written one way."""
    request = json.loads(body)
    if isinstance(request.get("stop"), str):
        request["stop"] = [request["stop"]]
    if "max_tokens" in request:
        request["max_completion_tokens"] = request.pop("max_tokens")
    if "safety_identifier" in request and "user" not in request:
        request["user"] = request.pop("safety_identifier")
    for message in request["messages"]:
        content = message.get("content")
        if isinstance(content, list) and message["role"] == "assistant":
            refusals = [part for part in content if part["type"] == "refusal"]
            if len(refusals) == 1:
                message["refusal"] = refusals[0]["refusal"]
                message["content"] = content = [part for part in content if part["type"] != "refusal"]
        if isinstance(content, list) and len(content) == 1 and set(content[0]) == {"type", "text"}:
            message["content"] = content[0]["text"]
    return without_nulls(request)


@pytest.mark.parametrize("case", cases_with("request.json"))
def test_a_request_reads_into_the_hub_as_written_down(case: str) -> None:
    check_golden(case, "request.hub.json", parse_request(given(case, "request.json")))


@pytest.mark.parametrize("case", cases_with("request.json"))
def test_every_field_of_a_request_survives_the_hub(case: str) -> None:
    body = given(case, "request.json")

    rendered = render_request(parse_request(body)).body

    assert without_nulls(json.loads(rendered)) == canonical(body)
    assert parse_request(rendered) == parse_request(body)


@pytest.mark.parametrize("case", cases_with("request.json"))
def test_golden_requests_hold_only_fields_that_openai_describes(case: str) -> None:
    if not OPENAPI.is_file():
        pytest.skip("OpenAI's API description does not lie beside the repository")
    schemas = json.loads(OPENAPI.read_text("utf-8"))["components"]["schemas"]

    def names(schema: dict[str, object]) -> set[str]:
        if "$ref" in schema:
            return names(schemas[str(schema["$ref"]).rsplit("/", 1)[1]])
        found = set(schema.get("properties", {}))
        return found.union(*(names(part) for part in schema.get("allOf", [])))

    request = json.loads(given(case, "request.json"))
    assert set(request) <= names({"$ref": "#/components/schemas/CreateChatCompletionRequest"})
    for message in request["messages"]:
        known = names({"$ref": f"#/components/schemas/ChatCompletionRequest{message['role'].title()}Message"})
        # DeepSeek's, which the vendors that reason share.
        assert set(message) - {"reasoning_content"} <= known


def test_unknown_fields_survive_the_hub_byte_for_byte_at_every_level() -> None:
    odd = b'{"b" :1e2,  "a":"\\u00e9"}'
    body = (
        b'{"model":"m","x_top":%b,"a/b~c":%b,"stream_options":{"x_stream":%b},"messages":[{"role":"user","x_message":%b,'
        b'"content":[{"type":"image_url","image_url":{"url":"https://e.example/i","x_url":%b},"x_part":%b},'
        b'{"type":"video_url","video_url":{"url":"https://e.example/v"},"x_video":%b}]},'
        b'{"role":"assistant","audio":{"id":"a","x_audio":%b},"tool_calls":[{"id":"c","type":"function","x_call":%b,'
        b'"function":{"name":"f","arguments":"{}","x_function":%b}},{"id":"d","type":"mcp","x_mcp":%b}]}],'
        b'"tools":[{"type":"function","function":{"name":"f","x_tool":%b}},{"type":"web","x_web":%b}]}'
    ).replace(b"%b", odd)

    rendered = render_request(parse_request(body)).body

    assert rendered.count(odd) == body.count(odd) == 13
    assert json.loads(rendered) == {**json.loads(body), "messages": json.loads(rendered)["messages"]}
    assert without_nulls(json.loads(rendered)) == json.loads(body)


def test_schemas_and_arguments_keep_their_bytes() -> None:
    schema = b'{ "type":"object",\n"properties":{} }'
    arguments = '{"half": "of it'
    body = b'{"model":"m","messages":[{"role":"assistant","tool_calls":[{"id":"c","type":"function",'
    body += (
        b'"function":{"name":"f","arguments":%b}}]}],"tools":[{"type":"function","function":{"name":"f","parameters":%b}}]}'
        % (
            json.dumps(arguments).encode(),
            schema,
        )
    )

    request = parse_request(body)

    assert request.tools == (chat.FunctionTool("f", parameters=Raw(schema)),)
    assert request.messages[0].parts == (chat.ToolCallPart("c", "f", arguments),)
    assert schema in render_request(request).body


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b'{"messages":[]}', "model"),
        (b'{"model":"m","messages":[{"role":"user"},{"content":"x"}]}', "messages[1].role"),
        (b'{"model":"m","messages":[{"role":"user","content":5}]}', "messages[0].content"),
        (b'{"model":"m","messages":[{"role":"user","content":[{"text":"x"}]}]}', "messages[0].content[0].type"),
        (
            b'{"model":"m","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":7}}]}]}',
            "messages[0].content[0].image_url.url",
        ),
        (b'{"model":"m","messages":[{"role":"tool","content":"x"}]}', "messages[0].tool_call_id"),
        (b'{"model":"m","messages":[],"temperature":"hot"}', "temperature"),
        (b'{"model":"m","messages":[],"temperature":1e400}', "temperature"),
        (b'{"model":"m","messages":[],"logit_bias":{"5":"x"}}', "logit_bias[...]"),
        (b'{"model":"m","messages":[],"tools":[{"type":"function"}]}', "tools[0].function"),
        (b'{"model":"m","messages":[],"audio":{"voice":{}, "format":"wav"}}', "audio.voice.id"),
        (b'{"model":"m","messages":{}}', "messages"),
        (b"[]", "body"),
    ],
)
def test_a_wrong_type_is_refused_by_the_name_of_its_field(body: bytes, param: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse_request(body)

    assert caught.value.param == param


def test_the_function_role_is_refused_rather_than_guessed() -> None:
    with pytest.raises(UnsupportedFeatureError) as caught:
        parse_request(b'{"model":"m","messages":[{"role":"function","name":"f","content":"x"}]}')

    assert caught.value.param == "messages[0].role"


BASE = chat.ChatRequest("anthropic_messages", "m", (chat.Message(chat.Role.USER, (chat.TextPart("hi"),)),))


def with_part(part: chat.Part, role: chat.Role = chat.Role.USER) -> chat.ChatRequest:
    return replace(BASE, messages=(chat.Message(role, (part,)),))


@pytest.mark.parametrize(
    ("request_", "param"),
    [
        (replace(BASE, sampling=chat.Sampling(top_k=5)), "top_k"),
        (replace(BASE, max_output_tokens=0), "max_tokens"),
        (replace(BASE, extras={"container": Raw(b'"c"')}), "container"),
        (replace(BASE, extras={"inference_geo": Raw(b'"eu"')}), "inference_geo"),
        (with_part(chat.FilePart(chat.FileIdSource("f"))), "messages[0].content[0].file"),
        (with_part(chat.TextPart("x", extras={"citations": Raw(b"[]")})), "messages[0].content[0].citations"),
        (with_part(chat.OpaquePart("search_result", Raw(b"{}"))), "messages[0].content[0]"),
        (with_part(chat.ImagePart(chat.FileIdSource("f"))), "messages[0].content[0].image_url.url"),
        (with_part(chat.FilePart(chat.UrlSource("https://e.example/a.pdf"))), "messages[0].content[0].file"),
        (with_part(chat.AudioPart(chat.UrlSource("https://e.example/a"))), "messages[0].content[0].input_audio"),
        (with_part(chat.ThinkingPart("x")), "messages[0].content[0]"),
        (with_part(chat.ToolResultPart("c", (chat.ImagePart(chat.UrlSource("u")),))), "messages[0].parts[0].content"),
        (replace(BASE, tools=(chat.OpaqueTool("computer", Raw(b"{}")),)), "tools[0]"),
        (replace(BASE, tool_choice=chat.AllowedToolsChoice(chat.ToolChoiceMode.AUTO, ())), "tool_choice"),
    ],
)
def test_what_openai_cannot_carry_is_refused_by_name(request_: chat.ChatRequest, param: str) -> None:
    with pytest.raises(UnsupportedFeatureError) as caught:
        render_request(request_)

    assert caught.value.param == param


@pytest.mark.parametrize(
    ("request_", "names"),
    [
        (
            replace(BASE, reasoning=chat.Reasoning(mode="enabled", budget_tokens=9)),
            ("thinking.budget_tokens", "thinking.type"),
        ),
        (replace(BASE, service_tier="standard_only"), ("service_tier",)),
        (replace(BASE, extras={"thinking/display": Raw(b'"omitted"')}), ("thinking.display",)),
        (replace(BASE, extras={"context_management": Raw(b"{}")}), ("context_management",)),
        (replace(BASE, extras={"container": Raw(b"null")}), ()),
        (with_part(chat.TextPart("x", chat.CacheHint(3600))), ("messages[].content[].cache_control.ttl",)),
        (with_part(chat.TextPart("x", extras={"citations": Raw(b"null")})), ()),
        (with_part(chat.ThinkingPart("x", "sig"), chat.Role.ASSISTANT), ("messages[].signature",)),
        (with_part(chat.ThinkingPart("x", ""), chat.Role.ASSISTANT), ()),
        (with_part(chat.RedactedThinkingPart("x"), chat.Role.ASSISTANT), ("messages[].redacted_thinking",)),
        (with_part(chat.ToolResultPart("c", (), is_error=True)), ("messages[].parts[].is_error",)),
        (replace(BASE, tools=(chat.FunctionTool("f", cache=chat.CacheHint()),)), ("tools[].cache_control",)),
        (
            with_part(
                chat.ToolCallPart("c", "f", "{}", extras={"caller": Raw(b'{"type": "direct"}')}), chat.Role.ASSISTANT
            ),
            (),
        ),
    ],
)
def test_a_hint_that_openai_cannot_carry_is_left_out_aloud(request_: chat.ChatRequest, names: tuple[str, ...]) -> None:
    assert render_request(request_).ignored == names


def test_thinking_that_a_caller_sends_back_keeps_its_proofs() -> None:
    parts = (chat.ThinkingPart("a", "s1"), chat.RedactedThinkingPart("x"), chat.ThinkingPart("b", "s2"))
    request = replace(BASE, dialect="openai_chat", messages=(chat.Message(chat.Role.ASSISTANT, parts),))

    body = render_request(request).body

    assert json.loads(body)["messages"][0]["reasoning_content"] == "ab"
    assert parse_request(body) == request


@pytest.mark.parametrize(
    "details",
    [
        '[{"type":"reasoning.text","signature":"s"},{"type":"reasoning.text","signature":"t"}]',
        '[{"type":"reasoning.text","signature":"s","text":"other"}]',
        '[{"type":"reasoning.summary","summary":"s"}]',
        '{"a":1}',
    ],
)
def test_proofs_of_another_shape_stay_where_they_are(details: str) -> None:
    start = '{"model":"m","messages":[{"role":"assistant","reasoning_content":"ab","reasoning_details":'

    message = parse_request(f"{start}{details}}}]}}".encode()).messages[0]

    assert message.parts == (chat.ThinkingPart("ab"),)
    assert message.extras == {"reasoning_details": Raw(details.encode())}


def test_a_plain_text_document_becomes_a_file() -> None:
    body = json.loads(render_request(with_part(chat.FilePart(chat.TextSource("hé"), "a.txt"))).body)

    assert body["messages"][0]["content"] == [
        {"type": "file", "file": {"file_data": "data:text/plain;base64,aMOp", "filename": "a.txt"}}
    ]


def test_results_inside_a_users_turn_become_tool_messages_before_it() -> None:
    turn = chat.Message(
        chat.Role.USER,
        (chat.ToolResultPart("c1", (chat.TextPart("18"),)), chat.ToolResultPart("c2", ()), chat.TextPart("Well?")),
    )

    body = json.loads(render_request(replace(BASE, messages=(turn,))).body)

    assert body["messages"] == [
        {"role": "tool", "tool_call_id": "c1", "content": "18"},
        {"role": "tool", "tool_call_id": "c2", "content": ""},
        {"role": "user", "content": "Well?"},
    ]


def test_the_maximum_of_output_goes_under_the_vendors_name() -> None:
    body = json.loads(render_request(replace(BASE, max_output_tokens=7), UpstreamBody("m", "max_tokens")).body)

    assert body["max_tokens"] == 7
    assert "max_completion_tokens" not in body


def test_an_end_user_beside_another_identifier_keeps_both() -> None:
    body = b'{"model":"m","messages":[{"role":"user","content":"x"}],"user":"a","safety_identifier":"b"}'

    assert json.loads(render_request(parse_request(body)).body) == json.loads(body)


TEXTS = st.text(st.characters(codec="utf-8"), max_size=12)
PARTS = st.one_of(
    st.builds(chat.TextPart, TEXTS, st.none() | st.just(chat.CacheHint())),
    st.builds(chat.ImagePart, st.builds(chat.UrlSource, st.just("https://e.example/i")), st.none() | st.just("low")),
    st.builds(chat.AudioPart, st.builds(chat.InlineData, st.just("AAAA")), st.just("wav")),
    st.builds(chat.FilePart, st.builds(chat.FileIdSource, st.just("file-1")), st.none() | TEXTS),
)
MESSAGES = st.one_of(
    st.builds(
        chat.Message,
        st.sampled_from([chat.Role.SYSTEM, chat.Role.DEVELOPER, chat.Role.USER]),
        st.lists(PARTS, min_size=1, max_size=3).map(tuple),
        st.none() | TEXTS,
    ),
    st.builds(
        lambda thought, text, calls: chat.Message(chat.Role.ASSISTANT, (*thought, *text, *calls)),
        st.lists(st.builds(chat.ThinkingPart, TEXTS), max_size=1),
        st.lists(st.builds(chat.TextPart, TEXTS), max_size=1),
        st.lists(st.builds(chat.ToolCallPart, TEXTS, TEXTS, TEXTS, st.booleans()), max_size=3),
    ),
    st.builds(
        lambda call, content: chat.Message(chat.Role.TOOL, (chat.ToolResultPart(call, (chat.TextPart(content),)),)),
        TEXTS,
        TEXTS,
    ),
)


@examples(st.lists(MESSAGES, min_size=1, max_size=4))
def test_what_is_rendered_reads_back_the_same(messages: list[chat.Message]) -> None:
    request = replace(BASE, dialect="openai_chat", messages=tuple(messages))

    assert parse_request(render_request(request).body) == request
