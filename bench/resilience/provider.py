"""A provider in a process of its own, which does as it is told over its standard input and keeps a meter.

One line of JSON in, one out: a line sets what it does (`Conduct`), and the answer is its meter (`Meter`).
"""

import asyncio
import contextlib
import json
import random  # noqa: TID251  seeded, so that a run can be repeated
import socket
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from bench.resilience.answers import Script, content, ending, opening, pieces_of, script_of, whole

_ROOT = Path(__file__).resolve().parents[2]


class Conduct(NamedTuple):
    """What the provider does."""

    refuses: bool = False
    """Nobody listens."""
    stalls: bool = False
    """Requests are taken and never answered."""
    status: int = 200
    failing: float = 0.0
    """Such a share of requests is answered 503."""
    cutting: float = 0.0
    """Such a share of streams is cut behind its opening, before any content."""
    first_ms: float = 0.0
    """Until the first content."""


class Meter(NamedTuple):
    """What arrived."""

    port: int
    connections: int
    requests: int
    failed: int
    """Requests that were answered badly on purpose, or not at all."""


class Provider:
    """The process. Use as a context manager; `tell` changes what it does."""

    def __init__(self, seed: int = 1) -> None:
        self._seed = seed
        self._process: subprocess.Popen[str] | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "bench.resilience.provider", str(self._seed)]
        self._process = subprocess.Popen(
            command, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self.port = self.tell(Conduct()).port
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()

    def tell(self, conduct: Conduct) -> Meter:
        """Change what it does; return the meter."""
        return self._ask(conduct._asdict())

    def meter(self) -> Meter:
        return self._ask(None)

    def _ask(self, line: Any) -> Meter:
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(line) + "\n")
        answer = self._process.stdout.readline()
        assert answer, "the provider is gone"
        return Meter(*json.loads(answer))


class _Server:
    """What runs in the process."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._conduct = Conduct()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._meter = Meter(0, 0, 0, 0)

    async def run(self) -> None:
        """Obey until the input ends."""
        await self._listen()
        loop = asyncio.get_running_loop()
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            told = json.loads(line)
            if told is not None:
                await self._behave(Conduct(**told))
            print(json.dumps(self._meter), flush=True)

    async def _listen(self) -> None:
        # Idle connections of the gateway may still hold the port when it opens again.
        self._server = await asyncio.start_server(
            self._connected, "127.0.0.1", self._meter.port, limit=1 << 20, backlog=1024, reuse_address=True
        )
        self._meter = self._meter._replace(port=self._server.sockets[0].getsockname()[1])

    async def _behave(self, conduct: Conduct) -> None:
        before, self._conduct = self._conduct, conduct
        if conduct.refuses and not before.refuses:
            assert self._server is not None
            self._server.close()
            for writer in list(self._writers):
                writer.transport.abort()
        elif before.refuses and not conduct.refuses:
            await self._listen()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._meter = self._meter._replace(connections=self._meter.connections + 1)
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._writers.add(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0])
                body = json.loads(await reader.readexactly(length))
                self._meter = self._meter._replace(requests=self._meter.requests + 1)
                await self._answer(body, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _answer(self, body: dict[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        conduct, script, stream = self._conduct, script_of(body["user"]), body.get("stream") is True
        if conduct.stalls:
            self._note_failed()
            await reader.read()  # until the other side hangs up
            raise ConnectionResetError
        await asyncio.sleep(conduct.first_ms / 1000)
        if conduct.status != 200 or self._chance.random() < conduct.failing:
            self._note_failed()
            error = b'{"error": {"message": "overloaded", "type": "server_error", "param": null, "code": null}}'
            writer.write(_head(conduct.status if conduct.status != 200 else 503, len(error)) + error)
        elif not stream:
            answer = whole(script)
            writer.write(_head(200, len(answer)) + answer)
        elif self._chance.random() < conduct.cutting:
            self._note_failed()
            writer.write(_head(200, None) + _framed(opening()))
            await writer.drain()
            raise ConnectionResetError
        else:
            await _stream(script, writer)
        await writer.drain()

    def _note_failed(self) -> None:
        self._meter = self._meter._replace(failed=self._meter.failed + 1)


async def _stream(script: Script, writer: asyncio.StreamWriter) -> None:
    writer.write(_head(200, None) + _framed(opening()))
    for place, piece in enumerate(pieces_of(script)):
        if place and script.pace_ms:
            await asyncio.sleep(script.pace_ms / 1000)
        writer.write(_framed(content(piece)))
        await writer.drain()
    writer.write(_framed(ending(script)) + b"0\r\n\r\n")


def _framed(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _head(status: int, length: int | None) -> bytes:
    if length is None:
        return b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    head = f"HTTP/1.1 {status} Status\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    return head.encode()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_Server(int(sys.argv[1])).run())
