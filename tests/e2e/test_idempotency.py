"""Idempotency keys before a real gateway: the judge of what was carried out is the upstream."""

import concurrent.futures
import gzip
import json
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.fakes.openai_api import CREDENTIAL, Exchange, FakeOpenAI
from tests.fakes.plan import Gate, Plan, Send
from tests.gateway import KEY, OTHER_KEY, Answer, Gateway, events_of, hello

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
CONFIG = """
server: {{drain: 1s}}
timeouts: {{connect: 2s, first_event: 60s, idle: 60s, total: 60s}}
providers:
  openai: {{kind: openai, base_url: "{url}", credential: {credential}, allow_private_network: true}}
models:
  - alias: "gpt-4o"
    deployments:
      - {{provider: openai, model: "gpt-4o", price: {{input_per_mtok: "2.50", output_per_mtok: "10"}}}}
organizations:
  - slug: acme
    name: Acme
    keys:
      - {{name: one, models: ["*"], secret: {key}, budgets: [{{amount_usd: "1", period: total}}]}}
      - {{name: two, models: ["*"], secret: {other}, budgets: [{{amount_usd: "1", period: total}}]}}
"""


class Upstream(FakeOpenAI):
    """OpenAI's API, where what the message says happens to the answer.

    ``hold``: it waits until the test lets it go. ``fail first``: its first two calls are answered 503. ``large``: it is
    more than is kept.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()
        """By the message's text."""

    def answer(self, exchange: Exchange) -> tuple[Plan, str]:
        plan, _ = super().answer(exchange)
        text = exchange.json["messages"][-1]["content"]
        self.calls[text] += 1
        if text.startswith("hold"):
            plan = plan._replace(steps=[Gate(1), *plan.steps])
        elif text.startswith("fail first") and self.calls[text] <= 2:
            plan = Plan([Send(b'{"error":{"message":"busy","type":"server_error"}}')], status=503)
        elif text.startswith("large"):
            whole = json.loads(b"".join(step.data for step in plan.steps if isinstance(step, Send)))
            whole["choices"][0]["message"]["content"] = "x" * (1024 * 1024)
            plan = Plan([Send(json.dumps(whole).encode())])
        return plan, text


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as server:
        yield server


@pytest.fixture(scope="module")
def gateway(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    text = CONFIG.format(url=upstream.url, credential=CREDENTIAL, key=KEY, other=OTHER_KEY)
    with Gateway(tmp_path_factory.mktemp("idempotency"), text) as running:
        yield running


def said(text: str, **changes: object) -> dict[str, Any]:
    return hello(messages=[{"role": "user", "content": text}], max_tokens=100, **changes)


@pytest.fixture
def ask(gateway: Gateway) -> Callable[..., Answer]:
    def send(text: str, *, path: str = CHAT, key: str = KEY, name: str = "", **changes: object) -> Answer:
        headers = {"idempotency-key": name or text}
        return gateway.request("POST", path, said(text, **changes), key=key, headers=headers)

    return send


def posted(gateway: Gateway) -> dict[str, str]:
    """What the ledger has posted to each key's budget."""
    found: dict[str, str] = {}
    for key in gateway.admin("GET", "/keys").json["data"]:
        (account,) = gateway.admin("GET", f"/keys/{key['id']}/status").json["budgets"]
        found[key["name"]] = account["posted_usd"]
    return found


@pytest.mark.parametrize("path", [CHAT, MESSAGES])
def test_two_at_once_are_one_call_and_the_answer_is_given_again_for_nothing(
    gateway: Gateway, upstream: Upstream, ask: Callable[..., Answer], path: str
) -> None:
    text = f"hold {path}"
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        known = len(upstream.exchanges)
        running = pool.submit(ask, text, path=path)
        upstream.wait_for_exchanges(known + 1)
        second = ask(text, path=path)
        another = ask("another request", path=path, name=text)
        upstream.acknowledge(text)
        first = running.result(20)
    assert (first.status, second.status, another.status) == (200, 409, 422)
    assert detail(second)["code"] == "idempotency_in_flight"
    assert (second.headers["retry-after"], "x-should-retry" in second.headers) == ("1", False)
    assert detail(another)["code"] == "idempotency_mismatch"
    assert (another.headers["x-should-retry"], "retry-after" in another.headers) == ("false", False)
    before = posted(gateway)
    assert float(before["one"]) > 0
    third = ask(text, path=path)
    assert (third.status, third.body, third.headers["x-headgate-idempotent-replay"]) == (200, first.body, "true")
    assert posted(gateway) == before
    assert upstream.calls[text] == 1
    record = gateway.record(third.headers["x-request-id"])
    assert (record["outcome"], record["finish_reason"], record["cost_usd"]) == ("ok", "idempotent_replay", "0")
    assert (record["attempts"], record["usage_quality"], record["spending"]) == ([], "none", None)
    refused = gateway.record(second.headers["x-request-id"])
    assert (refused["outcome"], refused["status"], refused["attempts"]) == ("refused", 409, [])


def detail(answer: Answer) -> Any:
    """What an error says in every dialect; its own words are right for its path."""
    error = answer.json["error"]
    words = {409: "conflict_error", 422: "invalid_request_error"}[answer.status]
    assert error["type"] == words
    assert ("code" in error) != (answer.json.get("type") == "error")
    return error["headgate"]


def test_the_same_idempotency_key_of_another_virtual_key_is_another(
    upstream: Upstream, ask: Callable[..., Answer]
) -> None:
    mine = ask("shared")
    theirs = ask("shared", key=OTHER_KEY)
    assert (mine.status, theirs.status, upstream.calls["shared"]) == (200, 200, 2)
    assert "x-headgate-idempotent-replay" not in theirs.headers
    assert ask("not the same", key=OTHER_KEY, name="shared").status == 422


def test_a_retry_after_a_failure_is_carried_out(upstream: Upstream, ask: Callable[..., Answer]) -> None:
    failed = ask("fail first")
    assert (failed.status, failed.code) == (502, "upstream_error")
    assert "x-should-retry" not in failed.headers
    done = ask("fail first")
    assert (done.status, "x-headgate-idempotent-replay" in done.headers) == (200, False)
    assert (ask("fail first").body, upstream.calls["fail first"]) == (done.body, 3)


def test_a_stream_is_carried_out_once(upstream: Upstream, ask: Callable[..., Answer]) -> None:
    first = ask("streamed", stream=True)
    assert events_of(first.body)[-1] == "[DONE]"
    again = ask("streamed", stream=True)
    assert (again.status, again.code, again.headers["x-should-retry"]) == (409, "idempotency_not_replayable", "false")
    assert detail(again)["reason"] == "stream"
    assert ask("streamed").status == 422
    assert upstream.calls["streamed"] == 1


def test_an_answer_that_is_too_large_is_carried_out_once(upstream: Upstream, ask: Callable[..., Answer]) -> None:
    assert ask("large").status == 200
    again = ask("large")
    assert (again.status, again.code) == (409, "idempotency_not_replayable")
    assert detail(again)["reason"] == "answer_too_large"
    assert upstream.calls["large"] == 1


def test_a_client_that_left_finds_its_answer(gateway: Gateway, upstream: Upstream, ask: Callable[..., Answer]) -> None:
    known = len(upstream.exchanges)
    body = json.dumps(said("hold for one that leaves")).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\ncontent-type: application/json\r\n"
    head += f"idempotency-key: hold for one that leaves\r\ncontent-length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", gateway.port)) as line:
        line.sendall(head.encode() + body)
        exchange = upstream.wait_for_exchanges(known + 1)[-1]
    upstream.acknowledge("hold for one that leaves")
    assert exchange.completed.wait(10)
    deadline = time.monotonic() + 10
    while (found := ask("hold for one that leaves")).status == 409:
        assert time.monotonic() < deadline, "the answer never came"
    assert (found.status, found.headers["x-headgate-idempotent-replay"]) == (200, "true")
    assert upstream.calls["hold for one that leaves"] == 1


def test_a_body_is_the_same_compressed_or_not(gateway: Gateway, upstream: Upstream, ask: Callable[..., Answer]) -> None:
    first = ask("compressed")
    packed = gzip.compress(json.dumps(said("compressed")).encode())
    fields = {"idempotency-key": "compressed", "content-encoding": "gzip"}
    again = gateway.request("POST", CHAT, packed, headers=fields)
    assert (again.status, again.body, upstream.calls["compressed"]) == (200, first.body, 1)


def test_a_restart_forgets(gateway: Gateway, upstream: Upstream, ask: Callable[..., Answer]) -> None:
    assert ask("before the restart").status == 200
    gateway.stop()
    gateway.start()
    again = ask("before the restart")
    assert (again.status, "x-headgate-idempotent-replay" in again.headers) == (200, False)
    assert upstream.calls["before the restart"] == 2


@pytest.mark.parametrize("name", ["ä", "a\tb", "k" * 256])
def test_a_key_that_is_none_is_refused_by_name(gateway: Gateway, name: str) -> None:
    answer = gateway.chat(hello(), headers={"idempotency-key": name})
    assert (answer.status, answer.code) == (400, "invalid_request")
    assert "`idempotency-key`" in answer.json["error"]["message"]


def test_an_empty_key_is_none(upstream: Upstream, gateway: Gateway) -> None:
    for _ in range(2):
        assert gateway.chat(said("empty"), headers={"idempotency-key": ""}).status == 200
    assert upstream.calls["empty"] == 2


def test_the_key_does_not_go_to_the_provider(upstream: Upstream, ask: Callable[..., Answer]) -> None:
    assert ask("kept here").status == 200
    assert upstream.last.header("idempotency-key") is None
