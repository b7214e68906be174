import asyncio
import gzip

import pytest

from headgate.upstream.exchange import Exchange
from headgate.upstream.head import Framing
from headgate.upstream.transport import (
    AnswerTooLargeError,
    ConnectionCutError,
    FirstEventTimeoutError,
    IdleTimeoutError,
    Timeouts,
    TotalTimeoutError,
    UpstreamRequest,
)
from tests.upstream.scripted_server import until


class Wire(asyncio.Transport):
    """A transport that remembers what was asked of it."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def abort(self) -> None:
        self.asked.append("abort")

    def pause_reading(self) -> None:
        self.asked.append("pause")

    def resume_reading(self) -> None:
        self.asked.append("resume")

    def is_closing(self) -> bool:
        return "abort" in self.asked


def begun(wire: Wire, *, watched: list[float] | None = None, limit: int = 1 << 20, **timeouts: float) -> Exchange:
    loop = asyncio.get_running_loop()
    request = UpstreamRequest("POST", "/", (), b"", Timeouts(**timeouts), limit)
    watch = watched.append if watched is not None else [].append
    now = loop.time()
    return Exchange(loop, wire, watch, request, now=now, total_at=now + request.timeouts.total)


async def test_each_phase_has_its_own_time_out() -> None:
    exchange = begun(Wire(), first_event=10, idle=3, total=100)
    now = asyncio.get_running_loop().time()
    due, failure = exchange.due()
    assert due == pytest.approx(now + 10, abs=0.5)
    assert isinstance(failure(), FirstEventTimeoutError)
    exchange.take_head(200, (), Framing(until_close=True))
    assert exchange.due()[0] == due
    exchange.begun = True
    exchange.note_read(now + 50)
    due, failure = exchange.due()
    assert due == now + 53
    assert isinstance(failure(), IdleTimeoutError)
    exchange.note_read(now + 99)
    due, failure = exchange.due()
    assert due == pytest.approx(now + 100, abs=0.5)
    assert isinstance(failure(), TotalTimeoutError)


async def test_only_the_total_time_counts_while_the_caller_holds_back() -> None:
    wire = Wire()
    exchange = begun(wire, first_event=1, idle=1, total=100)
    exchange.take_head(200, (), Framing(until_close=True))
    exchange.begun = True
    exchange.take(b"x" * 70_000)
    exchange.hold_back()
    exchange.hold_back()
    assert wire.asked == ["pause"]
    assert isinstance(exchange.due()[1](), TotalTimeoutError)


async def test_reading_on_starts_the_idle_time_anew_and_asks_for_the_timer() -> None:
    wire, watched = Wire(), []
    exchange = begun(wire, watched=watched, idle=5, total=100)
    exchange.take_head(200, (), Framing(until_close=True))
    exchange.begun = True
    exchange.note_read(0)
    exchange.take(b"x" * 70_000)
    exchange.hold_back()
    loop = asyncio.get_running_loop()
    reading = loop.create_task(exchange.read())
    await asyncio.sleep(0)
    assert wire.asked == ["pause", "resume"]
    assert watched == [pytest.approx(loop.time() + 5, abs=0.5)]
    exchange.take(b"y")
    exchange.finish()
    exchange.settle()
    assert await reading == b"x" * 70_000 + b"y"


async def test_a_piece_goes_to_the_sink_in_the_call_that_brought_it() -> None:
    exchange = begun(Wire())
    exchange.take_head(200, (), Framing(until_close=True))
    seen: list[bytes] = []
    pumping = asyncio.get_running_loop().create_task(exchange.pump(seen.append))
    await asyncio.sleep(0)
    exchange.take(b"a")
    assert seen == [b"a"]
    exchange.take(b"b")
    assert seen == [b"a", b"b"]
    exchange.finish()
    exchange.settle()
    await pumping


async def test_what_comes_while_the_sink_is_busy_is_delivered_as_one_piece() -> None:
    wire = Wire()
    exchange = begun(wire)
    exchange.take_head(200, (), Framing(until_close=True))
    gate = asyncio.Event()
    seen: list[bytes] = []

    def sink(data: bytes):
        seen.append(data)
        return gate.wait() if len(seen) == 1 else None

    pumping = asyncio.get_running_loop().create_task(exchange.pump(sink))
    await asyncio.sleep(0)
    for piece in (b"a", b"b", b"c"):
        exchange.take(piece)
        exchange.hold_back()
        exchange.settle()
    assert wire.asked == ["pause"]
    gate.set()
    await until(lambda: len(seen) == 2)
    assert seen == [b"a", b"bc"]
    assert wire.asked == ["pause", "resume"]
    exchange.finish()
    exchange.settle()
    await pumping


async def test_a_failure_is_met_once_the_body_is_asked_for_and_closes_the_socket() -> None:
    wire = Wire()
    exchange = begun(wire)
    exchange.take_head(200, (), Framing(length=5))
    exchange.fail(ConnectionCutError("cut", sent=True))
    exchange.fail(ConnectionCutError("the second failure is a consequence of the first", sent=True))
    assert wire.asked == ["abort"]
    await exchange.arrived()
    with pytest.raises(ConnectionCutError, match=r"^cut$"):
        await exchange.read()


async def test_the_bound_holds_for_what_is_received_and_for_what_is_announced() -> None:
    exchange = begun(Wire(), limit=5)
    exchange.take_head(200, (), Framing(until_close=True))
    exchange.take(b"12345")
    with pytest.raises(AnswerTooLargeError):
        exchange.take(b"6")
    with pytest.raises(AnswerTooLargeError):
        begun(Wire(), limit=5).take_head(200, (), Framing(length=6))


async def test_a_compressed_body_that_ends_early_fails_at_its_end() -> None:
    exchange = begun(Wire())
    exchange.take_head(200, (), Framing(until_close=True, coding="gzip"))
    exchange.take(gzip.compress(b"hello")[:-5])
    exchange.finish()
    with pytest.raises(Exception, match="ends early"):
        await exchange.read()


async def test_a_cancelled_reader_that_was_answered_in_the_same_moment_leaves_no_socket_open() -> None:
    wire = Wire()
    exchange = begun(wire)
    arriving = asyncio.get_running_loop().create_task(exchange.arrived())
    await asyncio.sleep(0)
    exchange.take_head(200, (), Framing(length=5))
    exchange.settle()
    arriving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await arriving
    assert wire.asked == ["abort"]
