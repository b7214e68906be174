"""A5: what the ledger says beside what the provider's own meter says, over a mix of everything.

`of_sandbox` compares with the sandbox, whose tokens are its own: exact wherever it reports usage, and where it does not
the ledger must say no less. `of_upstream` compares with a provider that bills by OpenAI's tokenizer (`upstream`), where
a count of ours can be right to the token.
"""

import asyncio
import random  # noqa: TID251  seeded, so that two runs send the same requests
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from bench.budgets.client import CHAT, MESSAGES, ask, chat, open_session, words
from bench.budgets.crowd import settled_records
from bench.budgets.place import SANDBOX_PRICE, Reader, cost_of_record, label_of, sandboxes, secret_of
from bench.budgets.upstream import MODEL, PRICE_YAML, MeteredUpstream, provider
from tests.gateway import Gateway

CLIENTS = 24
EXACT, LEFT, SILENT, CUT = 0, 1, 2, 3
"""A sandbox for each kind of request, so that the meter of each stands for itself: whole ones, those that the client
leaves, those whose usage is not reported, those that the provider breaks off."""
_KINDS = ("answered", "client left", "no usage", "broken off")

_EXPECTED = {
    *(f"{kind}: 200" for kind in _KINDS),
    "client left: 200 left",
    "broken off: 502 upstream_error",
    "broken off: 200 upstream_error",
}


class Row(NamedTuple):
    """One kind of request: the ledger's figures beside the meter's."""

    name: str
    requests: int
    exact: int
    """Records with the provider's own usage."""
    tokens: int
    metered_tokens: int
    cost: int
    metered: int

    @property
    def error(self) -> float:
        """By how much of the bill the ledger is above (or below) it."""
        return (self.cost - self.metered) / max(1, self.metered)


class Accuracy(NamedTuple):
    """What was found. Money is nano-USD."""

    rows: tuple[Row, ...]
    outcomes: dict[str, int]
    unexpected: dict[str, int]
    exact_tokens: int
    """Input and output of the rows with the provider's usage, and the meter's for the same requests."""
    exact_metered: int
    below: tuple[int, ...]
    """Of each record that says less than was billed, by how many tokens. The sandbox's meter does not know requests, so
    there it is one figure for each kind."""
    recorded_cost: int
    posted: int
    held: int
    problems: tuple[str, ...]

    @property
    def error(self) -> float:
        """Of all rows together, but for those whose answer broke off: what they may have cost is posted."""
        rows = self.rows[:CUT]
        metered = sum(row.metered for row in rows)
        return (sum(row.cost for row in rows) - metered) / max(1, metered)


def _organizations(models: str) -> list[str]:
    return [
        "organizations:",
        "  - slug: acme",
        "    name: Acme",
        '    budgets: [{amount_usd: "1000000", period: total}]',
        f"    keys: [{{name: app, models: [{models}], secret: {secret_of(0)}}}]",
        "",
    ]


def of_sandbox(place: Path, requests: int, seed: int = 1) -> Accuracy:
    """Send the mix to the sandbox, half of it in either dialect."""
    lines = [
        "server: {drain: 2s}",
        "ledger: {commit_timeout: 10s}",
        *sandboxes(len(_KINDS)),
        *_organizations(", ".join(f'"k{kind}/*"' for kind in range(len(_KINDS)))),
    ]
    with Gateway(place, "\n".join(lines)) as gateway:
        return asyncio.run(_of_sandbox(gateway, requests, seed))


async def _of_sandbox(gateway: Gateway, requests: int, seed: int) -> Accuracy:
    chance = random.Random(seed)
    plans = [_plan(chance) for _ in range(requests)]
    async with open_session() as session, open_session() as aside:
        reader = Reader(gateway, aside)

        async def send(kind: int, body: dict[str, Any], path: str, leave_after: int | None) -> str:
            url = gateway.base_url + path
            reply = await ask(session, url, secret_of(0), body, leave_after=leave_after)
            return f"{_KINDS[kind]}: {reply.status} {reply.code or ''}".strip()

        unexpected = await _send_all(plans, send)
        records = await settled_records(reader, requests)
        meters = await reader.meters()
        rows: list[Row] = []
        for kind, name in enumerate(_KINDS):
            mine = [record for record in records if record["provider"] == f"sandbox{kind}"]
            meter = meters[label_of(kind)]
            metered = meter.input_tokens + meter.output_tokens
            rows.append(_row(name, mine, metered, meter.cost(SANDBOX_PRICE)))
        exact = [record for record in records if record["provider"] == f"sandbox{EXACT}"]
        below = tuple(row.metered_tokens - row.tokens for row in rows if row.cost < row.metered)
        return await _conclude(
            reader,
            rows,
            records,
            unexpected=unexpected,
            exact_tokens=_tokens([each for each in exact if each["usage_quality"] == "provider"]),
            exact_metered=rows[EXACT].metered_tokens,
            below=below,
        )


def _plan(chance: random.Random) -> tuple[int, dict[str, Any], str, int | None]:
    """A random request: its kind, body, path, and after how many lines its client leaves."""
    tokens = chance.randint(5, 300)
    stream, drawn = chance.random() < 0.3, chance.random()
    kind = LEFT if drawn < 0.10 else SILENT if drawn < 0.15 else CUT if drawn < 0.16 else EXACT
    stream = stream or kind == LEFT
    ends = {LEFT: "+pace-1", SILENT: "+no-usage", CUT: f"+cut-after-{tokens * 2 // 3}", EXACT: ""}
    script = f"k{kind}/lorem-{tokens}{ends[kind]}"
    path = chance.choice((CHAT, MESSAGES))
    members = {"stream": True} if stream else {}
    body = chat(script, words(chance.randint(25, 400)), max_tokens=chance.randint(5, 400), **members)
    leave_after = chance.randint(1, 2 * tokens) if kind == LEFT else None
    return kind, body, path, leave_after


def of_upstream(place: Path, requests: int, seed: int = 1) -> Accuracy:
    """Send the mix to a provider that bills by OpenAI's tokenizer."""
    with MeteredUpstream() as upstream:
        lines = [
            "server: {drain: 2s}",
            "ledger: {commit_timeout: 10s}",
            "providers:",
            f"  openai: {provider(upstream.url)}",
            f"models: [{{alias: {MODEL}, deployments: [{{provider: openai, model: {MODEL}, price: {PRICE_YAML}}}]}}]",
            *_organizations(MODEL),
        ]
        with Gateway(place, "\n".join(lines)) as gateway:
            return asyncio.run(_of_upstream(gateway, upstream, requests, seed))


async def _of_upstream(gateway: Gateway, upstream: MeteredUpstream, requests: int, seed: int) -> Accuracy:
    chance = random.Random(seed)
    plans: list[tuple[int, dict[str, Any], str, int | None]] = []
    for number in range(requests):
        kind, body, path, leave_after = _plan(chance)
        script = body["model"].partition("/")[2]
        name = {"user": f"{number}|{script}"} if path == CHAT else {"metadata": {"user_id": f"{number}|{script}"}}
        plans.append((kind, {**body, "model": MODEL, **name}, path, leave_after))
    async with open_session() as session, open_session() as aside:
        reader = Reader(gateway, aside)

        async def send(kind: int, body: dict[str, Any], path: str, leave_after: int | None) -> str:
            reply = await ask(session, gateway.base_url + path, secret_of(0), body, leave_after=leave_after)
            return f"{_KINDS[kind]}: {reply.status} {reply.code or ''}".strip()

        unexpected = await _send_all(plans, send)
        records = await settled_records(reader, requests)
        kinds = {str(number): plan[0] for number, plan in enumerate(plans)}
        by_kind: list[list[dict[str, Any]]] = [[] for _ in _KINDS]
        below: list[int] = []
        exact = exact_metered = 0
        for record in records:
            name = (record["user"] or "").partition("|")[0]
            by_kind[kinds[name]].append(record)
            bill = upstream.bills[name]
            if cost_of_record(record) < bill.cost:
                below.append(bill.input_tokens + bill.output_tokens - _tokens([record]))
            if record["usage_quality"] == "provider":
                exact += _tokens([record])
                exact_metered += bill.input_tokens + bill.tokens
        rows: list[Row] = []
        for kind, name in enumerate(_KINDS):
            bills = [upstream.bills[(record["user"] or "").partition("|")[0]] for record in by_kind[kind]]
            tokens = sum(bill.input_tokens + bill.output_tokens for bill in bills)
            rows.append(_row(name, by_kind[kind], tokens, sum(bill.cost for bill in bills)))
        return await _conclude(
            reader,
            rows,
            records,
            unexpected=unexpected,
            exact_tokens=exact,
            exact_metered=exact_metered,
            below=tuple(below),
        )


async def _send_all(plans: list[Any], send: Any) -> dict[str, int]:
    """Send everything, some at a time; return what was answered otherwise than expected."""
    unexpected: Counter[str] = Counter()
    waiting = iter(plans)

    async def client() -> None:
        for plan in waiting:
            outcome = await send(*plan)
            if outcome not in _EXPECTED:
                unexpected[outcome] += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(CLIENTS):
            group.create_task(client())
    return dict(unexpected)


async def _conclude(
    reader: Reader,
    rows: list[Row],
    records: list[dict[str, Any]],
    **found: Any,
) -> Accuracy:
    (balance,) = await reader.balances((await reader.key_ids())["app"])
    return Accuracy(
        rows=tuple(rows),
        outcomes=dict(Counter(f"{record['outcome']}, {record['usage_quality']}" for record in records)),
        recorded_cost=sum(map(cost_of_record, records)),
        posted=balance.posted,
        held=balance.held,
        problems=tuple((await reader.verify())["problems"]),
        **found,
    )


def _tokens(records: list[dict[str, Any]]) -> int:
    return sum(record["usage"]["input_tokens"] + record["usage"]["output_tokens"] for record in records)


def _row(name: str, records: list[dict[str, Any]], metered_tokens: int, metered: int) -> Row:
    exact = sum(record["usage_quality"] == "provider" for record in records)
    cost = sum(map(cost_of_record, records))
    return Row(name, len(records), exact, _tokens(records), metered_tokens, cost, metered)
