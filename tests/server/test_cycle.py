"""One answer on a connection: head and body in one write, and nothing a client could misread."""

import asyncio
from typing import Any

import pytest

from headgate.server.cycle import EdgeCycle
from headgate.server.listener import Listener, bind
from tests.server.listening import connect


async def answer_of(method: str, *messages: dict[str, Any], version: str = "1.1") -> bytes:
    """All bytes that a client sees of an application which sends ``messages``."""

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)

    listener = Listener(app, bind("127.0.0.1:0"), tls=None, header_timeout_s=30)
    await listener.open()
    try:
        reader, writer = await connect(listener)
        writer.write(f"{method} / HTTP/{version}\r\nhost: a\r\nconnection: close\r\n\r\n".encode())
        data = await asyncio.wait_for(reader.read(), 5)
        writer.close()
        return data
    finally:
        await listener.drain(1, asyncio.Event())


def start(*headers: tuple[bytes, bytes], status: int = 200) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


def piece(body: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": body, "more_body": more}


async def test_a_body_of_known_length_is_sent_as_it_is() -> None:
    answer = await answer_of("GET", start((b"content-length", b"5")), piece(b"hello"))
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\nhello")
    assert b"transfer-encoding" not in answer


async def test_a_body_of_unknown_length_is_chunked_and_empty_pieces_do_not_end_it() -> None:
    answer = await answer_of("GET", start(), piece(b"one", more=True), piece(b"", more=True), piece(b"two"))
    assert answer.split(b"\r\n\r\n", 1)[1] == b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"


async def test_http_1_0_knows_no_chunks() -> None:
    answer = await answer_of("GET", start(), piece(b"one", more=True), piece(b"two"), version="1.0")
    assert b"transfer-encoding" not in answer
    assert answer.endswith(b"\r\n\r\nonetwo")


async def test_head_has_no_body() -> None:
    answer = await answer_of("HEAD", start((b"content-length", b"5")), piece(b"hello"))
    assert answer.endswith(b"\r\n\r\n")
    assert b"content-length: 5" in answer


async def test_a_status_without_a_body_has_none() -> None:
    answer = await answer_of("GET", start(status=204), piece(b""))
    assert answer.startswith(b"HTTP/1.1 204 ")
    assert answer.endswith(b"\r\n\r\n")
    assert b"transfer-encoding" not in answer


@pytest.mark.parametrize("value", [b"a\r\nset-cookie: x", b"a\nb", b"a\rb", b"a\x00b"])
async def test_a_header_with_a_line_break_never_reaches_the_client(value: bytes) -> None:
    answer = await answer_of("GET", start((b"x-model", value)), piece(b"hello"))
    assert b"set-cookie" not in answer
    assert not answer.startswith(b"HTTP/1.1 200")


async def test_a_body_longer_than_announced_is_not_sent() -> None:
    answer = await answer_of("GET", start((b"content-length", b"2")), piece(b"hello"))
    assert b"hello" not in answer


async def test_who_asks_is_told_once_that_the_client_left() -> None:
    told: list[str] = []
    ready, over = asyncio.Event(), asyncio.Event()

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        cycle = receive.__self__
        assert isinstance(cycle, EdgeCycle)
        cycle.on_disconnect(lambda: told.append("left"))
        ready.set()
        await over.wait()

    listener = Listener(app, bind("127.0.0.1:0"), tls=None, header_timeout_s=30)
    await listener.open()
    _, writer = await connect(listener)
    writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
    await asyncio.wait_for(ready.wait(), 5)
    writer.close()
    deadline = asyncio.get_running_loop().time() + 5
    while not told:
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.01)
    over.set()
    await listener.drain(1, asyncio.Event())
    assert told == ["left"]
