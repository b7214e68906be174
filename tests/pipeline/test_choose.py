"""Which deployments a request may be sent to: policies forbid, rules lead elsewhere, and nothing else is reached."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import pytest
from msgspec.structs import replace

from headgate.domain.routing import DataHandling
from headgate.settings.load import default_settings
from headgate.settings.model import (
    DeploymentSettings,
    FallbackSettings,
    ModelSettings,
    ProviderSettings,
    RuleSettings,
    Secret,
    WhenSettings,
)
from headgate.testing import gateway
from tests.fakes.openai_api import CREDENTIAL, FakeOpenAI
from tests.pipeline.conftest import Caller
from tests.pipeline.test_allowance import admin

EU = DataHandling(region="eu-central-1", jurisdiction="eu", retention_days=0, trains=False)
US = DataHandling(region="us-east-1", jurisdiction="us", retention_days=30, trains=False)


@pytest.fixture(scope="module")
def inside() -> Iterator[FakeOpenAI]:
    with FakeOpenAI() as server:
        yield server


@pytest.fixture(scope="module")
def outside() -> Iterator[FakeOpenAI]:
    with FakeOpenAI() as server:
        yield server


def provider(name: str, fake: FakeOpenAI, handling: DataHandling) -> ProviderSettings:
    return ProviderSettings(
        name=name,
        kind="openai_compatible",
        base_url=fake.url,
        credential=Secret(CREDENTIAL),
        allow_private_network=True,
        price_free=True,
        handling=handling,
    )


@pytest.fixture
async def asking(inside: FakeOpenAI, outside: FakeOpenAI) -> AsyncIterator[Caller]:
    here, there = DeploymentSettings("eu", "gpt-4o"), DeploymentSettings("us", "gpt-4o")
    failing = DeploymentSettings("eu", "fault-status-503")
    free = RuleSettings(WhenSettings(tags=(("tier", "fr*"),)), "there")
    long = RuleSettings(WhenSettings(input_tokens_above=1000), "there")
    models = (
        ModelSettings("both", (there, here)),
        ModelSettings("there", (there,)),
        ModelSettings("failing", (failing, there), fallbacks=FallbackSettings(error=("there",))),
        ModelSettings("ruled", (here,), rules=(free, long)),
    )
    providers = (provider("eu", inside, EU), provider("us", outside, US))
    settings = replace(default_settings({}, {}), providers=providers, models=models)
    async with gateway(settings) as local, aiohttp.ClientSession() as session:
        yield Caller(local, session)


async def bound_to_eu(caller: Caller) -> dict[str, str]:
    """The header of a key whose data may not leave the union."""
    team = (await admin(caller, "GET", "/teams"))["data"][0]["id"]
    policy = {"jurisdictions": ["eu"], "no_training": True}
    body: dict[str, Any] = {"scope_id": team, "name": "eu-only", "models": ["*"], "residency": policy}
    made = await admin(caller, "POST", "/keys", body)
    return {"authorization": f"Bearer {made['secret']}"}


async def test_what_a_policy_forbids_is_passed_over_and_said_so(asking: Caller, outside: FakeOpenAI) -> None:
    before = len(outside.exchanges)
    status, headers, _ = await asking.ask("both", headers=await bound_to_eu(asking))
    assert (status, headers["x-headgate-deployment"]) == (200, "eu/gpt-4o")
    considered = (await asking.record(headers["x-request-id"]))["routing"]["considered"]
    assert [(each["deployment"], each["why_not"]) for each in considered] == [
        ("eu/gpt-4o", None),
        ("us/gpt-4o", "residency_jurisdiction"),
    ]
    assert len(outside.exchanges) == before


@pytest.mark.parametrize("wishes", [{}, {"x-headgate-providers": "us"}])
async def test_a_model_that_leads_only_outside_is_403_and_audited(asking: Caller, wishes: dict[str, str]) -> None:
    headers = {**await bound_to_eu(asking), **wishes}
    status, answered, answer = await asking.ask("there", headers=headers)
    assert (status, answer["error"]["code"]) == (403, "residency_violation")
    assert (answer["error"]["headgate"]["reason"], answered["x-should-retry"]) == ("jurisdiction", "false")
    record = await asking.record(answered["x-request-id"])
    assert (record["outcome"], record["error_code"], record["attempts"]) == ("refused", "residency_violation", [])


async def test_no_failure_makes_a_request_leave_where_it_must_stay(asking: Caller, outside: FakeOpenAI) -> None:
    before = len(outside.exchanges)
    headers = await bound_to_eu(asking)
    for _ in range(12):
        status, answered, _ = await asking.ask("failing", headers=headers)
        assert (status, answered["x-headgate-provider"]) == (502, "eu")
    assert len(outside.exchanges) == before
    status, _, _ = await asking.ask("failing")
    assert (status, len(outside.exchanges)) == (200, before + 1)


@pytest.mark.parametrize(
    ("body", "headers", "provider"),
    [
        ({}, {}, "eu"),
        ({}, {"x-headgate-tags": "tier=free"}, "us"),
        ({}, {"x-headgate-tags": "tier=paid"}, "eu"),
        ({"messages": [{"role": "user", "content": "long " * 2000}]}, {}, "us"),
    ],
)
async def test_a_rule_leads_a_request_to_another_alias(
    asking: Caller, body: dict[str, Any], headers: dict[str, str], provider: str
) -> None:
    status, answered, _ = await asking.ask("ruled", headers=headers, **body)
    assert (status, answered["x-headgate-provider"]) == (200, provider)
    record = await asking.record(answered["x-request-id"])
    assert record["routing"]["rules"] == (["there"] if provider == "us" else [])
