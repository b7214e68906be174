import base64
import math
import struct

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.providers.sandbox_answers import ApiError, embed, reply_to

CHAT = "/v1/chat/completions"
EMBEDDINGS = "/v1/embeddings"
HELLO = [{"role": "user", "content": "hello there my friend"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
TIME = {"type": "function", "function": {"name": "get_time"}}


def reply(fields, path=CHAT):
    return reply_to(path, msgspec.json.encode(fields), 7, 1_700_000_000)


def chat(model, **fields):
    return reply({"model": model, "messages": HELLO} | fields)


def whole(model, **fields):
    return msgspec.json.decode(b"".join(event.data for event in chat(model, **fields).events))


def chunks(model, **fields):
    text = b"".join(event.data for event in chat(model, stream=True, **fields).events)
    lines = [line.removeprefix(b"data: ") for line in text.split(b"\n\n")[:-1]]
    assert lines[-1] == b"[DONE]"
    return [msgspec.json.decode(line) for line in lines[:-1]]


def said(parts, name="content", index=0):
    choices = [choice for chunk in parts for choice in chunk["choices"] if choice["index"] == index]
    return "".join(choice["delta"].get(name) or "" for choice in choices)


def refused(fields, path=CHAT):
    with pytest.raises(ApiError) as caught:
        reply(fields, path)
    return caught.value.status, msgspec.json.decode(caught.value.body)["error"]


def test_echo_answers_with_the_last_user_message():
    messages = [*HELLO, {"role": "assistant", "content": "x"}, {"role": "user", "content": "second"}]
    body = whole("echo", messages=messages)
    assert body["object"] == "chat.completion"
    assert body["choices"][0]["message"] == {"role": "assistant", "content": "second", "refusal": None}
    assert body["choices"][0]["finish_reason"] == "stop"


def test_usage_is_counted_by_the_rule_that_is_documented():
    usage = whole("echo")["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (4 + 3, 4, 11)


def test_lorem_makes_as_many_tokens_as_asked():
    body = whole("lorem-50")
    assert body["usage"]["completion_tokens"] == 50
    assert len(body["choices"][0]["message"]["content"].split()) == 50


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_the_output_limit_is_kept_and_named_as_the_reason(name):
    body = whole("lorem-50", **{name: 7})
    assert body["usage"]["completion_tokens"] == 7
    assert body["choices"][0]["finish_reason"] == "length"


def test_a_stream_is_the_whole_answer_in_pieces():
    parts = chunks("lorem-20")
    assert said(parts) == whole("lorem-20")["choices"][0]["message"]["content"]
    assert parts[0]["choices"][0]["delta"]["role"] == "assistant"
    assert parts[-1]["choices"][0]["finish_reason"] == "stop"
    assert len(parts) == 1 + 20 + 1
    assert not any("usage" in part for part in parts)


def test_a_stream_reports_usage_only_where_asked_and_then_last():
    parts = chunks("echo", stream_options={"include_usage": True})
    assert all(part["usage"] is None for part in parts[:-1])
    assert parts[-1]["choices"] == []
    assert parts[-1]["usage"] == whole("echo")["usage"]


def test_no_usage_reports_none_even_where_asked():
    assert "usage" not in whole("echo+no-usage")
    parts = chunks("echo+no-usage", stream_options={"include_usage": True})
    assert not any("usage" in part for part in parts)


def test_thinking_reasons_first_and_counts_it():
    body = whole("thinking")
    message = body["choices"][0]["message"]
    assert message["reasoning_content"]
    assert message["content"] == "hello there my friend"
    reasoning = body["usage"]["completion_tokens_details"]["reasoning_tokens"]
    assert 0 < reasoning == body["usage"]["completion_tokens"] - 4
    parts = chunks("thinking")
    assert said(parts, "reasoning_content") == message["reasoning_content"]
    assert said(parts) == message["content"]


def test_tool_call_calls_the_first_tool_with_arguments_its_schema_takes():
    choice = whole("tool-call", tools=[WEATHER, TIME])["choices"][0]
    (call,) = choice["message"]["tool_calls"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None
    assert call["function"] == {"name": "get_weather", "arguments": '{"city":""}'}


def test_tool_choice_picks_the_tool_and_parallel_calls_take_all():
    picked = whole(
        "tool-call", tools=[WEATHER, TIME], tool_choice={"type": "function", "function": {"name": "get_time"}}
    )
    assert picked["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == "get_time"
    both = whole("tool-call", tools=[WEATHER, TIME], parallel_tool_calls=True)["choices"][0]["message"]["tool_calls"]
    assert [call["function"]["name"] for call in both] == ["get_weather", "get_time"]
    assert both[0]["id"] != both[1]["id"]


def test_streamed_arguments_join_to_the_whole_ones():
    parts = chunks("tool-call", tools=[WEATHER, TIME], parallel_tool_calls=True)
    arguments: dict[int, str] = {}
    for part in parts:
        for call in part["choices"][0]["delta"].get("tool_calls", []):
            arguments[call["index"]] = arguments.get(call["index"], "") + call["function"]["arguments"]
    assert arguments == {0: '{"city":""}', 1: "{}"}
    assert parts[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_a_tools_result_is_answered_in_words():
    messages = [*HELLO, {"role": "tool", "tool_call_id": "call_7_0", "content": "sunny"}]
    choice = whole("tool-call", tools=[WEATHER], messages=messages)["choices"][0]
    assert choice["message"]["content"] == "The tool said: sunny"
    assert choice["finish_reason"] == "stop"


def test_json_is_an_instance_of_the_requested_schema():
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    body = whole("json", response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}})
    assert msgspec.json.decode(body["choices"][0]["message"]["content"]) == {"n": 0}
    assert msgspec.json.decode(whole("json")["choices"][0]["message"]["content"]) == {"answer": HELLO[0]["content"]}


def test_several_choices_cost_as_many_tokens_as_they_are():
    body = whole("lorem-5", n=3)
    assert [choice["index"] for choice in body["choices"]] == [0, 1, 2]
    assert body["usage"]["completion_tokens"] == 15
    parts = chunks("lorem-5", n=3)
    assert said(parts, index=2) == body["choices"][0]["message"]["content"]


@pytest.mark.parametrize("fields", [{}, {"stream": True}, {"n": 2}, {"tools": [WEATHER]}, {"max_tokens": 3}])
@pytest.mark.parametrize("model", ["echo", "lorem-9", "thinking", "json"])
def test_events_carry_exactly_the_tokens_that_usage_reports(model, fields):
    made = sum(event.output_tokens for event in chat(model, **fields).events)
    whole_fields = {name: value for name, value in fields.items() if name != "stream"}
    assert made == whole(model, **whole_fields)["usage"]["completion_tokens"]


def test_malformed_answers_are_no_json():
    with pytest.raises(msgspec.DecodeError):
        whole("echo+malformed")
    text = b"".join(event.data for event in chat("echo+malformed", stream=True).events)
    events = text.split(b"\n\n")
    assert said([msgspec.json.decode(event.removeprefix(b"data: ")) for event in events[:2]]) == "hello"
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(events[2].removeprefix(b"data: "))
    assert b"[DONE]" not in text


def test_embeddings_are_unit_vectors_that_depend_on_the_text_alone():
    body = msgspec.json.decode(
        b"".join(e.data for e in reply({"model": "embed-16", "input": ["a", "b", "a"]}, EMBEDDINGS).events)
    )
    first, second, third = (row["embedding"] for row in body["data"])
    assert first == third != second
    assert len(first) == 16
    assert math.isclose(sum(value * value for value in first), 1, rel_tol=1e-9)
    assert body["usage"] == {"prompt_tokens": 3, "total_tokens": 3}


def test_embeddings_come_as_base64_and_shortened_where_asked():
    fields = {"model": "embed-16", "input": "a", "encoding_format": "base64", "dimensions": 4}
    (event,) = reply(fields, EMBEDDINGS).events
    packed = base64.b64decode(msgspec.json.decode(event.data)["data"][0]["embedding"])
    assert struct.unpack("<4f", packed) == pytest.approx(embed("a", 4))


@pytest.mark.parametrize(("value", "rows"), [("a b", 1), (["a", "b"], 2), ([1, 2, 3], 1), ([[1], [2, 3]], 2)])
def test_every_shape_of_embedding_input_is_taken(value, rows):
    answer = reply({"model": "embed-2", "input": value}, EMBEDDINGS)
    (event,) = answer.events
    assert len(msgspec.json.decode(event.data)["data"]) == rows
    assert answer.input_tokens > 0


@pytest.mark.parametrize("value", [None, "", [], [""], [[]], [1, "a"], {}, 5, ["x"] * 2049, [True]])
def test_other_embedding_inputs_are_refused(value):
    assert refused({"model": "embed-2", "input": value}, EMBEDDINGS)[0] == 400


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": ["hi"]}, "messages[0]"),
        ({"messages": [{"content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "pope", "content": "x"}]}, "messages[0].role"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": "5"}, "max_tokens"),
        ({"max_completion_tokens": -1}, "max_completion_tokens"),
        ({"max_tokens": 10**30}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"n": 0}, "n"),
        ({"n": 1000}, "n"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"tools": []}, "tools"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
    ],
)
def test_what_the_real_api_refuses_is_refused_with_its_field(fields, param):
    status, error = refused({"model": "echo", "messages": HELLO} | fields)
    assert status == 400
    assert error["type"] == "invalid_request_error"
    assert error["param"] == param
    assert error["message"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"\xff", b"null", b'{"messages":[]}', b'{"model":5}'])
def test_a_body_that_is_no_request_is_refused(body):
    with pytest.raises(ApiError) as caught:
        reply_to(CHAT, body, 1, 1)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("model", "path"),
    [("gpt-4o", CHAT), ("embed-8", CHAT), ("echo", EMBEDDINGS), ("echo", "/v1/completions/x"), ("echo", "/v1/files")],
)
def test_a_model_that_is_not_there_is_not_found(model, path):
    status, error = refused({"model": model, "messages": HELLO, "input": "x"}, path)
    assert status == 404
    assert "model_not_found" in str(error["code"]) or "Invalid URL" in error["message"]


def test_the_tool_call_model_needs_a_tool_that_exists():
    assert refused({"model": "tool-call", "messages": HELLO})[0] == 400
    choice = {"type": "function", "function": {"name": "nobody"}}
    fields = {"model": "tool-call", "messages": HELLO, "tools": [WEATHER], "tool_choice": choice}
    assert refused(fields)[1]["param"] == "tool_choice"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)
names = st.sampled_from(
    ["messages", "tools", "tool_choice", "response_format", "n", "stream", "max_tokens", "stream_options", "input"]
)


@given(
    st.sampled_from(["echo", "tool-call", "json", "thinking", "lorem-3", "embed-3"]),
    st.dictionaries(names, json_values),
    st.sampled_from([CHAT, EMBEDDINGS]),
)
def test_any_json_is_answered_or_refused_but_never_breaks(model, fields, path):
    defaults = {"model": model, "messages": HELLO, "tools": [WEATHER], "input": "x"}
    try:
        events = reply(defaults | fields, path).events
    except ApiError:
        return
    assert b"".join(event.data for event in events)
