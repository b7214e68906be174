"""Load at an even rate, whatever becomes of what was sent before, and what every caller saw of it."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import aiohttp

from bench.resilience.answers import MODEL, Script

CHAT = "/v1/chat/completions"
KEY = "key-of-the-proofs-of-resilience-0001"
_TIMEOUT = aiohttp.ClientTimeout(total=120)


class Outcome(NamedTuple):
    """One request as its caller saw it. Times are seconds."""

    name: str
    at: float
    """When it was sent, since the load began."""
    seconds: float
    first_s: float | None
    """Until the first content of a stream."""
    status: int
    """0 where the connection broke before a head came."""
    is_whole: bool
    """All of the answer came, byte for byte what its provider makes of the name, with a proper end."""
    is_said: bool
    """It ended in an explicit error: an error's status, or the error event of a stream with nothing behind it."""
    attempts: int
    provider: str | None
    request_id: str | None

    @property
    def ended_at(self) -> float:
        return self.at + self.seconds


def open_session() -> aiohttp.ClientSession:
    """A session without limits of its own."""
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=_TIMEOUT)


async def ask(
    session: aiohttp.ClientSession,
    url: str,
    script: Script,
    *,
    stream: bool,
    began: float = 0.0,
    headers: Mapping[str, str] | None = None,
) -> Outcome:
    """Send one request and read its answer, however it ends."""
    body: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": "one two"}], "user": script.user}
    if stream:
        body["stream"] = True
    fields = {"authorization": f"Bearer {KEY}", **(headers or {})}
    start = time.monotonic()
    status, attempts, provider, request_id, first_s, data = 0, 0, None, None, None, b""
    is_ended = False
    try:
        async with session.post(url + CHAT, json=body, headers=fields) as answer:
            status, request_id = answer.status, answer.headers.get("x-request-id")
            attempts = int(answer.headers.get("x-headgate-attempts", "0"))
            provider = answer.headers.get("x-headgate-provider")
            async for piece in answer.content.iter_any():
                data += piece
                if first_s is None and stream and b'"content": " ' in data:
                    first_s = time.monotonic() - start
            is_ended = True
    except (aiohttp.ClientError, TimeoutError, ConnectionError):
        pass
    seconds = time.monotonic() - start
    is_whole = is_ended and status == 200 and _is_whole(data, script, stream=stream)
    is_said = is_ended and (status >= 400 or _ends_in_error(data))
    return Outcome(
        script.name, start - began, seconds, first_s, status, is_whole, is_said, attempts, provider, request_id
    )


def _events(data: bytes) -> Iterator[Any]:
    for line in data.decode().split("\n"):
        if line.startswith("data: "):
            yield line[6:] if line == "data: [DONE]" else json.loads(line[6:])


def _is_whole(data: bytes, script: Script, *, stream: bool) -> bool:
    if not stream:
        return json.loads(data)["choices"][0]["message"]["content"] == script.text
    *events, last = _events(data)
    if last != "[DONE]" or any("error" in event for event in events):
        return False
    choices = [choice for event in events for choice in event["choices"]]
    text = "".join(choice["delta"].get("content") or "" for choice in choices)
    return text == script.text and choices[-1]["finish_reason"] == "stop"


def _ends_in_error(data: bytes) -> bool:
    events = list(_events(data))
    return bool(events) and "error" in events[-1] and "[DONE]" not in events


class Step(NamedTuple):
    """Something that happens to the providers under load."""

    at: float
    do: Callable[[], object]


async def steady(
    url: str,
    *,
    rate: float,
    seconds: float,
    steps: Sequence[Step] = (),
    name: str = "r",
    headers: Mapping[str, str] | None = None,
) -> list[Outcome]:
    """Send ``rate`` requests a second for so long, every other one a stream; ``steps`` happen under way."""
    tasks: list[asyncio.Task[Outcome]] = []
    began = time.monotonic()
    async with open_session() as session, asyncio.TaskGroup() as group:
        for step in steps:
            group.create_task(_later(began, step))
        for number in range(int(rate * seconds)):
            await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
            script = Script(f"{name}.{number}")
            tasks.append(
                group.create_task(
                    ask(session, url, script, stream=number % 2 == 1, began=began, headers=headers),
                )
            )
    return [task.result() for task in tasks]


async def _later(began: float, step: Step) -> None:
    await asyncio.sleep(max(0.0, began + step.at - time.monotonic()))
    await asyncio.to_thread(step.do)


def percentile(values: Sequence[float], share: float) -> float:
    """Of unordered values; 0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0
