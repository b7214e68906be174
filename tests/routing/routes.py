"""Deployments, routes and a book for the tests of routing."""

from collections.abc import Callable, Iterator
from typing import Any

from headgate.domain.catalog import Price, Rates
from headgate.routing.health import Health, HealthBook
from headgate.routing.plan import Facts
from headgate.routing.table import Deployment, Route

NOW = 1000.0
USD = 1_000_000_000


def price(input_usd: float, output_usd: float, cached_usd: float | None = None) -> Price:
    """USD per million tokens."""
    cached = None if cached_usd is None else int(cached_usd * USD)
    return Price(Rates(int(input_usd * USD), int(output_usd * USD), cached))


def deployment(provider: str, **fields: Any) -> Deployment:
    return Deployment(provider, fields.pop("model", "m"), fields.pop("price", None), **fields)


def route(*deployments: Deployment, **fields: Any) -> Route:
    return Route("alias", deployments, **fields)


def facts(input_tokens: int = 1000, max_output_tokens: int | None = None, **fields: Any) -> Facts:
    return Facts(input_tokens, max_output_tokens, fields.pop("tags", ()), fields.pop("end_user", None), **fields)


def book(*draws: float) -> HealthBook:
    """A book whose chance is a script, which is said again from the start once it is over."""
    return HealthBook(draw=scripted(*(draws or (0.5,))))


def scripted(*draws: float) -> Callable[[], float]:
    def forever() -> Iterator[float]:
        while True:
            yield from draws

    return forever().__next__


def succeed(health: Health, now: float = NOW, **fields: Any) -> None:
    """One attempt that began and ended well."""
    given = {
        "first_event_s": 0.5, "duration_s": 2.5, "output_tokens": 100, "input_tokens": 1000, "cached_input_tokens": 0,
    }  # fmt: skip
    given.update(fields)
    health.begin(now - given["duration_s"], given["input_tokens"])
    health.succeeded(now, began=now - given["duration_s"], **given)
