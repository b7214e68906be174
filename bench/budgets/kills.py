"""A6: the gateway is killed with SIGKILL under load, again and again. The provider lives on and keeps count."""

import asyncio
import random  # noqa: TID251  seeded, so that a failure can be run again
import statistics
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp

from bench.budgets.client import CHAT, Reply, ask, chat, open_session, words
from bench.budgets.crowd import settled_records
from bench.budgets.place import Reader, cost_of_record, secret_of
from bench.budgets.upstream import MODEL, PRICE_YAML, MeteredUpstream, provider
from tests.gateway import Gateway

CLIENTS = 32
PROMISE_S = 1.0
"""What was answered so long before the kill is on disk."""


class Kills(NamedTuple):
    """What was found over all cycles. Money is nano-USD."""

    cycles: int
    sent: int
    """Requests that reached the provider."""
    answered: int
    owed: int
    """Requests of which a record is owed: answered a second before the kill, or with a cost, or sent at all."""
    lost: tuple[str, ...]
    doubled: tuple[str, ...]
    recovered: int
    below: tuple[str, ...]
    """Records that cost less than the provider billed."""
    metered: int
    posted: int
    held: int
    limit: int
    recorded_cost: int
    problems: tuple[str, ...]
    ready_s: tuple[float, ...]
    """From the start of each process until it answers."""

    def ready(self, share: float) -> float:
        """A percentile of `ready_s`."""
        ordered = sorted(self.ready_s)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))]

    @property
    def ready_median(self) -> float:
        """Seconds."""
        return statistics.median(self.ready_s)


def config(url: str, limit_usd: str) -> str:
    """One application with a budget on itself and one on its organization."""
    budget = f'budgets: [{{amount_usd: "{limit_usd}", period: total}}]'
    return "\n".join(
        [
            "server: {drain: 2s}",
            "ledger: {commit_timeout: 10s}",
            "providers:",
            f"  openai: {provider(url)}",
            f"models: [{{alias: {MODEL}, deployments: [{{provider: openai, model: {MODEL}, price: {PRICE_YAML}}}]}}]",
            "organizations:",
            "  - slug: acme",
            "    name: Acme",
            f"    {budget}",
            f"    keys: [{{name: app, models: [{MODEL}], secret: {secret_of(0)}, {budget}}}]",
            "",
        ]
    )


def run(place: Path, cycles: int, seed: int = 1, limit_usd: str = "100000") -> Kills:
    """Kill so many times, start once more, and compare the records with the provider's bills."""
    chance = random.Random(seed)
    load = _Load(seed)
    ready: list[float] = []
    with MeteredUpstream() as upstream:
        gateway = Gateway(place, config(upstream.url, limit_usd))
        try:
            for cycle in range(cycles):
                gateway.start()
                ready.append(gateway.ready_s)
                asyncio.run(load.cycle(gateway, cycle, chance.uniform(0.1, 1.6)))
            gateway.start()
            ready.append(gateway.ready_s)
            return asyncio.run(_conclude(gateway, upstream, load, cycles, ready))
        finally:
            gateway.stop()


class _Load:
    """Clients that ask until the process dies."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self.answered = 0
        self.owed: set[str] = set()
        """Ids of requests."""

    async def cycle(self, gateway: Gateway, cycle: int, seconds: float) -> None:
        ended: list[tuple[float, Reply]] = []
        async with open_session() as session, asyncio.TaskGroup() as group:
            for number in range(CLIENTS):
                name = f"{cycle}.{number}"
                group.create_task(self._client(session, gateway, name, ended))
            await asyncio.sleep(seconds)  # load for a while: the moment of the kill is what is random
            killed = time.monotonic()
            await asyncio.to_thread(gateway.kill)
        self.answered += sum(reply.status == 200 for _, reply in ended)
        self.owed |= {
            reply.request_id
            for at, reply in ended
            if reply.request_id and reply.is_whole and (at < killed - PROMISE_S or reply.has_cost)
        }

    async def _client(
        self, session: aiohttp.ClientSession, gateway: Gateway, name: str, ended: list[tuple[float, Reply]]
    ) -> None:
        chance = random.Random(f"{self._seed}.{name}")
        turn = 0
        while True:
            turn += 1
            body = request(chance, f"{name}.{turn}")
            reply = await ask(session, gateway.base_url + CHAT, secret_of(0), body)
            if reply.code == "connection":
                return
            ended.append((time.monotonic(), reply))


def request(chance: random.Random, name: str) -> dict[str, Any]:
    """A request whose ``user`` names it: whole answers, streams fast and slow, some without usage, some broken."""
    tokens = chance.randint(2, 60)
    script = f"lorem-{tokens}" + chance.choice(("", "", "", "+slow-50", "+slow-300", "+no-usage", "+status-503"))
    stream = chance.random() < 0.4
    if stream and "slow" not in script and "status" not in script:
        script += chance.choice(("", "+pace-2", "+pace-20"))
    members = {"stream": True} if stream else {}
    return chat(MODEL, words(chance.randint(25, 200)), user=f"{name}|{script}", max_tokens=tokens * 2, **members)


async def _conclude(gateway: Gateway, upstream: MeteredUpstream, load: _Load, cycles: int, ready: list[float]) -> Kills:
    async with open_session() as aside:
        reader = Reader(gateway, aside)
        records = await settled_records(reader, len(upstream.bills))
        (balance, *_) = await reader.balances((await reader.key_ids())["app"])
        problems = tuple((await reader.verify())["problems"])
    ids = Counter(record["id"] for record in records)
    by_name = {(record["user"] or "").partition("|")[0]: record for record in records}
    lost = [f"no record of {request_id}, answered" for request_id in load.owed - ids.keys()]
    lost += [f"no record of {name}, billed" for name in upstream.bills if name not in by_name]
    names = Counter((record["user"] or record["id"]).partition("|")[0] for record in records)
    below = [
        f"{name}: {cost_of_record(by_name[name])} < {bill.cost}, {by_name[name]['outcome']}"
        for name, bill in upstream.bills.items()
        if name in by_name and cost_of_record(by_name[name]) < bill.cost
    ]
    return Kills(
        cycles=cycles,
        sent=len(upstream.bills),
        answered=load.answered,
        owed=len(load.owed | set(upstream.bills)),
        lost=tuple(lost[:20]),
        doubled=tuple(name for counted in (ids, names) for name, count in counted.items() if count > 1)[:20],
        recovered=sum(record["outcome"] == "recovered" for record in records),
        below=tuple(below),
        metered=upstream.cost,
        posted=balance.posted,
        held=balance.held,
        limit=balance.limit,
        recorded_cost=sum(map(cost_of_record, records)),
        problems=problems,
        ready_s=tuple(ready),
    )
