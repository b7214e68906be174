"""Clients that leave, and clients that are slow."""

import json
import socket
import time

import pytest

from tests.fakes.openai_api import Exchange, FakeOpenAI
from tests.gateway import KEY, Gateway, events_of, hello, receive_all


def raw_request(**changes: object) -> bytes:
    body = json.dumps(hello(**changes)).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n"
    head += "content-type: application/json\r\n"
    return head.encode() + b"content-length: %d\r\n\r\n" % len(body) + body


def newest(fake: FakeOpenAI, before: int) -> Exchange:
    return fake.wait_for_exchanges(before + 1)[-1]


def test_a_client_that_leaves_in_mid_stream_is_recorded_with_what_was_produced(
    gateway: Gateway, fake: FakeOpenAI
) -> None:
    before = len(fake.exchanges)
    with gateway.streaming(hello(model="fault-stall-6", stream=True)) as answer:
        request_id = answer.headers["x-request-id"]
        for _ in range(12):
            answer.readline()
    record = gateway.record(request_id)
    assert (record["outcome"], record["status"], record["error_code"]) == ("client_closed", 499, "client_closed")
    assert record["usage_quality"] == "counted"
    # Five words had been sent, one of them of two letters in two bytes: at least a token each.
    assert record["usage"]["output_tokens"] >= 5
    assert newest(fake, before).hung_up.wait(5), "the upstream was left producing for nobody"


def test_a_client_that_leaves_before_the_first_event_is_recorded(gateway: Gateway, fake: FakeOpenAI) -> None:
    before, known = len(fake.exchanges), len(gateway.admin("GET", "/requests?limit=200").json["data"])
    with socket.create_connection(("127.0.0.1", gateway.port)) as line:
        line.sendall(raw_request(model="fault-stall-before", stream=True))
        exchange = newest(fake, before)
    record = gateway.records(known + 1)[0]
    assert (record["model"], record["outcome"], record["status"]) == ("fault-stall-before", "client_closed", 499)
    assert exchange.hung_up.wait(5)


def test_a_client_that_leaves_a_whole_answer_is_recorded_with_the_providers_usage(
    gateway: Gateway, fake: FakeOpenAI
) -> None:
    before, known = len(fake.exchanges), len(gateway.admin("GET", "/requests?limit=200").json["data"])
    with socket.create_connection(("127.0.0.1", gateway.port)) as line:
        line.sendall(raw_request(model="fault-late-500"))
        newest(fake, before)
    record = gateway.records(known + 1)[0]
    assert (record["outcome"], record["status"], record["usage_quality"]) == ("client_closed", 499, "provider")
    assert record["usage"]["output_tokens"] == 13


def test_a_slow_client_slows_the_upstream_down_and_loses_nothing(gateway: Gateway, fake: FakeOpenAI) -> None:
    """The reader pauses for longer than the idle time-out, which is for upstreams that are slow, not for clients."""
    events, before = 100_000, len(fake.exchanges)
    with socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        line.settimeout(30)
        line.connect(("127.0.0.1", gateway.port))
        line.sendall(
            raw_request(model=f"fault-long-{events}", stream=True).replace(
                b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n", 1
            )
        )
        exchange = newest(fake, before)
        resident = gateway.resident_bytes()
        at_rest = _when_still(exchange)
        assert at_rest < events
        _pause(2.5)
        assert exchange.sent == at_rest, "the gateway went on reading for a client that does not"
        assert gateway.resident_bytes() - resident < 32 * 1024 * 1024
        body = receive_all(line)
    # The opening, the finish reason and [DONE] beside the content; the usage event was not asked for.
    assert body.count(b"data: ") == events + 3
    assert b"data: [DONE]\n\n" in body


def test_other_clients_are_served_while_one_is_slow(gateway: Gateway, fake: FakeOpenAI) -> None:
    before = len(fake.exchanges)
    with socket.create_connection(("127.0.0.1", gateway.port)) as line:
        line.sendall(raw_request(model="fault-long-100000", stream=True))
        _when_still(newest(fake, before))
        started = time.monotonic()
        assert gateway.chat(hello()).status == 200
        assert time.monotonic() - started < 1


def test_a_request_with_a_deadline_of_its_own_gets_deadline_exceeded(gateway: Gateway) -> None:
    answer = gateway.chat(hello(model="fault-stall-before"), headers={"x-headgate-timeout": "300ms"})
    assert (answer.status, answer.code) == (504, "deadline_exceeded")


@pytest.mark.parametrize(
    "path", ["/v1/chat/completions", "/chat/completions", "/openai/deployments/gpt-4o/chat/completions"]
)
def test_every_chat_path_streams(gateway: Gateway, path: str) -> None:
    assert events_of(gateway.request("POST", path, hello(stream=True)).body)[-1] == "[DONE]"


def _when_still(exchange: Exchange, for_s: float = 0.5) -> int:
    """Wait until the upstream has stopped sending; return how far it got."""
    deadline, since, seen = time.monotonic() + 20, time.monotonic(), -1
    while time.monotonic() - since < for_s or seen <= 0:
        assert time.monotonic() < deadline, "the upstream never stopped sending"
        if exchange.sent != seen:
            seen, since = exchange.sent, time.monotonic()
        time.sleep(0.01)
    return seen


def _pause(seconds: float) -> None:
    """Be a client that does not read."""
    time.sleep(seconds)
