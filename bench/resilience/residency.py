"""C3: whatever fails inside, nothing goes outside: the provider there counts every connection."""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from bench.resilience.load import Outcome, steady
from bench.resilience.outage import DOWN, USUAL, config
from bench.resilience.provider import Conduct, Meter, Provider
from tests.gateway import Gateway

INSIDE = ("primary", "spare")
ONLY_INSIDE: Mapping[str, str] = {"x-headgate-providers": ",".join(INSIDE)}
"""What keeps a request inside. A policy does the same; then there are no headers and ``restrict`` writes it."""
FAULTS = {**DOWN, "half down": Conduct(failing=0.5), "cut before content": Conduct(cutting=1.0)}


class Kept(NamedTuple):
    """What was found."""

    outcomes: dict[str, list[Outcome]]
    """By fault of both providers inside."""
    outside: Meter
    unbound: list[Outcome]
    """The same without the restriction: these went outside, or the proof would prove nothing."""


def run(
    place: Path,
    *,
    seconds: float,
    rate: float,
    headers: Mapping[str, str] = ONLY_INSIDE,
    restrict: Callable[[str], str] = lambda text: text,
    lift: Callable[[Gateway], object] = lambda _: None,
) -> Kept:
    """Let both providers inside fail in every way; ``restrict`` rewrites the configuration, ``lift`` undoes that."""
    found: dict[str, list[Outcome]] = {}
    with Provider(1) as primary, Provider(2) as spare, Provider(3) as outside:
        urls = {"primary": primary.url, "spare": spare.url, "outside": outside.url}
        with Gateway(place, restrict(config(urls))) as gateway:
            for kind, conduct in FAULTS.items():
                for provider in (primary, spare):
                    provider.tell(conduct)
                found[kind] = asyncio.run(
                    steady(gateway.base_url, rate=rate, seconds=seconds, name=kind, headers=headers)
                )
                for provider in (primary, spare):
                    provider.tell(USUAL)
            meter = outside.meter()
            lift(gateway)
            primary.tell(DOWN["503"])
            spare.tell(DOWN["503"])
            unbound = asyncio.run(steady(gateway.base_url, rate=rate, seconds=1, name="unbound"))
    return Kept(found, meter, unbound)
