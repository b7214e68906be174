"""The fake itself: it refuses what Anthropic refuses, and its faults are the faults they claim to be."""

import http.client
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from tests.fakes.anthropic_answers import SIGNATURE
from tests.fakes.anthropic_api import ANTHROPIC_CREDENTIAL, FakeAnthropic

OLD = "2023-06-01"
NEW = "2026-10-21"
HELLO = {"model": "claude-sonnet-4-6", "max_tokens": 64, "messages": [{"role": "user", "content": "Hello there"}]}
TOOL = {"name": "weather", "input_schema": {"type": "object", "properties": {"place": {"type": "string"}}}}
PNG = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}
BUDGET = {"type": "enabled", "budget_tokens": 1024}
MARK = {"type": "ephemeral"}


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeAnthropic]:
    with FakeAnthropic() as server:
        yield server


def ask(
    fake: FakeAnthropic, body: object, *, path: str = "/v1/messages", version: str = OLD, **changes: str | None
) -> Answer:
    """Send one request; ``changes`` replace a field of the head, None takes it out."""
    headers = {"x-api-key": ANTHROPIC_CREDENTIAL, "anthropic-version": version, "content-type": "application/json"}
    changed = headers | {name.replace("_", "-"): value for name, value in changes.items()}
    connection = http.client.HTTPConnection("127.0.0.1", fake.port, timeout=10)
    try:
        sent = {name: value for name, value in changed.items() if value is not None}
        connection.request("POST", path, body if isinstance(body, bytes) else json.dumps(body), sent)
        answer = connection.getresponse()
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
    finally:
        connection.close()


def events(answer: Answer) -> list[dict[str, Any]]:
    lines = answer.body.decode().splitlines()
    return [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]


def user(*parts: object) -> dict[str, Any]:
    return {"role": "user", "content": list(parts)}


def assistant(*parts: object) -> dict[str, Any]:
    return {"role": "assistant", "content": list(parts)}


def text(words: str, **more: object) -> dict[str, Any]:
    return {"type": "text", "text": words, **more}


def call(identity: str) -> dict[str, Any]:
    return {"type": "tool_use", "id": identity, "name": "weather", "input": {}}


def result(identity: str) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": identity, "content": "rain"}


def test_it_answers_with_usage_that_matches_what_it_wrote(fake: FakeAnthropic) -> None:
    answer = ask(fake, HELLO)
    assert (answer.status, answer.json["stop_reason"]) == (200, "end_turn")
    assert (answer.json["usage"]["input_tokens"], answer.json["usage"]["output_tokens"]) == (2, 13)


def test_a_stream_has_the_events_in_the_documented_order(fake: FakeAnthropic) -> None:
    seen = [event["type"] for event in events(ask(fake, HELLO | {"stream": True}))]
    assert seen[:3] == ["message_start", "content_block_start", "ping"]
    assert set(seen[3:-3]) == {"content_block_delta"}
    assert seen[-3:] == ["content_block_stop", "message_delta", "message_stop"]


def test_it_records_the_exact_bytes_of_a_request(fake: FakeAnthropic) -> None:
    ask(fake, HELLO)
    assert fake.last.body == json.dumps(HELLO).encode()


@pytest.mark.parametrize(
    ("change", "status", "kind", "words"),
    [
        ({"x_api_key": None}, 401, "authentication_error", "x-api-key header is required"),
        ({"x_api_key": "sk-ant-other"}, 401, "authentication_error", "invalid x-api-key"),
        ({"version": "2024-01-01"}, 400, "invalid_request_error", "is not a valid version"),
        ({"anthropic_version": None}, 400, "invalid_request_error", "anthropic-version: header is required"),
        ({"path": "/v1/complete"}, 404, "not_found_error", "Not Found"),
    ],
)
def test_it_refuses_heads_that_the_real_api_refuses(
    fake: FakeAnthropic, change: dict[str, Any], *, status: int, kind: str, words: str
) -> None:
    answer = ask(fake, HELLO, **change)
    assert (answer.status, answer.json["type"], answer.json["error"]["type"]) == (status, "error", kind)
    assert words in answer.json["error"]["message"]
    assert answer.headers["request-id"] == answer.json["request_id"]


def test_a_bearer_token_is_a_key_too(fake: FakeAnthropic) -> None:
    assert ask(fake, HELLO, x_api_key=None, authorization=f"Bearer {ANTHROPIC_CREDENTIAL}").status == 200


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"response_format": {}}, "response_format: Extra inputs are not permitted"),
        ({"context_management": {}}, "context_management: Extra inputs are not permitted"),
        ({"max_tokens": "ten"}, "max_tokens: Input should be a valid integer"),
        ({"max_tokens": -1}, "max_tokens: Input should be greater than or equal to 0"),
        ({"metadata": {"team": "x"}}, "metadata.team: Extra inputs are not permitted"),
        ({"stop_sequences": [" "]}, "each stop sequence must contain non-whitespace"),
        ({"messages": []}, "at least one message is required"),
        ({"messages": [assistant(text("Hi"))]}, 'first message must use the "user" role'),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages.0.role: Input should be"),
        ({"messages": [{"role": "system", "content": "x"}]}, "role 'system' is not supported on this model"),
        ({"messages": [user(text(""))]}, "text content blocks must be non-empty"),
        ({"messages": [user(text("x", id="1"))]}, "messages.0.content.0.text.id: Extra inputs are not permitted"),
        ({"messages": [user(result("toolu_9"))]}, "unexpected `tool_use_id` found in `tool_result` blocks: toolu_9"),
        (
            {"messages": [user(text("a")), assistant(call("t1")), user(text("b"))]},
            "messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: t1",
        ),
        (
            {"messages": [user(text("a")), assistant(call("t1"), call("t2")), user(result("t1"))]},
            "without `tool_result` blocks immediately after: t2",
        ),
        (
            {"messages": [user(text("a")), assistant(call("t1")), user(text("first"), result("t1"))]},
            "without `tool_result` blocks immediately after: t1",
        ),
        (
            {"messages": [user(text("a")), assistant(call("t1"), call("t1")), user(result("t1"))]},
            "`tool_use` ids must be unique",
        ),
        ({"messages": [user(text("a")), assistant(text("Hm"))]}, "does not support assistant message prefill"),
        ({"messages": [user({"type": "image", "source": PNG | {"media_type": "image/tiff"}})]}, "media_type"),
        ({"messages": [user({"type": "image", "source": PNG | {"data": "%"}})]}, "invalid base64 data"),
        ({"messages": [user({"type": "image_url"})]}, "Input tag 'image_url' found using 'type'"),
        ({"tools": [TOOL | {"name": "read file"}]}, "String should match pattern '^[a-zA-Z0-9_-]{1,128}$'"),
        ({"tools": [{"name": "weather"}]}, "tools.0.custom.input_schema: Field required"),
        ({"tools": [TOOL | {"parameters": {}}]}, "tools.0.custom.parameters: Extra inputs are not permitted"),
        ({"tools": [TOOL, TOOL]}, "Tool names must be unique"),
        ({"tool_choice": {"type": "any"}}, "tool_choice may only be specified while providing tools"),
        ({"tools": [TOOL], "tool_choice": {"type": "required"}}, "does not match any of the expected tags"),
        ({"tools": [TOOL], "tool_choice": {"type": "tool", "name": "clock"}}, "not found in provided tools"),
        ({"thinking": BUDGET}, "`max_tokens` must be greater than `thinking.budget_tokens`"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1000}}, "greater than or equal to 1024"),
        ({"max_tokens": 2000, "thinking": BUDGET, "temperature": 0.5}, "may only be set to 1 when thinking"),
        (
            {"max_tokens": 2000, "thinking": BUDGET, "tools": [TOOL], "tool_choice": {"type": "any"}},
            "Thinking may not be enabled when tool_choice forces tool use.",
        ),
        (
            {
                "max_tokens": 2000,
                "thinking": BUDGET,
                "tools": [TOOL],
                "messages": [user(text("a")), assistant(call("t1")), user(result("t1"))],
            },
            "Expected `thinking` or `redacted_thinking`, but found `tool_use`",
        ),
        ({"temperature": 0.5, "top_p": 0.9}, "`temperature` and `top_p` cannot both be specified for this model"),
        ({"temperature": 1.5}, "temperature: range: 0..1"),
        ({"model": "claude-opus-5-5", "temperature": 0.5}, "`temperature` is deprecated for this model."),
        ({"model": "claude-opus-5-5", "max_tokens": 2000, "thinking": BUDGET}, '"thinking.type.enabled" is not'),
        ({"model": "claude-haiku-4-5", "output_config": {"effort": "low"}}, "does not support the effort parameter"),
        ({"output_config": {"effort": "minimal"}}, "output_config.effort: Input should be 'low'"),
        ({"model": "claude-haiku-4-5", "thinking": {"type": "adaptive"}}, "adaptive thinking is not supported"),
        (
            {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}},
            "'additionalProperties' must be explicitly set to false",
        ),
        (
            {"messages": [user(*(text("x", cache_control=MARK) for _ in range(5)))]},
            "A maximum of 4 blocks with cache_control may be provided. Found 5.",
        ),
    ],
)
def test_it_refuses_bodies_that_the_real_api_refuses(fake: FakeAnthropic, change: dict[str, Any], words: str) -> None:
    answer = ask(fake, HELLO | change)
    assert (answer.status, answer.json["error"]["type"]) == (400, "invalid_request_error")
    assert words in answer.json["error"]["message"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"temperature": 1.0}, "temperature: Extra inputs are not permitted"),
        ({"top_k": 5}, "top_k: Extra inputs are not permitted"),
        ({"messages": [user(text("x", citations=[{}]))]}, "citations: Extra inputs are not permitted"),
        ({"messages": [user(text("x")), assistant({"type": "document"}), user(text("y"))]}, "not allowed"),
    ],
)
def test_the_version_of_2026_refuses_what_that_of_2023_takes(
    fake: FakeAnthropic, change: dict[str, Any], words: str
) -> None:
    assert ask(fake, HELLO | change, version=OLD).status == 200
    answer = ask(fake, HELLO | change, version=NEW)
    assert answer.status == 400
    assert words in answer.json["error"]["message"]


@pytest.mark.parametrize("name", ["model", "messages", "max_tokens"])
def test_it_refuses_a_body_without_what_is_required(fake: FakeAnthropic, name: str) -> None:
    answer = ask(fake, {key: value for key, value in HELLO.items() if key != name})
    assert (answer.status, answer.json["error"]["message"]) == (400, f"{name}: Field required")


def test_counting_needs_no_maximum_and_takes_none(fake: FakeAnthropic) -> None:
    body = {name: value for name, value in HELLO.items() if name != "max_tokens"}
    assert ask(fake, body, path="/v1/messages/count_tokens").json == {"input_tokens": 2}
    assert ask(fake, HELLO, path="/v1/messages/count_tokens").status == 400


def test_an_unknown_model_is_not_found(fake: FakeAnthropic) -> None:
    answer = ask(fake, HELLO | {"model": "claude-99"})
    assert (answer.status, answer.json["error"]["type"]) == (404, "not_found_error")


def test_what_is_no_json_or_too_large_is_refused(fake: FakeAnthropic) -> None:
    assert ask(fake, b"{").status == 400
    large = ask(fake, HELLO | {"system": "x" * (33 * 1024 * 1024)})
    assert (large.status, large.json["error"]["type"]) == (413, "request_too_large")


def test_a_prompt_beyond_the_window_is_too_long(fake: FakeAnthropic) -> None:
    answer = ask(fake, HELLO | {"system": "word " * 200_000})
    assert answer.json["error"]["message"] == "prompt is too long: 200002 tokens > 200000 maximum"


def test_turns_of_one_role_are_joined_and_newest_models_take_later_system_messages(fake: FakeAnthropic) -> None:
    twice = [user(text("a")), user(text("b"))]
    assert ask(fake, HELLO | {"messages": twice}).status == 200
    later = [user(text("a")), {"role": "system", "content": "Be brief."}]
    assert ask(fake, HELLO | {"messages": later, "model": "claude-opus-5-5"}).status == 200
    first = [{"role": "system", "content": "Be brief."}, user(text("a"))]
    assert ask(fake, HELLO | {"messages": first, "model": "claude-opus-5-5"}).status == 400


def test_tools_are_called_one_or_all_and_a_result_is_answered_with_text(fake: FakeAnthropic) -> None:
    tools = [TOOL, TOOL | {"name": "clock"}]
    one = ask(fake, HELLO | {"tools": tools}).json
    both = ask(fake, HELLO | {"tools": tools, "messages": [user(text("in parallel"))]}).json
    forced = ask(fake, HELLO | {"tools": tools, "tool_choice": {"type": "tool", "name": "clock"}}).json
    turns = [user(text("a")), assistant(*one["content"]), user(result(one["content"][0]["id"]))]
    then = ask(fake, HELLO | {"tools": tools, "messages": turns}).json
    assert (one["stop_reason"], [block["name"] for block in one["content"]]) == ("tool_use", ["weather"])
    assert [block["name"] for block in both["content"]] == ["weather", "clock"]
    assert [block["name"] for block in forced["content"]] == ["clock"]
    assert (then["stop_reason"], then["content"][0]["type"]) == ("end_turn", "text")


def test_streamed_tool_input_comes_in_pieces_that_add_up(fake: FakeAnthropic) -> None:
    seen = events(ask(fake, HELLO | {"tools": [TOOL], "stream": True}))
    pieces = [event["delta"]["partial_json"] for event in seen if event["type"] == "content_block_delta"]
    assert pieces[0] == ""
    assert len(pieces) > 3
    assert json.loads("".join(pieces)) == {"place": "Köln"}


def test_thoughts_come_signed_and_must_come_back_so(fake: FakeAnthropic) -> None:
    asked = HELLO | {"max_tokens": 2000, "thinking": BUDGET}
    thought = ask(fake, asked).json["content"][0]
    assert (thought["type"], thought["signature"]) == ("thinking", SIGNATURE)
    turns = [user(text("a")), assistant(thought, text("b")), user(text("c"))]
    assert ask(fake, asked | {"messages": turns}).status == 200
    turns[1] = assistant(thought | {"signature": "forged"}, text("b"))
    assert "Invalid `signature`" in ask(fake, asked | {"messages": turns}).json["error"]["message"]


def test_stop_sequences_limits_and_refusals_have_their_reasons(fake: FakeAnthropic) -> None:
    stopped = ask(fake, HELLO | {"stop_sequences": [" aus"]}).json
    short = ask(fake, HELLO | {"max_tokens": 3}).json
    refused = ask(fake, HELLO | {"messages": [user(text("please refuse"))]}).json
    assert (stopped["stop_reason"], stopped["stop_sequence"]) == ("stop_sequence", " aus")
    assert stopped["content"][0]["text"] == "The sluice is open: Grüße"
    assert (short["stop_reason"], short["usage"]["output_tokens"]) == ("max_tokens", 3)
    assert (refused["stop_reason"], refused["content"]) == ("refusal", [])
    assert refused["stop_details"]["type"] == "refusal"


def test_a_marked_prefix_is_written_once_and_read_afterwards(fake: FakeAnthropic) -> None:
    asked = HELLO | {"system": [text("cached " * 1500, cache_control=MARK)]}
    first, second = ask(fake, asked).json["usage"], ask(fake, asked).json["usage"]
    assert (first["cache_creation_input_tokens"], first["cache_read_input_tokens"]) == (1500, 0)
    assert (second["cache_creation_input_tokens"], second["cache_read_input_tokens"]) == (0, 1500)
    assert first["input_tokens"] == second["input_tokens"] == 2


@pytest.mark.parametrize(
    ("fault", "status", "kind"),
    [
        ("status-400", 400, "invalid_request_error"),
        ("status-401", 401, "authentication_error"),
        ("status-403", 403, "permission_error"),
        ("status-404", 404, "not_found_error"),
        ("status-413", 413, "request_too_large"),
        ("status-429-seconds", 429, "rate_limit_error"),
        ("status-500", 500, "api_error"),
        ("status-529", 529, "overloaded_error"),
    ],
)
def test_a_status_on_order_has_the_vendors_shape(fake: FakeAnthropic, fault: str, status: int, kind: str) -> None:
    answer = ask(fake, HELLO | {"model": f"fault-{fault}"})
    assert (answer.status, answer.json["error"]["type"]) == (status, kind)
    assert answer.headers.get("retry-after") == ("7" if "seconds" in fault else None)


def test_an_overload_in_mid_stream_is_an_event(fake: FakeAnthropic) -> None:
    seen = events(ask(fake, HELLO | {"stream": True, "model": "fault-error-event-5"}))
    assert (len(seen), seen[-1]["error"]["type"]) == (6, "overloaded_error")


def test_a_cut_stream_has_no_proper_end(fake: FakeAnthropic) -> None:
    with pytest.raises(http.client.IncompleteRead) as caught:
        ask(fake, HELLO | {"stream": True, "model": "fault-cut-character"})
    with pytest.raises(UnicodeDecodeError):
        caught.value.partial.decode()


def test_other_faults_are_what_they_say(fake: FakeAnthropic) -> None:
    streamed = HELLO | {"stream": True}
    assert b"message_stop" not in ask(fake, streamed | {"model": "fault-end"}).body
    assert ask(fake, HELLO | {"model": "fault-html-502"}).headers["content-type"].startswith("text/html")
    assert "usage" not in ask(fake, HELLO | {"model": "fault-usage-missing"}).json
    assert b"event: mood" in ask(fake, streamed | {"model": "fault-new-event"}).body
    assert ask(fake, streamed | {"model": "fault-pings-50"}).body.count(b"event: ping") == 51
    with pytest.raises(json.JSONDecodeError):
        json.loads(ask(fake, HELLO | {"model": "fault-malformed"}).body)


def test_models_are_listed_in_anthropics_shape(fake: FakeAnthropic) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", fake.port, timeout=10)
    connection.request("GET", "/v1/models", headers={"x-api-key": ANTHROPIC_CREDENTIAL, "anthropic-version": OLD})
    page = json.loads(connection.getresponse().read())
    connection.close()
    assert page["has_more"] is False
    assert {model["type"] for model in page["data"]} == {"model"}
