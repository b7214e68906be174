"""Budgets hold with the cache on: what is given again or read along costs nothing; what is paid for is posted."""

import concurrent.futures
import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from tests.gateway import KEY, Answer, Gateway

LIMIT = Decimal("0.02")
PRICE = '{input_per_mtok: "1", output_per_mtok: "2"}'
CONFIG = f"""
server: {{drain: 1s}}
ledger: {{durability: os, budget_wait: 0s}}
providers: {{sandbox: {{kind: sandbox}}}}
models:
  - {{alias: words, deployments: [{{provider: sandbox, model: "lorem-40+slow-5", price: {PRICE}}}]}}
cache: {{exact: {{}}}}
organizations:
  - slug: acme
    name: Acme
    budgets: [{{amount_usd: "{LIMIT}", period: total}}]
    teams:
      - slug: ml
        name: ML
        budgets: [{{amount_usd: "{LIMIT}", period: total}}]
        keys: [{{name: one, models: [words], secret: {KEY}, budgets: [{{amount_usd: "{LIMIT}", period: total}}]}}]
"""
QUESTIONS = 400
ASKED = 3000


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with Gateway(tmp_path_factory.mktemp("cache-budgets"), CONFIG) as running:
        yield running


def asked(number: int) -> dict[str, Any]:
    """One of few questions, as a stream or whole; those that follow each other closely are often the same."""
    question = f"Question {number // 4 % QUESTIONS} of the test"
    body: dict[str, Any] = {"model": "words", "messages": [{"role": "user", "content": question}], "max_tokens": 60}
    return body | {"stream": True, "stream_options": {"include_usage": True}} if number % 3 == 0 else body


def test_nothing_is_spent_beyond_the_limit_and_hits_are_given_when_it_is_spent(gateway: Gateway) -> None:
    with concurrent.futures.ThreadPoolExecutor(40) as pool:
        answers: list[Answer] = list(pool.map(lambda number: gateway.chat(asked(number)), range(ASKED)))
    statuses = {answer.status for answer in answers}
    assert statuses <= {200, 402, 429}
    kinds = [answer.headers.get("x-headgate-cache") for answer in answers if answer.status == 200]
    assert {"miss", "coalesced", "hit-exact"} <= set(kinds)
    paid = kinds.count("miss")
    # What the provider really produced, by its own meter, at its price.
    (metered,) = gateway.request("GET", "/sandbox/meter", key=gateway.admin_token).json["credentials"].values()
    cost = (metered["input_tokens"] * 1 + metered["output_tokens"] * 2) / Decimal(1_000_000)
    assert metered["calls"] == paid
    assert cost <= LIMIT
    (key,) = gateway.admin("GET", "/keys").json["data"]
    for account in gateway.admin("GET", f"/keys/{key['id']}/status").json["budgets"]:
        assert (Decimal(account["posted_usd"]), Decimal(account["held_usd"])) == (cost, 0)
    # The limit was reached, or this would prove nothing; what was kept is given all the same.
    assert 402 in statuses or 429 in statuses
    again = gateway.chat(asked(0))
    assert (again.status, again.headers["x-headgate-cache"]) == (200, "hit-exact")
    refused = gateway.chat({**asked(0), "messages": [{"role": "user", "content": "Never asked " + "x" * 500}]})
    assert refused.status == 402
    assert json.loads(refused.body)["error"]["code"] in {"budget_exhausted", "request_exceeds_budget"}
