"""Attacks on budgets. The numbers are those of the must-withstand list; the judge is the sandbox's own meter."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from bench.budgets.client import CHAT, Reply, ask, chat, open_session, words
from bench.budgets.place import Balance, Billed, Reader, label_of, sandboxes, secret_of
from headgate.identity.policy import ROUTES, Plane
from tests.gateway import Gateway

COSTLY, LAST_CENT, LEAVING, EVERY_ROUTE = range(4)
AMOUNTS = ("0.01", "0.01", "100", "1")
ABORTS = 200


def _config() -> str:
    lines = ["server: {drain: 2s}", "ledger: {durability: os, budget_wait: 5s, commit_timeout: 10s}"]
    lines += [*sandboxes(len(AMOUNTS)), "organizations:", "  - slug: acme", "    name: Acme", "    keys:"]
    for number, amount in enumerate(AMOUNTS):
        budget = f'budgets: [{{amount_usd: "{amount}", period: total}}]'
        lines.append(f'      - {{name: k{number}, models: ["k{number}/*"], secret: {secret_of(number)}, {budget}}}')
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with Gateway(tmp_path_factory.mktemp("budgets"), _config()) as running:
        yield running


async def accounts(reader: Reader, key: int) -> tuple[Balance, Billed]:
    """The key's balance once nothing is held, and what the sandbox has metered for it."""
    for _ in range(500):
        (balance,) = await reader.balances((await reader.key_ids())[f"k{key}"])
        if balance.held == 0:
            return balance, (await reader.meters()).get(label_of(key), Billed(0, 0, 0))
        await asyncio.sleep(0.02)
    raise AssertionError(f"still held: {balance}")


def figures(gateway: Gateway, key: int) -> tuple[Balance, Billed]:
    async def read() -> tuple[Balance, Billed]:
        async with open_session() as session:
            return await accounts(Reader(gateway, session), key)

    return asyncio.run(read())


COSTLY_BODIES: list[tuple[dict[str, Any], set[int]]] = [
    ({"n": 1000}, {400, 402}),
    ({"n": 128, "max_tokens": 1000}, {400, 402}),
    ({"max_tokens": 10**18}, {400, 402}),
    ({"max_completion_tokens": 10**18}, {400, 402}),
    ({"max_tokens": 1e18}, {400, 402}),
    ({"max_tokens": -1}, {400}),
    # Not known to chat, so that nothing says what it may cost: `unpriced_model`, as for whatever has no bound.
    ({"best_of": 1000}, {400, 403}),
    ({"prediction": {"type": "content", "content": "x" * 200_000}}, {400, 402}),
    ({"model": "no-such-model"}, {404}),
    ({"model": f"k{COSTLY}/no-such-script"}, {404}),
]


@pytest.mark.parametrize(("members", "statuses"), COSTLY_BODIES, ids=lambda value: str(value)[:40])
def test_item_42_a_request_that_may_cost_more_than_there_is_is_not_sent(
    gateway: Gateway, members: dict[str, Any], statuses: set[int]
) -> None:
    before = figures(gateway, COSTLY)
    body = {**chat(f"k{COSTLY}/lorem-100", "Hello"), **members}
    answer = gateway.chat(body, key=secret_of(COSTLY))
    assert answer.status in statuses, answer.body
    balance, billed = figures(gateway, COSTLY)
    assert balance.posted == before[0].posted
    assert (billed.input_tokens, billed.output_tokens) == (before[1].input_tokens, before[1].output_tokens)


def test_item_42_an_option_of_two_megabytes_costs_what_the_provider_bills_for_it(gateway: Gateway) -> None:
    before, metered = figures(gateway, COSTLY)
    bias = {str(token): 100 for token in range(200_000)}
    body = chat(f"k{COSTLY}/lorem-100", "Hello", logit_bias=bias, max_tokens=100)
    assert gateway.chat(body, key=secret_of(COSTLY)).status in (200, 400, 402)
    balance, billed = figures(gateway, COSTLY)
    assert balance.posted - before.posted == billed.cost() - metered.cost()


def test_item_43_two_hundred_at_once_at_the_last_cent_never_pass_the_limit(gateway: Gateway) -> None:
    async def attack() -> Counter[int]:
        async with open_session() as session:
            body = chat(f"k{LAST_CENT}/lorem-100+slow-20", words(30), max_tokens=100)
            url, key = gateway.base_url + CHAT, secret_of(LAST_CENT)
            replies = await asyncio.gather(*(ask(session, url, key, body) for _ in range(200)))
        return Counter(reply.status for reply in replies)

    statuses = asyncio.run(attack())
    balance, billed = figures(gateway, LAST_CENT)
    assert statuses.keys() <= {200, 402, 429}
    assert len(statuses) > 1
    assert billed.cost() == balance.posted <= balance.limit
    assert billed.cost() + 500_000 > balance.limit  # nearly all of it: what is left pays for no such request


def test_item_44_who_leaves_after_the_first_token_pays_for_what_was_made(gateway: Gateway) -> None:
    async def attack() -> list[Reply]:
        body = chat(f"k{LEAVING}/lorem-500+pace-2", words(30), stream=True, max_tokens=500)
        gate = asyncio.Semaphore(20)

        async def leave(session: Any) -> Reply:
            async with gate:
                # The opening, and the event of the first token, each with its blank line.
                return await ask(session, gateway.base_url + CHAT, secret_of(LEAVING), body, leave_after=4)

        async with open_session() as session:
            return await asyncio.gather(*(leave(session) for _ in range(ABORTS)))

    replies = asyncio.run(attack())
    assert {reply.code for reply in replies} == {"left"}
    balance, billed = figures(gateway, LEAVING)
    assert billed.calls == ABORTS
    assert billed.output_tokens >= ABORTS
    assert billed.cost() <= balance.posted
    # Nor is it billed as if it had been read to its end.
    assert billed.output_tokens < ABORTS * 400


@pytest.mark.parametrize("path", [row.path for row in ROUTES if row.plane is Plane.DATA and row.method == "POST"])
def test_item_45_what_a_route_produces_is_what_it_posts(gateway: Gateway, path: str) -> None:
    before, metered = figures(gateway, EVERY_ROUTE)
    is_embedding = path.endswith("embeddings")
    model = f"k{EVERY_ROUTE}/" + ("embed-8" if is_embedding else "lorem-20")
    body = {"model": model, "input": words(30)} if is_embedding else chat(model, words(30), max_tokens=30)
    target = path.replace("{model}", model.replace("/", "%2F"))
    answer = gateway.request("POST", target, body, key=secret_of(EVERY_ROUTE))
    assert answer.status == 200, answer.body
    after, now = figures(gateway, EVERY_ROUTE)
    assert after.posted - before.posted == now.cost() - metered.cost()
    if path.endswith("count_tokens"):
        assert now == metered
    else:
        assert now.input_tokens > metered.input_tokens
        assert gateway.record(answer.headers["x-request-id"])["cost_usd"] is not None


@pytest.mark.parametrize(
    "path",
    [
        "/v1/responses",
        "/v1/completions",
        "/v1/moderations",
        "/v1/images/generations",
        "/v1/audio/transcriptions",
        "/v1/audio/speech",
        "/v1/rerank",
        "/v1/batches",
        "/v1/files",
        "/v1/fine_tuning/jobs",
        "/v1/messages/batches",
        "/v1beta/models/x:generateContent",
        f"/passthrough/sandbox{EVERY_ROUTE}/v1/chat/completions",
    ],
)
def test_item_45_a_route_that_is_not_metered_does_not_exist(gateway: Gateway, path: str) -> None:
    before = figures(gateway, EVERY_ROUTE)
    body = chat(f"k{EVERY_ROUTE}/lorem-20", words(30), max_tokens=30)
    assert gateway.request("POST", path, body, key=secret_of(EVERY_ROUTE)).status == 404
    assert figures(gateway, EVERY_ROUTE) == before
