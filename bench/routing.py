"""What a routing decision costs: µs for each strategy over eight candidates, and where there is only one.

    python -m bench.routing

CPU time, the best of several rounds, so that other work on the machine matters least. The candidates are as a route has
them that has been in use for a while: measured, priced (one in tiers), limited by configuration or by what the provider
says, with attempts in flight, half of them with a cached share. Targets: 20 µs over eight candidates, 1 µs for one.
"""

import gc
import itertools
import random  # noqa: TID251  seeded, so that every run decides the same
from functools import partial

from bench.translation import best_us
from headgate.domain.catalog import Price, PriceTier, Rates
from headgate.domain.routing import FailureClass, Strategy
from headgate.routing.health import HealthBook
from headgate.routing.plan import Facts, plan
from headgate.routing.table import Balance, Deployment, Route

NOW = 10_000.0
FACTS = Facts(input_tokens=4000, max_output_tokens=1024, tags=(), end_user=None)
OPENAI_SAYS = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"x-ratelimit-limit-requests", b"5000"),
    (b"x-ratelimit-limit-tokens", b"160000"),
    (b"x-ratelimit-remaining-requests", b"4999"),
    (b"x-ratelimit-remaining-tokens", b"140000"),
    (b"x-ratelimit-reset-requests", b"12ms"),
    (b"x-ratelimit-reset-tokens", b"7.5s"),
)
NOTHING_SAID = tuple((b"x-header-%d" % number, b"value") for number in range(20))
TIMES = 3000


def rates(number: int) -> Rates:
    return Rates(1_000_000_000 + number, 4_000_000_000, 250_000_000 if number % 2 else None)


def deployment(number: int) -> Deployment:
    tiers = (PriceTier(200_000, rates(9)),) if number == 0 else ()
    limits = {"rpm": 10_000, "tpm": 4_000_000} if number % 2 else {}
    return Deployment(f"provider{number}", "model", Price(rates(number), tiers), weight=number + 1, **limits)


def in_use(book: HealthBook, route: Route) -> None:
    pick = random.Random(1)
    for number, each in enumerate(route.deployments):
        health = book.of(each)
        for _ in range(30):
            health.begin(NOW - 5, 500)
            health.succeeded(
                NOW - 1, first_event_s=pick.uniform(0.2, 2), duration_s=4.0, output_tokens=pick.randint(50, 500),
                input_tokens=4000, cached_input_tokens=1000 * (number % 3), began=NOW - 5,
            )  # fmt: skip
        for _ in range(number):
            health.begin(NOW - 1, 500)
        if number % 2 == 0:
            health.learn_headers(OPENAI_SAYS, NOW - 1)


def show(name: str, us: float) -> None:
    print(f"{name:42} {us:7.2f} µs")


def main() -> None:
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)  # as the gateway sets it
    draw = itertools.cycle([random.Random(2).random() for _ in range(1000)]).__next__
    deployments = tuple(map(deployment, range(8)))
    for strategy in Strategy:
        book, route = HealthBook(draw=draw), Route(
            "alias", deployments, strategy=strategy, balance=Balance(0.4, 0.2, 0.2, 0.2)
        )  # fmt: skip
        in_use(book, route)
        assert len(plan(route, FACTS, book, NOW).candidates) == len(deployments)
        show(f"{strategy.value}, 8 candidates", best_us(partial(plan, route, FACTS, book, NOW), TIMES))
    book, route = HealthBook(draw=draw), Route("alias", deployments[:1])
    in_use(book, route)
    show("1 candidate", best_us(lambda: plan(route, FACTS, book, NOW), TIMES))
    health = book.of(deployments[0])

    def attempt() -> None:
        health.begin(NOW, 500)
        health.succeeded(
            NOW,
            first_event_s=0.5,
            duration_s=4.0,
            output_tokens=100,
            input_tokens=4000,
            cached_input_tokens=0,
            began=NOW,
        )

    show("an attempt: begin and succeed", best_us(attempt, TIMES))
    show("header fields of limits", best_us(lambda: health.learn_headers(OPENAI_SAYS, NOW), TIMES))
    show("20 header fields of nothing", best_us(lambda: health.learn_headers(NOTHING_SAID, NOW), TIMES))
    for _ in range(5):
        health.begin(NOW, 500)
        health.failed(NOW, FailureClass.OVERLOAD, began=NOW)
    show("1 candidate, its breaker open", best_us(lambda: plan(route, FACTS, book, NOW), TIMES))


if __name__ == "__main__":
    main()
