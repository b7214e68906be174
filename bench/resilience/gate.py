"""F6: the gate that holds a stream back until its first content: what it costs, and that no byte is lost or doubled."""

import asyncio
import statistics
from pathlib import Path
from typing import NamedTuple

from bench.resilience.answers import Script
from bench.resilience.load import Outcome, ask, open_session
from bench.resilience.outage import config
from bench.resilience.provider import Conduct, Provider
from tests.gateway import Gateway

FIRST_MS = 20.0
CUT = 0.05
"""Few enough that the breaker stays closed: cut streams end before good ones, and five in a row would open it."""
AT_ONCE = 32


class Gated(NamedTuple):
    """What was found."""

    direct_s: float
    """Median until the first content, straight from the provider."""
    through_s: float
    """The same through the gateway, one beside the other."""
    pairs: int
    streams: list[Outcome]
    """Of which some met a provider that cut the stream behind its opening."""
    cut: int

    @property
    def added_ms(self) -> float:
        return (self.through_s - self.direct_s) * 1000

    @property
    def wrong(self) -> list[str]:
        """Streams that were not, byte for byte, one provider's answer."""
        return [each.name for each in self.streams if not each.is_whole]


def run(place: Path, streams: int, pairs: int, seed: int = 1) -> Gated:
    """Measure ``pairs`` of streams one after the other, then send so many ``streams`` through a provider that cuts."""
    with Provider(seed) as primary, Provider(seed + 1) as spare:
        primary.tell(Conduct(first_ms=FIRST_MS))
        with Gateway(place, config({"primary": primary.url, "spare": spare.url})) as gateway:
            direct, through = asyncio.run(_pairs(primary.url.removesuffix("/v1"), gateway.base_url, pairs))
            before = primary.tell(Conduct(cutting=CUT)).failed
            found = asyncio.run(_many(gateway.base_url, streams, seed))
            cut = primary.meter().failed - before
    return Gated(statistics.median(direct), statistics.median(through), pairs, found, cut)


async def _pairs(direct_url: str, url: str, count: int) -> tuple[list[float], list[float]]:
    """First content, in turns: what slows the machine down slows both down."""
    found: tuple[list[float], list[float]] = ([], [])
    async with open_session() as session:
        for number in range(count):
            for values, target in zip(found, (direct_url, url), strict=True):
                outcome = await ask(session, target, Script(f"pair.{number}"), stream=True)
                assert outcome.first_s is not None, outcome
                if number >= count // 10:  # those before warm up
                    values.append(outcome.first_s)
    return found


async def _many(url: str, count: int, seed: int) -> list[Outcome]:
    places = asyncio.Semaphore(AT_ONCE)
    async with open_session() as session:

        async def one(number: int) -> Outcome:
            async with places:
                return await ask(session, url, Script(f"gate.{seed}.{number}", 8 + number % 24), stream=True)

        return list(await asyncio.gather(*map(one, range(count))))
