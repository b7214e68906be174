"""An ASGI application behind a listener, as the admin API is."""

import asyncio
from typing import Any

import pytest

from tests.server.listening import asgi, connect, converse, listening

HEAD = b"POST /a%20b?x=1 HTTP/1.1\r\nhost: gate:1\r\nx-One: 1\r\ncontent-length: 2\r\n\r\nhi"


async def test_the_application_sees_the_request_as_asgi_describes_it() -> None:
    seen: dict[str, Any] = {}
    messages: list[dict[str, Any]] = []

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        seen.update(scope)
        messages.append(await receive())
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})
        messages.append(await receive())

    async with listening(asgi(app)) as listener:
        assert (await converse(listener, HEAD)).startswith(b"HTTP/1.1 204 ")
    assert (seen["type"], seen["method"], seen["scheme"], seen["http_version"]) == ("http", "POST", "http", "1.1")
    assert (seen["path"], seen["raw_path"], seen["query_string"]) == ("/a b", b"/a%20b", b"x=1")
    assert (b"x-one", b"1") in seen["headers"]
    assert seen["client"][0] == seen["server"][0] == "127.0.0.1"
    assert messages == [
        {"type": "http.request", "body": b"hi", "more_body": False},
        {"type": "http.disconnect"},
    ]


async def test_a_body_that_comes_in_one_piece_has_its_length_and_one_in_pieces_is_chunked() -> None:
    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        pieces = [b"one"] if scope["path"] == "/whole" else [b"one", b"two"]
        headers = [(b"content-type", b"text/plain"), (b"content-length", b"3")][: 2 if len(pieces) == 1 else 1]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for index, piece in enumerate(pieces):
            await send({"type": "http.response.body", "body": piece, "more_body": index + 1 < len(pieces)})

    async with listening(asgi(app)) as listener:
        whole = await converse(listener, b"GET /whole HTTP/1.1\r\nhost: a\r\n\r\n")
        pieces = await converse(listener, b"GET /pieces HTTP/1.1\r\nhost: a\r\n\r\n")
    assert whole.count(b"content-length: 3\r\n") == 1
    assert whole.endswith(b"\r\n\r\none")
    assert pieces.endswith(b"\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")


async def test_the_application_hears_that_its_client_left() -> None:
    started, over = asyncio.Event(), asyncio.Event()

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        await receive()
        started.set()
        assert (await receive())["type"] == "http.disconnect"
        over.set()

    async with listening(asgi(app)) as listener:
        _, writer = await connect(listener)
        writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        await asyncio.wait_for(started.wait(), 5)
        writer.close()
        await asyncio.wait_for(over.wait(), 5)


async def test_an_application_that_fails_closes_the_connection(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        raise RuntimeError("broken")

    async with listening(asgi(app)) as listener:
        assert await converse(listener, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n") == b""
    assert "a request could not be answered" in caplog.text
