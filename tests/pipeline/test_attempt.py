"""One upstream try against a provider that misbehaves: what the caller sees, and what the try's line says."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from msgspec.structs import replace

from headgate.domain.catalog import Price, Rates
from headgate.settings.load import default_settings
from headgate.settings.model import DeploymentSettings, ModelSettings, ProviderSettings, Secret, TimeoutSettings
from headgate.testing import gateway
from tests.fakes.openai_api import CREDENTIAL, FakeOpenAI
from tests.pipeline.conftest import Caller
from tests.upstream.callers import stall, stall_after
from tests.upstream.scripted_server import (
    CHUNKED,
    Peer,
    Script,
    ScriptedServer,
    answering,
    answering_once,
    chunk,
    scripted,
    until,
)


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


# A provider whose every byte is scripted

USAGE = {"prompt_tokens": 3, "completion_tokens": 3, "total_tokens": 6}
LAST_CHUNK = b"0\r\n\r\n"
PRICE = Price(Rates(input=1_000_000_000, output=2_000_000_000), version="test 1")


def sse(value: object) -> bytes:
    return chunk(b"data: " + (value if isinstance(value, bytes) else json.dumps(value).encode()) + b"\n\n")


def delta(text: str | None = None, reason: str | None = None, **more: object) -> bytes:
    choice = {"index": 0, "delta": {"content": text} if text else {}, "finish_reason": reason}
    return sse({"choices": [choice], **more})


STREAM = CHUNKED + delta("hi") + delta(reason="stop") + sse({"choices": [], "usage": USAGE}) + sse(b"[DONE]")


def whole(value: object, status: bytes = b"200 OK", length: int | None = None) -> bytes:
    body = json.dumps(value).encode()
    head = b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    return head % (status, len(body) if length is None else length) + body


@asynccontextmanager
async def asking_of(script: Script, **timeouts: float) -> AsyncIterator[tuple[Caller, ScriptedServer]]:
    async with scripted(script) as server, asking_at(f"http://127.0.0.1:{server.port}/v1", **timeouts) as caller:
        yield caller, server


@asynccontextmanager
async def asking_at(url: str, **timeouts: float) -> AsyncIterator[Caller]:
    provider = ProviderSettings(
        name="fake",
        kind="openai_compatible",
        base_url=url,
        credential=Secret(CREDENTIAL),
        allow_private_network=True,
        timeouts=TimeoutSettings(**{"connect": 10, "first_event": 10, "idle": 10, "total": 20, **timeouts}),
    )
    model = ModelSettings("m", (DeploymentSettings("fake", "m", price=PRICE),))
    settings = replace(default_settings({}, {}), providers=(provider,), models=(model,))
    async with gateway(settings) as local, aiohttp.ClientSession() as session:
        yield Caller(local, session)


async def test_an_error_object_under_a_good_status_shows_no_credential_and_costs_nothing() -> None:
    fault = {"error": {"message": f"Incorrect API key provided: {CREDENTIAL}", "code": "y"}}
    async with asking_of(answering(whole(fault))) as (caller, _):
        status, headers, answer = await caller.ask("m")
        record = await caller.record(headers["x-request-id"])
    assert (status, answer["error"]["headgate"]["reason"]) == (502, "provider_error_event")
    assert CREDENTIAL not in json.dumps(answer)
    assert "Incorrect API key provided" in answer["error"]["message"]
    assert record["attempts"][0]["error"] == "error_event"
    assert (record["usage_quality"], record["cost_usd"]) == ("none", "0")


@pytest.mark.parametrize("end", ["client leaves", "cut"])
@pytest.mark.parametrize("early", [{"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10}, {**USAGE, "x": 0}])
async def test_usage_reported_before_the_end_does_not_hide_what_was_produced(end: str, early: object) -> None:
    first = CHUNKED + delta("one ", usage=early)
    words = b"".join(delta(f"word{i} more ") for i in range(200))

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(first + words)
        if end == "client leaves":
            await peer.eof()

    async with asking_of(script) as (caller, _):
        async with caller.post("m", stream=True) as answer:
            await answer.content.readuntil(b"word199 more")
            if end == "cut":
                await answer.read()
        record = await caller.record(answer.headers["x-request-id"])
    assert record["usage_quality"] == "counted"
    assert record["usage"]["output_tokens"] >= 200


@pytest.mark.parametrize("stall", [True, False])
async def test_a_refusal_whose_words_are_cut_is_still_that_refusal_and_costs_nothing(stall: bool) -> None:
    refusal = b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 7\r\ncontent-length: 500\r\n\r\n{"
    script = stall_after(refusal) if stall else answering_once(refusal)
    async with asking_of(script, first_event=0.3, idle=0.3) as (caller, _):
        status, headers, answer = await caller.ask("m")
        record = await caller.record(headers["x-request-id"])
    assert (status, answer["error"]["code"], headers["retry-after"]) == (429, "upstream_rate_limited", "7")
    assert record["attempts"][0]["error"] == "status_429"
    assert (record["usage_quality"], record["cost_usd"]) == ("none", "0")


async def leave_when(caller: Caller, condition: Callable[[], bool]) -> dict[str, Any]:
    """Ask, leave once ``condition`` holds, and return the record."""
    asking = asyncio.get_running_loop().create_task(caller.ask("m", stream=True))
    await until(condition)
    asking.cancel()
    await asyncio.wait([asking])
    return await caller.last_record()


async def test_a_caller_who_leaves_before_anything_was_sent_pays_nothing() -> None:
    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hello.append(await reader.read(1))
        await reader.read()
        writer.close()

    hello: list[bytes] = []
    listener = await asyncio.start_server(mute, "127.0.0.1", 0)
    async with listener, asking_at(f"https://127.0.0.1:{listener.sockets[0].getsockname()[1]}/v1") as caller:
        record = await leave_when(caller, lambda: bool(hello))
    assert record["outcome"] == "client_closed"
    assert (record["usage_quality"], record["cost_usd"]) == ("none", "0")


async def test_a_caller_who_leaves_after_the_request_was_sent_pays_the_input() -> None:
    async with asking_of(stall) as (caller, server):
        record = await leave_when(caller, lambda: bool(server.requests))
    assert record["outcome"] == "client_closed"
    assert record["usage_quality"] == "counted"
    assert record["usage"]["input_tokens"] > 0


async def test_a_caller_who_leaves_while_a_refusal_is_read_pays_nothing() -> None:
    refusal = b"HTTP/1.1 429 Too Many Requests\r\ncontent-length: 500\r\n\r\n{"
    sent: list[bool] = []

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(refusal)
        await asyncio.sleep(0.1)  # the head has to be read before the caller leaves; nothing else shows that it was
        sent.append(True)
        await peer.eof()

    async with asking_of(script) as (caller, _):
        record = await leave_when(caller, lambda: bool(sent))
    assert (record["usage_quality"], record["cost_usd"]) == ("none", "0")


@pytest.mark.parametrize("end", ["stall", "cut", "rubbish"])
async def test_what_follows_the_end_marker_does_not_matter(end: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(STREAM)
        if end == "stall":
            await peer.eof()
        elif end == "rubbish":
            await peer.send(b"zz\r\n")

    async with asking_of(script) as (caller, server):
        headers, events = await asyncio.wait_for(caller.events("m"), 5)
        record = await asyncio.wait_for(caller.record(headers["x-request-id"]), 5)
        await until(lambda: server.open == 0)
    assert events[-1] == "[DONE]"
    assert (record["outcome"], record["usage_quality"], record["usage"]["output_tokens"]) == ("ok", "provider", 3)
    assert record["attempts"][0]["error"] is None


@pytest.mark.parametrize("together", [True, False])
async def test_a_connection_whose_last_chunk_comes_promptly_is_used_again(together: bool) -> None:
    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            if together:
                await peer.send(STREAM + LAST_CHUNK)
            else:
                await peer.send_slowly((STREAM, LAST_CHUNK), pause_s=0.01)

    async with asking_of(script) as (caller, server):
        for _ in range(3):
            headers, events = await caller.events("m")
            assert events[-1] == "[DONE]"
            assert (await caller.record(headers["x-request-id"]))["outcome"] == "ok"
        assert server.connections == 1


@pytest.mark.parametrize("opened", [True, False])
@pytest.mark.parametrize(
    ("broken", "reason", "word"),
    [
        (b'{"error":{"message":"boom","code":"x"}}', "provider_error_event", "error_event"),
        (b'{"choices":[', "malformed", "malformed"),
    ],
)
async def test_content_in_the_same_read_as_a_broken_event_reaches_the_caller(
    opened: bool, broken: bytes, reason: str, word: str
) -> None:
    last = b"data: " + json.dumps({"choices": [{"index": 0, "delta": {"content": "last words"}}]}).encode() + b"\n\n"
    read = chunk(last + b"data: " + broken + b"\n\n")
    pieces = (CHUNKED + delta("first"), read) if opened else (CHUNKED + read,)

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send_slowly(pieces, pause_s=0.05)
        await peer.eof()

    async with asking_of(script) as (caller, _):
        headers, events = await caller.events("m")
        record = await caller.record(headers["x-request-id"])
    assert "last words" in events[-2]
    assert json.loads(events[-1])["error"]["headgate"]["reason"] == reason
    assert (record["outcome"], record["attempts"][0]["error"]) == ("truncated", word)
