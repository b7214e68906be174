"""What other gateways got wrong about budgets, each as a test of what must hold.

The numbers are those of LiteLLM's issues and pull requests; the judge is the sandbox's own meter.
"""

import concurrent.futures
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bench.budgets.client import CHAT, MESSAGES, chat, words
from bench.budgets.place import Balance, Billed, Price, balances_of, credential_of, label_of, secret_of
from headgate.domain.money import parse_usd
from headgate.identity.policy import ROUTES, Plane
from tests.gateway import Answer, Gateway

# The price of each sandbox; a key may use the sandbox of its own number alone.
TIER = '{above_input_tokens: 200000, input_per_mtok: "0.60", output_per_mtok: "1"}'
TIERED = f'{{input_per_mtok: "0.40", output_per_mtok: "1", tiers: [{TIER}]}}'
PLAIN = '{input_per_mtok: "1", output_per_mtok: "2"}'
DEAR = '{input_per_mtok: "3", output_per_mtok: "15"}'
LONG_CONTEXTS, NO_MAXIMUM, LITTLE_LEFT, HUGE_MAXIMUM, TIME_OUTS, USED_UP, ABORTS, NEW_KEY = range(8)
KEYS = (
    (TIERED, "0.45"),
    (PLAIN, "2000"),
    (PLAIN, "0.01"),
    (DEAR, "25"),
    (PLAIN, "1"),
    (PLAIN, "0.0025"),
    (PLAIN, "1"),
    (PLAIN, "0.0025"),
)


def _config() -> str:
    lines = ["server: {drain: 1s}", "timeouts: {connect: 1s, first_event: 500ms, idle: 500ms, total: 20s}"]
    lines += ["ledger: {durability: os, budget_wait: 5s, commit_timeout: 10s}", "providers:"]
    lines += [f"  s{number}: {{kind: sandbox, credential: {credential_of(number)}}}" for number in range(len(KEYS))]
    lines.append("models:")
    for number, (price, _) in enumerate(KEYS):
        lines.append(
            f'  - {{alias: "k{number}/*", deployments: [{{provider: s{number}, model: "*", price: {price}}}]}}'
        )
    lines += ["organizations:", "  - slug: acme", "    name: Acme", "    keys:"]
    for number, (_, amount) in enumerate(KEYS):
        budget = f'budgets: [{{amount_usd: "{amount}", period: total}}]'
        lines.append(f'      - {{name: k{number}, models: ["k{number}/*"], secret: {secret_of(number)}, {budget}}}')
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with Gateway(tmp_path_factory.mktemp("rivals"), _config()) as running:
        yield running


def ask(gateway: Gateway, key: int, script: str, prompt: str = "Hello", *, path: str = CHAT, **members: Any) -> Answer:
    body = chat(f"k{key}/{script}", prompt, **members)
    return gateway.request("POST", path, body, key=secret_of(key), timeout_s=60)


def at_once(count: int, send: Callable[[int], Answer]) -> list[Answer]:
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        return list(pool.map(send, range(count)))


def balance(gateway: Gateway, key: int) -> Balance:
    ids = {row["name"]: row["id"] for row in gateway.admin("GET", "/keys?limit=200").json["data"]}
    (found,) = balances_of(gateway.admin("GET", f"/keys/{ids[f'k{key}']}/status").json)
    return found


def settled(gateway: Gateway, key: int, within_s: float = 10.0) -> Balance:
    """The balance once nothing is held any more."""
    deadline = time.monotonic() + within_s
    while (found := balance(gateway, key)).held:
        assert time.monotonic() < deadline, f"still held: {found}"
        time.sleep(0.02)
    return found


def meter(gateway: Gateway, key: int) -> Billed:
    reading = gateway.request("GET", "/sandbox/meter", key=gateway.admin_token).json["credentials"]
    return Billed(**reading[label_of(key)]) if label_of(key) in reading else Billed(0, 0, 0)


def test_long_contexts_in_parallel_stay_within_the_cap_at_the_dearer_tier(gateway: Gateway) -> None:
    """PR 40002: five requests of 300,000 tokens, 0.12 USD each by the lower tier, spent 0.60 USD of 0.45."""
    prompt = "a " * 300_000
    answers = at_once(5, lambda _: ask(gateway, LONG_CONTEXTS, "lorem-5", prompt, max_tokens=10))
    assert {answer.status for answer in answers} == {200, 402}
    found, billed = settled(gateway, LONG_CONTEXTS), meter(gateway, LONG_CONTEXTS)
    dearer = Price(600, 1_000)
    assert billed.input_tokens >= 300_000 * [answer.status for answer in answers].count(200)
    assert billed.cost(dearer) == found.posted <= found.limit == parse_usd("0.45")


def test_a_request_without_a_maximum_holds_what_it_is_capped_to_and_not_what_a_model_could_write(
    gateway: Gateway,
) -> None:
    """PR 27509: without max_tokens so much was held that 0.144 USD spent blocked a cap of 2,000."""
    answers = at_once(20, lambda _: ask(gateway, NO_MAXIMUM, "lorem-50+slow-200"))
    assert {answer.status for answer in answers} == {200}
    assert settled(gateway, NO_MAXIMUM).posted < parse_usd("0.144")
    # A cent pays for one such request, because the provider is told where to stop.
    answer = ask(gateway, LITTLE_LEFT, "lorem-5000")
    assert (answer.status, answer.json["usage"]["completion_tokens"]) == (200, 4096)
    assert meter(gateway, LITTLE_LEFT).output_tokens == 4096
    assert settled(gateway, LITTLE_LEFT).posted <= parse_usd("0.01")


def test_huge_maxima_never_pin_a_budget_of_which_little_is_spent(gateway: Gateway) -> None:
    """PR 38647: agents with a large max_tokens pinned a key of 25 USD at "25.000000000000004"."""
    # Each may cost 7.50 USD, so that three run at once and the others wait for them.
    answers = at_once(12, lambda _: ask(gateway, HUGE_MAXIMUM, "lorem-20+slow-200", max_tokens=500_000))
    assert {answer.status for answer in answers} == {200}
    found = settled(gateway, HUGE_MAXIMUM)
    assert found.posted < parse_usd("0.01")
    refused = ask(gateway, HUGE_MAXIMUM, "lorem-20", max_tokens=2_000_000)
    assert (refused.status, refused.code) == (402, "request_exceeds_budget")
    assert refused.json["error"]["headgate"]["limit"] == "25"
    assert "000000000004" not in refused.body.decode()
    assert settled(gateway, HUGE_MAXIMUM).posted == found.posted


@pytest.mark.parametrize("stream", [False, True])
def test_time_outs_of_a_provider_inflate_neither_what_is_posted_nor_what_is_held(
    gateway: Gateway, stream: bool
) -> None:
    """30460: every time-out left a reservation in the counter."""
    before = settled(gateway, TIME_OUTS).posted
    # Each a deployment of its own: one that is known to be silent would not be asked by the others any more.
    script = f"lorem-400+slow-{5001 if stream else 5000}"
    answers = at_once(10, lambda _: ask(gateway, TIME_OUTS, script, words(30), max_tokens=10_000, stream=stream))
    assert {answer.status for answer in answers} == {504}
    # No more than the 30 words and their wrapping, ten times; what was held was 0.02 USD each.
    assert settled(gateway, TIME_OUTS).posted - before <= 10 * 100 * 1_000
    assert ask(gateway, TIME_OUTS, "lorem-5", max_tokens=10).status == 200


def _routes() -> list[tuple[str, str]]:
    return [(row.method, row.path) for row in ROUTES if row.plane is Plane.DATA]


@pytest.fixture(scope="module")
def exhausted(gateway: Gateway) -> Gateway:
    """The gateway once the budget of `USED_UP` is used up."""
    for _ in range(50):
        if ask(gateway, USED_UP, "lorem-40", max_tokens=40).status == 402:
            break
    assert ask(gateway, USED_UP, "lorem-1", max_tokens=1).status in (200, 402)
    return gateway


@pytest.mark.parametrize(("method", "path"), _routes())
def test_no_route_leads_around_a_budget_that_is_used_up(exhausted: Gateway, method: str, path: str) -> None:
    """10750 and 36646: pass-through, embeddings and other routes went on when the budget of the key was spent."""
    before = meter(exhausted, USED_UP)
    model = f"k{USED_UP}/lorem-100"
    target = path.replace("{model}", model.replace("/", "%2F")).replace("{id}", model.replace("/", "%2F"))
    body: dict[str, Any] | None = None
    if method == "POST":
        body = chat(model, words(2_000), max_tokens=400)
        if path.endswith("embeddings"):
            target = target.replace("lorem-100", "embed-8")
            body = {"model": f"k{USED_UP}/embed-8", "input": words(4_000)}
    answer = exhausted.request(method, target, body, key=secret_of(USED_UP))
    after = meter(exhausted, USED_UP)
    if answer.status == 200:
        assert after == before
        assert method == "GET" or path.endswith("count_tokens")
    else:
        assert answer.status in (402, 404), answer.body
        assert after == before
    assert settled(exhausted, USED_UP).posted <= parse_usd("0.0025")


@pytest.mark.parametrize("path", [CHAT, MESSAGES])
def test_who_leaves_a_stream_is_billed_for_what_was_produced(gateway: Gateway, path: str) -> None:
    """33736, 14457, 30630, 37558 and 36008: an aborted stream was booked with 0, or not at all."""
    before, posted = meter(gateway, ABORTS), settled(gateway, ABORTS).posted
    body = chat(f"k{ABORTS}/lorem-2000+pace-2", words(40), stream=True, max_tokens=2_000)
    with gateway.streaming(body, key=secret_of(ABORTS), path=path) as answer:
        request_id = answer.headers["x-request-id"]
        for _ in range(20):
            answer.readline()
    record = gateway.record(request_id)
    after = meter(gateway, ABORTS)
    billed = after.cost() - before.cost()
    assert record["outcome"] == "client_closed"
    assert 0 < after.output_tokens - before.output_tokens < 2_000
    assert billed <= parse_usd(record["cost_usd"]) == settled(gateway, ABORTS).posted - posted


def test_two_requests_of_a_new_keys_first_period_cannot_both_have_the_money_of_one(gateway: Gateway) -> None:
    """35524: between the check and the first row of a new key's counter two requests slipped through."""
    answers = at_once(2, lambda _: ask(gateway, NEW_KEY, "lorem-1000+slow-100", max_tokens=1_000))
    assert sorted(answer.status for answer in answers) in ([200, 402], [200, 429])
    found = settled(gateway, NEW_KEY)
    assert meter(gateway, NEW_KEY).cost() == found.posted <= found.limit
