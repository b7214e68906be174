"""Answered requests outlive the process, and a process that is asked to end ends its streams in order."""

import http.client
import json
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.openai_answers import WORDS
from tests.fakes.openai_api import FakeOpenAI
from tests.gateway import Gateway, config, events_of, hello


@pytest.fixture
def fake() -> Iterator[FakeOpenAI]:
    with FakeOpenAI() as server:
        yield server


def test_a_request_answered_a_second_before_kill_9_is_in_the_records(fake: FakeOpenAI, tmp_path: Path) -> None:
    with Gateway(tmp_path, config(fake.url)) as gateway:
        whole = [gateway.chat(hello()).headers["x-request-id"] for _ in range(20)]
        with gateway.streaming(hello(stream=True)) as answer:
            streamed = answer.headers["x-request-id"]
            answer.read()
        time.sleep(1.0)  # the promise is about time itself: one second
        gateway.kill()
        gateway.start()
        for request_id in [*whole, streamed]:
            record = gateway.record(request_id, within_s=0.5)
            assert (record["outcome"], record["usage"]["output_tokens"]) == ("ok", len(WORDS))
        assert len(gateway.records(21)) == 21
        assert gateway.chat(hello()).status == 200


def test_sigterm_lets_a_live_stream_finish_and_refuses_new_requests(fake: FakeOpenAI, tmp_path: Path) -> None:
    with Gateway(tmp_path, config(fake.url, server="drain: 15s")) as gateway:
        waiting = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=10)
        waiting.connect()
        with gateway.streaming(
            hello(model="fault-gated", stream=True, stream_options={"include_usage": True}, user="drain")
        ) as answer:
            first = answer.readline()
            gateway.terminate()
            _refused_soon(gateway)
            # Openings, finish, usage and [DONE] beside the words: one acknowledgement each.
            for _ in range(len(WORDS) + 4):
                fake.acknowledge("drain")
            body = first + answer.read()
            request_id = answer.headers["x-request-id"]
        waiting.close()
        assert events_of(body)[-1] == "[DONE]"
        assert gateway.wait() == 0
        gateway.start()
        assert gateway.record(request_id)["outcome"] == "ok"


def test_a_stream_that_outlives_the_drain_ends_with_an_error_event_and_a_record(
    fake: FakeOpenAI, tmp_path: Path
) -> None:
    with Gateway(tmp_path, config(fake.url, server="drain: 1s")) as gateway:
        with gateway.streaming(hello(model="fault-gated", stream=True, user="never")) as answer:
            request_id = answer.headers["x-request-id"]
            first = answer.readline()
            started = time.monotonic()
            gateway.terminate()
            events = events_of(first + answer.read())
        assert "[DONE]" not in events
        assert json.loads(events[-1])["error"]["code"] == "overloaded"
        assert gateway.wait() == 0
        assert time.monotonic() - started < 1 + 2
        gateway.start()
        record = gateway.record(request_id)
        assert (record["outcome"], record["usage_quality"]) == ("truncated", "counted")
        assert record["usage"]["output_tokens"] > 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_gateway_ends_at_once(fake: FakeOpenAI, tmp_path: Path, number: signal.Signals) -> None:
    with Gateway(tmp_path, config(fake.url)) as gateway:
        gateway.chat(hello())
        started = time.monotonic()
        gateway.send(number)
        assert gateway.wait() == 0
        assert time.monotonic() - started < 2


def _refused_soon(gateway: Gateway) -> None:
    """Wait until nobody accepts a new connection, or a new request is told to go elsewhere."""
    deadline = time.monotonic() + 10
    while True:
        try:
            if gateway.request("GET", "/readyz", timeout_s=2).status == 503:
                return
        except OSError:
            return
        assert time.monotonic() < deadline, "a draining gateway still says it is ready"
        time.sleep(0.02)


def test_every_kind_of_answer_outlives_kill_9_under_load(fake: FakeOpenAI, tmp_path: Path) -> None:
    """Clients ask until the process dies; what they were answered more than a second before is in the records."""
    bodies = [
        hello(),
        hello(stream=True),
        hello(model="fault-status-500"),
        hello(model="fault-cut-5", stream=True),
        hello(model="no-such-model"),
        hello(api_base="http://x"),
    ]
    answered: list[tuple[float, str]] = []

    def keep_asking(gateway: Gateway, first: int) -> None:
        turn = first
        while True:
            try:
                answer = gateway.chat(bodies[turn % len(bodies)])
            except (OSError, http.client.HTTPException):
                return
            answered.append((time.monotonic(), answer.headers["x-request-id"]))
            turn += 1

    with Gateway(tmp_path, config(fake.url)) as gateway:
        clients = [threading.Thread(target=keep_asking, args=(gateway, first)) for first in range(len(bodies))]
        for client in clients:
            client.start()
        time.sleep(2.5)  # load for a while: the promise is about time itself
        killed = time.monotonic()
        gateway.kill()
        for client in clients:
            client.join(20)
        gateway.start()
        owed = {request_id for at, request_id in answered if at < killed - 1.0}
        assert len(owed) > 100
        assert owed - _all_records(gateway) == set()


def _all_records(gateway: Gateway) -> set[str]:
    """The id of every record, page by page."""
    found: set[str] = set()
    cursor: str | None = ""
    while cursor is not None:
        page = gateway.admin("GET", "/requests?limit=200" + (f"&cursor={cursor}" if cursor else "")).json
        found |= {record["id"] for record in page["data"]}
        cursor = page["next_cursor"]
    return found
