"""One answer on a connection: head and body in one write, and nothing a client could misread."""

import asyncio
from collections.abc import Callable

import pytest

from headgate.server.inbound import Application, Inbound
from tests.server.listening import GET, admit, connect, listening


async def answer_of(method: str, write: Callable[[Inbound], object], version: str = "1.1") -> bytes:
    """All bytes that a client sees of an answer that ``write`` gives."""

    async def answer(inbound: Inbound) -> None:
        write(inbound)

    async with listening(Application(admit, answer)) as listener:
        reader, writer = await connect(listener)
        writer.write(f"{method} / HTTP/{version}\r\nhost: a\r\nconnection: close\r\n\r\n".encode())
        data = await asyncio.wait_for(reader.read(), 5)
        writer.close()
        return data


def in_pieces(*pieces: bytes) -> Callable[[Inbound], None]:
    def write(inbound: Inbound) -> None:
        inbound.begin(200, [(b"x-one", b"1")])
        for piece in pieces[:-1]:
            assert inbound.write(piece) is None
        inbound.end(pieces[-1])

    return write


async def test_a_whole_answer_announces_its_length() -> None:
    answer = await answer_of("GET", lambda inbound: inbound.whole(201, [(b"x", b"y")], b"hello"))
    assert answer.startswith(b"HTTP/1.1 201 Created\r\ndate: ")
    assert b"\r\nx: y\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello" in answer
    assert b"transfer-encoding" not in answer


async def test_an_answer_written_beforehand_gets_its_status_and_date_and_says_that_it_is_the_last() -> None:
    prepared = b"x: y\r\ncontent-length: 5\r\n\r\nhello"
    answer = await answer_of("POST", lambda inbound: inbound.whole_prepared(503, prepared))
    status, date, *rest = answer.split(b"\r\n", 3)
    assert (status, date[:6]) == (b"HTTP/1.1 503 Service Unavailable", b"date: ")
    assert rest == [b"connection: close", prepared]


async def test_a_body_of_unknown_length_is_chunked_and_empty_pieces_do_not_end_it() -> None:
    answer = await answer_of("GET", in_pieces(b"one", b"", b"two"))
    assert answer.split(b"\r\n\r\n", 1)[1] == b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"


async def test_an_answer_of_no_pieces_has_a_head_and_an_end() -> None:
    answer = await answer_of("GET", in_pieces(b""))
    assert b"\r\nx-one: 1\r\n" in answer
    assert answer.endswith(b"\r\n\r\n0\r\n\r\n")


async def test_http_1_0_knows_no_chunks() -> None:
    answer = await answer_of("GET", in_pieces(b"one", b"two"), version="1.0")
    assert b"transfer-encoding" not in answer
    assert answer.endswith(b"\r\n\r\nonetwo")


async def test_pieces_of_any_size_arrive_in_order() -> None:
    large = b"L" * 200_000
    answer = await answer_of("GET", in_pieces(b"one", large, b"two", large, b"end"), version="1.0")
    assert answer.split(b"\r\n\r\n", 1)[1] == b"one" + large + b"two" + large + b"end"


async def test_head_has_no_body() -> None:
    answer = await answer_of("HEAD", lambda inbound: inbound.whole(200, [], b"hello"))
    assert answer.endswith(b"\r\n\r\n")
    assert b"content-length: 5" in answer


async def test_a_status_without_a_body_has_none() -> None:
    answer = await answer_of("GET", lambda inbound: inbound.whole(204, [], b""))
    assert answer.startswith(b"HTTP/1.1 204 ")
    assert answer.endswith(b"\r\n\r\n")
    assert b"transfer-encoding" not in answer
    assert b"content-length" not in answer


async def test_a_status_without_a_name_is_answered_all_the_same() -> None:
    answer = await answer_of("GET", lambda inbound: inbound.whole(499, [], b"x"))
    assert answer.startswith(b"HTTP/1.1 499 \r\n")


@pytest.mark.parametrize("value", [b"a\r\nset-cookie: x", b"a\nb", b"a\rb", b"a\x00b"])
async def test_a_header_with_a_line_break_never_reaches_the_client(value: bytes) -> None:
    answer = await answer_of("GET", lambda inbound: inbound.whole(200, [(b"x-model", value)], b"hello"))
    assert answer == b""


async def test_an_answer_that_is_not_finished_does_not_look_like_one_that_is() -> None:
    def write(inbound: Inbound) -> None:
        inbound.begin(200, [])
        inbound.write(b"half")

    answer = await answer_of("GET", write)
    assert answer.endswith(b"4\r\nhalf\r\n")


class Watching:
    """Waits for nothing but its cancellation."""

    def __init__(self, patience_s: float | None) -> None:
        self.patience_s = patience_s
        self.inbound: Inbound | None = None
        self.started = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.application = Application(admit, self._answer)

    async def _answer(self, inbound: Inbound) -> None:
        self.inbound = inbound
        if self.patience_s is not None:
            inbound.watch_client(self.patience_s)
        self.started.set()
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise


@pytest.mark.parametrize("patience_s", [0.0, 0.05])
@pytest.mark.parametrize("data", [GET, GET + GET + GET], ids=["alone", "with others waiting"])
async def test_a_client_that_leaves_ends_the_answering(patience_s: float, data: bytes) -> None:
    watching = Watching(patience_s)
    async with listening(watching.application) as listener:
        _, writer = await connect(listener)
        writer.write(data)
        await asyncio.wait_for(watching.started.wait(), 5)
        writer.close()
        await asyncio.wait_for(watching.cancelled.wait(), 5)
    assert watching.inbound is not None
    assert watching.inbound.client_gone


async def test_a_client_that_leaves_after_a_large_body_is_noticed() -> None:
    watching = Watching(0.0)
    async with listening(watching.application) as listener:
        _, writer = await connect(listener)
        writer.write(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 300000\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.write(b"x" * 300_000)
        await asyncio.wait_for(watching.started.wait(), 5)
        writer.close()
        await asyncio.wait_for(watching.cancelled.wait(), 5)


async def test_who_does_not_watch_is_not_ended() -> None:
    watching = Watching(None)
    async with listening(watching.application) as listener:
        _, writer = await connect(listener)
        writer.write(GET)
        await asyncio.wait_for(watching.started.wait(), 5)
        writer.close()
        while listener.connections:  # noqa: ASYNC110  nothing tells
            await asyncio.sleep(0.01)
        assert not watching.cancelled.is_set()
        assert watching.inbound is not None
        assert not watching.inbound.client_gone
        # What is written to nobody does nothing.
        assert watching.inbound.whole(200, [], b"late") is None


async def test_a_client_that_left_before_it_was_watched_is_noticed_then() -> None:
    told: list[str] = []
    started, over = asyncio.Event(), asyncio.Event()

    async def answer(inbound: Inbound) -> None:
        started.set()
        while not inbound.connection.is_lost:  # noqa: ASYNC110  nothing tells
            await asyncio.sleep(0.01)
        inbound.on_left(lambda: told.append("left"))
        over.set()

    async with listening(Application(admit, answer)) as listener:
        _, writer = await connect(listener)
        writer.write(GET)
        await asyncio.wait_for(started.wait(), 5)
        writer.close()
        await asyncio.wait_for(over.wait(), 5)
    assert told == ["left"]


async def test_a_client_that_reads_too_slowly_makes_the_writer_wait() -> None:
    waited = asyncio.Event()

    async def answer(inbound: Inbound) -> None:
        inbound.begin(200, [])
        waiting = None
        while waiting is None:
            waiting = inbound.write(b"x" * 1_000_000)
            await asyncio.sleep(0)
        waited.set()
        await waiting
        last = inbound.end(b"end")
        if last is not None:
            await last

    async with listening(Application(admit, answer)) as listener:
        reader, writer = await connect(listener)
        writer.transport.pause_reading()
        writer.write(GET)
        await asyncio.wait_for(waited.wait(), 10)
        writer.transport.resume_reading()
        data = b""
        while not data.endswith(b"3\r\nend\r\n0\r\n\r\n"):
            data = (data + await asyncio.wait_for(reader.read(1_000_000), 5))[-20:]
        writer.close()
