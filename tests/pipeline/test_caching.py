"""Tests of headgate.pipeline.caching, before a provider whose model names choose what goes wrong."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import pytest
from msgspec.structs import replace

from headgate.domain.access import ScopeKind, ScopeRef, VirtualKey
from headgate.domain.caching import CachePolicy, CacheScope
from headgate.domain.catalog import Price, Rates
from headgate.pipeline.caching import labels_of, scope_id_of
from headgate.settings.load import default_settings
from headgate.settings.model import (
    CacheSettings,
    DeploymentSettings,
    ModelSettings,
    ProviderSettings,
    Secret,
    ServerSettings,
    TimeoutSettings,
)
from headgate.testing import gateway
from tests.fakes.openai_api import CREDENTIAL, FakeOpenAI
from tests.pipeline.conftest import Caller

PRICE = Price(Rates(input=1_000_000_000, output=2_000_000_000), version="test 1")
FAULTS = ("cut-1", "status-500", "status-400", "cut-5", "stall-before", "malformed-5", "empty")


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeOpenAI]:
    with FakeOpenAI() as server:
        yield server


@pytest.fixture
async def asking(fake: FakeOpenAI) -> AsyncIterator[Caller]:
    provider = ProviderSettings(
        name="fake",
        kind="openai_compatible",
        base_url=fake.url,
        credential=Secret(CREDENTIAL),
        allow_private_network=True,
        timeouts=TimeoutSettings(connect=2, first_event=0.5, idle=0.5, total=5),
    )
    models = [ModelSettings("good", (DeploymentSettings("fake", "gpt-4o", price=PRICE),))]
    models += [ModelSettings(each, (DeploymentSettings("fake", f"fault-{each}", price=PRICE),)) for each in FAULTS]
    settings = replace(
        default_settings({}, {}),
        # Gateway, provider and a thousand clients share this process: what is late here is the test.
        server=ServerSettings(shed_at_lag=10.0),
        providers=(provider,),
        models=tuple(models),
        cache=CacheSettings(exact=CachePolicy(), disk=0),
    )
    async with gateway(settings) as local, aiohttp.ClientSession() as session:
        yield Caller(local, session)


def calls_of(fake: FakeOpenAI, text: str) -> int:
    return sum(text in exchange.body.decode() for exchange in fake.exchanges)


def said(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", FAULTS)
async def test_what_went_wrong_is_never_kept(asking: Caller, fake: FakeOpenAI, fault: str, stream: bool) -> None:
    text = f"never kept: {fault} {stream}"
    for _ in range(2):
        async with asking.post(fault, stream=stream, **said(text)) as answer:
            await answer.read()
            assert answer.headers.get("x-headgate-cache", "miss") == "miss"
            request_id = answer.headers["x-request-id"]
        note = (await asking.record(request_id))["cache"]
        assert (note["status"], note["stored"], note["saved_usd"]) == ("miss", False, "0")
    assert calls_of(fake, text) >= 2


@pytest.mark.parametrize("stream", [False, True])
async def test_where_a_call_fails_all_who_asked_the_same_are_told_and_few_ask_again(
    asking: Caller, fake: FakeOpenAI, stream: bool
) -> None:
    text = f"all at once and in vain {stream}"

    async def ask() -> int:
        async with asking.post("status-400", stream=stream, **said(text)) as answer:
            await answer.read()
            return answer.status

    statuses = await asyncio.gather(*(ask() for _ in range(20)))
    assert set(statuses) == {400}
    # What is wrong with the request is wrong for everybody: nobody who read along asks again.
    assert calls_of(fake, text) == 1


async def test_nobody_is_given_the_beginning_of_an_answer_that_has_no_content(asking: Caller) -> None:
    async def ask() -> int:
        async with asking.post("cut-1", stream=True, **said("a role, and no word")) as answer:
            await answer.read()
            return answer.status

    statuses = await asyncio.gather(*(ask() for _ in range(10)))
    # Another might have answered, so none of them has a head yet: each is told by its status.
    assert set(statuses) <= {502, 503}


async def test_where_content_breaks_off_all_who_read_along_hear_of_it(asking: Caller, fake: FakeOpenAI) -> None:
    text = "all at once, and it breaks off"

    async def ask() -> str:
        async with asking.post("cut-5", stream=True, **said(text)) as answer:
            assert answer.status == 200
            return (await answer.read()).decode()

    told = await asyncio.gather(*(ask() for _ in range(10)))
    assert all('"error"' in each and "[DONE]" not in each for each in told)
    assert calls_of(fake, text) == 1


async def test_a_leader_that_leaves_loses_nobody(asking: Caller, fake: FakeOpenAI) -> None:
    text = "the first one leaves"

    async def follow() -> tuple[str, str]:
        async with asking.post("good", stream=True, **said(text)) as answer:
            return answer.headers["x-headgate-cache"], (await answer.read()).decode()

    # The fake waits for each event to be acknowledged where the request has a user of its own.
    leader = asking.post("good", stream=True, user="leaves", **said(text))
    answer = await leader.__aenter__()
    assert answer.headers["x-headgate-cache"] == "miss"
    followers = [asyncio.get_running_loop().create_task(follow()) for _ in range(3)]
    await asyncio.sleep(0.1)
    answer.close()
    for _ in range(40):
        await asyncio.to_thread(fake.acknowledge, "leaves")
    for status, told in await asyncio.wait_for(asyncio.gather(*followers), 10):
        assert status in ("coalesced", "hit-exact")
        assert "[DONE]" in told
    assert calls_of(fake, text) == 1


async def test_a_thousand_streams_at_once_are_one_call(asking: Caller, fake: FakeOpenAI) -> None:
    text = "a thousand at once"
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        many = Caller(asking.local, session)

        async def ask() -> tuple[str, str]:
            async with many.post("good", stream=True, **said(text)) as answer:
                events = (await answer.read()).decode().split("\n\n")
                chunks = [json.loads(each.removeprefix("data: ")) for each in events if each.startswith("data: {")]
                deltas = [chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks if chunk["choices"]]
                return answer.headers["x-headgate-cache"], "".join(deltas)

        answers = await asyncio.gather(*(ask() for _ in range(1000)))
    assert calls_of(fake, text) == 1
    assert len({words for _, words in answers}) == 1
    assert {status for status, _ in answers} <= {"miss", "coalesced", "hit-exact"}


async def test_what_follows_costs_nothing_and_says_what_it_saved(asking: Caller, fake: FakeOpenAI) -> None:
    text = "two at once"

    async def ask() -> str:
        async with asking.post("good", stream=True, **said(text)) as answer:
            await answer.read()
            return answer.headers["x-request-id"]

    records = [await asking.record(each) for each in await asyncio.gather(*(ask() for _ in range(2)))]
    paid = next(each for each in records if each["cache"]["status"] == "miss")
    free = next(each for each in records if each is not paid)
    assert (paid["cache"]["stored"], float(paid["cost_usd"]) > 0) == (True, True)
    assert free["cost_usd"] == "0"
    assert free["cache"]["saved_usd"] == paid["cost_usd"]
    assert free["cache"]["saved_output_tokens"] == paid["usage"]["output_tokens"]
    assert free["attempts"] == []


ORGANIZATION, TEAM = ScopeRef(ScopeKind.ORGANIZATION, "org_1", "a"), ScopeRef(ScopeKind.TEAM, "team_1", "b")
PROJECT, PERSON = ScopeRef(ScopeKind.PROJECT, "proj_1", "c"), ScopeRef(ScopeKind.USER, "usr_1", "d")


@pytest.mark.parametrize(
    ("scope", "path", "step"),
    [
        (CacheScope.ORGANIZATION, (ORGANIZATION, TEAM, PROJECT), "org_1"),
        (CacheScope.TEAM, (ORGANIZATION, TEAM, PROJECT), "team_1"),
        (CacheScope.PROJECT, (ORGANIZATION, TEAM, PROJECT), "proj_1"),
        (CacheScope.PROJECT, (ORGANIZATION, TEAM), "team_1"),
        (CacheScope.TEAM, (ORGANIZATION,), "org_1"),
        (CacheScope.TEAM, (ORGANIZATION, PERSON), "org_1"),
        (CacheScope.USER, (ORGANIZATION, TEAM, PERSON), "usr_1 ada"),
        (CacheScope.USER, (ORGANIZATION,), "key_1 ada"),
        (CacheScope.KEY, (ORGANIZATION, TEAM), "key_1"),
    ],
)
def test_answers_are_shared_by_the_step_that_the_policy_names(
    scope: CacheScope, path: tuple[ScopeRef, ...], step: str
) -> None:
    assert scope_id_of(scope, VirtualKey("key_1", "k", path, ("*",)), "ada") == step


def test_what_an_answer_is_purged_by_begins_with_its_organization() -> None:
    key = VirtualKey("key_1", "k", (ORGANIZATION, TEAM), ("*",))
    labels = labels_of(key, "gpt-4o", (("job", "nightly"),), b"k" * 32)
    assert labels[:-1] == (
        "org_1",
        "org_1 scope team_1",
        "org_1 key key_1",
        "org_1 model gpt-4o",
        "org_1 tag job=nightly",
    )
    assert labels[-1].startswith("org_1 entry ce_")
