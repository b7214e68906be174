"""The data plane's routes and bodies, on a whole gateway with the sandbox."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from msgspec.structs import replace

from headgate.domain.access import Permission
from headgate.domain.errors import InternalError
from headgate.identity import policy
from headgate.server import edge
from headgate.settings.load import default_settings
from headgate.testing import LocalGateway, gateway

MAX_BODY = 200_000
ASK = {"model": "sandbox/echo", "messages": [{"role": "user", "content": "hello"}]}


class Client:
    """Speaks to one gateway with one key."""

    def __init__(self, local: LocalGateway, session: aiohttp.ClientSession) -> None:
        self.local = local
        self.session = session

    async def call(self, method: str, path: str, data: Any = None, **headers: str) -> tuple[int, Any, Any]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if "authorization" not in named:
            named["authorization"] = f"Bearer {self.local.key}"
        body = json.dumps(data).encode() if isinstance(data, dict) else data
        if body is not None:
            named.setdefault("content-type", "application/json")
        async with self.session.request(method, self.local.url + path, data=body, headers=named) as answer:
            text = await answer.read()
            return answer.status, answer.headers, json.loads(text) if text else None


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    settings = default_settings({}, {})
    settings = replace(settings, server=replace(settings.server, max_body=MAX_BODY))
    async with gateway(settings) as local, aiohttp.ClientSession() as session:
        yield Client(local, session)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/chat/completions",
        "/chat/completions",
        "/openai/deployments/sandbox/echo/chat/completions",
        "/openai/deployments/sandbox%2Fecho/chat/completions?api-version=2024-10-21",
    ],
)
async def test_chat_answers_on_every_path(client: Client, path: str) -> None:
    status, headers, answer = await client.call("POST", path, ASK)
    assert status == 200
    assert answer["choices"][0]["message"]["content"] == "hello"
    assert headers["x-headgate-provider"] == "sandbox"
    assert headers["x-headgate-model"] == "sandbox/echo"
    assert headers["x-headgate-attempts"] == "1"
    assert headers["x-request-id"] == headers["x-headgate-request-id"]
    assert float(headers["x-headgate-cost-usd"]) > 0


async def test_the_model_of_the_path_wins(client: Client) -> None:
    path = "/openai/deployments/sandbox/lorem-2/chat/completions"
    _, _, answer = await client.call("POST", path, ASK)
    assert answer["usage"]["completion_tokens"] == 2


@pytest.mark.parametrize("model", ["a%0d%0aevil", "x" * 5000, "%00"])
async def test_a_model_of_the_path_is_as_clean_as_one_of_the_body(client: Client, model: str) -> None:
    url = aiohttp.client.URL(f"{client.local.url}/openai/deployments/{model}/chat/completions", encoded=True)
    headers = {"authorization": f"Bearer {client.local.key}"}
    async with client.session.post(url, json=ASK, headers=headers) as answer:
        assert (answer.status, (await answer.json())["error"]["param"]) == (400, "model")


@pytest.mark.parametrize("path", ["/v1/embeddings", "/embeddings", "/openai/deployments/sandbox/embed-4/embeddings"])
async def test_embeddings_answer_on_every_path(client: Client, path: str) -> None:
    status, _, answer = await client.call("POST", path, {"model": "sandbox/embed-4", "input": "hello"})
    assert status == 200
    assert len(answer["data"][0]["embedding"]) == 4


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1",
        "/v1/chat/completions/",
        "//v1/chat/completions",
        "/v1//chat/completions",
        "/V1/chat/completions",
        "/v1/chat/completions;x",
        "/v1/chat/completions%2f",
        "/v1/x/../chat/completions",
        "/v1/responses",
        "/openai/deployments/chat/completions",
        "/openai/deployments//chat/completions",
        "/metrics",
        "/console/",
    ],
)
async def test_what_is_no_route_is_404_in_the_callers_format(client: Client, path: str) -> None:
    url = aiohttp.client.URL(client.local.url + path, encoded=True)
    headers = {"authorization": f"Bearer {client.local.key}"}
    async with client.session.post(url, json=ASK, headers=headers) as answer:
        assert answer.status == 404
        assert (await answer.json())["error"]["code"] in ("not_found", "model_not_found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/chat/completions", "POST"),
        ("DELETE", "/v1/embeddings", "POST"),
        ("POST", "/v1/models", "GET, HEAD"),
        ("PUT", "/healthz", "GET, HEAD"),
    ],
)
async def test_another_method_is_405_and_says_which(client: Client, method: str, path: str, allowed: str) -> None:
    status, headers, answer = await client.call(method, path)
    assert (status, headers["allow"], answer["error"]["code"]) == (405, allowed, "method_not_allowed")


async def test_health_needs_no_key(client: Client) -> None:
    assert (await client.call("GET", "/healthz", authorization=""))[2] == {"status": "ok"}
    status, _, answer = await client.call("GET", "/readyz", authorization="")
    assert (status, answer["status"]) == (200, "ready")
    assert "load" not in answer
    assert (await client.call("HEAD", "/healthz", authorization=""))[0] == 200


@pytest.mark.parametrize("presented", ["", "Bearer", "Bearer hg_of_somebody", "Basic x", "Bearer " + "x" * 5000])
async def test_readiness_is_told_whatever_is_presented(client: Client, presented: str) -> None:
    status, _, answer = await client.call("GET", "/readyz", authorization=presented)
    assert (status, answer["status"], "load" in answer) == (200, "ready", False)


async def test_the_operator_reads_the_load(client: Client) -> None:
    _, _, answer = await client.call("GET", "/readyz", authorization=f"Bearer {client.local.admin_token}")
    assert answer["load"].keys() == {"in_flight", "limit", "lag_ms", "shed"}
    assert (answer["load"]["in_flight"], answer["load"]["limit"], answer["load"]["shed"]) == (0, 4096, 0)


async def test_models_are_those_of_the_key(client: Client) -> None:
    status, _, answer = await client.call("GET", "/v1/models")
    assert (status, answer["object"]) == (200, "list")
    status, _, answer = await client.call("GET", "/v1/models/sandbox/echo")
    assert (status, answer["id"], answer["owned_by"]) == (200, "sandbox/echo", "sandbox")
    assert (await client.call("GET", "/v1/models/nope"))[2]["error"]["code"] == "model_not_found"
    assert (await client.call("GET", "/v1/models", authorization="Bearer hg_wrong"))[0] == 401


async def test_the_meter_is_the_operators(client: Client) -> None:
    assert (await client.call("GET", "/sandbox/meter"))[0] == 401
    await client.call("POST", "/v1/chat/completions", ASK)
    status, _, answer = await client.call("GET", "/sandbox/meter", authorization=f"Bearer {client.local.admin_token}")
    assert (status, answer["total"]["calls"]) == (200, 1)


async def test_the_admin_token_cannot_infer(client: Client) -> None:
    token = f"Bearer {client.local.admin_token}"
    status, _, answer = await client.call("POST", "/v1/chat/completions", ASK, authorization=token)
    assert (status, answer["error"]["code"]) == (401, "invalid_api_key")


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "application/vnd.api+json", "Application/JSON"])
async def test_json_by_any_of_its_names(client: Client, kind: str) -> None:
    assert (await client.call("POST", "/v1/chat/completions", ASK, content_type=kind))[0] == 200


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
async def test_another_media_type_is_415(client: Client, kind: str) -> None:
    status, headers, answer = await client.call("POST", "/v1/chat/completions", ASK, content_type=kind)
    assert (status, answer["error"]["code"]) == (415, "unsupported_media_type")
    assert headers["x-should-retry"] == "false"


async def test_a_compressed_body_is_read(client: Client) -> None:
    body = gzip.compress(json.dumps(ASK).encode())
    status, _, _ = await client.call("POST", "/v1/chat/completions", body, content_encoding="gzip")
    assert status == 200


@pytest.mark.parametrize("size", [MAX_BODY + 1, 50 * MAX_BODY])
async def test_a_compressed_body_is_bounded_by_what_it_becomes(client: Client, size: int) -> None:
    body = gzip.compress(b'{"model":"' + b"x" * size)
    assert len(body) < MAX_BODY
    status, _, answer = await client.call("POST", "/v1/chat/completions", body, content_encoding="gzip")
    assert (status, answer["error"]["code"]) == (413, "body_too_large")


@pytest.mark.parametrize(
    "body", [b"no gzip", gzip.compress(b"{}")[:-5], gzip.compress(b"{}") + b"more"], ids=["not", "cut", "surplus"]
)
async def test_a_broken_compressed_body_is_400(client: Client, body: bytes) -> None:
    assert (await client.call("POST", "/v1/chat/completions", body, content_encoding="gzip"))[0] == 400


async def test_another_coding_is_415(client: Client) -> None:
    assert (await client.call("POST", "/v1/chat/completions", b"x", content_encoding="br"))[0] == 415


async def test_a_body_beyond_the_bound_is_413(client: Client) -> None:
    ask = {**ASK, "padding": "x" * MAX_BODY}
    status, _, answer = await client.call("POST", "/v1/chat/completions", ask)
    assert (status, answer["error"]["code"]) == (413, "body_too_large")


@pytest.mark.parametrize(
    ("headers", "status"), [({"content_type": "text/plain"}, 415), ({"x_headgate_timeout": "soon"}, 400)]
)
async def test_what_a_known_key_is_refused_at_the_door_is_recorded(
    client: Client, headers: dict[str, str], status: int
) -> None:
    got, answered, _ = await client.call("POST", "/v1/chat/completions", ASK, **headers)
    assert got == status
    admin = f"Bearer {client.local.admin_token}"
    path = f"/admin/v1/requests/{answered['x-request-id']}"
    for _ in range(100):
        found, _, record = await client.call("GET", path, authorization=admin)
        if found == 200:
            break
        await asyncio.sleep(0.02)
    # A head that could not be read tells no key, so nobody is there to record it for.
    assert (found, record.get("outcome")) == ((200, "refused") if status == 415 else (404, None))


@pytest.mark.parametrize(
    ("path", "kind"), [("/v1/messages/batches", "not_found_error"), ("/v1beta/models/x:generateContent", None)]
)
async def test_a_route_to_come_answers_404_in_its_own_dialect(client: Client, path: str, kind: str | None) -> None:
    status, headers, answer = await client.call("POST", path, ASK)
    assert status == 404
    assert answer["error"].get("type") == kind
    assert ("request-id" in headers) == (kind is not None)


async def test_anthropics_callers_are_answered_in_anthropics_format(client: Client) -> None:
    ask = ASK | {"max_tokens": 20}
    status, headers, answer = await client.call("POST", "/v1/messages", ask, x_api_key=client.local.key)
    assert (status, answer["type"], answer["content"]) == (200, "message", [{"type": "text", "text": "hello"}])
    assert headers["request-id"] == headers["x-request-id"]
    status, headers, answer = await client.call("POST", "/v1/messages", ASK)
    assert (status, answer["error"]["type"]) == (400, "invalid_request_error")
    assert answer["error"]["headgate"]["param"] == "max_tokens"
    assert headers["request-id"] == answer["request_id"]


async def test_tokens_are_counted_here_where_the_provider_does_not_count(client: Client) -> None:
    words = {"model": "sandbox/echo", "messages": [{"role": "user", "content": "one two three"}]}
    status, _, answer = await client.call("POST", "/v1/messages/count_tokens", words)
    # An estimate: models whose tokenizer is not known get a margin.
    assert status == 200
    assert 3 <= answer["input_tokens"] <= 6


async def test_models_come_in_the_shape_of_who_asks(client: Client) -> None:
    _, _, theirs = await client.call("GET", "/v1/models", anthropic_version="2023-06-01")
    assert (theirs["has_more"], theirs["first_id"]) == (False, None)
    _, _, one = await client.call("GET", "/v1/models/sandbox%2Fecho", anthropic_version="2023-06-01")
    assert (one["type"], one["id"], one["display_name"]) == ("model", "sandbox/echo", "sandbox/echo")
    _, _, ours = await client.call("GET", "/v1/models/sandbox%2Fecho")
    assert (ours["object"], ours["owned_by"]) == ("model", "sandbox")


async def test_a_chunked_body_beyond_the_bound_is_413(client: Client) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(1000):
            yield b"x" * 4096

    status, _, answer = await client.call("POST", "/v1/chat/completions", endless())
    assert (status, answer["error"]["code"]) == (413, "body_too_large")


def test_an_edge_with_a_route_that_nobody_declared_is_not_built(monkeypatch: pytest.MonkeyPatch) -> None:
    extra = policy.Row("POST", "/v1/unheard-of", Permission.INFER, policy.Plane.DATA)
    monkeypatch.setattr(edge, "ROUTES", (*policy.ROUTES, extra))
    with pytest.raises(InternalError, match="unheard-of"):
        edge._check_routes()
