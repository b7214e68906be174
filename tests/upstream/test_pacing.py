"""Whose turn it is to be read: in order, few at a time, and only while the loop is late."""

import asyncio
import time

import pytest

from headgate.upstream import pacing
from headgate.upstream.pacing import Pacer
from tests.upstream.callers import KINDS, opened, post
from tests.upstream.scripted_server import CHUNKED, Peer, chunk, scripted

LATE_S, CALM_S = 0.03, 0.001


class Clock:
    """A clock of the test's own, in seconds."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def paced() -> Pacer:
    """One that has every stream rest."""
    made = Pacer(asyncio.get_running_loop(), time.perf_counter)
    made.probe(LATE_S)
    made.probe(LATE_S)
    return made


async def test_streams_rest_where_two_turns_running_take_too_long_and_no_more_when_it_is_calm() -> None:
    clock = Clock()
    made = Pacer(asyncio.get_running_loop(), clock)
    for turn_s in (LATE_S, CALM_S, LATE_S):
        made.probe(turn_s)
        assert not made.is_on
    made.probe(LATE_S)
    assert made.is_on
    clock.now += pacing.CALM_S * 0.9
    made.probe(CALM_S)
    assert made.is_on
    made.probe(LATE_S)
    clock.now += pacing.CALM_S * 0.9
    made.probe(CALM_S)
    assert made.is_on
    clock.now += pacing.CALM_S * 0.2
    made.probe(CALM_S)
    assert not made.is_on


async def test_it_is_not_calm_while_streams_wait_for_others() -> None:
    clock = Clock()
    made = Pacer(asyncio.get_running_loop(), clock)
    made.probe(LATE_S)
    made.probe(LATE_S)
    made.rest(list)
    clock.now += pacing.REST_S
    assert made.late_s == pytest.approx(0)
    clock.now += pacing.CALM_S * 1.1
    assert made.late_s == pytest.approx(pacing.CALM_S * 1.1)
    made.probe(CALM_S)
    assert made.is_on
    made.close()
    assert not made.is_on
    assert made.late_s == 0


async def test_those_that_rest_go_on_in_order_after_their_rest_and_few_in_a_turn() -> None:
    made, loop = paced(), asyncio.get_running_loop()
    woken: list[int] = []
    by_turn: list[int] = []
    began = time.perf_counter()
    count = pacing.AT_ONCE * 3 + 1
    for number in range(count):
        made.rest(lambda number=number: woken.append(number))
    while len(woken) < count:
        before = len(woken)
        turn: asyncio.Future[None] = loop.create_future()
        loop.call_soon(turn.set_result, None)
        await turn
        by_turn.append(len(woken) - before)
    assert woken == list(range(count))
    # The future's own callback may fall before or behind the pacer's in a turn.
    assert max(by_turn) <= pacing.AT_ONCE * 2
    assert time.perf_counter() - began >= pacing.REST_S * 0.9


async def test_it_begins_anew_when_all_have_gone_on() -> None:
    made = paced()
    for _ in range(3):
        gone_on = asyncio.Event()
        made.rest(gone_on.set)
        await asyncio.wait_for(gone_on.wait(), 5)


async def test_closing_lets_everybody_go_on_at_once() -> None:
    made = paced()
    woken: list[int] = []
    for number in range(pacing.AT_ONCE * 2):
        made.rest(lambda number=number: woken.append(number))
    made.close()
    assert woken == list(range(pacing.AT_ONCE * 2))


@pytest.mark.parametrize("kind", KINDS)
async def test_a_stream_that_rests_loses_nothing_and_comes_in_fewer_pieces(kind: str) -> None:
    events = [b"event %d\n" % number for number in range(200)]

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED)
        for event in events:
            await peer.send(chunk(event))
            await asyncio.sleep(0)
        await peer.send(b"0\r\n\r\n")
        # And the connection is as good as new.
        await peer.request()
        await peer.send(CHUNKED + chunk(b"again\n") + b"0\r\n\r\n")

    async with scripted(script) as server, opened(kind, server) as transport:
        made = paced()
        pieces: list[bytes] = []
        await (await transport.send(post(pacer=made))).pump(pieces.append)
        assert b"".join(pieces) == b"".join(events)
        if kind == "lean":
            assert len(pieces) <= len(events) // 4
        assert await (await transport.send(post(pacer=made))).read() == b"again\n"


async def test_a_stream_may_end_while_it_rests() -> None:
    left = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED + chunk(b"first\n"))
        await left.wait()

    async with scripted(script) as server, opened("lean", server) as transport:
        made = paced()
        arrived = asyncio.Event()
        answer = await transport.send(post(pacer=made))
        pumping = asyncio.get_running_loop().create_task(answer.pump(lambda _: arrived.set()))
        await asyncio.wait_for(arrived.wait(), 5)
        pumping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await pumping
        made.close()
        left.set()
