"""The caller's own faults: he leaves in any phase of a request that may be tried elsewhere, or reads too slowly."""

import hashlib
import http.client
import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.chaos.cells import KEY, PATIENT, PRICE
from tests.fakes.openai_api import CREDENTIAL, FakeOpenAI
from tests.gateway import Gateway

IDLE_S = 0.6
EVENTS = 60_000
LONG = f"fault-long-{EVENTS}"
"""15 MB: more than all buffers on the way hold."""
PHASES = {
    # What the first provider does until the caller leaves, and how many bytes he waits for.
    "before-the-head": ("fault-stall-before", False, 0),
    "before-the-head-of-a-stream": ("fault-stall-before", True, 0),
    "before-the-body": ("fault-stall-after", False, 0),
    "before-content": ("fault-stall-1", True, 0),
    "behind-content": ("fault-stall-5", True, 1),
}


def config(fake: FakeOpenAI) -> str:
    provider = {"kind": "openai_compatible", "base_url": fake.url, "credential": CREDENTIAL}
    shared = {**provider, "allow_private_network": True}
    slow, fast = {**PATIENT, "first_event": "2s"}, {**PATIENT, "idle": f"{IDLE_S * 1000:g}ms"}
    first = {model for model, _, _ in PHASES.values()} | {LONG}
    models = [
        {
            "alias": model,
            "deployments": [
                {"provider": "first", "model": model, "price": PRICE},
                {"provider": "spare", "model": "gpt-4o", "price": PRICE},
            ],
        }
        for model in sorted(first)
    ]
    models[0:0] = [{"alias": "quick", "deployments": [{"provider": "spare", "model": "gpt-4o", "price": PRICE}]}]
    for model in models:
        if model["alias"] == LONG:
            model["deployments"][0]["provider"] = "impatient"
    keys = [{"name": "chaos", "models": ["*"], "secret": KEY, "budgets": [{"amount_usd": "1000", "period": "total"}]}]
    return json.dumps(
        {
            "server": {"drain": "5s"},
            "providers": {
                "first": {**shared, "timeouts": slow},
                "spare": {**shared, "timeouts": slow},
                "impatient": {**shared, "timeouts": fast},
            },
            "models": models,
            "organizations": [{"slug": "acme", "name": "Acme", "keys": keys}],
        }
    )


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeOpenAI]:
    with FakeOpenAI() as server:
        yield server


@pytest.fixture(scope="module")
def gateway(fake: FakeOpenAI, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with Gateway(tmp_path_factory.mktemp("clients"), config(fake)) as running:
        yield running


def head_and_body(model: str, *, stream: bool) -> bytes:
    content = {"model": model, "stream": stream, "messages": [{"role": "user", "content": "one two"}]}
    body = json.dumps(content).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n"
    return f"{head}content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body


def held_usd(gateway: Gateway) -> str:
    (key,) = gateway.admin("GET", "/keys").json["data"]
    (budget,) = gateway.admin("GET", f"/keys/{key['id']}/status").json["budgets"]
    return budget["held_usd"]


def settled(gateway: Gateway, model: str) -> dict[str, Any]:
    """The record of the one request for ``model``, and nothing is held any more."""
    deadline = time.monotonic() + 20
    while True:
        found = [each for each in gateway.admin("GET", "/requests?limit=200").json["data"] if each["model"] == model]
        if found and held_usd(gateway) == "0":
            (record,) = found
            return record
        assert time.monotonic() < deadline, f"{len(found)} records, {held_usd(gateway)} USD held"
        time.sleep(0.02)


@pytest.mark.parametrize("phase", PHASES)
def test_who_leaves_ends_the_request_and_nobody_else_is_asked(gateway: Gateway, fake: FakeOpenAI, phase: str) -> None:
    model, stream, wanted = PHASES[phase]
    asked = len(fake.exchanges)
    before = len(gateway.admin("GET", "/requests?limit=200").json["data"])
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as line:
        line.sendall(head_and_body(model, stream=stream))
        exchange = fake.wait_for_exchanges(asked + 1)[asked]
        assert len(line.recv(wanted)) == wanted
    deadline = time.monotonic() + 20
    while len(found := gateway.admin("GET", "/requests?limit=200").json["data"]) == before:
        assert time.monotonic() < deadline, "no record of who left"
        time.sleep(0.02)
    (attempt,) = found[0]["attempts"]
    # A whole answer is waited for, since it is billed either way; where it fails, that is what is recorded.
    assert found[0]["outcome"] in ({"client_closed"} if stream else {"client_closed", "upstream_error"})
    assert attempt["upstream_model"] == model
    assert exchange.hung_up.wait(10)
    while held_usd(gateway) != "0":
        assert time.monotonic() < deadline, "a hold outlives its request"
        time.sleep(0.02)
    assert len(fake.exchanges) == asked + 1


def test_who_reads_late_gets_every_byte_and_the_provider_no_blame(gateway: Gateway, fake: FakeOpenAI) -> None:
    asked = len(fake.exchanges)
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=20) as line:
        line.sendall(head_and_body(LONG, stream=True))
        exchange = fake.wait_for_exchanges(asked + 1)[asked]
        stuck_since, sent = time.monotonic(), -1
        # Everything between here and the provider is full, for longer than the provider may be silent.
        while time.monotonic() - stuck_since < IDLE_S * 2:
            if exchange.sent != sent:
                stuck_since, sent = time.monotonic(), exchange.sent
            time.sleep(0.02)
        assert not exchange.completed.is_set()
        answer = http.client.HTTPResponse(line)
        answer.begin()
        body = answer.read()
    assert body.endswith(b"data: [DONE]\n\n")
    events = body.split(b"\n\n")
    assert hashlib.sha256(b"".join(events[1 : EVENTS + 1])).digest() == hashlib.sha256(events[1] * EVENTS).digest()
    assert settled(gateway, LONG)["outcome"] == "ok"
