"""The sandbox through a whole gateway: each script does what it says, and its own meter agrees with the records."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.gateway import Answer, Gateway, events_of, hello

SANDBOX_KEY = "sandbox-key-for-every-script-0000000001"
CONFIG = f"""
server: {{drain: 1s}}
timeouts: {{connect: 1s, first_event: 1s, idle: 1s, total: 5s}}
providers: {{sandbox: {{kind: sandbox}}}}
models: [{{alias: "sandbox/*", deployments: [{{provider: sandbox, model: "*"}}]}}]
organizations: [{{slug: a, name: A, keys: [{{name: k, models: ["sandbox/*"], secret: {SANDBOX_KEY}}}]}}]
"""
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with Gateway(tmp_path_factory.mktemp("sandbox"), CONFIG) as running:
        yield running


def meter(gateway: Gateway) -> dict[str, int]:
    answer = gateway.request("GET", "/sandbox/meter", key=gateway.admin_token)
    assert answer.status == 200
    return answer.json["total"]


def ask(gateway: Gateway, script: str, **changes: Any) -> Answer:
    return gateway.chat(hello(model=f"sandbox/{script}", **changes), key=SANDBOX_KEY)


SCRIPTS = [
    ("echo", {}, 200),
    ("lorem-40", {}, 200),
    ("lorem-40", {"max_tokens": 7}, 200),
    ("tool-call", {"tools": [TOOL]}, 200),
    ("thinking", {}, 200),
    ("json", {"response_format": {"type": "json_object"}}, 200),
    ("lorem-5+slow-50+pace-5", {}, 200),
    ("lorem-5+no-usage", {}, 200),
    ("status-429", {}, 429),
    ("status-503", {}, 502),
    ("flaky-100", {}, 502),
    ("flaky-0", {}, 200),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("script", "changes", "status"), SCRIPTS)
def test_the_record_says_what_the_meter_says(
    gateway: Gateway, script: str, changes: dict[str, Any], status: int, stream: bool
) -> None:
    before = meter(gateway)
    answer = ask(gateway, script, stream=stream, **changes)
    assert answer.status == status, answer.body
    record = gateway.record(answer.headers["x-request-id"])
    after = meter(gateway)
    produced = {name: after[name] - before[name] for name in after}
    # What may be over in a moment is tried a second time.
    assert produced["calls"] == len(record["attempts"]) == (2 if status >= 429 else 1)
    if "no-usage" in script:
        # Counted with a tokenizer, which is not the sandbox's own rule.
        assert record["usage_quality"] == "counted"
        assert (record["usage"]["output_tokens"] > 0, produced["output_tokens"]) == (True, 5)
        return
    assert record["usage"]["input_tokens"] == produced["input_tokens"]
    assert record["usage"]["output_tokens"] == produced["output_tokens"]
    # 1 USD a million in, 2 USD a million out.
    micro_usd = produced["input_tokens"] + 2 * produced["output_tokens"]
    assert round(float(record["cost_usd"]) * 1_000_000) == micro_usd
    assert record["sandbox"] is True
    if "max_tokens" in changes:
        assert (produced["output_tokens"], record["finish_reason"]) == (7, "length")


def test_echo_answers_with_the_last_user_message(gateway: Gateway) -> None:
    said = [{"role": "user", "content": "first"}, {"role": "assistant", "content": "x"}]
    answer = ask(gateway, "echo", messages=[*said, {"role": "user", "content": "second"}])
    assert answer.json["choices"][0]["message"]["content"] == "second"


def test_embed_has_its_dimensions(gateway: Gateway) -> None:
    body = {"model": "sandbox/embed-12", "input": "x"}
    answer = gateway.request("POST", "/v1/embeddings", body, key=SANDBOX_KEY)
    assert len(answer.json["data"][0]["embedding"]) == 12


@pytest.mark.parametrize(
    ("script", "stream", "produced"), [("lorem-9+cut-after-3", True, 3), ("lorem-9+stall", True, 1)]
)
def test_a_stream_that_breaks_off_ends_in_an_error_event_and_its_tokens_count(
    gateway: Gateway, script: str, stream: bool, produced: int
) -> None:
    before = meter(gateway)
    answer = ask(gateway, script, stream=stream)
    events = events_of(answer.body)
    assert json.loads(events[-1])["error"]["code"] in ("upstream_error", "upstream_timeout")
    assert "[DONE]" not in events
    record = gateway.record(answer.headers["x-request-id"])
    assert (record["outcome"], record["usage_quality"]) == ("truncated", "counted")
    assert meter(gateway)["output_tokens"] - before["output_tokens"] == produced
    assert record["usage"]["output_tokens"] >= 1


@pytest.mark.parametrize("stream", [False, True])
def test_malformed_is_an_error_of_the_contract(gateway: Gateway, stream: bool) -> None:
    answer = ask(gateway, "lorem-5+malformed", stream=stream)
    error = json.loads(events_of(answer.body)[-1]) if stream else answer.json
    assert error["error"]["code"] == "upstream_error"
    assert b"[DONE]" not in answer.body


def test_stall_of_a_whole_answer_is_a_time_out(gateway: Gateway) -> None:
    answer = ask(gateway, "lorem-5+stall")
    assert (answer.status, answer.code) == (504, "upstream_timeout")


def test_slow_is_the_time_to_the_first_event(gateway: Gateway) -> None:
    started = time.monotonic()
    answer = ask(gateway, "echo+slow-300", stream=True)
    assert time.monotonic() - started >= 0.3
    assert gateway.record(answer.headers["x-request-id"])["first_event_ms"] >= 300


def test_a_script_that_is_none_is_a_model_that_is_not_there(gateway: Gateway) -> None:
    for script in ("nonsense", "echo+echo", "lorem-", "echo+status-200", "flaky-101"):
        answer = ask(gateway, script)
        assert (answer.status, answer.code) == (404, "model_not_found"), script


def test_the_meter_is_read_by_the_operator_alone(gateway: Gateway) -> None:
    for key in (SANDBOX_KEY, None, "nobody"):
        assert gateway.request("GET", "/sandbox/meter", key=key).status == 401


def test_reports_leave_the_sandbox_out(gateway: Gateway) -> None:
    ask(gateway, "echo")
    gateway.records(1)
    assert gateway.admin("GET", "/usage").json["data"] == []
    assert gateway.admin("GET", "/usage?include_sandbox=true").json["data"] != []
