"""F2, F3 and F4: the primary is down, both are down, the primary is half down; and how soon all is as before."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bench.resilience.answers import MODEL
from bench.resilience.load import KEY, Outcome, Step, percentile, steady
from bench.resilience.provider import Conduct, Provider
from tests.fakes.openai_api import CREDENTIAL
from tests.gateway import Gateway

WARM_S = 3.0
HEALED_S = 14.0
"""For so long it is usually watched after the heal."""
FIRST_FAILURES = 5
USUAL = Conduct(first_ms=20)
TIMEOUTS = {"connect": "500ms", "first_event": "1s", "idle": "1s", "total": "20s"}
DOWN = {
    "connection refused": Conduct(refuses=True),
    "503": Conduct(status=503),
    "stalls": Conduct(stalls=True),
}


def config(urls: dict[str, str], *, drain: str = "5s") -> str:
    """One alias with a deployment at each provider, in this order; JSON, which is YAML."""
    price = {"input_per_mtok": "1", "output_per_mtok": "2"}
    shared: dict[str, Any] = {"kind": "openai_compatible", "credential": CREDENTIAL, "allow_private_network": True}
    return json.dumps(
        {
            "server": {"drain": drain},
            "timeouts": TIMEOUTS,
            "providers": {name: {**shared, "base_url": url} for name, url in urls.items()},
            "models": [
                {
                    "alias": MODEL,
                    "deployments": [{"provider": name, "model": MODEL, "price": price} for name in urls],
                }
            ],
            "organizations": [
                {"slug": "acme", "name": "Acme", "keys": [{"name": "app", "models": ["*"], "secret": KEY}]}
            ],
        }
    )


class Outage(NamedTuple):
    """What callers saw while a provider was not well. Times are seconds since the load began."""

    kind: str
    rate: float
    outcomes: list[Outcome]
    down_at: float
    healed_at: float

    @property
    def during(self) -> list[Outcome]:
        return [each for each in self.outcomes if self.down_at <= each.at < self.healed_at]

    @property
    def after_first(self) -> list[Outcome]:
        """Without the first failures that anybody met."""
        met = sorted((each for each in self.during if not each.is_whole), key=lambda each: each.ended_at)
        forgiven = {each.name for each in met[:FIRST_FAILURES]}
        return [each for each in self.during if each.name not in forgiven]

    @property
    def success(self) -> float:
        return share(each.is_whole for each in self.after_first)

    @property
    def attempts(self) -> float:
        """For each request."""
        return sum(each.attempts for each in self.during) / len(self.during)

    @property
    def met(self) -> list[Outcome]:
        """The requests that met a fault of a provider."""
        return [each for each in self.outcomes if each.attempts > 1 or not each.is_whole]

    @property
    def opened_s(self) -> float:
        """From the first failure that could be known until, for a whole second, no more than a probe meets it."""
        met = sorted(each.at for each in self.during if each.attempts > 1)
        for place, at in enumerate(met):
            following = met[place + 1 : place + 3]
            if len(following) < 2 or following[1] - at > 1.0:
                return at - self.down_at
        return 0.0

    def recovered_s(self, provider: str | None = None) -> float | None:
        """From the heal until a whole second of requests is answered well, by ``provider`` where one is named."""
        after = [each for each in self.outcomes if each.at >= self.healed_at]
        well_since = self.healed_at
        for each in after:
            if not (each.is_whole and provider in (None, each.provider)):
                well_since = each.at
            elif each.at - well_since >= 1.0:
                return well_since - self.healed_at
        return None

    def last_elsewhere_s(self, provider: str) -> float | None:
        """From the heal until the last request that ``provider`` did not answer whole; ``None``: it answered all."""
        late = [
            each.at - self.healed_at
            for each in self.outcomes
            if each.at >= self.healed_at and not (each.is_whole and each.provider == provider)
        ]
        return max(late, default=None)

    @property
    def error_p99_s(self) -> float:
        """Of errors after everything had two seconds to open."""
        return percentile([each.seconds for each in self.during if each.at > self.down_at + 2], 0.99)

    @property
    def unsaid(self) -> list[str]:
        """Requests that ended neither whole nor in an explicit error."""
        return [each.name for each in self.outcomes if not (each.is_whole or each.is_said)]


def share(values: Any) -> float:
    found = list(values)
    return sum(found) / len(found) if found else 1.0


def run(
    place: Path,
    kind: str,
    *,
    seconds: float,
    rate: float,
    both: bool,
    conduct: Conduct | None = None,
    seed: int = 1,
    watch_s: float = HEALED_S,
) -> Outage:
    """Load, and in the middle of it one provider, or both, do as ``conduct`` or ``kind`` says, for so many seconds."""
    with Provider(seed) as primary, Provider(seed + 1) as spare:
        told: Sequence[Provider] = (primary, spare) if both else (primary,)
        for provider in (primary, spare):
            provider.tell(USUAL)

        def tell(what: Conduct) -> None:
            for provider in told:
                provider.tell(what)

        down = DOWN[kind] if conduct is None else conduct
        with Gateway(place, config({"primary": primary.url, "spare": spare.url})) as gateway:
            healed_at = WARM_S + seconds
            steps = [Step(WARM_S, lambda: tell(down)), Step(healed_at, lambda: tell(USUAL))]
            outcomes = asyncio.run(
                steady(gateway.base_url, rate=rate, seconds=healed_at + watch_s, steps=steps, name=f"{kind}.{seed}")
            )
    return Outage(kind, rate, outcomes, WARM_S, healed_at)
