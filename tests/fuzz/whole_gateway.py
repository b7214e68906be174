"""The edge and the pipeline together, without a socket: whatever a client or a provider sends, no defect of ours shows.

One virtual key, a sandbox, and a provider whose answers are the input. Every request of the key leaves one record, no
answer is a 500, and a stream ends with its end marker or with an error.
"""

import json
import re
import zlib
from functools import cache
from pathlib import Path
from typing import Any, cast

import msgspec
from msgspec.structs import replace

from headgate.catalog.book import load_price_book
from headgate.domain.access import ScopeKind
from headgate.domain.record import RequestRecord
from headgate.identity.directory import KeyDirectory, KeyEntry, ScopeEntry
from headgate.identity.secrets import hash_secret
from headgate.pipeline.allowance import AdmissionControl
from headgate.pipeline.call import Gateway
from headgate.pipeline.idempotency import IdempotencyStore
from headgate.pipeline.load import LoadGate
from headgate.providers.build import build_provider
from headgate.providers.provider import Provider
from headgate.records.writer import RecordWriter
from headgate.routing.build import build_routes
from headgate.routing.health import HealthBook
from headgate.server.edge import Draining, Edge
from headgate.server.inbound import Application
from headgate.server.protocol import EdgeProtocol, Site
from headgate.settings.load import parse_settings
from headgate.settings.model import Settings
from headgate.snapshot import Snapshot, SnapshotSource
from headgate.tokens.counting import count_texts
from headgate.upstream.transport import Sink, UpstreamRequest
from tests.fuzz.target import pieces_of
from tests.fuzz.turns import Line, Turns

KEY = b"fuzzed-key-of-more-than-thirty-two-characters"
_SETTINGS = """
providers:
  up: {kind: openai, base_url: "http://127.0.0.1:1/v1", allow_private_network: true, credential: sk-fuzz}
  sandbox: {kind: sandbox}
models:
  - alias: m
    deployments: [{provider: up, model: gpt-4o, price: {input_per_mtok: "2.50", output_per_mtok: "10"}}]
  - alias: s
    deployments: [{provider: sandbox, model: echo}]
"""
_HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer " + KEY + b"\r\n"
_STATUS = re.compile(rb"HTTP/1\.1 ([0-9]{3}) ")
_STATUSES = (200, 200, 200, 200, 400, 429, 503)
_LONGEST_S = 3600.0


class _Answer:
    """An answer whose body is the input, in pieces."""

    def __init__(self, status: int, body: bytes) -> None:
        self.status = status
        self.headers = ((b"content-type", b"application/json"), (b"retry-after", body[:20].strip()))
        self._body = body

    async def read(self) -> bytes:
        return self._body

    async def pump(self, sink: Sink) -> None:
        for piece in pieces_of(self._body):
            waiting = sink(piece)
            if waiting is not None:
                await waiting

    async def aclose(self) -> None:
        """There is no socket to close."""


class _Upstream:
    """A transport that answers with the input."""

    def __init__(self, status: int, body: bytes) -> None:
        self.status = status
        self.body = body

    async def send(self, request: UpstreamRequest) -> _Answer:
        if request.on_sent is not None:
            request.on_sent()
        return _Answer(self.status, self.body)

    async def retire(self) -> None:
        """There is no connection to close."""

    async def aclose(self) -> None:
        """There is no connection to close."""


class _Records:
    """Takes records and keeps them."""

    def __init__(self) -> None:
        self.kept: list[RequestRecord] = []
        self.is_full = False

    def append(self, record: RequestRecord) -> None:
        self.kept.append(record)


@cache
def _made_once() -> tuple[Settings, dict[str, Provider], SnapshotSource]:
    settings = parse_settings(_SETTINGS, source="fuzz", environ={}, directory=None).settings
    providers = {each.name: build_provider(each, settings.timeouts, {}) for each in settings.providers}
    prices = load_price_book(Path("no-such-directory"), settings.prices.multiplier)
    scope = ScopeEntry("org_fuzz", ScopeKind.ORGANIZATION, "fuzz")
    key = KeyEntry("key_fuzz", "fuzz", "org_fuzz", ("*",), sandbox=True)
    directory = KeyDirectory.build([(hash_secret(KEY), key)], [scope])
    routes = build_routes(settings, providers, {}, prices)
    count_texts("gpt-4o", ("The tokenizer is loaded before anything is timed.",))
    return settings, providers, SnapshotSource(Snapshot(revision=1, keys=directory, routes=routes, providers=providers))


def run_request(data: bytes) -> None:
    """What a client sends over one connection."""
    written, records = _converse(data, _Upstream(200, b'{"choices":[]}'))
    statuses = [int(status) for status in _STATUS.findall(written)]
    assert 500 not in statuses, written[:500]
    assert len(records) <= len(statuses) + 1 or not statuses


def run_answer(data: bytes) -> None:
    """What a provider answers, under a good status or a bad one, to a whole request and to a stream."""
    status = _STATUSES[zlib.crc32(data) % len(_STATUSES)]
    for stream in (False, True):
        body: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "x"}], "stream": stream}
        asked = json.dumps(body).encode()
        sent = _HEAD + b"content-length: %d\r\n\r\n" % len(asked) + asked
        written, records = _converse(sent, _Upstream(status, data))
        (record,) = records
        assert record.outcome != "internal_error"
        told = int(_STATUS.findall(written)[0])
        assert told != 500, written[:500]
        if told == 200 and stream:
            assert b"[DONE]" in written or b'"error"' in written
            assert written.endswith(b"0\r\n\r\n")
        elif told != 200:
            msgspec.json.decode(written.partition(b"\r\n\r\n")[2])


def _converse(data: bytes, upstream: _Upstream) -> tuple[bytes, list[RequestRecord]]:
    _, made, snapshots = _made_once()
    providers = {**made, "up": replace(made["up"], transport=cast("Any", upstream))}
    snapshots = SnapshotSource(replace(snapshots.current, providers=providers))
    loop, records = Turns(), _Records()
    gateway = Gateway(
        snapshots=snapshots,
        records=cast("RecordWriter", records),
        note_refused_key=lambda _key, _request_id: None,
        note_residency_violation=lambda _key, _request_id, _model: None,
        load=LoadGate(64, shed_at_lag_s=0.1),
        admission=AdmissionControl(
            cast("Any", None),  # No limit is set, so no ledger is asked.
            budget_wait_s=0.0,
            secret=b"fuzz",
            keep=records.append,
            tell=lambda _event: None,
            clock_ms=lambda: 1_800_000_000_000,
        ),
        idempotency=IdempotencyStore(loop.time),
        health=HealthBook(draw=lambda: 0.0),
        clock=loop.time,
        clock_ms=lambda: 1_800_000_000_000,
        draw=lambda: 0.0,
    )
    edge = Edge(
        gateway,
        max_body=64 * 1024,
        draining=Draining(),
        entropy=bytes,
        is_operator=lambda _: False,
        meter=None,
        admin=None,
    )
    try:
        site = Site(Application(edge.admit, edge.answer, edge.answer_at_once), 10.0, 100, loop)
        site.date = b"date: Tue, 24 Nov 2026 00:00:00 GMT\r\n"
        protocol = EdgeProtocol(site, loop)
        line = Line(loop, protocol)
        protocol.connection_made(line)
        protocol.data_received(data)
        loop.settle(100_000)
        _wait(loop, site)
        line.lose(None)
        loop.settle(100_000)
        _wait(loop, site)
        assert not loop.failures, loop.failures
        return bytes(line.written), records.kept
    finally:
        loop.close()


def _wait(loop: Turns, site: Site) -> None:
    """Let time pass until no request is being answered: a sandbox can be asked to be slow."""
    for _ in range(100):
        if not site.tasks:
            return
        loop.now += _LONGEST_S
        loop.settle(100_000)
    raise AssertionError("a request is never done")
