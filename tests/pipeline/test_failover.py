"""From one try to the next, against a provider whose model names choose what goes wrong."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import pytest
from msgspec.structs import replace

from headgate.domain.catalog import Price, Rates
from headgate.domain.routing import Strategy
from headgate.routing.breaker import SILENT_FAILURE_S, SILENT_PROBE_S, TRIP_IN_A_ROW
from headgate.settings.load import default_settings
from headgate.settings.model import (
    DeploymentSettings,
    FallbackSettings,
    ModelSettings,
    ProviderSettings,
    Secret,
    TimeoutSettings,
)
from headgate.testing import gateway
from tests.fakes.openai_answers import WORDS
from tests.fakes.openai_api import CREDENTIAL, FakeOpenAI
from tests.pipeline.conftest import Caller
from tests.pipeline.test_allowance import budget_of, budgeted

PRICE = Price(Rates(input=1_000_000_000, output=2_000_000_000), version="test 1")
DEARER = Price(Rates(input=10_000_000_000, output=20_000_000_000), version="test 1")
BEFORE_CONTENT = (
    "refuse",
    "stall-before",
    "cut-0",
    "malformed",
    "html",
    "empty",
    "status-401",
    "status-404",
    "status-429",
    "status-500",
    "status-503",
    "status-529",
    "quota",
    "error-event-0",
    "redirect",
    "header-huge",
)
"""Each of another class, or another way to it."""
AFTER_CONTENT = ("stall-5", "cut-5", "cut-character", "malformed-5", "error-event-5", "end-5")


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeOpenAI]:
    with FakeOpenAI() as server:
        yield server


def alias(name: str, *upstream: str, **more: Any) -> ModelSettings:
    """An alias of the fake's models. The last of several has a credential of its own and costs ten times as much."""
    found = [DeploymentSettings("fake", model, price=PRICE) for model in upstream]
    if len(found) > 1:
        found[-1] = DeploymentSettings("spare", upstream[-1], price=DEARER)
    return ModelSettings(name, tuple(found), **more)


def models() -> tuple[ModelSettings, ...]:
    faults = (*BEFORE_CONTENT, *AFTER_CONTENT, "status-400", "context-length", "content-filter")
    return (
        *(alias(f"{fault}-then-good", f"fault-{fault}", "gpt-4o") for fault in faults),
        alias("four", "fault-status-500", "fault-status-502", "fault-status-503", "fault-status-529", "gpt-4o"),
        alias("bad-then-bad", "fault-status-503", "fault-status-500"),
        alias("slow", "fault-stall-before", "fault-stall-after"),
        alias("slow-then-slow", "fault-stall-before", "fault-stall-before"),
        alias("slow-alone", "fault-stall-before"),
        alias("slow-but-led", "fault-stall-before", fallbacks=FallbackSettings(error=("good",))),
        alias("good", "gpt-4o"),
        alias("led", "fault-status-500", fallbacks=FallbackSettings(error=("good",))),
        alias("long", "fault-context-length", fallbacks=FallbackSettings(context_length=("good",))),
        alias("filtered", "fault-content-filter", fallbacks=FallbackSettings(content_filter=("good",))),
        ModelSettings("old-name", use="good"),
        ModelSettings("asleep", (DeploymentSettings("asleep", "gpt-4o"),)),
        ModelSettings("leads-nowhere", use="asleep"),
        alias("other-order", "gpt-4o-mini", "gpt-4o", strategy=Strategy.PRIORITY),
    )


@pytest.fixture
async def asking(fake: FakeOpenAI) -> AsyncIterator[Caller]:
    provider = ProviderSettings(
        name="fake",
        kind="openai_compatible",
        base_url=fake.url,
        credential=Secret(CREDENTIAL),
        allow_private_network=True,
        timeouts=TimeoutSettings(connect=2, first_event=SILENT_FAILURE_S + 0.1, idle=0.5, total=5),
    )
    asleep = ProviderSettings(name="asleep", kind="openai")
    providers = (provider, replace(provider, name="spare"), asleep)
    settings = replace(default_settings({}, {}), providers=providers, models=models())
    async with gateway(settings) as local, aiohttp.ClientSession() as session:
        yield Caller(local, session)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", BEFORE_CONTENT)
async def test_another_deployment_answers_where_the_first_fails_before_content(
    asking: Caller, fault: str, stream: bool
) -> None:
    if stream:
        headers, events = await asking.events(f"{fault}-then-good")
        assert events[-1] == "[DONE]"
        text = "".join(json.loads(event)["choices"][0]["delta"].get("content") or "" for event in events[:-1])
        assert text == "".join(WORDS)
    else:
        status, headers, _ = await asking.ask(f"{fault}-then-good")
        assert status == 200
    assert (headers["x-headgate-deployment"], headers["x-headgate-attempts"]) == ("spare/gpt-4o", "2")
    record = await asking.record(headers["x-request-id"])
    first, second = record["attempts"]
    assert (record["outcome"], record["deployment"], second["error"]) == ("ok", "spare/gpt-4o", None)
    assert first["failure"] not in (None, "bad_request")
    assert [each["deployment"] for each in record["routing"]["considered"]] == [f"fake/fault-{fault}", "spare/gpt-4o"]


@pytest.mark.parametrize("fault", AFTER_CONTENT)
async def test_nobody_else_is_asked_once_content_has_reached_the_caller(asking: Caller, fault: str) -> None:
    headers, events = await asking.events(f"{fault}-then-good")
    assert "error" in json.loads(events[-1])
    assert headers["x-headgate-attempts"] == "1"
    record = await asking.record(headers["x-request-id"])
    assert (record["outcome"], len(record["attempts"])) == ("truncated", 1)


@pytest.mark.parametrize("fault", ["status-400", "content-filter"])
async def test_what_would_fail_elsewhere_too_is_told_at_once(asking: Caller, fault: str) -> None:
    status, headers, _ = await asking.ask(f"{fault}-then-good")
    assert (status, headers["x-headgate-attempts"]) == (400, "1")


async def test_a_prompt_that_is_too_long_goes_to_a_window_that_may_hold_it(asking: Caller) -> None:
    status, headers, _ = await asking.ask("context-length-then-good")
    assert (status, headers["x-headgate-attempts"]) == (200, "2")


async def test_a_request_is_tried_four_times_at_most(asking: Caller) -> None:
    status, headers, _ = await asking.ask("four")
    assert (status, headers["x-headgate-attempts"]) == (502, "4")


async def test_one_deployment_is_tried_twice_and_every_one_before_that(asking: Caller) -> None:
    status, headers, _ = await asking.ask("bad-then-bad")
    record = await asking.record(headers["x-request-id"])
    tried = [each["upstream_model"] for each in record["attempts"]]
    assert (status, tried) == (502, ["fault-status-503", "fault-status-500", "fault-status-500"])


@pytest.mark.parametrize(("model", "error"), [("led", 500), ("long", 400), ("filtered", 400)])
async def test_each_class_of_failure_has_its_own_fallbacks(asking: Caller, model: str, error: int) -> None:
    status, headers, _ = await asking.ask(model)
    assert status == 200
    record = await asking.record(headers["x-request-id"])
    assert (record["attempts"][0]["status"], record["deployment"]) == (error, "fake/gpt-4o")
    assert record["routing"]["rules"] == ["good"]


@pytest.mark.parametrize("stream", [False, True])
async def test_nobody_waits_where_all_are_known_to_be_silent(asking: Caller, stream: bool) -> None:
    waited = await asyncio.gather(*(asking.ask("slow-then-slow", stream=stream) for _ in range(TRIP_IN_A_ROW)))
    assert {status for status, _, _ in waited} == {504}
    asked = [await asking.ask("slow-then-slow", stream=stream) for _ in range(10)]
    refused = [(headers, body) for status, headers, body in asked if status == 503]
    assert len(refused) >= 8, "at most one has waited at each"
    headers, body = refused[0]
    assert (body["error"]["code"], body["error"]["headgate"]["reason"]) == ("overloaded", "upstream_silent")
    assert 1 <= int(headers["retry-after"]) <= SILENT_PROBE_S
    assert "x-headgate-attempts" not in headers
    record = await asking.record(headers["x-request-id"])
    assert (record["outcome"], record["attempts"], record["status"]) == ("refused", [], 503)
    assert {each["why_not"] for each in record["routing"]["considered"]} <= {"breaker_open", "probing"}


async def test_one_deployment_alone_that_is_silent_is_no_exception(asking: Caller) -> None:
    await asyncio.gather(*(asking.ask("slow-alone") for _ in range(TRIP_IN_A_ROW)))
    statuses = [(await asking.ask("slow-alone"))[0] for _ in range(4)]
    assert statuses.count(503) >= 3
    status, headers, _ = await asking.ask("slow-but-led")
    assert (status, headers["x-headgate-deployment"], headers["x-headgate-attempts"]) == (200, "fake/gpt-4o", "1")


async def test_what_fails_at_once_is_tried_by_everybody(asking: Caller) -> None:
    for _ in range(3 * TRIP_IN_A_ROW):
        status, headers, _ = await asking.ask("bad-then-bad")
        assert (status, int(headers["x-headgate-attempts"]) >= 1) == (502, True)


async def test_a_fallback_that_the_key_may_not_use_is_not_asked(asking: Caller) -> None:
    admin = {"authorization": f"Bearer {asking.local.admin_token}"}
    async with asking.session.get(f"{asking.local.admin_url}/admin/v1/teams", headers=admin) as answer:
        team = (await answer.json())["data"][0]["id"]
    narrow = {"scope_id": team, "name": "narrow", "models": ["led"]}
    async with asking.session.post(f"{asking.local.admin_url}/admin/v1/keys", headers=admin, json=narrow) as answer:
        secret = (await answer.json())["secret"]
    status, headers, _ = await asking.ask("led", headers={"authorization": f"Bearer {secret}"})
    assert (status, headers["x-headgate-deployment"]) == (502, "fake/fault-status-500")


async def test_an_alias_of_an_alias_answers_under_its_own_name(asking: Caller) -> None:
    status, headers, _ = await asking.ask("old-name")
    assert (status, headers["x-headgate-model"], headers["x-headgate-deployment"]) == (200, "old-name", "fake/gpt-4o")


async def test_an_alias_of_one_that_is_off_is_not_listed_and_hides_no_other(asking: Caller) -> None:
    url = f"{asking.local.url}/v1/models"
    async with asking.session.get(url, headers=asking.headers) as answer:
        assert answer.status == 200
        listed = {each["id"]: each["owned_by"] for each in (await answer.json())["data"]}
    assert listed["old-name"] == "fake"
    assert not {"asleep", "leads-nowhere"} & set(listed)
    status, _, answer = await asking.ask("leads-nowhere")
    assert (status, answer["error"]["code"]) == (404, "model_not_found")


async def test_the_deadline_holds_over_all_tries(asking: Caller) -> None:
    status, headers, answer = await asking.ask("slow", headers={"x-headgate-timeout": "800ms"})
    assert (status, answer["error"]["code"]) == (504, "deadline_exceeded")
    record = await asking.record(headers["x-request-id"])
    assert record["duration_ms"] < 1800
    assert [each["failure"] for each in record["attempts"]] == ["stall", "deadline"]


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"x-headgate-strategy": "best"}, "invalid_request"),
        ({"x-headgate-providers": "no such"}, "invalid_request"),
        ({"x-headgate-providers": "nobody"}, "invalid_request"),
    ],
)
async def test_a_wish_that_makes_no_sense_is_refused(asking: Caller, headers: dict[str, str], code: str) -> None:
    status, _, answer = await asking.ask("good", headers=headers)
    assert (status, answer["error"]["code"]) == (400, code)
    assert next(iter(headers)) in answer["error"]["message"]


async def test_a_callers_wishes_are_heard(asking: Caller) -> None:
    wishes = {"x-headgate-strategy": "cheapest", "x-headgate-providers": "fake"}
    status, headers, _ = await asking.ask("other-order", headers=wishes)
    assert status == 200
    assert (await asking.record(headers["x-request-id"]))["routing"]["strategy"] == "cheapest"


@pytest.mark.parametrize("fault", ["refuse", "status-503", "stall-before"])
async def test_every_try_is_paid_for_and_nothing_stays_held(asking: Caller, fault: str) -> None:
    key_id, headers = await budgeted(asking, "1")
    status, answered, _ = await asking.ask(f"{fault}-then-good", headers=headers, max_tokens=100)
    assert status == 200
    record = await asking.record(answered["x-request-id"])
    first, second = record["attempts"]
    assert (first["cost_usd"] == "0") == (fault == "status-503")
    assert second["cost_usd"] == "0"
    budget = await budget_of(asking, key_id)
    assert (budget["posted_usd"], budget["held_usd"]) == (record["cost_usd"], "0")
    # The second deployment costs ten times as much, so more had to be held than for the first.
    assert float(record["spending"]["held_usd"]) >= float(record["cost_usd"])
    assert record["spending"]["overrun_usd"] == "0"


async def test_a_fallback_that_the_budget_does_not_pay_for_is_not_asked(asking: Caller) -> None:
    key_id, headers = await budgeted(asking, "0.0009")
    status, answered, answer = await asking.ask("status-503-then-good", headers=headers, max_tokens=300)
    assert (status, answer["error"]["code"]) == (502, "upstream_error")
    record = await asking.record(answered["x-request-id"])
    assert (len(record["attempts"]), record["deployment"]) == (1, "fake/fault-status-503")
    assert record["spending"]["refused_by"] is not None
    budget = await budget_of(asking, key_id)
    assert (budget["posted_usd"], budget["held_usd"]) == ("0", "0")
