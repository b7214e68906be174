"""A stream that has nothing to say for long: its head is given, and pings show that it lives."""

from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest
from msgspec.structs import replace

from headgate.settings.load import default_settings
from headgate.settings.model import ProviderSettings, Secret, TimeoutSettings
from headgate.testing import gateway
from tests.fakes.openai_api import CREDENTIAL, FakeOpenAI
from tests.pipeline.conftest import Caller

LATE_MS = 11_000
"""A second after the gateway gives a stream's head whatever comes."""


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
        timeouts=TimeoutSettings(connect=2, first_event=12, idle=12, total=30),
    )
    settings = replace(default_settings({}, {}), providers=(provider,), models=())
    async with gateway(settings) as local, aiohttp.ClientSession() as session:
        yield Caller(local, session)


@pytest.mark.parametrize(
    ("path", "ping"),
    [("/v1/chat/completions", b": ping\n\n"), ("/v1/messages", b'event: ping\ndata: {"type": "ping"}')],
)
async def test_a_stream_that_is_silent_for_long_is_begun_and_pinged(asking: Caller, path: str, ping: bytes) -> None:
    async with asking.post(f"fake/fault-late-{LATE_MS}", path, stream=True, max_tokens=50) as answer:
        assert (answer.status, answer.headers["x-headgate-attempts"]) == (200, "1")
        text = await answer.read()
    assert text.startswith(ping)
    assert text.count(ping) == 1
    assert b"[DONE]" in text or b"message_stop" in text
    record = await asking.record(answer.headers["x-request-id"])
    assert (record["outcome"], record["usage_quality"]) == ("ok", "provider")
    assert record["first_event_ms"] > LATE_MS - 1000


async def test_what_fails_after_the_head_was_given_ends_in_an_explicit_error(asking: Caller) -> None:
    async with asking.post("fake/fault-stall-before", stream=True) as answer:
        assert answer.status == 200
        text = (await answer.read()).decode()
    assert text.startswith(": ping\n\n")
    assert '"upstream_timeout"' in text
    assert "[DONE]" not in text
    record = await asking.record(answer.headers["x-request-id"])
    assert (record["outcome"], len(record["attempts"])) == ("truncated", 1)
