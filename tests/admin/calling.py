"""The real REST API over a real SQLite database, called through ASGI with exactly the bytes a test wants."""

import json
import os
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import unquote

from headgate.admin.app import AdminApp, create_admin_app
from headgate.cache.desk import CacheDesk
from headgate.control.plane import Plane
from headgate.control.publish import Publisher, load_directory
from headgate.control.reload import Candidate, ConfigurationFile, Names, Reloader
from headgate.domain.catalog import Capabilities, Price, Rates
from headgate.identity.secrets import ADMIN_TOKEN_PREFIX, hash_secret, mint_secret
from headgate.ledger.desk import LedgerDesk
from headgate.ledger.limit_book import LimitBook
from headgate.routing.health import HealthBook
from headgate.routing.table import Deployment, Route, RouteTable
from headgate.snapshot import Configured, Snapshot, SnapshotSource

OPERATOR = mint_secret(ADMIN_TOKEN_PREFIX, bytes(32))


class Answer(NamedTuple):
    """One answer of the API."""

    status: int
    fields: list[tuple[str, str]]
    body: bytes

    @property
    def headers(self) -> dict[str, str]:
        return dict(self.fields)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


async def call_asgi(app: Any, method: str, target: str, headers: list[tuple[str, str]], pieces: list[bytes]) -> Answer:
    """Send one request to an ASGI app without anything in between that would mend it."""
    path, _, query = target.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers],
        "client": ("192.0.2.7", 5000),
        "server": ("127.0.0.1", 4100),
    }
    waiting = [
        {"type": "http.request", "body": piece, "more_body": index < len(pieces) - 1}
        for index, piece in enumerate(pieces)
    ]
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return waiting.pop(0) if waiting else {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive, send)
    fields = [(name.decode(), value.decode("latin-1")) for name, value in sent[0]["headers"]]
    return Answer(sent[0]["status"], fields, b"".join(message.get("body", b"") for message in sent[1:]))


GOOD = [("host", "127.0.0.1:4100"), ("authorization", f"Bearer {OPERATOR}")]
"""The header fields of a request that is let in."""


def is_problem(answer: Answer, status: int, code: str) -> dict[str, Any]:
    assert answer.status == status, answer
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert problem["type"].endswith(f"#{code}")
    assert set(problem) == {"type", "title", "status", "detail", "code", "param", "request_id", "doc_url"}
    return problem


class Api:
    """The API as a caller with one token sees it."""

    def __init__(self, app: AdminApp, plane: Plane, snapshots: SnapshotSource, token: str | None) -> None:
        self.app = app
        self.plane = plane
        self.snapshots = snapshots
        self.token = token

    def as_(self, token: str | None) -> "Api":
        """The same API with another token."""
        return Api(self.app, self.plane, self.snapshots, token)

    async def __call__(
        self, method: str, path: str, body: object = None, *, headers: dict[str, str] | None = None
    ) -> Answer:
        """Call ``path`` below /admin/v1; ``body`` becomes JSON."""
        fields = {"host": "127.0.0.1:4100"}
        if self.token is not None:
            fields["authorization"] = f"Bearer {self.token}"
        if body is not None:
            fields["content-type"] = "application/json"
        fields |= headers or {}
        content = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        return await call_asgi(self.app, method, f"/admin/v1{path}", list(fields.items()), [content])

    async def make(self, path: str, body: object) -> Any:
        """POST and return what was made; anything but 201 fails the test."""
        answer = await self("POST", path, body)
        assert answer.status == 201, answer
        return answer.json


def describe(provider: str, upstream_model: str) -> tuple[Deployment, ...]:
    return (Deployment(provider, upstream_model, None),)


def routes() -> RouteTable:
    price = Price(Rates(input=2_500_000_000, output=10_000_000_000, cached_input=1_250_000_000), version="test 1")
    deployment = Deployment("openai", "gpt-4o", price, Capabilities(context_window=128_000), region="us")
    aliases = (Route("gpt-4o", (deployment,)), Route("claude", off="the provider `anthropic` has no credential"))
    return RouteTable(aliases, ("openai",), describe)


def open_api(database: Any, clock_ms: Callable[[], int], desk: LedgerDesk, cache: CacheDesk | None = None) -> Api:
    """The API over an open database and ledger, and perhaps a cache."""
    keys = load_directory(database)
    snapshots = SnapshotSource(Snapshot(revision=1, keys=keys, routes=routes()))
    plane = Plane(
        database=database,
        publisher=Publisher(keys, LimitBook(), snapshots.publish),
        ledger=desk,
        clock_ms=clock_ms,
        entropy=os.urandom,
    )
    file = ConfigurationFile(source="headgate.yaml", sha256="0" * 64)
    reloader = Reloader(plane, snapshots, lambda: unchanged(snapshots, file), file)
    book = HealthBook(draw=lambda: 0.5)
    app = create_admin_app(
        *(plane, snapshots, hash_secret(OPERATOR), reloader),
        healths=lambda each: book.views(each, clock_ms() / 1000),
        cache=cache,
    )
    return Api(app, plane, snapshots, OPERATOR)


def unchanged(snapshots: SnapshotSource, file: ConfigurationFile) -> Candidate:
    """The configuration as it is, read again."""
    current = snapshots.current
    return Candidate(
        file=file,
        configured=Configured(current.routes, current.providers, current.refuse_unpriced),
        organizations=(),
        providers=Names(),
        models=Names(),
        settings=(),
        adopt=lambda: None,
    )
