"""O1: a gateway is told to go while streams run through it, again and again, with another one beside it."""

import asyncio
import time
from pathlib import Path
from typing import NamedTuple

from bench.budgets.client import open_session as open_reader
from bench.budgets.place import Reader
from bench.resilience.answers import Script
from bench.resilience.load import Outcome, ask, open_session
from bench.resilience.outage import config
from bench.resilience.provider import Provider
from tests.gateway import Gateway

DRAIN_S = 3.0
GRACE_S = 2.0
STREAMS = 100
SHORT = Script("", pieces=20, pace_ms=50)
"""Ends a second after it began, well within the drain."""
LONG = Script("", pieces=400, pace_ms=50)
"""Would take twenty seconds."""
_PAUSE_S = 0.02


class Restarts(NamedTuple):
    """What was found over all restarts."""

    restarts: int
    short: list[Outcome]
    """Live streams that can end within the drain."""
    long: list[Outcome]
    """Live streams that cannot."""
    meanwhile: list[Outcome]
    """Requests that went on, to whichever gateway was ready."""
    exits_s: list[float]
    """From SIGTERM to the end of the process."""
    codes: list[int]
    recorded: dict[str, str]
    """Outcomes in the records, by request id, of all gateways."""

    @property
    def failed(self) -> list[str]:
        """What should have been answered and was not."""
        return [each.name for each in (*self.short, *self.meanwhile) if not each.is_whole]

    @property
    def unsaid(self) -> list[str]:
        """Streams that were given up and not told so."""
        return [each.name for each in self.long if each.is_whole or not each.is_said]

    @property
    def unrecorded(self) -> list[str]:
        """Answered, whole or not, and without the record that is owed."""
        owed = [(each, "ok") for each in (*self.short, *self.meanwhile) if each.is_whole]
        owed += [(each, "truncated") for each in self.long]
        return [each.name for each, outcome in owed if self.recorded.get(each.request_id or "") != outcome]


def run(place: Path, restarts: int) -> Restarts:
    """Restart so many times; two gateways take turns, each with its own data."""
    found = Restarts(restarts, [], [], [], [], [], {})
    with Provider() as provider:
        text = config({"primary": provider.url}, drain=f"{DRAIN_S:g}s")
        gateways = [Gateway(place / str(number), text) for number in range(2)]
        try:
            gateways[0].start()
            for turn in range(restarts):
                asyncio.run(_restart(turn, gateways[turn % 2], gateways[(turn + 1) % 2], found))
            gateways[(restarts + 1) % 2].start()
            for gateway in gateways:
                asyncio.run(_read(gateway, found.recorded))
        finally:
            for gateway in gateways:
                gateway.stop()
    return found


async def _restart(turn: int, old: Gateway, new: Gateway, found: Restarts) -> None:
    async with open_session() as session, asyncio.TaskGroup() as group:
        base = old.base_url
        short = [
            group.create_task(ask(session, base, SHORT._replace(name=f"short.{turn}.{number}"), stream=True))
            for number in range(STREAMS * 4 // 5)
        ]
        long = [
            group.create_task(ask(session, base, LONG._replace(name=f"long.{turn}.{number}"), stream=True))
            for number in range(STREAMS - len(short))
        ]
        stop = asyncio.Event()
        ready = [old]
        meanwhile = group.create_task(_meanwhile(ready, turn, stop))
        await asyncio.to_thread(new.start)
        # The one who balances the load knows first, as a readiness probe tells him.
        ready[0] = new
        await asyncio.sleep(_PAUSE_S * 5)
        began = time.monotonic()
        old.terminate()
        found.codes.append(await asyncio.to_thread(old.wait, DRAIN_S + 30))
        found.exits_s.append(time.monotonic() - began)
        stop.set()
    found.short.extend(task.result() for task in short)
    found.long.extend(task.result() for task in long)
    found.meanwhile.extend(meanwhile.result())


async def _meanwhile(ready: list[Gateway], turn: int, stop: asyncio.Event) -> list[Outcome]:
    """One request after the other, to the gateway that is ready."""
    outcomes: list[Outcome] = []
    async with open_session() as session:
        while not stop.is_set():
            script = Script(f"meanwhile.{turn}.{len(outcomes)}")
            outcomes.append(await ask(session, ready[0].base_url, script, stream=len(outcomes) % 2 == 1))
            await asyncio.sleep(_PAUSE_S)
    return outcomes


async def _read(gateway: Gateway, recorded: dict[str, str]) -> None:
    async with open_reader() as session:
        for record in await Reader(gateway, session).records():
            recorded[record["id"]] = record["outcome"]
