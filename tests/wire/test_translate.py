"""Translation across formats: nothing of a request is lost in silence, streams are ordinary meters."""

import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given as examples
from hypothesis import strategies as st
from msgspec.structs import replace

from headgate.domain.errors import UnsupportedFeatureError
from headgate.domain.usage import TokenUsage
from headgate.wire.anthropic_messages import ANTHROPIC_MESSAGES
from headgate.wire.format import MalformedAnswerError, UpstreamBody, WireFormat
from headgate.wire.openai_chat import OPENAI_CHAT
from headgate.wire.openai_embeddings import OPENAI_EMBEDDINGS
from headgate.wire.translate import TranslatingMeter, can_translate, translate_answer, translate_request
from tests.wire.golden import cases_with, given
from tests.wire.test_anthropic_messages_encoder import accumulate as accumulate_anthropic
from tests.wire.test_openai_chat_stream import accumulate as accumulate_openai

BOTH = {"openai_chat": OPENAI_CHAT, "anthropic_messages": ANTHROPIC_MESSAGES}
UPSTREAM = UpstreamBody("upstream", default_max_output_tokens=333, include_usage=True)
Body = dict[str, Any]


def translate(caller: WireFormat, provider: WireFormat, body: object) -> tuple[Body, tuple[str, ...]]:
    envelope = caller.parse_envelope(json.dumps(body).encode())
    rendered = translate_request(caller, provider, envelope, UPSTREAM)
    provider.parse_envelope(rendered.body)  # What we send is what we would accept.
    return json.loads(rendered.body), rendered.ignored


def test_chat_formats_translate_into_one_another_and_into_nothing_else() -> None:
    assert all(can_translate(one, other) for one in BOTH.values() for other in BOTH.values())
    assert not can_translate(OPENAI_CHAT, OPENAI_EMBEDDINGS)
    assert not can_translate(OPENAI_EMBEDDINGS, ANTHROPIC_MESSAGES)


# --- Every field is carried, refused by name, or listed as ignored ------------------------------------------------


def top(name: str, value: object) -> Callable[[Body], None]:
    return lambda body: body.update({name: value})


def user_part(part: Body) -> Callable[[Body], None]:
    return lambda body: body["messages"].append({"role": "user", "content": [part]})


def message(**members: object) -> Callable[[Body], None]:
    return lambda body: body["messages"].append(members)


def tool(member: Body) -> Callable[[Body], None]:
    return lambda body: body.setdefault("tools", []).append(member)


PDF = "TUFSSw=="
DATA_URL = f"data:application/pdf;base64,{PDF}"
FUNCTION = {"type": "function", "function": {"name": "MARK_F", "description": "MARK_D", "parameters": {"MARK_P": 1}}}
CALL = {"id": "MARK_ID", "type": "function", "function": {"name": "MARK_N", "arguments": '{"MARK_A":1}'}}
# For each feature: what it adds, the words that stand for it where it is carried, and its names where it is not.
OPENAI: dict[str, tuple[Callable[[Body], None], tuple[str, ...], tuple[str, ...]]] = {
    "temperature": (top("temperature", 0.71), ("0.71",), ()),
    "hot": (top("temperature", 1.71), ("1.71",), ("temperature",)),
    "top_p": (top("top_p", 0.72), ("0.72",), ()),
    "max": (top("max_completion_tokens", 7101), ("7101",), ()),
    "stop": (top("stop", ["MARK_STOP"]), ("MARK_STOP",), ()),
    "n": (top("n", 3), (), ("n",)),
    "seed": (top("seed", 7), (), ("seed",)),
    "penalty": (top("frequency_penalty", 0.5), (), ("frequency_penalty",)),
    "presence": (top("presence_penalty", 0.5), (), ("presence_penalty",)),
    "bias": (top("logit_bias", {"1": 2}), (), ("logit_bias",)),
    "logprobs": (top("logprobs", True), (), ("logprobs",)),
    "top_logprobs": (top("top_logprobs", 2), (), ("top_logprobs",)),
    "user": (top("user", "MARK_USER"), ("MARK_USER",), ()),
    "metadata": (top("metadata", {"a": "b"}), (), ("metadata",)),
    "store": (top("store", True), (), ("store",)),
    "tier": (top("service_tier", "flex"), (), ("service_tier",)),
    "cache_key": (top("prompt_cache_key", "k"), (), ("prompt_cache_key",)),
    "prediction": (top("prediction", {"type": "content", "content": "x"}), (), ("prediction",)),
    "verbosity": (top("verbosity", "low"), (), ("verbosity",)),
    "search": (top("web_search_options", {}), (), ("web_search_options",)),
    "vendor": (top("x_vendor", 1), (), ("x_vendor",)),
    "effort": (top("reasoning_effort", "xhigh"), ("xhigh",), ()),
    "minimal": (top("reasoning_effort", "minimal"), (), ("reasoning_effort",)),
    "json": (top("response_format", {"type": "json_object"}), (), ("response_format",)),
    "schema": (
        top("response_format", {"type": "json_schema", "json_schema": {"name": "n", "schema": {"MARK_SCHEMA": 1}}}),
        ("MARK_SCHEMA",),
        (),
    ),
    "schema_name": (
        top("response_format", {"type": "json_schema", "json_schema": {"name": "n", "schema": {}}}),
        (),
        ("response_format.json_schema.name",),
    ),
    "modalities": (top("modalities", ["audio"]), (), ("modalities",)),
    "tool": (tool(FUNCTION), ("MARK_F", "MARK_D", "MARK_P"), ()),
    "custom_tool": (tool({"type": "custom", "custom": {"name": "c"}}), (), ("tools",)),
    "parallel": (top("parallel_tool_calls", False), ("disable_parallel_tool_use",), ("parallel_tool_calls",)),
    "allowed": (
        top("tool_choice", {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": []}}),
        (),
        ("tool_choice",),
    ),
    "named": (top("tool_choice", {"type": "function", "function": {"name": "MARK_CHOICE"}}), ("MARK_CHOICE",), ()),
    "system": (lambda body: body["messages"].insert(0, {"role": "system", "content": "MARK_SYS"}), ("MARK_SYS",), ()),
    "later": (message(role="developer", content="MARK_DEV"), ("MARK_DEV",), ()),
    "name": (message(role="user", content="x", name="ann"), (), ("messages",)),
    "function_role": (message(role="function", name="f", content="x"), (), ("messages",)),
    "call": (message(role="assistant", tool_calls=[CALL]), ("MARK_ID", "MARK_N", "MARK_A"), ()),
    "broken_call": (
        message(role="assistant", tool_calls=[{**CALL, "function": {"name": "f", "arguments": "{"}}]),
        (),
        ("messages",),
    ),
    "result": (message(role="tool", tool_call_id="MARK_CALL", content="MARK_RESULT"), ("MARK_CALL", "MARK_RESULT"), ()),
    "refusal": (message(role="assistant", refusal="MARK_NO"), ("MARK_NO",), ()),
    "reasoning": (message(role="assistant", content="x", reasoning_content="y"), (), ("messages",)),
    "annotations": (message(role="assistant", content="x", annotations=[{"a": 1}]), (), ("messages",)),
    "image": (user_part({"type": "image_url", "image_url": {"url": "https://MARK_URL"}}), ("MARK_URL",), ()),
    "detail": (user_part({"type": "image_url", "image_url": {"url": "u", "detail": "low"}}), (), ("messages",)),
    "sound": (user_part({"type": "input_audio", "input_audio": {"data": "A", "format": "wav"}}), (), ("messages",)),
    "video": (user_part({"type": "video_url", "video_url": {"url": "v"}}), (), ("messages",)),
    "file": (
        user_part({"type": "file", "file": {"file_data": DATA_URL, "filename": "MARK_PDF"}}),
        (PDF, "MARK_PDF"),
        (),
    ),
    "file_id": (user_part({"type": "file", "file": {"file_id": "f"}}), (), ("messages",)),
    "breakpoint": (
        user_part({"type": "text", "text": "x", "prompt_cache_breakpoint": {"mode": "explicit"}}),
        ("ephemeral",),
        (),
    ),
}  # fmt: skip
BLOCK_CALL = {"type": "tool_use", "id": "MARK_ID", "name": "MARK_N", "input": {"MARK_A": 1}}
ANTHROPIC: dict[str, tuple[Callable[[Body], None], tuple[str, ...], tuple[str, ...]]] = {
    "temperature": (top("temperature", 0.71), ("0.71",), ()),
    "top_p": (top("top_p", 0.72), ("0.72",), ()),
    "top_k": (top("top_k", 5), (), ("top_k",)),
    "max": (top("max_tokens", 7101), ("7101",), ()),
    "nothing": (top("max_tokens", 0), (), ("max_tokens",)),
    "stop": (top("stop_sequences", ["MARK_STOP"]), ("MARK_STOP",), ()),
    "user": (top("metadata", {"user_id": "MARK_USER"}), ("MARK_USER",), ()),
    "metadata": (top("metadata", {"other": 1}), (), ("metadata",)),
    "tier": (top("service_tier", "auto"), (), ("service_tier",)),
    "auto_cache": (top("cache_control", {"type": "ephemeral"}), (), ("cache_control",)),
    "container": (top("container", "c"), (), ("container",)),
    "geo": (top("inference_geo", "us"), (), ("inference_geo",)),
    "mcp": (top("mcp_servers", [{}]), (), ("mcp_servers",)),
    "editing": (top("context_management", {"edits": []}), (), ("context_management",)),
    "budget": (
        top("thinking", {"type": "enabled", "budget_tokens": 2000}),
        (),
        ("thinking.budget_tokens", "thinking.type"),
    ),
    "adaptive": (
        top("thinking", {"type": "adaptive", "display": "omitted"}),
        (),
        ("thinking.type", "thinking.display"),
    ),
    "between": (top("thinking", {"type": "between_tools"}), (), ("thinking",)),
    "effort": (top("output_config", {"effort": "xhigh"}), ("xhigh",), ()),
    "schema": (
        top("output_config", {"format": {"type": "json_schema", "schema": {"MARK_SCHEMA": 1}}}),
        ("MARK_SCHEMA", '"strict": true'),
        (),
    ),
    "task_budget": (top("output_config", {"task_budget": {"total": 1}}), (), ("output_config.task_budget",)),
    "vendor": (top("x_vendor", 1), (), ("x_vendor",)),
    "system": (top("system", [{"type": "text", "text": "MARK_SYS"}]), ("MARK_SYS",), ()),
    "later": (message(role="system", content="MARK_DEV"), ("MARK_DEV",), ()),
    "tool": (
        tool({"name": "MARK_F", "description": "MARK_D", "input_schema": {"MARK_P": 1}}),
        ("MARK_F", "MARK_D", "MARK_P"),
        (),
    ),
    "cached_tool": (
        tool({"name": "f", "input_schema": {}, "cache_control": {"type": "ephemeral"}}),
        (),
        ("tools[].cache_control",),
    ),
    "eager_tool": (
        tool({"name": "f", "input_schema": {}, "eager_input_streaming": True}),
        (),
        ("tools[].eager_input_streaming",),
    ),
    "server_tool": (tool({"type": "web_search_20250305", "name": "web_search"}), (), ("tools",)),
    "choice": (top("tool_choice", {"type": "tool", "name": "MARK_CHOICE"}), ("MARK_CHOICE",), ()),
    "one_call": (
        top("tool_choice", {"type": "auto", "disable_parallel_tool_use": True}),
        ('"parallel_tool_calls": false',),
        (),
    ),
    "call": (message(role="assistant", content=[BLOCK_CALL]), ("MARK_ID", "MARK_N", "MARK_A"), ()),
    "code_call": (message(role="assistant", content=[{**BLOCK_CALL, "caller": {"type": "code"}}]), (), ("messages",)),
    "result": (
        user_part({"type": "tool_result", "tool_use_id": "MARK_CALL", "content": "MARK_RESULT"}),
        ("MARK_CALL", "MARK_RESULT"),
        (),
    ),
    "failed": (user_part({"type": "tool_result", "tool_use_id": "t", "is_error": True}), (), ("messages",)),
    "image_result": (
        user_part(
            {
                "type": "tool_result",
                "tool_use_id": "t",
                "content": [{"type": "image", "source": {"type": "url", "url": "u"}}],
            }
        ),
        (),
        ("messages",),
    ),
    "thinking": (message(role="assistant", content=[{"type": "thinking", "thinking": "MARK_T"}]), ("MARK_T",), ()),
    "signed": (
        message(role="assistant", content=[{"type": "thinking", "thinking": "x", "signature": "s"}]),
        (),
        ("messages[].signature",),
    ),
    "redacted": (
        message(role="assistant", content=[{"type": "redacted_thinking", "data": "d"}]),
        (),
        ("messages[].redacted_thinking",),
    ),
    "image": (
        user_part({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "MARKIMG="}}),
        ("MARKIMG=",),
        (),
    ),
    "image_file": (user_part({"type": "image", "source": {"type": "file", "file_id": "f"}}), (), ("messages",)),
    "pdf": (
        user_part(
            {
                "type": "document",
                "title": "MARK_PDF",
                "source": {"type": "base64", "media_type": "application/pdf", "data": PDF},
            }
        ),
        (PDF, "MARK_PDF"),
        (),
    ),
    "chunks": (user_part({"type": "document", "source": {"type": "content", "content": "x"}}), (), ("messages",)),
    "cited": (
        user_part({"type": "document", "source": {"type": "url", "url": "u"}, "citations": {"enabled": True}}),
        (),
        ("messages",),
    ),
    "cache": (
        user_part({"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}),
        ("prompt_cache_breakpoint",),
        (),
    ),
    "cache_ttl": (
        user_part({"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": "1h"}}),
        (),
        ("messages[].content[].cache_control.ttl",),
    ),
    "search_result": (user_part({"type": "search_result", "source": "s", "content": []}), (), ("messages",)),
}  # fmt: skip
FEATURES = {"openai_chat": OPENAI, "anthropic_messages": ANTHROPIC}
OTHER = {"openai_chat": ANTHROPIC_MESSAGES, "anthropic_messages": OPENAI_CHAT}


def plain_body() -> Body:
    return {"model": "alias", "max_tokens": 64, "messages": [{"role": "user", "content": "hi"}]}


def body_with(form: str, names: list[str]) -> Body:
    body = plain_body()
    if form == "openai_chat":
        del body["max_tokens"]
    for name in names:
        FEATURES[form][name][0](body)
    return body


def owner_of(param: str, names: list[str], form: str) -> bool:
    """Say whether a name that a refusal gives belongs to one of the features in the body."""
    owners = [owner for name in names for owner in FEATURES[form][name][2]]
    return any(param == owner or param.startswith((f"{owner}[", f"{owner}.")) for owner in owners)


@pytest.mark.parametrize(("form", "name"), [(form, name) for form, table in FEATURES.items() for name in table])
def test_each_feature_alone_is_carried_refused_by_name_or_ignored_aloud(form: str, name: str) -> None:
    check_accounting(form, [name])


def check_accounting(form: str, names: list[str]) -> None:
    body = body_with(form, names)
    refusal: UnsupportedFeatureError | None = None
    sent: Body = {}
    ignored: tuple[str, ...] = ()
    try:
        sent, ignored = translate(BOTH[form], OTHER[form], body)
    except UnsupportedFeatureError as error:
        refusal = error
    if refusal is not None:
        assert owner_of(refusal.param or "", names, form), refusal.param
        return
    text = json.dumps(sent)
    for name in names:
        _, marks, refused = FEATURES[form][name]
        is_carried = bool(marks) and all(mark in text for mark in marks)
        is_overwritten = json.dumps(body_with(form, [name])) != json.dumps(body) and not survives(form, name, body)
        assert is_carried or is_overwritten or is_ignored(refused, ignored), (name, ignored, text)


def is_ignored(refused: tuple[str, ...], ignored: tuple[str, ...]) -> bool:
    return bool(refused) and all(
        any(one == name or one.startswith((f"{name}[", f"{name}.")) for one in ignored) for name in refused
    )


def survives(form: str, name: str, body: Body) -> bool:
    """Say whether a feature is still in a body whose later features may have taken its field."""
    alone, base = body_with(form, [name]), plain_body()
    return all(
        body.get(key) == value
        for key, value in alone.items()
        if key not in ("messages", "tools") and base.get(key) != value
    )


@pytest.mark.parametrize("form", FEATURES)
@examples(st.data())
def test_random_requests_are_accounted_for_field_by_field(form: str, data: st.DataObject) -> None:
    check_accounting(form, data.draw(st.lists(st.sampled_from(sorted(FEATURES[form])), unique=True, max_size=6)))


@pytest.mark.parametrize("form", FEATURES)
@examples(st.data())
def test_a_request_comes_back_from_its_own_format_as_it_was(form: str, data: st.DataObject) -> None:
    names = data.draw(
        st.lists(st.sampled_from(sorted(set(FEATURES[form]) - {"function_role"})), unique=True, max_size=6)
    )
    dialect = BOTH[form].dialect
    assert dialect is not None
    request = dialect.parse_request(json.dumps(body_with(form, names)).encode())
    if not any(names_ in names for names_ in ("nothing",)):
        rendered = dialect.render_request(request, UpstreamBody(request.model, max_output_field=None))
        assert rendered.ignored == ()
        assert dialect.parse_request(rendered.body) == request


def test_the_gateways_maximum_counts() -> None:
    envelope = OPENAI_CHAT.parse_envelope(json.dumps({**plain_body(), "max_tokens": 900}).encode())

    rendered = translate_request(OPENAI_CHAT, ANTHROPIC_MESSAGES, replace(envelope, max_output_tokens=50), UPSTREAM)

    assert json.loads(rendered.body)["max_tokens"] == 50
    assert json.loads(rendered.body)["model"] == "upstream"


def test_usage_is_asked_for_where_a_format_reports_it_on_demand() -> None:
    sent, _ = translate(ANTHROPIC_MESSAGES, OPENAI_CHAT, {**plain_body(), "stream": True})

    assert sent["stream_options"] == {"include_usage": True}
    assert sent["max_completion_tokens"] == 64


def test_thinking_and_its_proof_go_to_an_openai_caller_and_back() -> None:
    answer = given("thinking", "response.json", "anthropic_messages")
    told = json.loads(translate_answer(OPENAI_CHAT, ANTHROPIC_MESSAGES, answer, 0))["choices"][0]["message"]

    body = plain_body()
    body["messages"].append(told)
    sent, ignored = translate(OPENAI_CHAT, ANTHROPIC_MESSAGES, body)

    assert sent["messages"][1]["content"] == json.loads(answer)["content"]
    assert ignored == ()


# --- Answers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "case"), [(form, case) for form in BOTH for case in cases_with("response.json", form)]
)
def test_every_golden_answer_translates_and_keeps_its_usage(form: str, case: str) -> None:
    body, caller = given(case, "response.json", form), OTHER[form]

    told = translate_answer(caller, BOTH[form], body, 77)

    before, after = BOTH[form].meter_body(body).usage, caller.meter_body(told).usage
    assert before is not None
    assert after is not None
    assert replace(after, input_audio_tokens=0, output_audio_tokens=0) == replace(
        before, input_audio_tokens=0, output_audio_tokens=0
    )


# --- Streams ------------------------------------------------------------------------------------------------------


def translated(form: str, stream: bytes, wants_usage: bool = True) -> tuple[bytes, TranslatingMeter]:
    meter = TranslatingMeter(OTHER[form], BOTH[form], wants_usage, 77)
    return meter.feed(stream) + meter.close(), meter


STREAMS = [(form, case) for form in BOTH for case in cases_with("stream.sse", form) if case != "choices"]


@pytest.mark.parametrize(("form", "case"), STREAMS)
def test_every_golden_stream_translates_whole_and_split(form: str, case: str) -> None:
    stream = given(case, "stream.sse", form)
    whole, meter = translated(form, stream)
    plain = BOTH[form].meter_stream(False)
    plain.feed(stream)

    pieces = TranslatingMeter(OTHER[form], BOTH[form], True, 77)
    split = b"".join(pieces.feed(stream[at : at + 1]) for at in range(len(stream))) + pieces.close()

    assert split == whole
    assert meter.metered() == pieces.metered() == plain.metered()
    assert (meter.finished, meter.fault) == (True, None)
    again = OTHER[form].meter_stream(False)
    assert again.feed(whole) + again.close() == whole
    assert again.finished
    assert again.content_started is (meter.content_started and case != "audio")


@examples(st.data())
def test_random_pieces_translate_the_same(data: st.DataObject) -> None:
    form, case = data.draw(st.sampled_from(STREAMS))
    stream = given(case, "stream.sse", form)
    cuts = sorted({0, len(stream), *data.draw(st.lists(st.integers(0, len(stream)), max_size=20))})
    meter = TranslatingMeter(OTHER[form], BOTH[form], True, 77)

    told = b"".join(meter.feed(stream[start:end]) for start, end in pairwise(cuts)) + meter.close()

    assert told == translated(form, stream)[0]


def test_an_openai_caller_sees_usage_only_on_demand() -> None:
    stream = given("thinking", "stream.sse", "anthropic_messages")

    shown, hidden = (accumulate_openai(translated("anthropic_messages", stream, wants)[0]) for wants in (True, False))

    assert shown["usage"]["completion_tokens"] == 90
    assert "usage" not in hidden
    assert hidden["created"] == 77
    assert hidden["choices"][0]["content"] == "Yes."
    assert hidden["choices"][0]["reasoning_content"] == "Check it again."
    assert hidden["choices"][0]["finish_reason"] == "stop"
    assert hidden["done"]


def test_tool_calls_stream_across() -> None:
    stream, _ = translated("anthropic_messages", given("tools", "stream.sse", "anthropic_messages"))
    calls = accumulate_openai(stream)["choices"][0]["calls"]
    assert [(call["name"], call["arguments"]) for call in calls.values()] == [
        ("get_weather", '{"city": "Paris"}'),
        ("now", "{}"),
    ]

    stream, _ = translated("openai_chat", given("tools_parallel", "stream.sse"))
    message = accumulate_anthropic(stream)
    assert [block.get("input") for block in message["content"]] == [None, {"city": "Paris"}, {"city": "Rome"}]
    assert message["stop_reason"] == "tool_use"


def test_usage_of_openai_reaches_an_anthropic_caller_at_the_end() -> None:
    stream, meter = translated("openai_chat", given("usage_details", "stream.sse"))

    assert accumulate_anthropic(stream)["usage"]["cache_read_input_tokens"] == 1920
    assert meter.metered().usage == TokenUsage(2006, 1920, 64, 0, 300, 192)


def test_a_fault_is_withheld_and_told_like_any_meters() -> None:
    stream = given("text", "stream.sse", "anthropic_messages")
    cut = stream.index(b"event: content_block_stop")
    error = b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n'
    meter = TranslatingMeter(OPENAI_CHAT, ANTHROPIC_MESSAGES, False, 0)

    told = meter.feed(stream[:cut] + error)

    assert b"Overloaded" not in told
    assert meter.content_started
    assert meter.fault is not None
    assert meter.fault.message == "Overloaded"
    assert meter.close() == b""
    assert not meter.metered().is_final


@pytest.mark.parametrize("form", BOTH)
def test_a_cut_stream_never_ends_like_a_whole_one(form: str) -> None:
    stream = given("text", "stream.sse", form)
    for at in range(0, len(stream) - 20, 97):
        meter = TranslatingMeter(OTHER[form], BOTH[form], True, 0)
        told = meter.feed(stream[:at])
        if meter.finished:
            continue
        assert b"[DONE]" not in told
        assert b"message_stop" not in told
        if form == "anthropic_messages":
            with pytest.raises(MalformedAnswerError):
                meter.close()


def test_what_came_before_an_unreadable_event_is_translated_still() -> None:
    stream = given("text", "stream.sse", "anthropic_messages")
    cut = stream.index(b"event: content_block_stop")
    meter = TranslatingMeter(OPENAI_CHAT, ANTHROPIC_MESSAGES, False, 0)

    with pytest.raises(MalformedAnswerError) as caught:
        meter.feed(stream[:cut] + b"data: {\n\n")

    assert "Grüß" in caught.value.passed.decode()
