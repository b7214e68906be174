"""Coding agents on one small budget: contexts that grow to 150,000 tokens, huge maxima, short answers.

What must not happen is known: each request asks for 32,000 tokens and uses 500, so a gateway that bounds the context by
its bytes and holds what it cannot bound refuses long before the money is spent (LiteLLM's PR 38647).
"""

import asyncio
import json
import random  # noqa: TID251  seeded, so that two runs send the same requests
import statistics
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp

from bench.budgets.client import CHAT, ask, open_session
from bench.budgets.crowd import settled_records
from bench.budgets.place import Price, Reader, cost_of_record, label_of, sandboxes, secret_of
from headgate.domain.money import format_usd, parse_usd
from headgate.providers.sandbox_script import count_message
from tests.gateway import Gateway

AGENTS = 4
PATIENCE = 3
_TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": f"{name} in the working tree of the repository",
            "parameters": {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
        },
    }
    for name in ("read_file", "write_file", "run_tests", "search", "list_files", "apply_patch")
]


class Shape(NamedTuple):
    """The shape of a session. Tokens are the sandbox's."""

    budget: str = "20"
    """USD."""
    price: Price = Price(1_250, 10_000)
    begins_at: int = 20_000
    most_tokens: int = 150_000
    """From here on an agent summarises and begins anew."""
    result_tokens: int = 8_000
    """The most that a tool's result has."""
    max_tokens: int = 32_000
    answer_tokens: int = 500


class Agents(NamedTuple):
    """What they did. Money is nano-USD."""

    shape: Shape
    limit: int
    asked: int
    largest_body: int
    refusals: dict[str, int]
    first_refusal_used: int
    """Posted when the first request was refused."""
    first_refusal_needs: int
    """The least that any strict gateway has to hold for that request: its own input, and the output it asks for."""
    posted: int
    meter: int
    held_most: int
    """The most that was held at once, and the mean over time."""
    held_mean: float
    stranded_most: int
    """The most that was held for a request beyond what it cost, and the mean."""
    stranded_mean: float
    bounds: dict[str, int]
    """Requests that were sent, by what bounded them."""
    over: tuple[str, ...]
    seconds: float


def run(place: Path, shape: Shape, seed: int = 1) -> Agents:
    """Let four agents spend one budget."""
    rates = (format_usd(each * 1_000_000) for each in shape.price)
    price = '{{input_per_mtok: "{}", output_per_mtok: "{}"}}'.format(*rates)
    budget = f'budgets: [{{amount_usd: "{shape.budget}", period: total}}]'
    config = "\n".join(
        [
            "server: {drain: 2s}",
            *sandboxes(1, price),
            "organizations:",
            "  - slug: acme",
            "    name: Acme",
            f'    keys: [{{name: agents, models: ["k0/*"], secret: {secret_of(0)}, {budget}}}]',
            "",
        ]
    )
    with Gateway(place, config) as gateway:
        return asyncio.run(_Session(gateway, shape, seed).run())


class _Session:
    def __init__(self, gateway: Gateway, shape: Shape, seed: int) -> None:
        self._gateway, self._shape, self._seed = gateway, shape, seed
        self._asked = self._largest = 0
        self._refusals: Counter[str] = Counter()
        self._first: tuple[int, int] | None = None
        self._held: list[int] = []
        self._over: list[str] = []

    async def run(self) -> Agents:
        shape = self._shape
        async with open_session() as session, open_session() as aside:
            reader = Reader(self._gateway, aside)
            key_id = (await reader.key_ids())["agents"]
            stop, began = asyncio.Event(), time.monotonic()
            sampling = asyncio.get_running_loop().create_task(self._sample(reader, key_id, stop))
            async with asyncio.TaskGroup() as group:
                for number in range(AGENTS):
                    group.create_task(self._agent(session, number))
            seconds = time.monotonic() - began
            stop.set()
            await sampling
            (balance,) = await reader.balances(key_id)
            records = await settled_records(reader, self._asked)
            meter = (await reader.meters())[label_of(0)].cost(shape.price)
        sent = [record for record in records if record["outcome"] != "refused"]
        stranded = [parse_usd(record["spending"]["held_usd"]) - cost_of_record(record) for record in sent]
        used, needs = self._first or (0, 0)
        return Agents(
            shape=shape,
            limit=balance.limit,
            asked=self._asked,
            largest_body=self._largest,
            refusals=dict(self._refusals),
            first_refusal_used=used,
            first_refusal_needs=needs,
            posted=balance.posted,
            meter=meter,
            held_most=max(self._held),
            held_mean=statistics.mean(self._held),
            stranded_most=max(stranded),
            stranded_mean=statistics.mean(stranded),
            bounds=dict(Counter(record["spending"]["bound_by"] for record in sent)),
            over=tuple(self._over),
            seconds=seconds,
        )

    async def _agent(self, session: aiohttp.ClientSession, number: int) -> None:
        shape, chance = self._shape, random.Random(self._seed * 1_000 + number)
        messages, tokens = _begin(chance, number, shape), shape.begins_at
        refusals, turn = 0, 0
        while refusals < PATIENCE:
            # One model for the whole conversation, as an agent has it: what it was billed for before is known by it.
            answer = shape.answer_tokens
            body = {
                "model": f"k0/lorem-{answer}+pace-1",
                "messages": messages,
                "tools": _TOOLS,
                "stream": True,
                "max_tokens": shape.max_tokens,
            }
            data = json.dumps(body).encode()
            self._asked, self._largest = self._asked + 1, max(self._largest, len(data))
            reply = await ask(session, self._gateway.base_url + CHAT, secret_of(0), data)
            if reply.status != 200:
                refusals += 1
                self._refusals[f"{reply.status} {reply.code}"] += 1
                if self._first is None and "used" in reply.detail:
                    needs = shape.price.of(sum(map(count_message, messages)), shape.max_tokens)
                    self._first = (parse_usd(reply.detail["used"]), needs)
                continue
            refusals, turn = 0, turn + 1
            result = chance.randint(shape.result_tokens // 4, shape.result_tokens)
            if (tokens := tokens + result + answer) > shape.most_tokens:
                messages, tokens = _begin(chance, number, shape), shape.begins_at
                continue
            messages = [*messages, *_turn(chance, f"call_{number}_{turn}", answer, result)]

    async def _sample(self, reader: Reader, key_id: str, stop: asyncio.Event) -> None:
        while not stop.is_set():
            meter = (await reader.meters()).get(label_of(0))
            (balance,) = await reader.balances(key_id)
            self._held.append(balance.held)
            metered = 0 if meter is None else meter.cost(self._shape.price)
            if not metered <= balance.posted + balance.held <= balance.limit:
                self._over.append(f"{metered} {balance}")
            await asyncio.sleep(0.05)


def _begin(chance: random.Random, number: int, shape: Shape) -> list[dict[str, Any]]:
    system = f"You are agent {number}. {_code(chance, shape.begins_at // 2)}"
    task = f"Mend the build. {_code(chance, shape.begins_at // 2)}"
    return [{"role": "system", "content": system}, {"role": "user", "content": task}]


def _turn(chance: random.Random, call_id: str, answer: int, result: int) -> list[dict[str, Any]]:
    """What an agent adds after an answer: the model's words with a tool call, and the tool's result."""
    call = {"name": "read_file", "arguments": '{"path": "src/main.py"}'}
    said = _code(chance, answer)
    return [
        {"role": "assistant", "content": said, "tool_calls": [{"id": call_id, "type": "function", "function": call}]},
        {"role": "tool", "tool_call_id": call_id, "content": _code(chance, result)},
    ]


def _code(chance: random.Random, tokens: int) -> str:
    """Text of so many tokens, four bytes each, as English and code have them."""
    return " ".join(chance.choices(_PIECES, k=tokens))


_PIECES = (
    "def",
    "get",
    "set",
    "for",
    "key",
    "row",
    "int",
    "str",
    "raw",
    "end",
    "run",
    "log",
    "map",
    "sum",
    "any",
    "len",
)
