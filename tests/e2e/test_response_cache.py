"""The response cache before a real gateway: the judge of what was sent is the upstream."""

import concurrent.futures
import json
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.fakes.openai_api import CREDENTIAL, Exchange, FakeOpenAI
from tests.fakes.plan import Gate, Plan, Send
from tests.gateway import KEY, LIMITED_KEY, OTHER_KEY, Answer, Gateway, events_of, hello

CONFIG = """
server: {{drain: 1s}}
timeouts: {{connect: 2s, first_event: 60s, idle: 60s, total: 60s}}
providers:
  openai: {{kind: openai, base_url: "{url}", credential: {credential}, allow_private_network: true}}
models:
  - alias: "gpt-4o"
    deployments:
      - {{provider: openai, model: "gpt-4o", price: {{input_per_mtok: "2.50", output_per_mtok: "10"}}}}
  - alias: by-team
    cache: {{exact: {{scope: team}}}}
    deployments: [{{provider: openai, model: gpt-4o, price: free}}]
  - alias: short
    cache: {{exact: {{ttl: 1s}}}}
    deployments: [{{provider: openai, model: gpt-4o-mini, price: free}}]
  - {{alias: never, cache: {{exact: "off"}}, deployments: [{{provider: openai, model: gpt-4o, price: free}}]}}
  - {{alias: embed, deployments: [{{provider: openai, model: text-embedding-3-small, price: free}}]}}
  - alias: led
    deployments: [{{provider: openai, model: fault-status-500, price: free}}]
    fallbacks: {{error: [gpt-4o]}}
cache: {{exact: {{ttl: 1h}}}}
organizations:
  - slug: acme
    name: Acme
    keys: [{{name: one, models: ["*"], secret: {key}, budgets: [{{amount_usd: "1", period: total}}]}}]
    teams:
      - {{slug: ml, name: ML, keys: [{{name: two, models: ["*"], secret: {limited}}}]}}
  - slug: globex
    name: Globex
    keys: [{{name: all, models: ["*"], secret: {other}}}]
"""


class Upstream(FakeOpenAI):
    """OpenAI's API, where what the message says happens to the answer."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()
        """By the message's text."""
        self.is_down = False

    def answer(self, exchange: Exchange) -> tuple[Plan, str]:
        plan, _ = super().answer(exchange)
        if "messages" not in exchange.json:
            text = str(exchange.json["input"])
        else:
            text = exchange.json["messages"][-1]["content"]
        self.calls[text] += 1
        if self.is_down or (text.startswith("fail once") and self.calls[text] == 1):
            plan = Plan([Send(b'{"error":{"message":"busy","type":"server_error"}}')], status=503)
        elif text.startswith("hold"):
            at = 2 if len(plan.steps) > 2 else 0
            plan = plan._replace(steps=[*plan.steps[:at], Gate(1), *plan.steps[at:]])
        return plan, text


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as server:
        yield server


@pytest.fixture(scope="module")
def gateway(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    text = CONFIG.format(url=upstream.url, credential=CREDENTIAL, key=KEY, other=OTHER_KEY, limited=LIMITED_KEY)
    with Gateway(tmp_path_factory.mktemp("cache"), text) as running:
        yield running


def said(text: str, **changes: object) -> dict[str, Any]:
    return hello(messages=[{"role": "user", "content": text}], max_tokens=100, **changes)


def text_of(answer: Answer) -> str:
    """What was said, in whichever way."""
    if answer.headers["content-type"].startswith("text/event-stream"):
        events = [json.loads(event) for event in events_of(answer.body) if event != "[DONE]"]
        if events[0].get("type") == "message_start":
            return "".join(each["delta"]["text"] for each in events if each["type"] == "content_block_delta")
        return "".join(each["choices"][0]["delta"].get("content") or "" for each in events if each["choices"])
    whole = answer.json
    return whole["content"][0]["text"] if "content" in whole else whole["choices"][0]["message"]["content"]


def messages(gateway: Gateway, text: str, **changes: object) -> Answer:
    return gateway.request("POST", "/v1/messages", said(text, **changes), headers={"anthropic-version": "2023-06-01"})


def test_an_answer_is_given_again_to_whoever_asks_the_same_in_every_form(gateway: Gateway, upstream: Upstream) -> None:
    first = gateway.chat(said("every form"))
    assert (first.headers["x-headgate-cache"], first.headers["cache-status"]) == ("miss", "headgate; fwd=miss")
    again = [
        gateway.chat(said("every form")),
        gateway.chat(said("every form", stream=True)),
        gateway.chat(said("every form", stream=True, stream_options={"include_usage": True})),
        messages(gateway, "every form"),
        messages(gateway, "every form", stream=True),
    ]
    assert upstream.calls["every form"] == 1
    for answer in again:
        assert answer.status == 200
        assert answer.headers["x-headgate-cache"] == "hit-exact"
        assert text_of(answer) == text_of(first)
        assert answer.headers["x-headgate-cost-usd"] == "0"
        assert float(answer.headers["x-headgate-saved-usd"]) > 0
        assert answer.headers["x-headgate-attempts"] == "0"
        assert int(answer.headers["age"]) >= 0
        assert answer.headers["cache-status"].startswith("headgate; hit; ttl=")
    assert again[0].json["usage"] == first.json["usage"]
    assert len({first.json["id"], again[0].json["id"], again[3].json["id"]}) == 3
    assert events_of(again[1].body)[-1] == "[DONE]"
    assert json.loads(events_of(again[4].body)[-1])["type"] == "message_stop"
    record = gateway.record(again[0].headers["x-request-id"])
    assert (record["cost_usd"], record["usage_quality"], record["attempts"]) == ("0", "none", [])
    assert record["cache"]["status"] == "hit-exact"
    assert (
        record["cache"]["saved_usd"] == again[0].headers["x-headgate-saved-usd"] == first.headers["x-headgate-cost-usd"]
    )
    assert gateway.record(first.headers["x-request-id"])["cache"]["stored"]


def test_a_stream_is_kept_and_given_as_it_was_cut(gateway: Gateway, upstream: Upstream) -> None:
    first, again = (gateway.chat(said("as a stream", stream=True)) for _ in range(2))
    assert again.headers["x-headgate-cache"] == "hit-exact"
    assert upstream.calls["as a stream"] == 1

    def deltas(answer: Answer) -> list[str]:
        events = [json.loads(event) for event in events_of(answer.body)[:-1]]
        return [each["choices"][0]["delta"].get("content") or "" for each in events if each["choices"]]

    assert [each for each in deltas(again) if each] == [each for each in deltas(first) if each]
    assert text_of(gateway.chat(said("as a stream"))) == text_of(first)
    assert upstream.calls["as a stream"] == 1


def test_embeddings_are_kept_too(gateway: Gateway, upstream: Upstream) -> None:
    body = {"model": "embed", "input": "a text to embed"}
    first, again = (gateway.request("POST", "/v1/embeddings", body) for _ in range(2))
    assert again.headers["x-headgate-cache"] == "hit-exact"
    assert again.json == first.json
    assert upstream.calls["a text to embed"] == 1


def test_nobody_gets_another_tenants_answer_and_scopes_only_narrow(gateway: Gateway, upstream: Upstream) -> None:
    for key, status in ((KEY, "miss"), (OTHER_KEY, "miss"), (LIMITED_KEY, "hit-exact"), (OTHER_KEY, "hit-exact")):
        assert gateway.chat(said("whose"), key=key).headers["x-headgate-cache"] == status
    assert upstream.calls["whose"] == 2
    for key, status in ((KEY, "miss"), (LIMITED_KEY, "miss"), (KEY, "hit-exact")):
        assert gateway.chat(said("whose, by team", model="by-team"), key=key).headers["x-headgate-cache"] == status


def test_requests_control_what_is_taken_and_kept(gateway: Gateway, upstream: Upstream) -> None:
    def ask(control: str) -> Answer:
        return gateway.chat(said("controlled"), headers={"cache-control": control})

    missed = ask("only-if-cached")
    assert (missed.status, missed.code) == (504, "cache_miss")
    assert missed.headers["x-should-retry"] == "false"
    assert ask("no-store").headers["x-headgate-cache"] == "bypass"
    assert ask("only-if-cached").status == 504
    assert ask("max-age=3600").headers["x-headgate-cache"] == "miss"
    assert ask("only-if-cached").headers["x-headgate-cache"] == "hit-exact"
    assert ask("max-age=3600").headers["x-headgate-cache"] == "hit-exact"
    fresh = ask("no-cache")
    assert (fresh.headers["x-headgate-cache"], fresh.headers["cache-status"]) == ("bypass", "headgate; fwd=request")
    assert ask("min-fresh=999999").headers["x-headgate-cache"] == "miss"
    assert upstream.calls["controlled"] == 4


def test_what_may_not_be_cached_is_asked_for_every_time(gateway: Gateway, upstream: Upstream) -> None:
    for _ in range(2):
        answer = gateway.chat(said("off", model="never"))
        assert "x-headgate-cache" not in answer.headers
        answer = gateway.chat(said("stateful", store=True))
        assert answer.headers["cache-status"] == "headgate; fwd=bypass; detail=stateful"
    assert upstream.calls["off"] == upstream.calls["stateful"] == 2
    fallen = gateway.chat(said("from a fallback", model="led"))
    assert gateway.record(fallen.headers["x-request-id"])["cache"]["reason"] == "fallback"


def test_a_stale_answer_is_better_than_none_where_the_provider_fails(gateway: Gateway, upstream: Upstream) -> None:
    first = gateway.chat(said("stale", model="short"))
    deadline = time.monotonic() + 10
    while gateway.chat(said("stale", model="short"), headers={"cache-control": "only-if-cached"}).status == 200:
        assert time.monotonic() < deadline, "it stays fresh"
        time.sleep(0.1)
    upstream.is_down = True
    try:
        answer = gateway.chat(said("stale", model="short"))
        refusals = [
            gateway.chat(said("stale", model="short"), headers={"cache-control": control})
            for control in ("stale-if-error=0", "no-cache")
        ]
        agreed = gateway.chat(said("stale", model="short"), headers={"cache-control": "no-cache, stale-if-error=600"})
    finally:
        upstream.is_down = False
    assert (answer.status, text_of(answer)) == (200, text_of(first))
    assert answer.headers["x-headgate-cache"] == "hit-exact"
    assert "; ttl=-" in answer.headers["cache-status"]
    record = gateway.record(answer.headers["x-request-id"])
    assert record["cache"]["stale"]
    assert record["attempts"]
    assert {refused.status for refused in refusals} <= {502, 503}
    assert agreed.headers["x-headgate-cache"] == "hit-exact"


def test_answers_outlive_a_restart(gateway: Gateway, upstream: Upstream) -> None:
    gateway.chat(said("outlives"))
    time.sleep(0.2)
    gateway.stop()
    gateway.start()
    deadline = time.monotonic() + 10
    while gateway.chat(said("outlives"), headers={"cache-control": "only-if-cached"}).status != 200:
        assert time.monotonic() < deadline, "it is gone"
    assert upstream.calls["outlives"] == 1


@pytest.mark.parametrize("stream", [False, True])
def test_the_same_at_the_same_time_is_asked_once(gateway: Gateway, upstream: Upstream, stream: bool) -> None:
    text = f"hold {stream}"
    many = 40
    with concurrent.futures.ThreadPoolExecutor(many) as pool:
        asked = [pool.submit(gateway.chat, said(text, stream=stream or number % 2 == 0)) for number in range(many)]
        deadline = time.monotonic() + 10
        while not upstream.calls[text]:
            assert time.monotonic() < deadline, "nobody asks"
            time.sleep(0.01)
        gateway.chat(said(f"behind {text}"))
        upstream.acknowledge(text)
        answers = [each.result() for each in asked]
    assert upstream.calls[text] == 1
    assert len({text_of(answer) for answer in answers}) == 1
    statuses = Counter(answer.headers["x-headgate-cache"] for answer in answers)
    assert statuses["miss"] == 1
    assert statuses["coalesced"] + statuses["hit-exact"] == many - 1
    assert statuses["coalesced"] > 0
