"""Tests of headgate.pipeline.flights."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import pytest

from headgate.pipeline import flights as module
from headgate.pipeline.flights import Flights, LeaderReply
from headgate.pipeline.tape import Tape
from tests.pipeline.test_idempotency import Sent


class Watched(Sent):
    """A reply whose client can leave."""

    def leave(self) -> None:
        assert self.give_up is not None
        assert self.patience_s is not None
        self.client_gone = True
        self.give_up(self.patience_s)


def test_there_is_one_call_to_follow_until_it_ends() -> None:
    flights, first, second = Flights(), Tape(), Tape()
    assert flights.find(b"k") is None
    flights.begin(b"k", first)
    flights.begin(b"k", second)
    assert flights.find(b"k") is first
    flights.end(b"k", second)
    assert len(flights) == 1
    flights.end(b"k", first)
    assert (flights.find(b"k"), len(flights)) == (None, 0)


def test_no_call_is_followed_by_more_than_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_FOLLOWERS", 1)
    flights, tape = Flights(), Tape()
    flights.begin(b"k", tape)
    tape.follow()
    assert flights.find(b"k") is None


async def leading(act: Callable[[Watched, Tape], Awaitable[None]], patience_s: float = 0.0) -> bool:
    """Lead while ``act`` happens; whether the call was given up."""
    reply, tape = Watched(), Tape()
    begun = asyncio.Event()

    async def lead() -> None:
        leader = LeaderReply(reply, tape)
        leader.watch_client(patience_s)
        begun.set()
        try:
            await asyncio.sleep(5)
        finally:
            leader.release()

    task = asyncio.get_running_loop().create_task(lead())
    await begun.wait()
    await act(reply, tape)
    for _ in range(5):
        await asyncio.sleep(0.01)
    given_up = task.done()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    return given_up


async def test_a_leader_whom_nobody_follows_gives_up_with_its_caller() -> None:
    async def act(reply: Watched, tape: Tape) -> None:
        reply.leave()

    assert await leading(act)
    assert not await leading(act, patience_s=60)


async def test_a_leader_goes_on_while_somebody_follows_and_no_longer() -> None:
    async def followed(reply: Watched, tape: Tape) -> None:
        tape.follow()
        reply.leave()

    async def left(reply: Watched, tape: Tape) -> None:
        await followed(reply, tape)
        tape.leave()

    async def left_by_one_of_two(reply: Watched, tape: Tape) -> None:
        tape.follow()
        await left(reply, tape)

    assert not await leading(followed)
    assert await leading(left)
    assert not await leading(left_by_one_of_two)


async def test_whoever_joins_in_the_last_moment_keeps_the_call() -> None:
    async def act(reply: Watched, tape: Tape) -> None:
        reply.leave()
        tape.follow()

    assert not await leading(act)


async def test_a_slow_caller_of_the_leaders_does_not_slow_those_who_follow() -> None:
    reply, tape = Watched(), Tape()
    reply.waits = asyncio.sleep(0)
    leader = LeaderReply(reply, tape)
    leader.begin(200, [])
    assert leader.write(b"a") is reply.waits
    tape.follow()
    assert leader.write(b"b") is None
    assert leader.end(b"c") is reply.waits
    assert (reply.body, leader.begun, leader.ended, leader.client_gone) == (b"abc", True, True, False)
    await reply.waits
    leader.stop_watching()
    assert reply.stopped
