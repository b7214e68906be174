"""Counting tokens where the provider does not."""

from tests.pipeline.conftest import Caller


async def test_a_count_is_recorded_and_costs_nothing(caller: Caller) -> None:
    body = {"system": "Be brief.", "tools": [{"name": "f", "input_schema": {"type": "object"}}]}
    async with caller.post("sandbox/echo", "/v1/messages/count_tokens", **body) as answer:
        assert answer.status == 200
        assert (await answer.json())["input_tokens"] > 5
        record = await caller.record(answer.headers["x-request-id"])
    assert (record["operation"], record["outcome"], record["attempts"]) == ("count_tokens", "ok", [])
    assert (record["usage_quality"], record["cost_usd"]) == ("none", "0")


async def test_a_model_that_is_not_there_is_said_in_anthropics_format(caller: Caller) -> None:
    async with caller.post("nothing", "/v1/messages/count_tokens") as answer:
        assert (answer.status, (await answer.json())["error"]["type"]) == (404, "not_found_error")
