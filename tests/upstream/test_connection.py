import asyncio
from itertools import pairwise

import pytest
import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headgate.upstream.transport import (
    ConnectionCutError,
    FirstEventTimeoutError,
    Timeouts,
)
from tests.upstream.callers import (
    BROKEN,
    WHOLE,
    opened,
    outcome,
    post,
)
from tests.upstream.scripted_server import (
    CHUNKED,
    OK,
    Peer,
    answering,
    answering_once,
    chunk,
    scripted,
    until,
)


@pytest.mark.parametrize("wire", [b"HTTP/1.1 200 OK\nx: y\n\nhi", b"HTTP/1.1 200 OK\r\nx: a\r\n b\r\n\r\nhi"])
async def test_lean_refuses_bare_line_feeds_and_folded_fields(wire: bytes) -> None:
    assert (await outcome("lean", answering_once(wire))).failure == "malformed_http"


async def test_lean_cuts_framing_that_is_out_of_proportion_to_the_body() -> None:
    wire = CHUNKED + (b"1;" + b"e" * 200 + b"\r\nx\r\n") * 5000 + b"0\r\n\r\n"
    assert (await outcome("lean", answering_once(wire))).failure == "malformed_http"


@pytest.mark.parametrize("split", range(1, 75))
async def test_lean_reads_an_answer_split_at_any_byte(split: int) -> None:
    wire = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3;x=y\r\nhel\r\n2\r\nlo\r\n0\r\nt: v\r\n\r\n"
    seen = await outcome("lean", answering_once(wire[:split], wire[split:]))
    assert (seen.status, seen.body) == (200, b"hello")


def cut_at(wire: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(wire) + 1) for cut in cuts), len(wire)]
    return [piece for start, end in pairwise(edges) if (piece := wire[start:end])]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(sorted(set(WHOLE) - {"large"}) + sorted(set(BROKEN) - {"huge header", "many headers"})),
    cuts=st.lists(st.integers(0, 10_000), max_size=6),
    pumped=st.booleans(),
)
def test_an_answer_split_anywhere_is_the_same_answer(name: str, cuts: list[int], pumped: bool) -> None:
    wire = (WHOLE.get(name) or BROKEN[name])[0]

    async def both() -> None:
        whole = await outcome("lean", answering_once(wire))
        split = await outcome("lean", answering_once(*cut_at(wire, cuts)), pumped=pumped)
        assert split == whole

    uvloop.run(both())


@pytest.mark.parametrize("wire", [OK + b"surplus", OK + OK, CHUNKED + chunk(b"hello") + b"0\r\n\r\n" + b"0\r\n\r\n"])
async def test_a_connection_with_surplus_bytes_behind_the_answer_is_not_used_again(wire: bytes) -> None:
    async with scripted(answering(wire)) as server, opened("lean", server) as transport:
        for number in range(3):
            assert await (await transport.send(post())).read() == b"hello"
            await until(lambda expected=number + 1: len(server.requests) == expected)
        assert server.connections == 3


async def test_a_reply_before_its_request_is_never_taken_for_the_answer() -> None:
    poisoned = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)
        if peer.index == 0:
            await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison")
            poisoned.set()
        await peer.request()
        await peer.send(OK)

    async with scripted(script) as server, opened("lean", server) as transport:
        assert await (await transport.send(post())).read() == b"hello"
        await poisoned.wait()
        for _ in range(3):
            assert await (await transport.send(post())).read() == b"hello"
        assert server.connections >= 2


async def test_a_connection_the_server_closed_while_idle_is_replaced_without_a_failure() -> None:
    """Even where the loop has not noticed yet: lean looks at the socket before it writes; aiohttp does not."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)

    async with scripted(script) as server, opened("lean", server) as transport:
        for number in range(1, 4):
            assert await (await transport.send(post())).read() == b"hello"
            await until(lambda expected=number: server.connections == expected and server.open == 0)


async def test_a_server_that_closes_connections_under_load_costs_next_to_no_request() -> None:
    """At most those are lost, and said to be, whose bytes crossed the server's close on the way."""

    async def script(peer: Peer) -> None:
        for _ in range(3):
            await peer.request()
            await peer.send(OK)
        # It closes without having said "connection: close": the client has to notice.

    lost = 0

    async with scripted(script) as server, opened("lean", server, max_connections=4) as transport:

        async def worker() -> None:
            nonlocal lost
            for _ in range(50):
                try:
                    assert await (await transport.send(post())).read() == b"hello"
                except ConnectionCutError:
                    lost += 1  # it was written before the close was there to be seen: honest, and never repeated
                await asyncio.sleep(0.001)

        async with asyncio.TaskGroup() as group:
            for _ in range(8):
                group.create_task(worker())
        assert 400 - lost <= len(server.requests) <= 400
        assert lost < 40


async def test_a_long_deadline_before_a_short_one_does_not_hide_it() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)
        await peer.request()
        await peer.eof()

    async with scripted(script) as server, opened("lean", server) as transport:
        long = Timeouts(connect=2, first_event=60, idle=60, total=60)
        short = Timeouts(connect=2, first_event=0.1, idle=60, total=60)
        assert await (await transport.send(post(timeouts=long))).read() == b"hello"
        started = asyncio.get_running_loop().time()
        with pytest.raises(FirstEventTimeoutError):
            await transport.send(post(timeouts=short))
        assert asyncio.get_running_loop().time() - started < 5


async def test_pieces_that_arrive_together_reach_the_sink_together() -> None:
    wire = CHUNKED + b"".join(chunk(b"event %d\n" % number) for number in range(100)) + b"0\r\n\r\n"
    async with scripted(answering(wire)) as server, opened("lean", server) as transport:
        pieces: list[bytes] = []
        await (await transport.send(post())).pump(pieces.append)
        assert b"".join(pieces).count(b"event") == 100
        assert len(pieces) <= 2


@pytest.mark.asyncio(loop_factories=["asyncio"])
async def test_a_stream_costs_no_task_timer_or_future_per_event(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    counts: dict[str, int] = {}

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED)
        for number in range(300):
            peer.writer.write(chunk(b"event %d" % number))
            while not seen or seen[-1] != b"event %d" % number:  # noqa: ASYNC110  an event would make the futures counted
                await asyncio.sleep(0)
        peer.writer.write(b"0\r\n\r\n")

    seen: list[bytes] = []
    async with scripted(script) as server, opened("lean", server) as transport:
        answer = await transport.send(post())

        def counting(name: str) -> None:
            real = getattr(loop, name)

            def counted(*arguments: object, **named: object) -> object:
                counts[name] = counts.get(name, 0) + 1
                return real(*arguments, **named)

            monkeypatch.setattr(loop, name, counted)

        for name in ("call_at", "call_later", "create_task", "create_future"):
            counting(name)
        await answer.pump(seen.append)
    assert len(seen) == 300
    assert sum(counts.values()) < 30, counts


async def test_a_connection_in_steady_use_sets_its_timer_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    from headgate.upstream.connection import Connection

    armed = 0
    real = Connection._on_timer

    def counted(self: Connection) -> None:
        nonlocal armed
        armed += 1
        real(self)

    monkeypatch.setattr(Connection, "_on_timer", counted)
    async with scripted(answering(OK)) as server, opened("lean", server, idle_expiry_s=0.05) as transport:
        timeouts = Timeouts(connect=2, first_event=0.05, idle=0.05, total=0.05)
        until_at = asyncio.get_running_loop().time() + 0.3
        requests = 0
        while asyncio.get_running_loop().time() < until_at:
            await (await transport.send(post(timeouts=timeouts))).read()
            requests += 1
        assert server.connections == 1
    assert 1 <= armed <= 20
    assert requests > 4 * armed
