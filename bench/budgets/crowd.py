"""A3: many clients at the last cents of three levels, and the sandbox's meter beside them all the time."""

import asyncio
import random  # noqa: TID251  seeded, so that two runs send the same requests
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp

from bench.budgets.client import CHAT, Reply, ask, chat, open_session, words
from bench.budgets.place import Billed, Reader, cost_of_record, label_of, sandboxes, secret_of
from headgate.domain.money import format_usd
from tests.gateway import Gateway

KEYS = 8
TEAMS = 2
# Clients are spread unevenly, so that a key's budget, a team's and the organization's each end before the others.
CROWDED = (0, 0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 7)
ORGANIZATION_SHARE, TEAM_SHARE, KEY_SHARE = 100, 60, 20
AVERAGE_NANO_USD = 500_000
"""About what a request of this mix costs."""
PATIENCE = 8
"""Refusals in a row, each of half the size, after which a client has seen the limit from below."""
RETRIES = 2


class Level(NamedTuple):
    """One account in the end."""

    name: str
    limit: int
    posted: int
    held: int
    meter: int
    most_meter: int
    """The most that any sample read."""


class Crowd(NamedTuple):
    """What the crowd did. Money is nano-USD."""

    asked: int
    answers: dict[str, int]
    """By status and code."""
    aborted: int
    retried: int
    samples: int
    over: tuple[str, ...]
    """Samples in which something was above its limit, or the meter above what was posted and held."""
    levels: tuple[Level, ...]
    overruns: int
    """Records of requests that cost more than was held for them."""
    recorded: int
    recorded_cost: int
    problems: tuple[str, ...]
    seconds: float

    @property
    def root(self) -> Level:
        return self.levels[0]

    @property
    def used(self) -> float:
        """The organization's share of its limit."""
        return self.root.posted / self.root.limit


def config(limit: int, durability: str = "fsync") -> str:
    """Three levels of budgets over as many sandboxes as there are keys."""

    def budget(percent: int) -> str:
        return f'budgets: [{{amount_usd: "{format_usd(limit * percent // 100)}", period: total}}]'

    lines = [
        "server: {drain: 2s}",
        "timeouts: {connect: 2s, first_event: 10s, idle: 10s, total: 60s}",
        f"ledger: {{durability: {durability}, commit_timeout: 10s, budget_wait: 200ms}}",
        *sandboxes(KEYS),
        "organizations:",
        "  - slug: acme",
        "    name: Acme",
        f"    {budget(ORGANIZATION_SHARE)}",
        "    teams:",
    ]
    for team in range(TEAMS):
        lines += [f"      - slug: team{team}", f"        name: Team {team}", f"        {budget(TEAM_SHARE)}"]
        lines.append("        keys:")
        for number in _keys_of(team):
            models = f'models: ["k{number}/*"], secret: {secret_of(number)}'
            lines.append(f"          - {{name: k{number}, {models}, {budget(KEY_SHARE)}}}")
    return "\n".join(lines) + "\n"


def _keys_of(team: int) -> Sequence[int]:
    return range(team * KEYS // TEAMS, (team + 1) * KEYS // TEAMS)


def run(place: Path, *, requests: int, callers: int = 200, seed: int = 1, durability: str = "fsync") -> Crowd:
    """Start a gateway in ``place`` and let the crowd at it until nothing fits any more."""
    with Gateway(place, config(requests * AVERAGE_NANO_USD, durability)) as gateway:
        return asyncio.run(_Crowd(gateway, seed).run(callers))


class _Crowd:
    def __init__(self, gateway: Gateway, seed: int) -> None:
        self._gateway = gateway
        self._seed = seed
        self._asked = self._aborted = self._retried = self._samples = 0
        self._answers: Counter[str] = Counter()
        self._over: list[str] = []
        self._most: Counter[str] = Counter()

    async def run(self, callers: int) -> Crowd:
        async with open_session() as session, open_session() as aside:
            reader = Reader(self._gateway, aside)
            ids = await reader.key_ids()
            began = time.monotonic()
            stop = asyncio.Event()
            sampling = asyncio.get_running_loop().create_task(self._sample(reader, ids, stop))
            async with asyncio.TaskGroup() as group:
                for number in range(callers):
                    group.create_task(self._caller(session, number))
            seconds = time.monotonic() - began
            stop.set()
            await sampling
            return await self._conclude(reader, ids, seconds)

    async def _caller(self, session: aiohttp.ClientSession, number: int) -> None:
        key = CROWDED[number % len(CROWDED)]
        chance = random.Random(self._seed * 1_000_003 + number)
        size, refusals = 1.0, 0
        while refusals < PATIENCE:
            body, leave_after = request(chance, key, size)
            reply = await self._ask(session, key, body, leave_after)
            for _ in range(RETRIES):
                if reply.status not in (502, 503, 504):
                    break
                # What an application's own fallback does: the same question, to a model that is well.
                self._retried += 1
                body = {**body, "model": f"k{key}/lorem-{max(1, round(100 * size))}"}
                reply = await self._ask(session, key, body, None)
            if reply.status in (402, 429):
                refusals += 1
                size /= 2
            elif reply.status == 200:
                refusals = 0

    async def _ask(
        self, session: aiohttp.ClientSession, key: int, body: dict[str, Any], leave_after: int | None
    ) -> Reply:
        self._asked += 1
        reply = await ask(session, self._gateway.base_url + CHAT, secret_of(key), body, leave_after=leave_after)
        self._aborted += reply.code == "left"
        code = "" if reply.code in (None, "left") else f" {reply.code}"
        self._answers[f"{reply.status}{code}"] += 1
        return reply

    async def _sample(self, reader: Reader, ids: dict[str, str], stop: asyncio.Event) -> None:
        while not stop.is_set():
            meters = await reader.meters()
            # Read after the meter: what it showed has to be posted or held by now.
            paths = await asyncio.gather(*(reader.balances(ids[f"k{number}"]) for number in range(KEYS)))
            for number, path in enumerate(paths):
                for level in path:
                    name = self._name(level.kind, number)
                    metered = metered_by(meters, level.kind, number)
                    self._most[name] = max(self._most[name], metered)
                    if level.posted + level.held > level.limit:
                        self._over.append(f"{name}: {level.posted} + {level.held} > {level.limit}")
                    if metered > level.limit:
                        self._over.append(f"{name}: the meter says {metered} > {level.limit}")
                    if metered > level.posted + level.held:
                        self._over.append(f"{name}: the meter says {metered} > {level.posted} + {level.held}")
            self._samples += 1
            await asyncio.sleep(0.05)

    def _name(self, kind: str, number: int) -> str:
        return {"organization": "organization", "team": f"team {number * TEAMS // KEYS}"}.get(kind, f"key {number}")

    async def _conclude(self, reader: Reader, ids: dict[str, str], seconds: float) -> Crowd:
        meters = await reader.meters()
        levels: dict[str, Level] = {}
        for number in range(KEYS):
            for level in await reader.balances(ids[f"k{number}"]):
                name = self._name(level.kind, number)
                metered = metered_by(meters, level.kind, number)
                levels[name] = Level(name, level.limit, level.posted, level.held, metered, self._most[name])
        records = await settled_records(reader, self._asked)
        verdict = await reader.verify()
        return Crowd(
            asked=self._asked,
            answers=dict(sorted(self._answers.items())),
            aborted=self._aborted,
            retried=self._retried,
            samples=self._samples,
            over=tuple(self._over[:20]),
            levels=tuple(levels.values()),
            overruns=sum(overrun_of(record) > 0 for record in records),
            recorded=len(records),
            recorded_cost=sum(map(cost_of_record, records)),
            problems=tuple(verdict["problems"]),
            seconds=seconds,
        )


def request(chance: random.Random, key: int, size: float) -> tuple[dict[str, Any], int | None]:
    """Return a random request of this ``size``, and after how many lines its client leaves."""
    tokens = max(1, round(chance.randint(10, 400) * size))
    stream = chance.random() < 0.3
    model, leave_after = f"lorem-{tokens}", None
    fault = chance.random()
    if fault < 0.05:
        model += "+flaky-30"
    elif fault < 0.08:
        model += f"+cut-after-{chance.randint(0, tokens)}"
    elif fault < 0.12:
        model += "+no-usage"
    elif fault < 0.15:
        model += "+status-503"
    if stream and chance.random() < 0.2:
        model, leave_after = model + "+pace-1", 2 * chance.randint(1, 40)
    members: dict[str, Any] = {"stream": True} if stream else {}
    if chance.random() < 0.9 or size < 1:
        members["max_tokens"] = max(1, round(tokens * chance.uniform(0.5, 2)))
    # Twenty words and more: OpenAI's tokenizer, by which an answer without usage is counted, then says no less than
    # the sandbox, whose overhead of three a message it does not know.
    return chat(f"k{key}/{model}", words(20 + round(chance.randint(0, 280) * size)), **members), leave_after


def metered_by(meters: dict[str, Billed], kind: str, number: int) -> int:
    """What the sandbox has metered for an account on the path of a key."""
    keys: Sequence[int] = [number]
    if kind == "organization":
        keys = range(KEYS)
    elif kind == "team":
        keys = _keys_of(number * TEAMS // KEYS)
    nothing = Billed(0, 0, 0)
    return sum(meters.get(label_of(each), nothing).cost() for each in keys)


def overrun_of(record: dict[str, Any]) -> int:
    """What a record says was used beyond what was held."""
    return int(float((record["spending"] or {}).get("overrun_usd") or 0) * 1_000_000_000)


async def settled_records(reader: Reader, count: int, within_s: float = 20.0) -> list[dict[str, Any]]:
    """Every record, once there are ``count`` of them, or none came for a while."""
    deadline = time.monotonic() + within_s
    while True:
        records = await reader.records()
        if len(records) >= count or time.monotonic() > deadline:
            return records
        await asyncio.sleep(0.2)
