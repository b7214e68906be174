"""The way back to the client."""

import asyncio
from typing import Any

from headgate.pipeline.reply import Message, Reply


class Wire:
    """Both ends of an ASGI connection that a test controls."""

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.gone = asyncio.Event()
        self.writable = asyncio.Event()
        self.writable.set()

    async def send(self, message: Message) -> None:
        await self.writable.wait()
        self.sent.append(message)

    async def receive(self) -> Message:
        await self.gone.wait()
        return {"type": "http.disconnect"}


async def test_a_whole_answer_announces_its_length() -> None:
    wire = Wire()
    reply = Reply(wire.receive, wire.send)
    await reply.whole(201, [(b"x", b"y")], b"body")
    assert wire.sent == [
        {"type": "http.response.start", "status": 201, "headers": [(b"x", b"y"), (b"content-length", b"4")]},
        {"type": "http.response.body", "body": b"body", "more_body": False},
    ]
    assert reply.begun
    assert reply.ended


async def test_pieces_go_out_at_once_while_the_client_reads() -> None:
    wire = Wire()
    reply = Reply(wire.receive, wire.send)
    assert reply.begin(200, []) is None
    assert reply.write(b"one") is None
    assert [message.get("body") for message in wire.sent] == [None, b"one"]
    await reply.end(b"two")
    assert wire.sent[-1] == {"type": "http.response.body", "body": b"two", "more_body": False}


async def test_a_client_that_reads_too_slowly_makes_the_writer_wait() -> None:
    wire = Wire()
    reply = Reply(wire.receive, wire.send)
    reply.begin(200, [])
    wire.writable.clear()
    waiting = reply.write(b"one")
    assert waiting is not None
    assert len(wire.sent) == 1
    asyncio.get_running_loop().call_soon(wire.writable.set)
    await waiting
    assert wire.sent[-1]["body"] == b"one"


async def leave(reply: Reply, wire: Wire) -> list[str]:
    seen: list[str] = []
    reply.watch_client(lambda: seen.append("left"))
    wire.gone.set()
    for _ in range(3):
        await asyncio.sleep(0)
    return seen


async def test_a_leaving_client_is_noticed() -> None:
    wire = Wire()
    reply = Reply(wire.receive, wire.send)
    assert await leave(reply, wire) == ["left"]
    assert reply.client_gone


async def test_after_the_answer_nobody_leaves() -> None:
    wire = Wire()
    reply = Reply(wire.receive, wire.send)
    await reply.whole(200, [], b"")
    assert await leave(reply, wire) == []
    assert not reply.client_gone


async def test_who_stops_watching_hears_nothing() -> None:
    wire = Wire()
    reply = Reply(wire.receive, wire.send)
    seen: list[str] = []
    reply.watch_client(lambda: seen.append("left"))
    reply.stop_watching()
    wire.gone.set()
    await asyncio.sleep(0.01)
    assert seen == []


async def test_a_server_that_tells_is_not_watched() -> None:
    told: list[Any] = []

    async def never_asked() -> Message:
        raise AssertionError("receive was called although the server tells")

    async def send(message: Message) -> None: ...

    reply = Reply(never_asked, send, notify=told.append)
    seen: list[str] = []
    reply.watch_client(lambda: seen.append("left"))
    told[0]()
    assert seen == ["left"]


async def test_a_server_that_takes_pieces_gets_no_messages_for_them() -> None:
    wire = Wire()
    pushed: list[bytes] = []
    reply = Reply(wire.receive, wire.send, push=pushed.append)
    reply.begin(200, [])
    reply.write(b"one")
    assert pushed == [b"one"]
    assert [message["type"] for message in wire.sent] == ["http.response.start"]
