"""A server that behaves like OpenAI's API, strict where the real one is strict and broken exactly where a test asks.

Model names ``fault-…`` script its faults (see `openai_faults.FAULTS`).
"""

import json
from typing import Any

from tests.fakes import openai_answers, openai_rules
from tests.fakes.openai_faults import plan_for
from tests.fakes.plan import Plan, Send
from tests.fakes.server import Exchange, FakeServer, closed_port

__all__ = ["CREDENTIAL", "Exchange", "FakeOpenAI", "closed_port"]

CREDENTIAL = "sk-fake-credential-7f3a9c51d2e84b60"


class FakeOpenAI(FakeServer):
    """OpenAI's API; `url` is the base URL to configure, `/v1` included."""

    fixed_headers = (
        ("x-request-id", "req_fake_upstream"),
        ("openai-processing-ms", "12"),
        ("openai-version", "2020-10-01"),
    )

    def answer(self, exchange: Exchange) -> tuple[Plan, str]:
        """The plan for a request, and its ``user``."""
        return _answer(exchange)


def _answer(exchange: Exchange) -> tuple[Plan, str]:
    """The plan for a request, and its ``user``."""
    authorization = exchange.header("authorization") or ""
    if authorization != f"Bearer {CREDENTIAL}":
        words = "Incorrect API key provided. You can find your API key at https://platform.openai.com/account/api-keys."
        return _refusal(openai_rules.Refusal(401, words, code="invalid_api_key")), ""
    path = exchange.target.partition("?")[0]
    if exchange.method == "GET" and path == "/v1/models":
        data = [_model(name) for name in openai_rules.CHAT_MODELS]
        return Plan([Send(json.dumps({"object": "list", "data": data}).encode())]), ""
    name = path.removeprefix("/v1/models/")
    if exchange.method == "GET" and name in openai_rules.CHAT_MODELS:
        return Plan([Send(json.dumps(_model(name)).encode())]), ""
    routes = {
        "/v1/chat/completions": (openai_rules.check_chat, openai_answers.chat),
        "/v1/embeddings": (openai_rules.check_embeddings, openai_answers.embeddings),
    }
    if exchange.method != "POST" or path not in routes:
        return _refusal(openai_rules.Refusal(404, f"Invalid URL ({exchange.method} {path})")), ""
    check, make = routes[path]
    try:
        body = json.loads(exchange.body)
    except ValueError:
        return _refusal(openai_rules.Refusal(400, "We could not parse the JSON body of your request.")), ""
    if exchange.header("content-type") != "application/json":
        return _refusal(openai_rules.Refusal(400, "you must provide a model parameter")), ""
    refusal = check(body)
    if refusal is not None:
        return _refusal(refusal), ""
    stream = body.get("stream") is True
    return plan_for(body["model"], make(body), stream=stream, authorization=authorization), body.get("user") or ""


def _refusal(refusal: openai_rules.Refusal) -> Plan:
    return Plan([Send(refusal.body())], status=refusal.status)


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": openai_answers.CREATED, "owned_by": "openai"}
