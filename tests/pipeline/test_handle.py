"""A request from its bytes to its record, through a whole gateway."""

import asyncio
import gc
import json

import pytest

from headgate.pipeline.trace import Trace
from tests.pipeline.conftest import Caller


async def test_a_whole_answer_is_recorded_with_its_tokens_and_cost(caller: Caller) -> None:
    status, headers, answer = await caller.ask("sandbox/lorem-5", user="ada", metadata={"job": "nightly"})
    assert status == 200
    record = await caller.record(headers["x-request-id"])
    usage = answer["usage"]
    assert record["usage"]["input_tokens"] == usage["prompt_tokens"]
    assert record["usage"]["output_tokens"] == usage["completion_tokens"] == 5
    cost_micro = usage["prompt_tokens"] + 2 * 5
    assert float(record["cost_usd"]) == pytest.approx(cost_micro / 1e6, abs=1e-15)
    assert headers["x-headgate-cost-usd"] == record["cost_usd"]
    assert (record["outcome"], record["status"], record["usage_quality"]) == ("ok", 200, "provider")
    assert (record["user"], record["tags"]) == ("ada", {"job": "nightly"})
    assert [each["status"] for each in record["attempts"]] == [200]
    assert 0 <= record["overhead_ms"] <= record["duration_ms"]


async def test_a_stream_is_recorded_and_its_usage_event_hidden(caller: Caller) -> None:
    headers, events = await caller.events("sandbox/lorem-4")
    assert events[-1] == "[DONE]"
    assert all(json.loads(event)["choices"] for event in events[:-1])
    record = await caller.record(headers["x-request-id"])
    assert (record["usage"]["output_tokens"], record["usage_quality"], record["stream"]) == (4, "provider", True)
    assert record["finish_reason"] == "stop"


async def test_the_usage_event_is_shown_to_those_who_ask(caller: Caller) -> None:
    _, events = await caller.events("sandbox/lorem-4", stream_options={"include_usage": True})
    assert json.loads(events[-2])["usage"]["completion_tokens"] == 4


async def test_headers_say_who_and_why(caller: Caller) -> None:
    wanted = {"x-headgate-user": "eve", "x-headgate-session": "s-1", "x-headgate-tags": "team=search"}
    _, headers, _ = await caller.ask("sandbox/echo", user="ada", metadata={"job": "x"}, headers=wanted)
    record = await caller.record(headers["x-request-id"])
    assert (record["user"], record["session"], record["tags"]) == ("eve", "s-1", {"team": "search"})


@pytest.mark.parametrize(
    ("model", "status", "code", "outcome"),
    [
        ("sandbox/echo+status-429", 429, "upstream_rate_limited", "upstream_error"),
        ("sandbox/echo+status-503", 502, "upstream_error", "upstream_error"),
        ("sandbox/echo+malformed", 502, "upstream_error", "upstream_error"),
        ("sandbox/no-such-script", 404, "model_not_found", "upstream_error"),
        ("unheard-of", 404, "model_not_found", "refused"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_failure_before_content_is_a_plain_error(
    caller: Caller, model: str, status: int, code: str, outcome: str, stream: bool
) -> None:
    if stream and "malformed" in model:
        pytest.skip("a malformed stream breaks after its content began")
    got, headers, answer = await caller.ask(model, stream=stream)
    assert (got, answer["error"]["code"]) == (status, code)
    assert answer["error"]["headgate"]["request_id"] == headers["x-request-id"]
    assert ("x-should-retry" in headers) == (status == 404)
    assert ("retry-after" in headers) == ("status" in model)
    record = await caller.record(headers["x-request-id"])
    assert (record["outcome"], record["status"], record["error_code"]) == (outcome, status, code)
    assert record["usage"]["output_tokens"] == 0


@pytest.mark.parametrize(
    ("model", "reason"), [("lorem-9+cut-after-3", "connection_cut"), ("lorem-9+malformed", "malformed")]
)
async def test_a_stream_that_breaks_after_content_ends_in_an_error_event(
    caller: Caller, model: str, reason: str
) -> None:
    headers, events = await caller.events(f"sandbox/{model}")
    assert "[DONE]" not in events
    error = json.loads(events[-1])["error"]
    assert (error["code"], error["headgate"]["reason"]) == ("upstream_error", reason)
    record = await caller.record(headers["x-request-id"])
    assert (record["outcome"], record["status"], record["error_code"]) == ("truncated", 200, "upstream_error")
    assert record["usage_quality"] == "counted"
    assert record["usage"]["input_tokens"] > 0
    assert record["usage"]["output_tokens"] > 0
    assert record["attempts"][0]["error"] == reason


async def test_missing_usage_is_counted_and_marked(caller: Caller) -> None:
    _, headers, _ = await caller.ask("sandbox/lorem-9+no-usage")
    record = await caller.record(headers["x-request-id"])
    assert record["usage_quality"] == "counted"
    assert record["usage"]["output_tokens"] >= 9
    assert float(record["cost_usd"]) > 0


async def test_the_callers_deadline_is_kept(caller: Caller) -> None:
    status, headers, answer = await caller.ask("sandbox/echo+stall", headers={"x-headgate-timeout": "200ms"})
    assert (status, answer["error"]["code"]) == (504, "deadline_exceeded")
    record = await caller.record(headers["x-request-id"])
    assert record["attempts"][0]["error"] == "total_timeout"


async def test_a_client_that_leaves_a_stream_stops_it_and_is_recorded(caller: Caller) -> None:
    async with caller.post("sandbox/lorem-10000+pace-20", stream=True) as answer:
        request_id = answer.headers["x-request-id"]
        async for line in answer.content:
            if b'"content":"' in line and b'"content":""' not in line:
                break
        answer.close()
    record = await caller.record(request_id)
    assert (record["outcome"], record["status"], record["error_code"]) == ("client_closed", 499, "client_closed")
    assert 0 < record["usage"]["output_tokens"] < 1000
    assert record["usage_quality"] == "counted"


async def test_a_whole_answer_is_recorded_although_its_client_left(caller: Caller) -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(caller.ask("sandbox/lorem-7+slow-400"), 0.15)
    record = await caller.last_record()
    assert (record["outcome"], record["status"]) == ("client_closed", 499)
    assert (record["usage"]["output_tokens"], record["usage_quality"]) == (7, "provider")


async def test_a_refusal_leaves_nothing_for_the_collector(caller: Caller) -> None:
    """An error's traceback holds the frames that hold the error; of a flood, that would be a flood of garbage."""
    await caller.ask("nope")
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        for _ in range(5):
            assert (await caller.ask("nope"))[0] == 404
        gc.collect()
        left = [each for each in gc.garbage if isinstance(each, Trace)]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert left == []
