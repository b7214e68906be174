"""The cells of the matrix: every fault, in both dialects, streamed and whole, before and behind the first content."""

import asyncio
import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import aiohttp

from tests.chaos.faults import CHAT, FAULTS, Ask, Expected, ask_for
from tests.chaos.provider import CREDENTIAL, NOWHERE, PATHS
from tests.fakes.anthropic_api import ANTHROPIC_CREDENTIAL, FakeAnthropic
from tests.fakes.openai_api import CREDENTIAL as OPENAI_CREDENTIAL
from tests.fakes.openai_api import FakeOpenAI

DEADLINE_S = 6.0
"""What every request gives itself."""
GRACE_S = 1.0
"""So much later at the latest its answer has ended."""
AT_ONCE = 24
KEY = "chaos-key-with-a-budget-of-its-own-01"
SPARE_MODEL = {CHAT: "gpt-4o", "messages": "claude-sonnet-4-5"}
PRICE = {"input_per_mtok": "1", "output_per_mtok": "2"}
TIMEOUTS = {"connect": "300ms", "first_event": "400ms", "idle": "400ms", "total": "60s"}
"""Of the faulty provider: the real ones in small."""
PATIENT = {"connect": "5s", "first_event": "5s", "idle": "5s", "total": "60s"}
"""Where an answer has to come, so that a busy machine makes no fault of its own."""


class Cell(NamedTuple):
    """One request of the matrix."""

    fault: str
    dialect: str
    stream: bool
    late: bool

    @property
    def name(self) -> str:
        """Also its model, and its provider: no cell shares a breaker, a credential or a connection with another."""
        return "-".join(
            (self.fault, self.dialect, "stream" if self.stream else "whole", "late" if self.late else "early")
        )

    @property
    def is_before_content(self) -> bool:
        """Whether nothing of the answer has reached the caller when the fault strikes."""
        return not (self.stream and self.late)

    @property
    def expected(self) -> Expected:
        return Expected.SAVED if self.fault in NOWHERE else FAULTS[self.fault].expected

    @property
    def timeouts(self) -> dict[str, str]:
        if self.expected is Expected.INTACT:
            return PATIENT
        return TIMEOUTS if self.is_before_content else {**PATIENT, "idle": TIMEOUTS["idle"]}

    @property
    def body(self) -> dict[str, Any]:
        """What is asked; the tokens are asked for so that the spare's bytes are the caller's bytes."""
        body = {"model": self.name, "max_tokens": 200, "messages": [{"role": "user", "content": "one two three"}]}
        if self.stream:
            body["stream"] = True
            if self.dialect == CHAT:
                body["stream_options"] = {"include_usage": True}
        return body

    @property
    def upstream_model(self) -> str:
        return f"{self.fault}.{'l' if self.late else 'e'}"

    def honest(self) -> Ask:
        """What the spare makes of it."""
        return ask_for(self.body | {"model": SPARE_MODEL[self.dialect]}, self.dialect, late=False)

    def faulty(self) -> Ask:
        return ask_for(self.body | {"model": self.upstream_model}, self.dialect, late=self.late)


def every_cell() -> Iterator[Cell]:
    for dialect in PATHS.values():
        for name in NOWHERE:
            for stream in (True, False):
                yield Cell(name, dialect, stream, late=False)
        for name, fault in FAULTS.items():
            for when in fault.stream:
                yield Cell(name, dialect, stream=True, late=when == "l")
            for when in fault.whole:
                yield Cell(name, dialect, stream=False, late=when == "l")


class Seen(NamedTuple):
    """What the caller got, and when."""

    status: int
    """0 where the connection broke before a head came."""
    headers: Mapping[str, str]
    data: bytes
    seconds: float
    is_whole: bool
    """The answer ended in good order on the level of HTTP."""

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


def config(
    cells: list[Cell],
    url: str,
    nowhere: Mapping[str, tuple[str, str | None]],
    openai: FakeOpenAI,
    anthropic: FakeAnthropic,
) -> str:
    """The configuration as JSON, which is YAML: for each cell a provider and an alias, and a spare for each dialect."""
    shared: dict[str, Any] = {"allow_private_network": True, "timeouts": PATIENT}
    providers: dict[str, Any] = {
        "spare-chat": {"kind": "openai_compatible", "base_url": openai.url, "credential": OPENAI_CREDENTIAL, **shared},
        "spare-messages": {
            "kind": "anthropic",
            "base_url": anthropic.url,
            "credential": ANTHROPIC_CREDENTIAL,
            **shared,
        },
    }
    models: list[dict[str, Any]] = []
    for cell in cells:
        place, authority = nowhere.get(cell.fault, (url, None))
        kind = "openai_compatible" if cell.dialect == CHAT else "anthropic"
        providers[cell.name] = shared | {"kind": kind, "base_url": place, "credential": CREDENTIAL}
        providers[cell.name]["timeouts"] = cell.timeouts
        if authority is not None:
            providers[cell.name]["tls"] = {"ca": authority}
        models.append(
            {
                "alias": cell.name,
                "deployments": [
                    {"provider": cell.name, "model": cell.upstream_model, "price": PRICE},
                    {"provider": f"spare-{cell.dialect}", "model": SPARE_MODEL[cell.dialect], "price": PRICE},
                ],
            }
        )
    keys = [{"name": "chaos", "models": ["*"], "secret": KEY, "budgets": [{"amount_usd": "1000", "period": "total"}]}]
    organization = {"slug": "acme", "name": "Acme", "keys": keys}
    return json.dumps(
        {"server": {"drain": "5s"}, "providers": providers, "models": models, "organizations": [organization]}
    )


async def ask_all(url: str, cells: list[Cell]) -> dict[str, Seen]:
    """Ask for every cell, so many at a time, and note what came."""
    places = asyncio.Semaphore(AT_ONCE)
    timeout = aiohttp.ClientTimeout(total=DEADLINE_S * 4)
    async with aiohttp.ClientSession(timeout=timeout) as session:

        async def one(cell: Cell) -> Seen:
            async with places:
                return await ask(session, url, cell)

        found = await asyncio.gather(*map(one, cells))
    return {cell.name: seen for cell, seen in zip(cells, found, strict=True)}


async def ask(session: aiohttp.ClientSession, url: str, cell: Cell) -> Seen:
    """Send one request and read its answer to the end, however it ends."""
    path = next(path for path, dialect in PATHS.items() if dialect == cell.dialect)
    fields = {"authorization": f"Bearer {KEY}", "x-headgate-timeout": f"{DEADLINE_S:g}s"}
    began = time.monotonic()
    status, headers, data, is_whole = 0, dict[str, str](), b"", False
    try:
        async with session.post(url + path, json=cell.body, headers=fields) as answer:
            status = answer.status
            headers = {name.lower(): value for name, value in answer.headers.items()}
            async for piece in answer.content.iter_any():
                data += piece
            is_whole = True
    except (aiohttp.ClientError, TimeoutError):
        pass
    return Seen(status, headers, data, time.monotonic() - began, is_whole)


class Streamed(NamedTuple):
    """A stream as a careful client reads it."""

    text: str
    tool: str
    """The arguments of calls of tools."""
    finish: str | None
    markers: int
    """End markers: ``[DONE]`` or ``message_stop``."""
    errors: int
    after_error: int
    """Events behind the first error."""


def read_stream(data: bytes, dialect: str) -> Streamed:
    """Read a stream of either dialect."""
    text = tool = ""
    finish: str | None = None
    markers = errors = after_error = 0
    for line in data.decode().replace("\r\n", "\n").split("\n"):
        if not line.startswith("data:") or not line[5:].strip():
            continue
        payload = line[5:].strip()
        after_error += errors > 0
        if payload == "[DONE]":
            markers += 1
            continue
        value = json.loads(payload)
        if "error" in value:
            errors += 1
        elif dialect == CHAT:
            for choice in value.get("choices", ()):
                text += choice["delta"].get("content") or ""
                for call in choice["delta"].get("tool_calls") or ():
                    tool += call["function"].get("arguments", "")
                finish = choice.get("finish_reason") or finish
        else:
            markers += value["type"] == "message_stop"
            delta = value.get("delta", {})
            text += delta.get("text", "")
            tool += delta.get("partial_json", "")
            finish = delta.get("stop_reason") or finish
    return Streamed(text, tool, finish, markers, errors, after_error)


def read_whole(data: bytes, dialect: str) -> tuple[str, str | None]:
    """Return the text of a whole answer and why it ended."""
    value = json.loads(data)
    if dialect == CHAT:
        choice = value["choices"][0]
        return choice["message"]["content"], choice["finish_reason"]
    return "".join(block["text"] for block in value["content"]), value["stop_reason"]
