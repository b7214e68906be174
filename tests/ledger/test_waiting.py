"""The line for holds to settle, over the engine itself."""

import asyncio
import time
from collections.abc import Callable

import pytest

from headgate.domain.limits import LimitedKind
from headgate.ledger.engine import Engine
from headgate.ledger.limit_book import LimitBook, LimitPath
from headgate.ledger.outcomes import Claim, Held, Refusal, RefusalCode
from headgate.ledger.waiting import BudgetQueue, worth_waiting
from tests.ledger.tree import Clock, balances, budget, claim, key_path, limits, make_engine, refused, scopes


class Line:
    """An engine with its line, wired as the embedded ledger wires them."""

    def __init__(self) -> None:
        self.engine, _ = make_engine()
        self.clock = Clock()
        self.tries = 0
        self.queue = BudgetQueue(self.reserve, self.void)

    def reserve(self, each: Claim) -> Held | Refusal:
        self.tries += 1
        return self.engine.reserve(each, self.clock())

    def end(self, rid: str, finish: Callable[[Engine, str], object]) -> None:
        names = tuple(account.name for account in self.engine.open[rid].accounts)
        finish(self.engine, rid)
        self.queue.freed(names)

    def settle(self, rid: str, amount: int) -> None:
        self.end(rid, lambda engine, rid: engine.settle(rid, amount, 0, self.clock()))

    def void(self, rid: str) -> None:
        self.end(rid, lambda engine, rid: engine.void(rid, self.clock()))

    async def ask(self, each: Claim, wait_s: float) -> Held | Refusal:
        line = self.queue.line_at(self.engine.account_names(each.path, self.clock()))
        if line is not None:
            return await self.queue.wait(each, line, wait_s)
        refusal = worth_waiting(outcome := self.reserve(each))
        return outcome if refusal is None else await self.queue.wait(each, refusal.account, wait_s)


async def stand(line: Line, each: Claim, wait_s: float = 5.0) -> asyncio.Task:
    task = asyncio.get_running_loop().create_task(line.ask(each, wait_s))
    await asyncio.sleep(0)
    return task


async def answered(task: asyncio.Task) -> bool:
    for _ in range(5):
        await asyncio.sleep(0)
    return task.done()


@pytest.fixture
def path() -> LimitPath:
    return key_path(budget("bud_1", 100))


async def test_a_request_waits_for_a_hold_to_settle_and_is_held_then(path: LimitPath) -> None:
    line = Line()
    line.reserve(claim("a", path, 100))
    waiting = await stand(line, claim("b", path, 50))

    assert not await answered(waiting)
    line.settle("a", 40)

    assert isinstance(await waiting, Held)
    assert line.queue.is_empty


async def test_who_waits_in_vain_hears_the_refusal_of_the_last_moment(path: LimitPath) -> None:
    line = Line()
    line.reserve(claim("a", path, 100))
    began = time.perf_counter()

    refusal = refused(await line.ask(claim("b", path, 50), 0.05))

    assert refusal.code is RefusalCode.BUDGET_IN_FLIGHT
    assert 0.04 <= time.perf_counter() - began < 2
    assert line.queue.is_empty


async def test_what_a_settlement_makes_hopeless_is_refused_at_once(path: LimitPath) -> None:
    line = Line()
    line.reserve(claim("a", path, 100))
    waiting = await stand(line, claim("b", path, 50))

    line.settle("a", 80)

    assert refused(await waiting).code is RefusalCode.BUDGET_EXHAUSTED


async def test_first_come_first_served_even_where_a_later_one_would_fit(path: LimitPath) -> None:
    line = Line()
    line.reserve(claim("a", path, 60))
    line.reserve(claim("a2", path, 40))
    large = await stand(line, claim("large", path, 90))
    small = await stand(line, claim("small", path, 10))

    line.void("a2")
    assert not await answered(small)
    line.void("a")

    assert await answered(large)
    assert await answered(small)
    assert balances(line.engine) == {"key/key_1/bud_1/2026-11": (0, 100)}


async def test_nothing_is_tried_while_nothing_is_freed(path: LimitPath) -> None:
    line = Line()
    line.reserve(claim("a", path, 100))
    tasks = [await stand(line, claim(f"w{n}", path, 10), 0.05) for n in range(10)]
    tries = line.tries
    await asyncio.sleep(0.02)

    assert line.tries == tries
    line.settle("a", 0)
    assert all(isinstance(outcome, Held) for outcome in await asyncio.gather(*tasks))


async def test_a_head_that_leaves_lets_the_next_one_try(path: LimitPath) -> None:
    line = Line()
    line.reserve(claim("a", path, 60))
    large = await stand(line, claim("large", path, 90))
    small = await stand(line, claim("small", path, 10))

    large.cancel()

    assert isinstance(await small, Held)
    with pytest.raises(asyncio.CancelledError):
        await large


async def test_who_is_cancelled_as_his_turn_comes_holds_nothing(path: LimitPath) -> None:
    line = Line()
    line.reserve(claim("a", path, 100))
    waiting = await stand(line, claim("b", path, 100))
    behind = await stand(line, claim("c", path, 100))

    line.settle("a", 0)
    waiting.cancel()

    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert isinstance(await behind, Held)
    assert list(line.engine.open) == ["c"]


async def test_a_line_at_one_key_holds_nobody_back_at_another() -> None:
    line = Line()
    book = LimitBook.build(
        [
            limits(LimitedKind.TEAM, "team_1", budget("bud_t", 1_000)),
            limits(LimitedKind.KEY, "key_1", budget("bud_1", 100)),
            limits(LimitedKind.KEY, "key_2", budget("bud_2", 100)),
        ]
    )
    one, two = book.path(scopes(), "key_1"), book.path(scopes(), "key_2")
    line.reserve(claim("a", one, 100))
    waiting = await stand(line, claim("b", one, 100))

    assert isinstance(await line.ask(claim("c", two, 100), 5), Held)
    assert not waiting.done()
    line.void("a")
    assert isinstance(await waiting, Held)


async def test_who_is_refused_by_another_account_moves_to_its_line_and_keeps_his_place() -> None:
    line = Line()
    book = LimitBook.build(
        [
            limits(LimitedKind.TEAM, "team_1", budget("bud_t", 100)),
            limits(LimitedKind.KEY, "key_1", budget("bud_1", 50)),
        ]
    )
    one, two = book.path(scopes(), "key_1"), book.path(scopes(), "key_2")
    line.reserve(claim("a", one, 50))
    first = await stand(line, claim("first", one, 30))
    line.reserve(claim("b", two, 50))
    second = await stand(line, claim("second", two, 40))

    line.end("a", lambda engine, rid: engine.settle(rid, 0, 0, line.clock()))
    assert await answered(first)
    assert not second.done()
    line.void("b")

    assert isinstance(await second, Held)


async def test_a_thousand_waiters_are_served_in_order(path: LimitPath) -> None:
    line, order = Line(), []
    line.reserve(claim("r", path, 100))

    async def one(number: int) -> None:
        assert isinstance(await line.ask(claim(f"w{number}", path, 100), 30), Held)
        order.append(number)
        await asyncio.sleep(0)
        line.settle(f"w{number}", 0)

    async with asyncio.TaskGroup() as group:
        for number in range(1_000):
            group.create_task(one(number))
        await asyncio.sleep(0.01)
        line.settle("r", 0)

    assert order == list(range(1_000))
    assert line.tries < 5_000
