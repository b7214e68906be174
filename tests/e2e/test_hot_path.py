"""What a request must not do while it is answered: read the database, make a task or a timer for every event."""

import asyncio
import contextlib
import http.client
import json
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from headgate.settings.load import load_settings
from headgate.storage.engine import Database
from headgate.testing import LocalGateway, gateway
from tests.fakes.openai_api import CREDENTIAL
from tests.gateway import KEY, hello

AFTERWARDS = {"headgate-records", "headgate-refused-keys"}
"""Threads that write down what happened, after the answer."""
SWEEPS = {"Listener._tick", "LagProbe._tick"}
"""Run twice and twenty times a second, however many requests there are."""


class DatabaseTouchedError(AssertionError):
    """Somebody asked the database while a request was answered."""


def ask(url: str, key: str, method: str, path: str, body: object = None) -> tuple[int, bytes]:
    """Send one request over a connection of its own."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=20)
    try:
        fields = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        connection.request(method, path, None if body is None else json.dumps(body).encode(), fields)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def every_kind_of_answer(local: LocalGateway) -> list[int]:
    """Ask for everything that the data plane answers; return the statuses."""
    chat, echo = "/v1/chat/completions", hello(model="sandbox/echo")
    asked = [
        (local.key, "POST", chat, echo),
        (local.key, "POST", chat, echo | {"stream": True}),
        (local.key, "POST", chat, hello(model="sandbox/lorem-50+no-usage", stream=True)),
        (local.key, "POST", chat, hello(model="sandbox/status-503")),
        (local.key, "POST", "/v1/embeddings", {"model": "sandbox/embed-8", "input": "x"}),
        (local.key, "GET", "/v1/models", None),
        (local.key, "GET", "/v1/models/sandbox%2Fecho", None),
        (local.key, "POST", chat, hello(model="no-such-model")),
        (local.key, "POST", chat, hello(model="sandbox/echo", api_base="http://x")),
        ("nobody-has-this-key", "POST", chat, echo),
        (local.key, "GET", "/healthz", None),
        (local.key, "GET", "/readyz", None),
    ]
    return [ask(local.url, *each)[0] for each in asked]


async def test_no_request_of_the_data_plane_reads_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    """The database is closed to all threads but those that write down afterwards; all answers are as they were."""
    touched: list[str] = []
    recorded = threading.Event()

    def closed(original: Callable[[Database], contextlib.AbstractContextManager[Connection]]) -> Callable[..., Any]:
        @contextlib.contextmanager
        def open_to_few(database: Database) -> Iterator[Connection]:
            name = threading.current_thread().name
            if name not in AFTERWARDS:
                touched.append(name)
                raise DatabaseTouchedError(f"{original.__name__} from {name}")
            with original(database) as connection:
                yield connection
            if name == "headgate-records":
                recorded.set()

        return open_to_few

    async with gateway() as local:
        before = await asyncio.to_thread(every_kind_of_answer, local)
        with monkeypatch.context() as patch:
            patch.setattr(Database, "read", closed(Database.read))
            patch.setattr(Database, "write", closed(Database.write))
            assert await asyncio.to_thread(every_kind_of_answer, local) == before
            assert touched == []
            assert await asyncio.to_thread(recorded.wait, 10), "nothing was recorded"
            # The trap is a trap: what does read the database fails in it.
            status, _ = await asyncio.to_thread(ask, local.admin_url, local.admin_token, "GET", "/admin/v1/keys")
            assert (status, len(touched)) == (500, 1)
    assert before == [200, 200, 200, 502, 200, 200, 200, 404, 400, 401, 200, 200]


class Stepwise:
    """An upstream that sends each event of a stream only when it is told to: every event is a read of its own."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self._next = threading.Semaphore(0)
        self._thread = threading.Thread(target=self._serve, name="stepwise", daemon=True)
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}/v1"

    def __enter__(self) -> "Stepwise":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join(10)

    def step(self) -> None:
        """Let the next event go."""
        self._next.release()

    def _serve(self) -> None:
        try:
            line, _ = self._server.accept()
        except OSError:
            return
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with line, line.makefile("rb") as reader:
            while count := self._read_request(reader):
                line.sendall(
                    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
                )
                for index in range(count):
                    line.sendall(_chunk(_event(index, last=index == count - 1)))
                    self._next.acquire(timeout=20)
                line.sendall(_chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n")

    @staticmethod
    def _read_request(reader: Any) -> int:
        """Read one request and return the ``x_events`` it asks for, 0 at the end of the connection."""
        length = 0
        while (field := reader.readline()) not in (b"\r\n", b""):
            name, _, value = field.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        return json.loads(reader.read(length))["x_events"] if length else 0


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _event(index: int, *, last: bool) -> bytes:
    delta = {} if last else {"content": f"word{index} "}
    choice = {"index": 0, "delta": delta, "finish_reason": "stop" if last else None}
    usage = {"prompt_tokens": 2, "completion_tokens": index, "total_tokens": index + 2} if last else None
    event = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return b"data: " + json.dumps(event | {"usage": usage}).encode() + b"\n\n"


def listen(url: str, upstream: Stepwise, events: int) -> int:
    """Read a stream event by event, asking for the next one when the last one is here; return how many came."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=20)
    try:
        body = json.dumps(hello(model="up/m", stream=True, x_events=events)).encode()
        fields = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
        connection.request("POST", "/v1/chat/completions", body, fields)
        answer = connection.getresponse()
        assert answer.status == 200
        seen = 0
        while (line := answer.readline()) != b"data: [DONE]\n":
            assert line, "the stream ended early"
            if line.startswith(b"data: "):
                seen += 1
                upstream.step()
        answer.read()
        return seen
    finally:
        connection.close()


@contextlib.contextmanager
def counting(loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    """Count every task, timer and job for another thread that the loop is asked for, by kind."""
    made: Counter[str] = Counter()

    def counted(name: str, original: Callable[..., Any], subject: int) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            what = getattr(arguments[subject], "__qualname__", "")
            if what not in SWEEPS:
                made[name] += 1
            return original(*arguments, **options)

        return call

    with monkeypatch.context() as patch:
        # The standard loop's call_later goes through call_at, and every asyncio.timeout and sleep does.
        for name, subject in (("create_task", 0), ("call_at", 1), ("run_in_executor", 1)):
            patch.setattr(loop, name, counted(name, getattr(loop, name), subject))
        yield made


async def test_a_stream_makes_no_task_and_no_timer_for_its_events(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """500 events, each a read and a write of its own, cost as many tasks and timers as 5 do."""
    with Stepwise() as upstream:
        file = tmp_path / "headgate.yaml"
        file.write_text(
            f'providers: {{up: {{kind: openai, base_url: "{upstream.url}", credential: {CREDENTIAL}, price: free, '
            "allow_private_network: true}}\n"
            f'organizations: [{{slug: a, name: A, keys: [{{name: k, models: ["*"], secret: {KEY}}}]}}]\n'
        )
        made: dict[int, Counter[str]] = {}
        async with gateway(load_settings(str(file), {}).settings) as local:
            # The first stream opens the connection to the upstream, which is a timer or two of its own.
            assert await asyncio.to_thread(listen, local.url, upstream, 2) == 2
            for events in (5, 500):
                with counting(asyncio.get_running_loop(), monkeypatch) as counter:
                    assert await asyncio.to_thread(listen, local.url, upstream, events) == events
                made[events] = counter
    # The request is a task, and waiting for `listen` a job: the counters count.
    assert made[5]["create_task"] >= 1
    assert made[5]["run_in_executor"] == made[500]["run_in_executor"] == 1
    assert made[500]["create_task"] == made[5]["create_task"]
    # A connection's one timer may be set anew when it fires early, which depends on time and not on events.
    assert made[500]["call_at"] <= made[5]["call_at"] + 2
