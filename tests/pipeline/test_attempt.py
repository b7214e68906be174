"""One upstream try against a provider that misbehaves: what the caller sees, and what the try's line says."""

import json
from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest
from msgspec.structs import replace

from headgate.settings.load import default_settings
from headgate.settings.model import ProviderSettings, Secret, TimeoutSettings
from headgate.testing import gateway
from tests.fakes.openai_api import CREDENTIAL, FakeOpenAI
from tests.pipeline.conftest import Caller


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
        price_free=True,
        timeouts=TimeoutSettings(connect=2, first_event=0.5, idle=0.5, total=5),
    )
    settings = replace(default_settings({}, {}), providers=(provider,), models=())
    async with gateway(settings) as local, aiohttp.ClientSession() as session:
        yield Caller(local, session)


async def test_only_our_headers_and_the_providers_request_id_reach_the_caller(asking: Caller) -> None:
    status, headers, _ = await asking.ask("fake/fault-headers")
    assert status == 200
    ours = {"date", "content-type", "content-length", "x-request-id"}
    assert {name for name in headers if not name.startswith("x-headgate-")} == ours
    assert headers["x-headgate-deployment"] == "fake/fault-headers"


async def test_a_redirect_is_not_followed(asking: Caller, fake: FakeOpenAI) -> None:
    before = len(fake.exchanges)
    status, headers, answer = await asking.ask("fake/fault-redirect")
    assert (status, answer["error"]["code"]) == (502, "upstream_error")
    assert "redirect" in answer["error"]["message"]
    assert len(fake.exchanges) == before + 1
    assert (await asking.record(headers["x-request-id"]))["attempts"][0]["error"] == "status_302"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_page_of_html_under_a_good_status_is_malformed(asking: Caller, stream: bool) -> None:
    status, headers, answer = await asking.ask("fake/fault-html", stream=stream)
    assert (status, answer["error"]["headgate"]["reason"]) == (502, "malformed")
    record = await asking.record(headers["x-request-id"])
    assert (record["outcome"], record["attempts"][0]["error"]) == ("upstream_error", "malformed")
    assert record["usage_quality"] == "counted"
    assert record["usage"]["input_tokens"] > 0


async def test_a_stall_before_the_first_event_is_an_error_with_its_own_status(asking: Caller) -> None:
    status, headers, answer = await asking.ask("fake/fault-stall-before", stream=True)
    assert (status, answer["error"]["code"]) == (504, "upstream_timeout")
    assert (await asking.record(headers["x-request-id"]))["attempts"][0]["error"] == "first_event_timeout"


async def test_an_error_event_before_content_is_an_error_with_its_own_status(asking: Caller) -> None:
    status, headers, answer = await asking.ask("fake/fault-error-event-0", stream=True)
    assert (status, answer["error"]["headgate"]["reason"]) == (502, "provider_error_event")
    assert (await asking.record(headers["x-request-id"]))["attempts"][0]["error"] == "error_event"


async def test_an_error_event_after_content_ends_the_stream(asking: Caller) -> None:
    headers, events = await asking.events("fake/fault-error-event-3")
    assert json.loads(events[-1])["error"]["headgate"]["reason"] == "provider_error_event"
    record = await asking.record(headers["x-request-id"])
    assert (record["outcome"], record["usage_quality"]) == ("truncated", "counted")


async def test_the_credential_in_a_providers_words_is_not_passed_on(asking: Caller) -> None:
    _, _, answer = await asking.ask("fake/fault-echo-credential")
    assert CREDENTIAL not in json.dumps(answer)


async def test_the_body_that_is_sent_is_the_callers_but_for_the_model(asking: Caller, fake: FakeOpenAI) -> None:
    body = b'{"model":"fake/gpt-4o","temperature":1.0e0,"messages":[ {"role":"user","content":"\\u00e9"} ]}'
    headers = {**asking.headers, "content-type": "application/json"}
    url = f"{asking.local.url}/v1/chat/completions"
    async with asking.session.post(url, data=body, headers=headers) as answer:
        assert answer.status == 200
    assert fake.last.body == body.replace(b"fake/gpt-4o", b"gpt-4o")
    assert fake.last.header("authorization") == f"Bearer {CREDENTIAL}"
    assert fake.last.header("accept-encoding") == "identity"
