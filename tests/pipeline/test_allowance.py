"""What limits do to a request, through a whole gateway and its admin API."""

import asyncio
from typing import Any

import pytest

from tests.pipeline.conftest import Caller

LOREM = "sandbox/lorem-20"
COST = "0.000046"  # 6 tokens read at 1 USD, 20 written at 2 USD a million


async def admin(caller: Caller, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    headers = {"authorization": f"Bearer {caller.local.admin_token}"}
    url = f"{caller.local.admin_url}/admin/v1{path}"
    async with caller.session.request(method, url, headers=headers, json=body) as answer:
        found = await answer.json()
        assert answer.status < 300, found
        return found


async def new_key(caller: Caller) -> tuple[str, dict[str, str]]:
    """A key without limits beside the first one, and the header that presents it."""
    name = f"key-{len((await admin(caller, 'GET', '/keys'))['data'])}"
    team = (await admin(caller, "GET", "/teams"))["data"][0]["id"]
    made = await admin(caller, "POST", "/keys", {"scope_id": team, "name": name, "models": ["*"], "sandbox": True})
    return made["id"], {"authorization": f"Bearer {made['secret']}"}


async def budgeted(caller: Caller, amount_usd: str, **more: Any) -> tuple[str, dict[str, str]]:
    key_id, headers = await new_key(caller)
    body = {"scope_id": key_id, "amount_usd": amount_usd, "period": "total", **more}
    await admin(caller, "POST", "/budgets", body)
    return key_id, headers


async def rated(caller: Caller, **rates: Any) -> dict[str, str]:
    key_id, headers = await new_key(caller)
    await admin(caller, "POST", "/rate-limits", {"scope_id": key_id, **rates})
    return headers


async def budget_of(caller: Caller, key_id: str) -> dict[str, Any]:
    (budget,) = (await admin(caller, "GET", f"/keys/{key_id}/status"))["budgets"]
    return budget


async def held(caller: Caller, key_id: str) -> None:
    """Wait until a request of this key holds something."""
    for _ in range(2000):
        if (await budget_of(caller, key_id))["held_usd"] != "0":
            return
        await asyncio.sleep(0.005)
    pytest.fail("nothing was held")


async def test_a_request_that_no_limit_binds_knows_nothing_of_them(caller: Caller) -> None:
    _, headers = await new_key(caller)
    status, answered, _ = await caller.ask(LOREM, headers=headers)
    assert status == 200
    assert not [name for name in answered if "ratelimit" in name.lower()]
    assert (await caller.record(answered["x-request-id"]))["spending"] is None


@pytest.mark.parametrize("stream", [False, True])
async def test_what_was_used_is_posted_and_the_rest_of_the_hold_is_free_again(caller: Caller, stream: bool) -> None:
    key_id, headers = await budgeted(caller, "1")
    if stream:
        answered, _ = await caller.events(LOREM, headers=headers, max_tokens=50)
    else:
        _, answered, _ = await caller.ask(LOREM, headers=headers, max_tokens=50)
    record = await caller.record(answered["x-request-id"])
    spending = record["spending"]
    assert (record["cost_usd"], spending["bound_by"], spending["refused_by"]) == (COST, "bytes", None)
    assert float(spending["held_usd"]) > float(COST)
    budget = await budget_of(caller, key_id)
    assert (budget["posted_usd"], budget["held_usd"]) == (COST, "0")


async def test_the_provider_is_told_a_maximum_where_a_budget_may_refuse_and_the_caller_gave_none(
    caller: Caller,
) -> None:
    _, headers = await budgeted(caller, "1")
    status, answered, found = await caller.ask("sandbox/lorem-9000", headers=headers)
    assert (status, found["usage"]["completion_tokens"]) == (200, 4096)
    assert (await caller.record(answered["x-request-id"]))["spending"]["max_output_tokens"] == 4096
    audited, headers = await new_key(caller)
    body = {"scope_id": audited, "amount_usd": "0", "period": "total", "mode": "audit"}
    await admin(caller, "POST", "/budgets", body)
    _, answered, found = await caller.ask("sandbox/lorem-9000", headers=headers)
    assert found["usage"]["completion_tokens"] == 9000
    spending = (await caller.record(answered["x-request-id"]))["spending"]
    assert [name.split("/")[0] for name in spending["would_refuse"]] == ["key"]


async def test_each_refusal_of_a_budget_has_its_code_and_says_whether_to_come_back(caller: Caller) -> None:
    key_id, headers = await budgeted(caller, "0.0005")
    status, answered, found = await caller.ask(LOREM, headers=headers, max_tokens=1000)
    error = found["error"]
    assert (status, error["code"], answered["x-should-retry"]) == (402, "request_exceeds_budget", "false")
    assert "retry-after" not in answered
    assert (error["headgate"]["scope"], error["headgate"]["limit"]) == (f"key/{key_id}", "0.0005")
    assert (await caller.record(answered["x-request-id"]))["spending"]["refused_by"].startswith(f"key/{key_id}/bud_")
    for _ in range(3):
        assert (await caller.ask(LOREM, headers=headers, max_tokens=20))[0] == 200
    status, _, found = await caller.ask(LOREM, headers=headers, max_tokens=140)
    assert (status, found["error"]["code"]) == (402, "budget_exhausted")


async def test_anthropics_callers_are_refused_in_their_own_words(caller: Caller) -> None:
    _, headers = await budgeted(caller, "0.0001")
    body = {"model": LOREM, "max_tokens": 1000, "messages": [{"role": "user", "content": "hello"}]}
    async with caller.session.post(f"{caller.local.url}/v1/messages", headers=headers, json=body) as answer:
        found = await answer.json()
    assert (answer.status, found["error"]["type"]) == (402, "billing_error")
    assert found["error"]["headgate"]["code"] == "request_exceeds_budget"


async def test_who_waits_for_what_others_hold_is_let_in_when_they_end(caller: Caller) -> None:
    key_id, headers = await budgeted(caller, "0.001")
    async with asyncio.TaskGroup() as group:
        slow = group.create_task(caller.ask("sandbox/lorem-5+slow-300", headers=headers, max_tokens=300))
        await held(caller, key_id)
        status, answered, _ = await caller.ask("sandbox/lorem-5", headers=headers, max_tokens=300)
    assert (status, slow.result()[0]) == (200, 200)
    assert (await caller.record(answered["x-request-id"]))["spending"]["waited_ms"] > 50


async def test_a_request_may_be_cut_to_what_is_left_where_its_caller_says_so(caller: Caller) -> None:
    _, headers = await budgeted(caller, "0.002")
    agreed = {**headers, "x-headgate-on-budget": "clamp"}
    status, answered, found = await caller.ask("sandbox/lorem-5000", headers=agreed, max_tokens=5000)
    assert status == 200
    cut = int(answered["x-headgate-max-tokens"])
    assert found["usage"]["completion_tokens"] == cut
    assert 256 <= cut < 1000
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    status, _, found = await caller.ask("sandbox/lorem-5000", headers=agreed, max_tokens=5000, tools=tools)
    assert (status, found["error"]["code"]) == (402, "request_exceeds_budget")
    status, _, found = await caller.ask(LOREM, headers={**headers, "x-headgate-on-budget": "maybe"})
    assert (status, found["error"]["code"]) == (400, "invalid_request")


@pytest.mark.parametrize("model", ["sandbox/lorem-50+no-usage", "sandbox/lorem-50+cut-after-10"])
async def test_an_estimate_never_costs_more_than_what_was_held(caller: Caller, model: str) -> None:
    key_id, headers = await budgeted(caller, "1")
    answered, _ = await caller.events(model, headers=headers, max_tokens=60)
    record = await caller.record(answered["x-request-id"])
    assert record["usage_quality"] == "counted"
    assert 0 < float(record["cost_usd"]) <= float(record["spending"]["held_usd"])
    assert (await budget_of(caller, key_id))["posted_usd"] == record["cost_usd"]


async def test_a_provider_that_refuses_costs_nothing_and_holds_nothing(caller: Caller) -> None:
    key_id, headers = await budgeted(caller, "1")
    assert (await caller.ask("sandbox/lorem-5+status-503", headers=headers, max_tokens=5))[0] == 502
    budget = await budget_of(caller, key_id)
    assert (budget["posted_usd"], budget["held_usd"]) == ("0", "0")


async def test_a_caller_who_leaves_a_stream_pays_what_was_produced(caller: Caller) -> None:
    key_id, headers = await budgeted(caller, "1")
    body = {"stream": True, "max_tokens": 400, "headers": headers}
    async with caller.post("sandbox/lorem-400+pace-5", **body) as answer:
        request_id = answer.headers["x-request-id"]
        await answer.content.readany()
    record = await caller.record(request_id)
    assert record["outcome"] == "client_closed"
    budget = await budget_of(caller, key_id)
    assert (budget["posted_usd"], budget["held_usd"]) == (record["cost_usd"], "0")
    assert float(budget["posted_usd"]) > 0


async def test_what_has_no_bound_is_refused_where_money_is_limited(caller: Caller) -> None:
    _, headers = await budgeted(caller, "1")
    body = {"web_search_options": {}, "max_tokens": 5}
    status, _, found = await caller.ask(LOREM, headers=headers, **body)
    assert (status, found["error"]["code"]) == (403, "unpriced_model")
    assert found["error"]["headgate"]["reason"] == "unbounded"
    strict = await rated(caller, tpd=10_000)
    status, _, found = await caller.ask(LOREM, headers=strict, **body)
    assert (status, found["error"]["code"]) == (400, "unsupported_feature")


async def test_rate_limits_are_told_and_kept(caller: Caller) -> None:
    headers = await rated(caller, rpm=2, tpm=100_000)
    for left in ("1", "0"):
        status, answered, _ = await caller.ask(LOREM, headers=headers, max_tokens=20)
        assert (status, answered["x-ratelimit-limit-requests"]) == (200, "2")
        assert answered["x-ratelimit-remaining-requests"] == left
        assert int(answered["x-ratelimit-remaining-tokens"]) < 100_000
    status, answered, found = await caller.ask(LOREM, headers=headers, max_tokens=20)
    assert (status, found["error"]["code"], found["error"]["headgate"]["reason"]) == (429, "rate_limit_exceeded", "rpm")
    assert 0 < int(answered["retry-after"]) <= 61
    assert answered["x-ratelimit-remaining-requests"] == "0"


async def test_a_request_larger_than_a_strict_window_is_not_told_to_come_back(caller: Caller) -> None:
    headers = await rated(caller, tpd=500)
    status, answered, found = await caller.ask(LOREM, headers=headers, max_tokens=1000)
    assert (status, found["error"]["code"], answered["x-should-retry"]) == (429, "rate_limit_exceeded", "false")
    assert "retry-after" not in answered


async def test_no_more_requests_run_at_once_than_may(caller: Caller) -> None:
    headers = await rated(caller, concurrency=1)
    async with caller.post("sandbox/lorem-50+pace-20", stream=True, headers=headers) as running:
        await running.content.readany()
        status, answered, found = await caller.ask(LOREM, headers=headers)
        assert (status, found["error"]["code"]) == (429, "concurrency_exceeded")
        assert "retry-after" in answered
        await running.read()
    assert (await caller.ask(LOREM, headers=headers))[0] == 200


async def test_counting_tokens_takes_a_request_and_no_money(caller: Caller) -> None:
    key_id, headers = await budgeted(caller, "0")
    body = {"model": LOREM, "messages": [{"role": "user", "content": "hello"}]}
    url = f"{caller.local.url}/v1/messages/count_tokens"
    async with caller.session.post(url, headers=headers, json=body) as answer:
        assert answer.status == 200
    assert (await budget_of(caller, key_id))["posted_usd"] == "0"


async def test_thresholds_become_events(caller: Caller) -> None:
    key_id, headers = await budgeted(caller, "0.0007")
    assert (await caller.ask("sandbox/lorem-200", headers=headers, max_tokens=200))[0] == 200
    for _ in range(500):
        events = (await admin(caller, "GET", "/budget-events"))["data"]
        if events:
            break
        await asyncio.sleep(0.02)
    assert [(event["scope_id"], event["percent"]) for event in events] == [(key_id, 50)]


async def test_what_a_stream_holds_stays_held_until_its_provider_reports(caller: Caller) -> None:
    """The sandbox reports its input at the end of a stream alone, so its hold stays whole until then."""
    key_id, headers = await budgeted(caller, "1")
    long = [{"role": "user", "content": "water " * 2000}]
    async with caller.post("sandbox/lorem-50+pace-10", stream=True, max_tokens=50, messages=long, headers=headers) as r:
        await r.content.readany()
        held_usd = (await budget_of(caller, key_id))["held_usd"]
        await r.read()
    assert float(held_usd) > 0.012
    assert (await budget_of(caller, key_id))["held_usd"] == "0"
