"""Attacks by body: bombs, floods and odd JSON. The numbers are those of the must-withstand list."""

import gzip
import json
import zlib

import pytest

from tests.fakes.openai_api import FakeOpenAI
from tests.gateway import KEY, Gateway, hello

MIB = 1024 * 1024
HEAD = (
    f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n".encode()
    + b"content-type: application/json\r\n"
)
MESSAGES = b'"messages":[{"role":"user","content":"hi"}]'


def sent(gateway: Gateway, body: bytes) -> int:
    """Send a body of any size with its length; return the status."""
    answer = gateway.exchange(HEAD + b"connection: close\r\ncontent-length: %d\r\n\r\n" % len(body) + body, within_s=30)
    return int(answer.split(b" ", 2)[1])


def chunked(gateway: Gateway, body: bytes, size: int) -> int:
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    pieces = b"".join([b"%x\r\n%b\r\n" % (len(part), part) for part in parts])
    head = HEAD + b"connection: close\r\ntransfer-encoding: chunked\r\n\r\n"
    answer = gateway.exchange(head + pieces + b"0\r\n\r\n", within_s=60)
    return int(answer.split(b" ", 2)[1])


BOMBS = {
    "depth-10k": b'{"model":"gpt-4o","messages":[{"role":"user","content":' + b"[" * 10_000 + b"]" * 10_000 + b"}]}",
    "depth-10k-unknown-field": b'{"model":"gpt-4o",' + MESSAGES + b',"x":' + b'{"a":' * 10_000 + b"1" + b"}" * 10_001,
    "depth-10k-unclosed": b"[" * 10_000,
    "million-keys": b'{"model":"gpt-4o",'
    + b",".join(b'"k%d":0' % n for n in range(1_000_000))
    + b","
    + MESSAGES
    + b"}",
    "duplicate-keys": b'{"model":"gpt-4o","model":"fault-html",' + MESSAGES + b"}",
    "infinite-number": b'{"model":"gpt-4o","max_tokens":1e400,' + MESSAGES + b"}",
    "infinite-number-elsewhere": b'{"model":"gpt-4o","temperature":1e400,' + MESSAGES + b"}",
    "lone-surrogate-model": b'{"model":"\\ud83c",' + MESSAGES + b"}",
    "not-utf-8": b'{"model":"gpt-4o","messages":[{"role":"user","content":"\xff\xfe"}]}',
    "nan": b'{"model":"gpt-4o","temperature":NaN,' + MESSAGES + b"}",
    "million-messages": b'{"model":"gpt-4o","messages":[' + b'{"role":"x"},' * 1_000_000 + b'{"role":"x"}]}',
    "empty": b"",
    "null": b"null",
    "list": b"[]",
    "trailing": json.dumps(hello()).encode() + b"x",
}


@pytest.mark.parametrize("name", BOMBS)
def test_item_25_json_bombs_are_refused_in_bounded_memory(gateway: Gateway, fake: FakeOpenAI, name: str) -> None:
    gateway.chat(hello())
    before = len(fake.exchanges)
    with gateway.holding_no_more_than(64 * MIB):
        assert sent(gateway, BOMBS[name]) in (400, 413)
    # Only what an upstream would have to judge may have reached it, and it is no bomb.
    assert len(fake.exchanges) - before <= 1
    assert gateway.chat(hello()).status == 200


def test_item_25_half_an_emoji_is_no_bomb_and_goes_on_as_it_came(gateway: Gateway, fake: FakeOpenAI) -> None:
    """JavaScript's JSON.stringify writes such text; refusing it would break its callers (ADR 0005)."""
    body = b'{"model":"gpt-4o","messages":[{"role":"user","content":"\\ud83c"}]}'
    assert sent(gateway, body) == 200
    assert b'"content":"\\ud83c"' in fake.last.body


@pytest.mark.parametrize("size", [33 * MIB, 100 * MIB])
def test_item_25_a_body_beyond_the_bound_is_refused_in_bounded_memory(gateway: Gateway, size: int) -> None:
    gateway.chat(hello())
    body = b'{"model":"gpt-4o","messages":"' + b"x" * size + b'"}'
    with gateway.holding_no_more_than(64 * MIB):
        assert sent(gateway, body) == 413
        assert chunked(gateway, body, 64 * 1024) == 413


def test_item_26_a_compression_bomb_is_refused_in_bounded_memory(gateway: Gateway, fake: FakeOpenAI) -> None:
    gateway.chat(hello())
    before = len(fake.exchanges)
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(bytes(MIB)) for _ in range(512)) + packer.flush()
    for body in (bomb, gzip.compress(b'{"model":"gpt-4o","x":"' + b"a" * (40 * MIB) + b'"}')):
        # The bound of 32 MiB, and once more while the pieces are put together.
        with gateway.holding_no_more_than(96 * MIB):
            assert gateway.chat(body, headers={"content-encoding": "gzip"}).status == 413
    assert len(fake.exchanges) == before


def test_item_26_an_honest_compressed_request_is_read(gateway: Gateway) -> None:
    assert gateway.chat(gzip.compress(json.dumps(hello()).encode()), headers={"content-encoding": "gzip"}).status == 200


@pytest.mark.parametrize("coding", ["br", "deflate", "gzip, gzip", "zstd", "x"])
def test_item_26_codings_we_do_not_read_are_refused(gateway: Gateway, coding: str) -> None:
    assert gateway.chat(hello(), headers={"content-encoding": coding}).status in (400, 415)


def test_item_30_a_million_tiny_chunks_cost_less_than_a_second_of_cpu(gateway: Gateway) -> None:
    body = b'{"model":"gpt-4o","messages":[{"role":"user","content":"' + b"x" * 1_000_000 + b'"}]}'
    before = gateway.cpu_s()
    assert chunked(gateway, body, 1) in (200, 400, 408, 413)
    assert gateway.cpu_s() - before < 1.0
    assert gateway.chat(hello()).status == 200


def test_item_33_line_breaks_in_fields_never_become_headers_or_log_lines(gateway: Gateway, fake: FakeOpenAI) -> None:
    evil = "a\r\nx-injected: yes\r\n\r\nforged log line"
    lines = len(gateway.log().splitlines())
    before = len(fake.exchanges)
    answers = [
        gateway.chat(hello(model=evil)),
        gateway.chat(hello(model="fault-html" + evil)),
        gateway.chat(hello(user=evil)),
        gateway.chat(hello(metadata={"k": evil, evil: "v"})),
        gateway.chat(hello(model="free/" + evil)),
    ]
    for answer in answers:
        assert "x-injected" not in answer.headers
        assert not any("x-injected" in value for _, value in answer.fields)
    for exchange in fake.exchanges[before:]:
        assert b"x-injected" not in exchange.head
        assert exchange.header("x-injected") is None
    for line in gateway.log().splitlines()[lines:]:
        assert not line.startswith(("x-injected", "forged"))


@pytest.mark.parametrize("name", ["x-headgate-tags", "x-headgate-user", "x-headgate-session"])
def test_item_33_line_breaks_in_our_own_headers_are_refused(gateway: Gateway, name: str) -> None:
    body = json.dumps(hello()).encode()
    head = HEAD + f"connection: close\r\n{name}: a=b\rx-injected: yes\r\ncontent-length: {len(body)}\r\n\r\n".encode()
    assert gateway.exchange(head + body).startswith(b"HTTP/1.1 400")
    # Percent-encoded ones are data, and stay data.
    answer = gateway.chat(hello(), headers={name: "k=a%0d%0ax-injected: yes"})
    assert answer.status in (200, 400)
    assert "x-injected" not in answer.headers


@pytest.mark.parametrize(
    "evil", ["gpt-4o%0d%0ax-injected:%20yes", "free%2Fx%0d%0ax-injected:%20yes", "%ed%a0%bc", "%00"]
)
def test_item_33_line_breaks_in_the_model_of_a_path_stay_data(gateway: Gateway, fake: FakeOpenAI, evil: str) -> None:
    lines, before = len(gateway.log().splitlines()), len(fake.exchanges)
    answer = gateway.request("POST", f"/openai/deployments/{evil}/chat/completions", hello())
    assert answer.status in (200, 400, 404), answer.body
    assert not any(name == "x-injected" for name, _ in answer.fields)
    assert not any(exchange.header("x-injected") for exchange in fake.exchanges[before:])
    assert not any("x-injected" in line and not line.startswith("{") for line in gateway.log().splitlines()[lines:])


@pytest.mark.parametrize(
    "field", [b'"user":"\\ud83c"', b'"metadata":{"a":"\\ud83c"}', b'"safety_identifier":"\\ud83c"']
)
def test_item_25_half_an_emoji_in_what_reaches_records_is_refused(
    gateway: Gateway, fake: FakeOpenAI, field: bytes
) -> None:
    before = len(fake.exchanges)
    assert sent(gateway, b'{"model":"gpt-4o",' + field + b"," + MESSAGES + b"}") == 400
    assert len(fake.exchanges) == before


@pytest.mark.parametrize("stream", [b"true", b"false"])
def test_item_25_half_an_emoji_is_counted_where_the_provider_reports_no_usage(gateway: Gateway, stream: bytes) -> None:
    body = (
        b'{"model":"fault-usage-missing","stream":' + stream + b',"messages":[{"role":"user","content":"a \\ud83c"}]}'
    )
    answer = gateway.chat(body)
    assert answer.status == 200
    record = gateway.record(answer.headers["x-request-id"])
    assert (record["outcome"], record["usage_quality"]) == ("ok", "counted")
    assert record["usage"]["input_tokens"] > 0
