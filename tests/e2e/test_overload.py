"""More requests than may be in flight: who is refused, in which words, and that everything is given back."""

import contextlib
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.gateway import Answer, Gateway, hello

MOST = 8
ORDINARY = 6
"""A fifth of eight, rounded up, is kept for `critical`."""
KEYS = {name: f"{name}-key-of-the-overloaded-gateway-0001" for name in ("normal", "critical", "low", "other")}
CONFIG = f"""
server: {{drain: 1s, max_in_flight: {MOST}}}
providers: {{sandbox: {{kind: sandbox}}}}
organizations:
  - slug: acme
    name: Acme
    keys:
      - {{name: normal, models: ["sandbox/*"], secret: {KEYS["normal"]}, tags: {{env: prod}}}}
      - {{name: critical, models: ["sandbox/*"], secret: {KEYS["critical"]}, tags: {{headgate.priority: critical}}}}
      - {{name: low, models: ["sandbox/*"], secret: {KEYS["low"]}, tags: {{headgate.priority: low}}}}
  - slug: globex
    name: Globex
    keys: [{{name: other, models: ["sandbox/*"], secret: {KEYS["other"]}}}]
"""
LONG = hello(model="sandbox/lorem-10000+pace-50", stream=True)
SHORT = hello(model="sandbox/echo")


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    with Gateway(tmp_path, CONFIG) as running:
        yield running


def load_of(gateway: Gateway) -> dict[str, Any]:
    return gateway.request("GET", "/readyz", key=gateway.admin_token).json["load"]


def await_load(gateway: Gateway, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    deadline = time.monotonic() + 20
    while not holds(load := load_of(gateway)):
        assert time.monotonic() < deadline, load
        time.sleep(0.02)
    return load


def ask(gateway: Gateway, name: str, **headers: str) -> Answer:
    return gateway.chat(SHORT, key=KEYS[name], headers={key.replace("_", "-"): value for key, value in headers.items()})


def assert_shed(answer: Answer) -> None:
    assert (answer.status, answer.code, answer.json["error"]["headgate"]["reason"]) == (503, "overloaded", "shed")
    assert (answer.headers["retry-after"], answer.headers["retry-after-ms"]) == ("1", "1000")
    assert answer.headers.get("x-should-retry", "true") == "true"
    assert "connection" not in answer.headers


def test_a_full_gateway_refuses_by_priority_and_shares_among_tenants(gateway: Gateway) -> None:
    with contextlib.ExitStack() as held:
        streams = [held.enter_context(contextlib.ExitStack()) for _ in range(ORDINARY)]
        for stream in streams:
            assert stream.enter_context(gateway.streaming(LONG, key=KEYS["normal"])).status == 200
        assert load_of(gateway)["in_flight"] == ORDINARY

        refused = ask(gateway, "normal")
        assert_shed(refused)
        # A priority that a caller sends is a tag like any other.
        assert_shed(ask(gateway, "normal", x_headgate_tags="headgate.priority=critical"))
        assert_shed(ask(gateway, "low"))
        assert ask(gateway, "critical").status == 200
        anthropic = gateway.request("POST", "/v1/messages", SHORT | {"max_tokens": 9}, key=KEYS["normal"])
        assert (anthropic.status, anthropic.json["error"]["type"]) == (503, "overloaded_error")
        # What is no inference is never shed.
        assert gateway.request("GET", "/v1/models", key=KEYS["normal"]).status == 200
        assert gateway.request("GET", "/readyz", key=None).json["status"] == "ready"
        assert gateway.admin("GET", "/keys").status == 200

        # There is no seat left for another tenant either. The first that is given back is its own.
        assert_shed(ask(gateway, "other"))
        streams[0].close()
        await_load(gateway, lambda load: load["in_flight"] == ORDINARY - 1)
        assert_shed(ask(gateway, "normal"))
        assert ask(gateway, "other").status == 200
        record = gateway.record(refused.headers["x-request-id"])
        assert (record["outcome"], record["status"], record["error_code"]) == ("refused", 503, "overloaded")
        assert (record["tags"], record["cost_usd"]) == ({"env": "prod"}, "0")

    load = await_load(gateway, lambda load: load["in_flight"] == 0)
    assert (load["limit"], load["shed"]) == (MOST, 6)


def test_low_goes_first(gateway: Gateway) -> None:
    with contextlib.ExitStack() as held:
        for _ in range(ORDINARY * 3 // 4):
            assert held.enter_context(gateway.streaming(LONG, key=KEYS["normal"])).status == 200
        assert_shed(ask(gateway, "low"))
        assert ask(gateway, "normal").status == 200
    await_load(gateway, lambda load: load["in_flight"] == 0)
    assert ask(gateway, "low").status == 200


def test_a_crowd_is_answered_or_told_to_come_again_and_everything_is_given_back(gateway: Gateway) -> None:
    """40 at once, of which eight may be in flight; then they come again, as they were told."""
    callers = 40
    start = threading.Barrier(callers)
    told: Counter[int] = Counter()

    def call(number: int) -> None:
        slow = hello(model="sandbox/slow-500", stream=number % 2 == 0)
        start.wait(20)
        deadline = time.monotonic() + 60
        while True:
            answer = gateway.chat(slow, key=KEYS["critical" if number % 20 == 0 else "normal"])
            told[answer.status] += 1
            if answer.status == 200:
                return
            assert_shed(answer)
            assert time.monotonic() < deadline
            time.sleep(float(answer.headers["retry-after"]))

    with ThreadPoolExecutor(callers) as pool:
        list(pool.map(call, range(callers)))
    assert told.keys() == {200, 503}
    assert told[200] == callers
    load = await_load(gateway, lambda load: load["in_flight"] == 0)
    assert load["shed"] == told[503]
    # Every one of them is in the records: so many there were not in a second.
    statuses = Counter(record["status"] for record in gateway.records(told.total()))
    assert statuses == told


def test_requests_that_wait_on_one_connection_are_shed_in_their_order(gateway: Gateway) -> None:
    body = json.dumps(SHORT)
    one = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {KEYS['normal']}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
    )
    more, last = f"{one}\r\n{body}", f"{one}connection: close\r\n\r\n{body}"
    with contextlib.ExitStack() as held:
        for _ in range(ORDINARY):
            held.enter_context(gateway.streaming(LONG, key=KEYS["normal"]))
        answers = gateway.exchange((more * 9 + last).encode())
        # A body that comes in pieces is taken, so that the connection can be used again.
        later = gateway.exchange_answer(last)
        assert_shed(later._replace(fields=[field for field in later.fields if field[0] != "connection"]))
    assert answers.count(b"HTTP/1.1 503 ") == answers.count(b'"reason":"shed"') == 10
    assert answers.count(b"connection: close\r\n") == 1


def test_a_seat_that_was_taken_early_is_given_back_however_the_request_ends(gateway: Gateway) -> None:
    with contextlib.ExitStack() as held:
        # From here on seats run out, so they are taken as soon as a request is there.
        for _ in range(ORDINARY * 3 // 4):
            held.enter_context(gateway.streaming(LONG, key=KEYS["normal"]))
        for _ in range(ORDINARY):
            bad = gateway.chat(b"no gzip", key=KEYS["normal"], headers={"content-encoding": "gzip"})
            assert (bad.status, bad.code) == (400, "invalid_request")
            assert gateway.chat(b"{", key=KEYS["normal"]).status == 400
            assert gateway.chat(SHORT, key=KEYS["normal"]).status == 200
            assert gateway.chat(SHORT, key="a-key-that-opens-nothing-00000000001").status == 401
        load = load_of(gateway)
        assert (load["in_flight"], load["shed"]) == (ORDINARY * 3 // 4, 0)


def test_who_is_shed_hears_it_before_the_body_and_the_connection_goes_on(gateway: Gateway) -> None:
    body = json.dumps(SHORT).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {KEYS['normal']}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    ).encode()
    with contextlib.ExitStack() as held:
        for _ in range(ORDINARY):
            held.enter_context(gateway.streaming(LONG, key=KEYS["normal"]))
        with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as line:
            for _ in range(3):
                line.sendall(head)
                assert receive_answer(line).startswith(b"HTTP/1.1 503 ")
                line.sendall(body)
    assert load_of(gateway)["shed"] == 3


def receive_answer(line: socket.socket) -> bytes:
    """Read one answer that ends with the body's last brace."""
    data = b""
    while not data.endswith(b"}}}"):
        data += line.recv(65536)
    return data


def test_of_a_flood_some_are_recorded_and_all_are_counted(gateway: Gateway) -> None:
    sent = 400
    with contextlib.ExitStack() as held:
        for _ in range(ORDINARY):
            held.enter_context(gateway.streaming(LONG, key=KEYS["normal"]))
        body = json.dumps(SHORT)
        one = (
            f"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {KEYS['normal']}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
        )
        for _ in range(sent // 10):
            gateway.exchange((f"{one}\r\n{body}" * 9 + f"{one}connection: close\r\n\r\n{body}").encode())
        load = load_of(gateway)
    assert load["shed"] == sent
    await_load(gateway, lambda load: load["in_flight"] == 0)
    assert 0 < sum(record["status"] == 503 for record in gateway.records(ORDINARY + 50)) <= sent
    assert "requests are shed" in gateway.log()
