"""Where data may go, seen from the sockets: nothing is sent, nor even connected to, where a policy forbids it."""

import contextlib
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.openai_api import CREDENTIAL, FakeOpenAI
from tests.gateway import Gateway, hello

ANY_VERSION = {"if-match": "*"}
FAULTS = (
    "status-503",
    "status-429",
    "status-401",
    "quota",
    "refuse",
    "context-length",
    "content-filter",
    "malformed",
)


def _config(here: str, abroad: int) -> str:
    # Each fails at home in its own way; what is left lies abroad: a deployment of the alias, and a fallback.
    failing = "\n".join(
        f"""\
  - alias: failing-{fault}
    deployments:
      - {{provider: here, model: fault-{fault}, region: eu-central-1}}
      - {{provider: abroad, model: gpt-4o, region: us-east-1, priority: 1}}
    fallbacks: {{error: [abroad], context_length: [abroad], content_filter: [abroad]}}"""
        for fault in FAULTS
    )
    common = f"credential: {CREDENTIAL}, allow_private_network: true, price: free, max_output_field: max_tokens"
    return f"""
server: {{drain: 1s}}
timeouts: {{connect: 1s, first_event: 500ms, idle: 500ms, total: 5s}}
providers:
  here: {{kind: openai_compatible, base_url: "{here}", jurisdiction: eu, retention_days: 0, trains: false, {common}}}
  abroad: {{kind: openai_compatible, base_url: "http://127.0.0.1:{abroad}/v1", jurisdiction: us, {common}}}
models:
  - {{alias: here, deployments: [{{provider: here, model: gpt-4o, region: eu-central-1}}]}}
  - {{alias: abroad, deployments: [{{provider: abroad, model: gpt-4o, region: us-east-1}}]}}
{failing}
"""


@pytest.fixture
def abroad() -> Iterator[socket.socket]:
    """A target that only listens: a connection that anybody opens waits in its queue."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        yield listening


@pytest.fixture
def gateway(tmp_path: Path, abroad: socket.socket) -> Iterator[Gateway]:
    with FakeOpenAI() as fake, Gateway(tmp_path, _config(fake.url, abroad.getsockname()[1])) as running:
        yield running


def connections(listening: socket.socket) -> int:
    """How many connections were opened since the last call."""
    count = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            listening.accept()[0].close()
            count += 1
    return count


def made(gateway: Gateway, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = gateway.admin("POST", path, body)
    assert answer.status == 201, answer
    return answer.json


def violations(gateway: Gateway, count: int) -> list[dict[str, Any]]:
    """The audit events of refusals, once there are ``count``."""
    deadline = time.monotonic() + 10
    while True:
        listed = gateway.admin("GET", "/audit?action=key.use").json["data"]
        found = [event for event in listed if event["reason"] == "residency_violation"]
        if len(found) >= count:
            return found
        assert time.monotonic() < deadline, f"{len(found)} events, not {count}"
        time.sleep(0.02)


def test_c3_no_connection_is_opened_where_the_data_may_not_go(gateway: Gateway, abroad: socket.socket) -> None:
    acme = made(gateway, "/organizations", {"slug": "acme", "name": "Acme", "residency": {"jurisdictions": ["eu"]}})
    key = made(gateway, "/keys", {"scope_id": acme["id"], "name": "prod"})
    for stream in (False, True):
        for model in ("abroad", "abroad/gpt-4o"):
            answer = gateway.chat(hello(model=model, stream=stream), key=key["secret"])
            assert (answer.status, answer.code) == (403, "residency_violation"), model
            assert answer.json["error"]["headgate"]["reason"] == "jurisdiction"
            assert answer.headers["x-should-retry"] == "false"
    record = gateway.record(answer.headers["x-request-id"])
    assert (record["outcome"], record["error_code"], record["attempts"]) == ("refused", "residency_violation", [])
    assert gateway.chat(hello(model="here"), key=key["secret"]).status == 200
    assert connections(abroad) == 0

    (event,) = violations(gateway, 1)
    assert (event["organization_id"], event["object_id"]) == (acme["id"], key["id"])
    assert (event["outcome"], event["after"]["model"]) == ("denied", "abroad")


@pytest.mark.parametrize("stream", [False, True])
def test_c3_no_connection_is_opened_abroad_when_everything_at_home_fails(
    gateway: Gateway, abroad: socket.socket, stream: bool
) -> None:
    policy = {"jurisdictions": ["eu"], "regions": ["eu-*"], "max_retention_days": 0, "no_training": True}
    acme = made(gateway, "/organizations", {"slug": "acme", "name": "Acme", "residency": policy})
    bound = made(gateway, "/keys", {"scope_id": acme["id"], "name": "bound"})["secret"]
    globex = made(gateway, "/organizations", {"slug": "globex", "name": "Globex"})
    free = made(gateway, "/keys", {"scope_id": globex["id"], "name": "free"})["secret"]
    # More often than it takes until what is at home is given up for a while.
    for _ in range(4):
        for fault in FAULTS:
            answer = gateway.chat(hello(model=f"failing-{fault}", stream=stream), key=bound)
            assert answer.status >= 400, fault
            assert answer.code != "residency_violation", "one target is permitted, and it fails"
    assert connections(abroad) == 0
    for fault in FAULTS:
        gateway.chat(hello(model=f"failing-{fault}", stream=stream), key=free)
    assert connections(abroad) > 0


def test_a_change_of_the_policy_binds_the_next_request(gateway: Gateway, abroad: socket.socket) -> None:
    acme = made(gateway, "/organizations", {"slug": "acme", "name": "Acme"})
    team = made(gateway, "/teams", {"organization_id": acme["id"], "slug": "ml", "name": "ML"})
    key = made(gateway, "/keys", {"scope_id": team["id"], "name": "prod"})

    def status(model: str) -> int:
        return gateway.chat(hello(model=model), key=key["secret"]).status

    # Without a policy it is tried, which also shows that a connection would be seen.
    assert status("abroad") in (502, 504)
    assert connections(abroad) > 0
    policies = (
        {"jurisdictions": ["eu", "ch"]},
        {"regions": ["eu-*"]},
        {"max_retention_days": 0},
        {"no_training": True},
    )
    for collection, thing in (("organizations", acme), ("teams", team), ("keys", key)):
        path = f"/{collection}/{thing['id']}"
        for policy in policies:
            assert gateway.admin("PATCH", path, {"residency": policy}, headers=ANY_VERSION).status == 200
            assert (status("here"), status("abroad")) == (200, 403), (collection, policy)
            assert gateway.admin("PATCH", path, {"residency": None}, headers=ANY_VERSION).status == 200
    assert connections(abroad) == 0
    assert status("abroad") in (502, 504)
