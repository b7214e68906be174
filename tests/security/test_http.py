"""Attacks on HTTP itself, at both listeners. The numbers are those of the must-withstand list."""

import socket
import threading
import time
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.fakes.openai_api import FakeOpenAI
from tests.gateway import KEY, Gateway, config, hello, receive_all

POST = b"<a request's line, host and credential>\r\n"
"""Stands for what each listener takes, until a test knows which one it attacks."""
CHUNKED = POST + b"transfer-encoding: chunked\r\n\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n"


class Door(NamedTuple):
    """A listener, and how a request that it would answer begins."""

    gateway: Gateway
    port: int
    post: bytes

    def fill(self, data: bytes) -> bytes:
        """Put the beginning of a request where `POST` stands, with bare line feeds where that has them."""
        return data.replace(POST, self.post).replace(POST.replace(b"\r", b""), self.post.replace(b"\r", b""))

    def exchange(self, data: bytes, within_s: float = 10.0) -> bytes:
        return self.gateway.exchange(self.fill(data), within_s=within_s, port=self.port)

    def connect(self, timeout_s: float) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=timeout_s)


@pytest.fixture(scope="module")
def gateway(fake: FakeOpenAI, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway whose administration has a listener of its own."""
    server = 'drain: 5s, header_timeout: 1s, admin_listen: "127.0.0.1:0"'
    with Gateway(tmp_path_factory.mktemp("apart"), config(fake.url, server=server)) as running:
        yield running


@pytest.fixture(params=["data", "admin"])
def door(request: pytest.FixtureRequest, gateway: Gateway) -> Door:
    assert gateway.admin_port != gateway.port
    if request.param == "data":
        line, port, key = "POST /v1/chat/completions", gateway.port, KEY
    else:
        line, port, key = "POST /admin/v1/organizations", gateway.admin_port, gateway.admin_token
    return Door(gateway, port, f"{line} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n".encode())


def test_a_request_through_either_door_is_answered(door: Door) -> None:
    """Else what the others see refused would be refused for another reason."""
    answer = door.exchange(POST + b"content-type: application/json\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}")
    assert answer.split(b" ", 2)[1] in (b"400", b"422")
    assert b"model" in answer or b"slug" in answer


@pytest.mark.parametrize(
    "data",
    [
        CHUNKED + b"zz\r\n{}\r\n0\r\n\r\n",
        CHUNKED + b"-2\r\n{}\r\n0\r\n\r\n",
        CHUNKED + b"0x2\r\n{}\r\n0\r\n\r\n",
        CHUNKED + b"2 \r\n{}\r\n0\r\n\r\n",
        CHUNKED + b"ffffffffffffffffff\r\n{}\r\n0\r\n\r\n",
        CHUNKED + b"2\n{}\n0\n\n",
        CHUNKED + b"2\r\n{}xx\r\n0\r\n\r\n",
        POST + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
        POST + b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
        POST + b"transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        POST + b"transfer-encoding: identity\r\ncontent-length: 2\r\n\r\n{}",
        POST + b"transfer-encoding : chunked\r\n\r\n0\r\n\r\n",
        POST + b"content-length: 2\r\ncontent-length: 3\r\n\r\n{}x",
        POST + b"content-length: +2\r\n\r\n{}",
        POST + b"content-length: 2, 2\r\n\r\n{}",
        POST + b"content-length: 0x2\r\n\r\n{}",
        POST + b"x-folded: a\r\n b\r\ncontent-length: 2\r\n\r\n{}",
        POST.replace(b"\r\n", b"\n") + b"content-length: 2\n\n{}",
        POST + b"x-bare: a\nx-other: b\r\ncontent-length: 2\r\n\r\n{}",
        POST + b"x-nul: a\x00b\r\ncontent-length: 2\r\n\r\n{}",
        POST + b": nameless\r\ncontent-length: 2\r\n\r\n{}",
        POST + b"x y: blank\r\ncontent-length: 2\r\n\r\n{}",
        b"GET /healthz HTTP/1.1\r\nhost: x\r\nhost: y\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n\r\n",
        b"GET /healthz HTTP/9.9\r\nhost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
    ids=[
        "chunk-size-words",
        "chunk-size-negative",
        "chunk-size-0x",
        "chunk-size-blank",
        "chunk-size-overflow",
        "chunk-bare-lf",
        "chunk-too-long",
        "cl-then-te",
        "te-then-cl",
        "te-xchunked",
        "te-chunked-not-last",
        "te-identity",
        "te-blank-before-colon",
        "cl-twice",
        "cl-plus",
        "cl-list",
        "cl-hex",
        "obs-fold",
        "bare-lf",
        "bare-lf-in-head",
        "nul",
        "nameless",
        "blank-in-name",
        "two-hosts",
        "no-host",
        "http-9.9",
        "tls-hello",
    ],
)
def test_item_28_ambiguous_framing_is_refused_and_the_connection_closed(
    door: Door, fake: FakeOpenAI, data: bytes
) -> None:
    before = len(fake.exchanges)
    # What follows would be answered if the connection were kept: a second answer means smuggling.
    answer = door.exchange(data + SMUGGLED, within_s=5)
    assert answer.startswith(b"HTTP/1.1 400"), answer
    assert answer.count(b"HTTP/1.1 ") == 1
    assert len(fake.exchanges) == before


@pytest.mark.parametrize(
    "lines",
    [b"".join(b"x-%d: y\r\n" % n for n in range(10_000)), b"x-huge: " + b"h" * 1_000_000 + b"\r\n"],
    ids=["10k-headers", "1MB-header"],
)
def test_item_29_a_head_beyond_the_bound_is_a_431(door: Door, lines: bytes) -> None:
    with door.gateway.holding_no_more_than(16 * 1024 * 1024):
        answer = door.exchange(POST + lines + b"content-length: 2\r\n\r\n{}")
    assert answer.startswith(b"HTTP/1.1 431"), answer[:200]


def test_item_29_a_url_beyond_the_bound_is_refused(door: Door) -> None:
    answer = door.exchange(b"GET /" + b"a" * 1_000_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n")
    assert answer.split(b" ", 2)[1] in (b"400", b"414", b"431")


@pytest.mark.parametrize("slow_part", ["head", "body"])
def test_item_29_slow_clients_time_out_and_others_are_not_affected(door: Door, slow_part: str) -> None:
    head = door.fill(POST if slow_part == "head" else POST + b"content-length: 100000\r\n\r\n")
    lines = [door.connect(20) for _ in range(50)]
    answers: list[bytes] = []

    def drip(line: socket.socket) -> None:
        """One byte a second until the other side has had enough."""
        try:
            line.sendall(head)
            line.settimeout(0.25)
            while True:
                try:
                    answers.append(line.recv(65536))
                    return
                except TimeoutError:
                    line.sendall(b"a")
        except OSError:
            answers.append(b"")

    threads = [threading.Thread(target=drip, args=(line,)) for line in lines]
    try:
        for thread in threads:
            thread.start()
        started, longest = time.monotonic(), 0.0
        while any(thread.is_alive() for thread in threads):
            assert time.monotonic() - started < 15, "slow clients are never shown the door"
            asked = time.monotonic()
            assert door.gateway.chat(hello()).status == 200
            assert door.gateway.request("GET", "/healthz", port=door.port).status == 200
            longest = max(longest, time.monotonic() - asked)
    finally:
        for line in lines:
            line.close()
        for thread in threads:
            thread.join(10)
    assert longest < 1.0
    assert sum(answer.startswith(b"HTTP/1.1 408") for answer in answers) >= 45


def test_a_client_that_goes_silent_behind_refused_requests_is_shown_the_door(door: Door) -> None:
    """Three requests at once, the last refused by its head while its body never comes."""
    refused = POST.replace(b"authorization", b"x-other") + b"x-api-key: a\r\napi-key: b\r\ncontent-length: 9\r\n\r\n"
    health = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"
    assert door.exchange(health + health + refused, within_s=8).count(b"HTTP/1.1 200") == 2


def test_an_idle_connection_is_not_hurried(door: Door) -> None:
    with door.connect(10) as line:
        line.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
        assert line.recv(65536).startswith(b"HTTP/1.1 200")
        threading.Event().wait(2.0)  # twice the head's time-out, without a byte
        line.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        assert receive_all(line).startswith(b"HTTP/1.1 200")
