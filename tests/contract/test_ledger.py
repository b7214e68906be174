"""The one suite that every ledger passes, and A2: the same trace is decided the same by all of them.

A ledger of another kind joins by a line in `LEDGERS`: an async context manager that takes a file, a clock and yields
what has `EmbeddedLedger`'s methods.
"""

import random  # noqa: TID251  seeded, so that a failure can be run again
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from headgate.domain.limits import BudgetMode, LimitedKind, Period, RateLimits, WindowMode
from headgate.ledger.embedded import EmbeddedLedger, open_ledger
from headgate.ledger.engine import Engine
from headgate.ledger.limit_book import LimitBook, LimitPath
from headgate.ledger.outcomes import Admitted, Ask, Claim, Held, LedgerUseError, Reason, RefusalCode, State
from headgate.ledger.status import status_of
from tests.ledger.tree import ORGANIZATION, Clock, budget, claim, held, key_path, limits, refused, scopes


class PureLedger:
    """The engine behind the port's names, with nothing that lasts: what the others are compared with."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._engine = Engine(lambda row: None)

    def __getattr__(self, name: str) -> Callable:
        method = getattr(self._engine, name)
        return lambda *arguments, **named: method(*arguments, self._clock(), **named)

    def leave(self, admitted: Admitted) -> None:
        self._engine.leave(admitted)

    def dispatched(self, rid: str) -> None:
        self._engine.dispatched(rid)

    async def reserve(self, each: Claim) -> object:
        return self._engine.reserve(each, self._clock())

    async def extend(self, rid: str, ask: Ask) -> object:
        return self._engine.extend(rid, ask, self._clock())

    def status(self, path: LimitPath) -> object:
        return status_of(self._engine, path, self._clock())


@asynccontextmanager
async def pure(_file: Path, clock: Clock) -> AsyncIterator[PureLedger]:
    yield PureLedger(clock)


@asynccontextmanager
async def embedded(file: Path, clock: Clock) -> AsyncIterator[EmbeddedLedger]:
    ledger = open_ledger(file, durability="os", clock=clock, commit_timeout_s=30)
    ledger.start()
    try:
        yield ledger
    finally:
        await ledger.aclose()


LEDGERS: dict[str, Callable[[Path, Clock], AbstractAsyncContextManager]] = {"pure": pure, "embedded": embedded}
BOOK = LimitBook.build(
    [
        limits(
            LimitedKind.ORGANIZATION,
            ORGANIZATION,
            budget("bud_o", 4_000, Period.DAY),
            budget("bud_h", 900, Period.HOUR),
        ),
        limits(
            LimitedKind.TEAM,
            "team_1",
            budget("bud_t", 2_500, Period.DAY),
            rates=RateLimits(rpm=60, tpm=900, tph=9_000, concurrency=8),
        ),
        limits(LimitedKind.KEY, "key_1", budget("bud_1", 900, Period.MONTH), rates=RateLimits(tpd=9_000)),
        limits(LimitedKind.KEY, "key_2", budget("bud_2", 300, Period.DAY, BudgetMode.AUDIT), rates=RateLimits(rpm=9)),
        limits(LimitedKind.KEY, "key_3", rates=RateLimits(tpm=300, tpm_mode=WindowMode.STRICT)),
    ]
)


@pytest.fixture(params=sorted(LEDGERS))
async def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator:
    async with LEDGERS[request.param](tmp_path / "ledger.db", Clock()) as opened:
        yield opened


async def trace_of(ledger: object, clock: Clock, seed: int, steps: int) -> list[object]:
    """Do the same random things, and return every answer."""
    pick = random.Random(seed)
    running: list[tuple[str, Admitted | None]] = []
    answers: list[object] = []
    for step in range(steps):
        clock.pass_ms(pick.choice((0, 0, 3, 40, 900, 20_000, 600_000)))
        if pick.random() < 0.02:
            clock.jump(pick.choice((-3_600_000, 3_600_000)))
        path = BOOK.path(scopes(), f"key_{pick.randint(1, 3)}")
        action = pick.random()
        if action < 0.5 or not running:
            admitted = ledger.admit(path)
            tokens = pick.randint(0, 400)
            ask = Ask(pick.choice((0, 7, 60, 250, 700)), tokens, pick.randint(0, tokens))
            outcome = await ledger.reserve(Claim(f"r{step}", path, ask))
            answers += [admitted if not isinstance(admitted, Admitted) else "admitted", outcome]
            if isinstance(outcome, Held):
                running.append((f"r{step}", admitted if isinstance(admitted, Admitted) else None))
            elif isinstance(admitted, Admitted):
                ledger.leave(admitted)
            continue
        place = pick.randrange(len(running))
        rid, admitted = running[place]
        if action < 0.6:
            answers.append(await ledger.extend(rid, Ask(pick.randint(0, 90), 9, 9)))
        elif action < 0.65:
            answers.append(ledger.release_part(rid, Ask(pick.randint(0, 90), 9, 9)))
        elif action < 0.7:
            answers.append(ledger.post_part(rid, pick.randint(0, 60), 5, "openai"))
        else:
            del running[place]
            ledger.dispatched(rid)
            answers.append(ledger.void(rid) if action < 0.75 else ledger.settle(rid, pick.randint(0, 300), 90))
            if admitted is not None:
                ledger.leave(admitted)
        answers.append(ledger.status(path))
    return answers


@pytest.mark.parametrize("seed", range(5))
async def test_a2_every_ledger_decides_the_same_trace_the_same(seed: int, tmp_path: Path) -> None:
    traces = {}
    for name, opened in LEDGERS.items():
        clock = Clock()
        async with opened(tmp_path / f"{name}.db", clock) as ledger:
            traces[name] = await trace_of(ledger, clock, seed, 600)

    first = traces.pop("pure")
    assert len({type(answer) for answer in first}) >= 6
    for name, trace in traces.items():
        assert trace == first, name


async def test_a_hold_binds_others_until_it_ends(ledger: object) -> None:
    path = key_path(budget("bud_1", 100))

    assert held(await ledger.reserve(claim("a", path, 60))).durable_first
    assert refused(await ledger.reserve(claim("b", path, 60))).code is RefusalCode.BUDGET_IN_FLIGHT
    ledger.dispatched("a")
    assert ledger.settle("a", 30, 0).posted_nano_usd == 30
    assert held(await ledger.reserve(claim("b", path, 60)))
    assert ledger.void("b").state is State.VOIDED
    status = ledger.status(path).budgets[0]
    assert (status.limit, status.posted, status.held, status.free) == (100, 30, 0, 70)


async def test_reserving_and_ending_twice_is_once(ledger: object) -> None:
    path = key_path(budget("bud_1", 100))
    await ledger.reserve(claim("a", path, 60))

    assert held(await ledger.reserve(claim("a", path, 60))).again
    assert not ledger.settle("a", 60, 0).again
    assert ledger.settle("a", 60, 0).again
    assert ledger.void("a").reason is Reason.SETTLED
    with pytest.raises(LedgerUseError):
        await ledger.reserve(claim("a", path, 60))
    assert ledger.status(path).budgets[0].posted == 60


async def test_extending_is_all_or_nothing(ledger: object) -> None:
    path = key_path(budget("bud_1", 100), rates=RateLimits(tpd=10))
    await ledger.reserve(claim("a", path, 60, 5))

    assert held(await ledger.extend("a", Ask(30, 5, 5))).held_nano_usd == 90
    assert refused(await ledger.extend("a", Ask(5, 1, 1))).limit_name == "tpd"
    assert ledger.status(path).budgets[0].held == 90
    assert ledger.release_part("a", Ask(50, 5, 5)) == 40
    assert held(await ledger.extend("a", Ask(60, 5, 5)))


async def test_requests_are_admitted_and_leave(ledger: object) -> None:
    path = key_path(rates=RateLimits(rpm=2, concurrency=1))
    first = ledger.admit(path)

    assert refused(ledger.admit(path)).code is RefusalCode.CONCURRENCY_EXCEEDED
    ledger.leave(first)
    assert isinstance(ledger.admit(path), Admitted)
    names = [(each.limit_name, each.remaining) for each in ledger.status(path).windows]
    assert names == [("rpm", 0), ("concurrency", 0)]
