"""What a burst of everything leaves behind: no descriptor, no task, no thread, and hardly any memory."""

import asyncio
import contextlib
import json
import random  # noqa: TID251  seeded, to mix the same requests every time
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from headgate.testing import LocalGateway, gateway
from tests.fakes.openai_api import FakeOpenAI
from tests.gateway import KEY, Gateway, config, hello, receive_all

CLIENTS = 20
ROUNDS = 12
SPARE_THREADS = 6
"""asyncio's executor starts up to cores + 4 threads as they are first needed, and keeps them."""
GROWTH_BYTES = 48 * 1024 * 1024
FAULTS = (
    "fault-status-503",
    "fault-refuse",
    "fault-cut-5",
    "fault-html",
    "fault-malformed",
    "fault-error-event-3",
    "fault-usage-missing",
)


def post(body: object, *more: bytes, key: str = KEY) -> bytes:
    """A chat request as bytes."""
    data = json.dumps(body).encode()
    fields = [b"host: x", b"authorization: Bearer " + key.encode(), b"content-length: %d" % len(data), *more]
    return b"POST /v1/chat/completions HTTP/1.1\r\n" + b"\r\n".join(fields) + b"\r\n\r\n" + data


def conversation(chance: random.Random, model: str) -> tuple[bytes, int | None]:
    """What one client sends, and after how many bytes of answer it leaves without a word (None: it stays)."""
    close = b"connection: close"
    match chance.randrange(8):
        case 0:
            return post(hello(model=model), close), None
        case 1:
            return post(hello(model=model, stream=True), close), None
        case 2:
            return post(hello(model=model, stream=True)), chance.randrange(1, 1500)
        case 3:
            return post(hello(model=chance.choice(FAULTS), stream=chance.random() < 0.5), close), None
        case 4:
            return post(hello(model=model), close, key="no-such-key-000000000000000000000"), None
        case 5:
            large = [{"role": "user", "content": "x" * 1_000_000}]
            return post(hello(model=model, messages=large), close), None
        case 6:
            return post(hello(model=model)) * 7 + post(hello(model=model), close), None
        case _:
            return chance.choice((b"garbage\r\n\r\n", b"GET /healthz HTTP/1.1\r\nhost: x\r\n", post(hello())[:-9])), 0


def converse(port: int, data: bytes, leave_after: int | None) -> None:
    """Have one conversation over a connection of its own."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=30) as line:
        line.sendall(data)
        if leave_after is None:
            receive_all(line)
        elif leave_after:
            line.recv(leave_after)


def burst(port: int) -> None:
    """Many clients at once, each with one conversation after the other."""

    def client(number: int) -> None:
        chance = random.Random(number)
        for _ in range(ROUNDS):
            converse(port, *conversation(chance, "gpt-4o"))

    clients = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
    for each in clients:
        each.start()
    for each in clients:
        each.join(120)
        assert not each.is_alive()


def descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def threads(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def until(holds: Callable[[], bool], what: Callable[[], str], within_s: float = 20.0) -> None:
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, what()
        time.sleep(0.05)


def test_after_a_burst_of_everything_descriptors_threads_and_memory_are_what_they_were(tmp_path: Path) -> None:
    with contextlib.ExitStack() as upstream:
        fake = upstream.enter_context(FakeOpenAI())
        with Gateway(tmp_path, config(fake.url, server="drain: 5s, header_timeout: 2s")) as running:
            # The admin API is imported when it is first asked for, the threads of the writers are there from then on.
            assert running.admin("GET", "/requests").status == 200
            before, before_threads = descriptors(running.pid), threads(running.pid)
            burst(running.port)
            resident = running.resident_bytes()
            burst(running.port)
            assert running.chat(hello()).status == 200
            # Idle connections to a provider are kept for a while; one that closes them is forgotten.
            upstream.close()
            pid = running.pid
            until(lambda: descriptors(pid) <= before, lambda: f"{before} descriptors became {descriptors(pid)}")
            assert threads(pid) <= before_threads + SPARE_THREADS
            assert running.resident_bytes() - resident < GROWTH_BYTES


async def speak(local: LocalGateway, data: bytes, leave_after: int | None) -> None:
    host, _, port = local.url.removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    with contextlib.suppress(OSError):
        writer.write(data)
        await (reader.read() if leave_after is None else reader.read(leave_after))
    writer.close()


@pytest.mark.parametrize("model", ["sandbox/echo", "sandbox/lorem-20+pace-5", "sandbox/lorem-20+cut-after-5"])
async def test_after_a_burst_no_task_is_left(model: str) -> None:
    async with gateway() as local:
        chance = random.Random(model)
        await speak(local, post(hello(model=model), b"connection: close", key=local.key), None)
        before = len(asyncio.all_tasks())
        for _ in range(4):
            spoken = [conversation(chance, model) for _ in range(25)]
            await asyncio.gather(
                *[speak(local, data.replace(KEY.encode(), local.key.encode()), leave) for data, leave in spoken]
            )
        deadline = time.monotonic() + 10
        while len(asyncio.all_tasks()) > before:
            assert time.monotonic() < deadline, asyncio.all_tasks()
            await asyncio.sleep(0.02)
        assert len(asyncio.all_tasks()) == before
