"""The hub into Anthropic's requests: what is carried, what is refused by name, what is left out aloud."""

import json
from typing import Any

import pytest
from msgspec import Raw
from msgspec.structs import replace

from headgate.domain import chat
from headgate.domain.errors import UnsupportedFeatureError
from headgate.wire.anthropic_messages_render import render_request
from headgate.wire.format import UpstreamBody

USER = chat.Message(chat.Role.USER, (chat.TextPart("hi"),))
BASE = chat.ChatRequest("openai_chat", "m", (USER,))
WEATHER = chat.FunctionTool("get_weather", parameters=Raw(b'{"type":"object"}'))


def body_of(request: chat.ChatRequest) -> dict[str, Any]:
    return json.loads(render_request(request).body)


def said(role: chat.Role, *texts: str, name: str | None = None) -> chat.Message:
    return chat.Message(role, tuple(map(chat.TextPart, texts)), name)


def with_part(part: chat.Part, role: chat.Role = chat.Role.USER) -> chat.ChatRequest:
    return replace(BASE, messages=(chat.Message(role, (part,)),))


@pytest.mark.parametrize(
    ("request_", "param"),
    [
        (replace(BASE, choices=2), "n"),
        (replace(BASE, logprobs=True), "logprobs"),
        (replace(BASE, top_logprobs=3), "top_logprobs"),
        (replace(BASE, sampling=chat.Sampling(temperature=1.5)), "temperature"),
        (replace(BASE, sampling=chat.Sampling(frequency_penalty=0.1)), "frequency_penalty"),
        (replace(BASE, sampling=chat.Sampling(presence_penalty=-1)), "presence_penalty"),
        (replace(BASE, sampling=chat.Sampling(logit_bias={"5": 1.0})), "logit_bias"),
        (replace(BASE, modalities=("text", "audio")), "modalities"),
        (replace(BASE, audio=chat.AudioOutput("mp3")), "audio"),
        (replace(BASE, answer_format=chat.JsonObjectFormat()), "response_format"),
        (replace(BASE, answer_format=chat.JsonSchemaFormat("a")), "response_format"),
        (replace(BASE, reasoning=chat.Reasoning("minimal")), "reasoning_effort"),
        (replace(BASE, tools=(chat.CustomTool("f"),)), "tools[0]"),
        (replace(BASE, tools=(chat.OpaqueTool("web", Raw(b"{}")),)), "tools[0]"),
        (replace(BASE, tool_choice=chat.NamedToolChoice("f", custom=True)), "tool_choice"),
        (replace(BASE, tool_choice=chat.AllowedToolsChoice(chat.ToolChoiceMode.AUTO, ())), "tool_choice"),
        (replace(BASE, extras={"verbosity": Raw(b'"low"')}), "verbosity"),
        (replace(BASE, extras={"web_search_options": Raw(b"{}")}), "web_search_options"),
        (replace(BASE, messages=(said(chat.Role.USER, "x", name="ann"),)), "messages[0].name"),
        (replace(BASE, messages=(said(chat.Role.SYSTEM, "x"),)), "messages"),
        (
            replace(BASE, messages=(chat.Message(chat.Role.SYSTEM, (chat.RefusalPart("x"),)), USER)),
            "messages[0].content",
        ),
        (with_part(chat.AudioPart(chat.InlineData("AAAA"), "wav")), "messages[0].content[0]"),
        (with_part(chat.OpaquePart("video_url", Raw(b"{}"))), "messages[0].content[0]"),
        (with_part(chat.ImagePart(chat.FileIdSource("f"))), "messages[0].content[0]"),
        (with_part(chat.FilePart(chat.FileIdSource("f"))), "messages[0].content[0]"),
        (with_part(chat.FilePart(chat.InlineData("AAAA", "text/csv"))), "messages[0].content[0]"),
        (with_part(chat.FilePart(chat.InlineData("/w==", "text/plain"))), "messages[0].content[0]"),
        (
            with_part(chat.ToolCallPart("c", "f", "{", extras={}), chat.Role.ASSISTANT),
            "messages[0].content[0].arguments",
        ),
        (with_part(chat.ToolCallPart("c", "f", "[1]"), chat.Role.ASSISTANT), "messages[0].content[0].arguments"),
        (
            with_part(chat.ToolCallPart("c", "f", "x", custom=True), chat.Role.ASSISTANT),
            "messages[0].content[0].arguments",
        ),
        (with_part(chat.TextPart("x", extras={"x_vendor": Raw(b"1")})), "messages[0].content[0].x_vendor"),
    ],
)
def test_what_anthropic_cannot_carry_is_refused_by_name(request_: chat.ChatRequest, param: str) -> None:
    with pytest.raises(UnsupportedFeatureError) as caught:
        render_request(request_)

    assert caught.value.param == param


@pytest.mark.parametrize(
    ("request_", "names"),
    [
        (replace(BASE, extras={"store": Raw(b"true"), "prompt_cache_key": Raw(b'"k"')}), ("store", "prompt_cache_key")),
        (
            replace(BASE, extras={"stream_options/include_obfuscation": Raw(b"false")}),
            ("stream_options.include_obfuscation",),
        ),
        (replace(BASE, service_tier="flex", metadata={"a": "b"}), ("metadata", "service_tier")),
        (replace(BASE, sampling=chat.Sampling(seed=7)), ("seed",)),
        (replace(BASE, parallel_tool_calls=True), ("parallel_tool_calls",)),
        (with_part(chat.ImagePart(chat.UrlSource("u"), "low")), ("messages[].content[].image_url.detail",)),
        (with_part(chat.ThinkingPart("x"), chat.Role.ASSISTANT), ("messages[].content[].reasoning_content",)),
        (with_part(chat.RefusalPart("x"), chat.Role.ASSISTANT), ("messages[].content[].refusal",)),
        (
            replace(BASE, answer_format=chat.JsonSchemaFormat("a", Raw(b"{}"), "d", strict=False)),
            (
                "response_format.json_schema.name",
                "response_format.json_schema.description",
                "response_format.json_schema.strict",
            ),
        ),
        # What says the same as nothing is no news.
        (replace(BASE, choices=1, logprobs=False, top_logprobs=0, modalities=("text",)), ()),
        (replace(BASE, sampling=chat.Sampling(frequency_penalty=0, presence_penalty=0.0, logit_bias={})), ()),
        (replace(BASE, answer_format=chat.TextFormat(), extras={"function_call": Raw(b"null")}), ()),
    ],
)
def test_a_hint_that_anthropic_cannot_carry_is_left_out_aloud(
    request_: chat.ChatRequest, names: tuple[str, ...]
) -> None:
    assert render_request(request_).ignored == names


def test_instructions_at_the_start_become_the_system_and_later_ones_stay_in_place() -> None:
    messages = (
        said(chat.Role.SYSTEM, "a"),
        said(chat.Role.DEVELOPER, "b"),
        USER,
        said(chat.Role.DEVELOPER, "c"),
    )

    body = body_of(replace(BASE, messages=messages))

    assert body["system"] == [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert body["messages"] == [{"role": "user", "content": "hi"}, {"role": "system", "content": "c"}]


def test_consecutive_tool_messages_become_one_turn_of_the_user() -> None:
    calls = chat.Message(
        chat.Role.ASSISTANT,
        (chat.TextPart(""), chat.ToolCallPart("a", "f", ""), chat.ToolCallPart("b", "f", ' {"n":1}')),
    )
    results = [
        chat.Message(chat.Role.TOOL, (chat.ToolResultPart(call, content),), name="f")
        for call, content in (("a", (chat.TextPart("1"),)), ("b", ()))
    ]

    rendered = render_request(replace(BASE, messages=(USER, calls, *results, USER)))

    assert json.loads(rendered.body)["messages"][1:] == [
        {
            "role": "assistant",
            "content": [
                {"type": "tool_use", "id": "a", "name": "f", "input": {}},
                {"type": "tool_use", "id": "b", "name": "f", "input": {"n": 1}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "a", "content": "1"},
                {"type": "tool_result", "tool_use_id": "b"},
            ],
        },
        {"role": "user", "content": "hi"},
    ]
    assert rendered.ignored == ("messages[].name",)


@pytest.mark.parametrize(
    ("choice", "parallel", "written"),
    [
        (None, None, None),
        (None, False, {"type": "auto", "disable_parallel_tool_use": True}),
        (None, True, {"type": "auto", "disable_parallel_tool_use": False}),
        (chat.AnyToolChoice(chat.ToolChoiceMode.REQUIRED), None, {"type": "any"}),
        (chat.AnyToolChoice(chat.ToolChoiceMode.NONE), False, {"type": "none"}),
        (chat.NamedToolChoice("f"), False, {"type": "tool", "name": "f", "disable_parallel_tool_use": True}),
    ],
)
def test_the_choice_of_tools_says_whether_several_may_be_called(
    choice: chat.ToolChoice | None, parallel: bool | None, written: object
) -> None:
    request = replace(BASE, tools=(WEATHER,), tool_choice=choice, parallel_tool_calls=parallel)

    assert body_of(request).get("tool_choice") == written


def test_a_function_without_parameters_takes_an_empty_object() -> None:
    body = body_of(replace(BASE, tools=(chat.FunctionTool("now", strict=True),)))

    assert body["tools"] == [{"name": "now", "input_schema": {"type": "object", "properties": {}}, "strict": True}]


def test_a_maximum_of_output_is_always_stated() -> None:
    assert body_of(BASE)["max_tokens"] == 4096
    assert body_of(replace(BASE, max_output_tokens=7))["max_tokens"] == 7
    body = json.loads(render_request(BASE, UpstreamBody("claude", default_max_output_tokens=64)).body)
    assert (body["model"], body["max_tokens"]) == ("claude", 64)


def test_what_both_formats_know_is_carried() -> None:
    schema = Raw(b'{ "type":"object"}')
    request = replace(
        BASE,
        stream=True,
        stop=("END",),
        sampling=chat.Sampling(temperature=1, top_p=0.5),
        answer_format=chat.JsonSchemaFormat(schema=schema),
        reasoning=chat.Reasoning("high"),
        end_user="u",
    )

    assert body_of(request) == {
        "model": "m",
        "max_tokens": 4096,
        "messages": [{"role": "user", "content": "hi"}],
        "stream": True,
        "stop_sequences": ["END"],
        "temperature": 1,
        "top_p": 0.5,
        "output_config": {"effort": "high", "format": {"type": "json_schema", "schema": {"type": "object"}}},
        "metadata": {"user_id": "u"},
    }
    assert bytes(schema) in render_request(request).body


def test_no_effort_at_all_is_thinking_disabled() -> None:
    body = body_of(replace(BASE, reasoning=chat.Reasoning("none")))

    assert body["thinking"] == {"type": "disabled"}
    assert "output_config" not in body


@pytest.mark.parametrize(
    ("source", "written"),
    [
        (
            chat.InlineData("JVBERg==", "application/pdf"),
            {"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="},
        ),
        (chat.InlineData("aMOp", "text/plain"), {"type": "text", "media_type": "text/plain", "data": "hé"}),
        (chat.UrlSource("https://e.example/a.pdf"), {"type": "url", "url": "https://e.example/a.pdf"}),
    ],
)
def test_a_file_becomes_a_document(source: chat.Source, written: object) -> None:
    body = body_of(with_part(chat.FilePart(source, "a", chat.CacheHint())))

    assert body["messages"][0]["content"] == [
        {"type": "document", "source": written, "title": "a", "cache_control": {"type": "ephemeral"}}
    ]
