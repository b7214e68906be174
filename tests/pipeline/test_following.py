"""Tests of headgate.pipeline.following; what many do at once is in `test_caching`."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import pytest
from msgspec.structs import replace

from headgate.domain.caching import CachePolicy
from headgate.pipeline import following
from headgate.settings.load import default_settings
from headgate.settings.model import CacheSettings, DeploymentSettings, ModelSettings, ProviderSettings, Secret
from headgate.testing import gateway
from tests.fakes.openai_api import CREDENTIAL, Exchange, FakeOpenAI
from tests.fakes.plan import Gate, Plan
from tests.pipeline.conftest import Caller


class Held(FakeOpenAI):
    """OpenAI's API that says nothing before a test lets it."""

    def answer(self, exchange: Exchange) -> tuple[Plan, str]:
        plan, _ = super().answer(exchange)
        return plan._replace(steps=[Gate(1), *plan.steps]), exchange.json["messages"][-1]["content"]


@pytest.fixture(scope="module")
def fake() -> Iterator[Held]:
    with Held() as server:
        yield server


@pytest.fixture
async def asking(fake: Held) -> AsyncIterator[Caller]:
    provider = ProviderSettings(
        "fake",
        "openai_compatible",
        base_url=fake.url,
        credential=Secret(CREDENTIAL),
        allow_private_network=True,
        price_free=True,
    )
    settings = replace(
        default_settings({}, {}),
        providers=(provider,),
        models=(ModelSettings("m", (DeploymentSettings("fake", "gpt-4o"),)),),
        cache=CacheSettings(exact=CachePolicy(), disk=0),
    )
    async with gateway(settings) as local, aiohttp.ClientSession() as session:
        yield Caller(local, session)


def said(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}


async def asked(fake: Held, text: str) -> None:
    """Wait until the provider has been asked."""
    deadline = time.monotonic() + 10
    while not any(text in exchange.body.decode() for exchange in fake.exchanges):
        assert time.monotonic() < deadline, "the provider is not asked"
        await asyncio.sleep(0.01)


async def test_a_stream_that_waits_long_shows_that_it_lives(
    asking: Caller, fake: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "PING_EVERY_S", 0.05)
    text = "waits long"
    async with asyncio.TaskGroup() as group:
        leader = group.create_task(asking.events("m", **said(text)))
        await asked(fake, text)
        async with asking.post("m", stream=True, **said(text)) as answer:
            assert answer.headers["x-headgate-cache"] == "coalesced"
            assert (await answer.content.readuntil(b"\n\n")) == b": ping\n\n"
            await asyncio.to_thread(fake.acknowledge, text)
            told = (await answer.read()).decode()
    assert "[DONE]" in told
    assert leader.result()[0]["x-headgate-cache"] == "miss"


async def test_a_stream_may_follow_what_another_wants_whole_and_the_other_way_round(asking: Caller, fake: Held) -> None:
    for is_stream in (False, True):
        text = f"one of each {is_stream}"
        async with asyncio.TaskGroup() as group:
            leader = group.create_task(_read(asking, text, is_stream))
            await asked(fake, text)
            follower = group.create_task(_read(asking, text, not is_stream))
            await asyncio.sleep(0.05)
            await asyncio.to_thread(fake.acknowledge, text)
        assert (leader.result(), follower.result()) == ("miss", "coalesced")


async def _read(asking: Caller, text: str, stream: bool) -> str:
    async with asking.post("m", stream=stream, **said(text)) as answer:
        assert answer.status == 200
        await answer.read()
        return answer.headers["x-headgate-cache"]


async def test_ones_own_deadline_holds_while_reading_along(asking: Caller, fake: Held) -> None:
    text = "in a hurry"
    async with asyncio.TaskGroup() as group:
        leader = group.create_task(_read(asking, text, False))
        await asked(fake, text)
        status, _, body = await asking.ask("m", headers={"x-headgate-timeout": "100ms"}, **said(text))
        await asyncio.to_thread(fake.acknowledge, text)
    assert (status, body["error"]["code"]) == (504, "deadline_exceeded")
    assert leader.result() == "miss"
