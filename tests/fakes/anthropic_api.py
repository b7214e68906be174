"""A server that behaves like Anthropic's API, strict where the real one is strict and broken exactly where a test asks.

Model names ``fault-…`` script its faults (see `anthropic_faults.FAULTS`). What it refuses is in `anthropic_rules` and
`anthropic_turns`, each with its source.
"""

import json
from typing import Any

from tests.fakes import anthropic_answers, anthropic_rules
from tests.fakes.anthropic_faults import plan_for
from tests.fakes.anthropic_rules import Asked, Refusal
from tests.fakes.plan import Plan, Send
from tests.fakes.server import Exchange, FakeServer

ANTHROPIC_CREDENTIAL = "sk-ant-fake-credential-c41d07e59ab2f836"
LARGEST_BODY = 32 * 1024 * 1024
_TOO_LARGE = Refusal(413, "Request exceeds the maximum size", "request_too_large")


class FakeAnthropic(FakeServer):
    """Anthropic's API; `url` is the base URL to configure, `/v1` included."""

    fixed_headers = (
        ("request-id", "req_fake_anthropic"),
        ("anthropic-organization-id", "org-fake-anthropic"),
        ("anthropic-ratelimit-requests-limit", "1000"),
        ("anthropic-ratelimit-requests-remaining", "999"),
        ("anthropic-ratelimit-requests-reset", "2099-01-01T00:00:00Z"),
    )

    def __init__(self) -> None:
        super().__init__()
        self.cache: anthropic_answers.Cache = {}
        """The prefixes that requests have marked so far."""

    @property
    def root(self) -> str:
        """The base URL as Anthropic's SDKs take it, without `/v1`."""
        return self.url.removesuffix("/v1")

    def answer(self, exchange: Exchange) -> tuple[Plan, str]:
        """The plan for a request, and its ``metadata.user_id``."""
        headers = dict(reversed(exchange.headers))
        refusal = anthropic_rules.check_headers(headers, ANTHROPIC_CREDENTIAL)
        if refusal is not None:
            return _refused(refusal)
        path = exchange.target.partition("?")[0]
        if exchange.method == "GET" and path.startswith("/v1/models"):
            return _models(path.removeprefix("/v1/models").removeprefix("/"))
        if exchange.method != "POST" or path not in ("/v1/messages", "/v1/messages/count_tokens"):
            return _refused(Refusal(404, "Not Found", "not_found_error"))
        if len(exchange.body) > LARGEST_BODY:
            return _refused(_TOO_LARGE)
        asked = _read(exchange, headers, counting=path.endswith("count_tokens"))
        refusal = asked if isinstance(asked, Refusal) else anthropic_rules.check_messages(asked)
        if refusal is not None:
            return _refused(refusal)
        assert isinstance(asked, Asked)
        return self._answer(asked)

    def _answer(self, asked: Asked) -> tuple[Plan, str]:
        body = asked.body
        tokens = anthropic_answers.count_tokens(body)
        if asked.counting:
            return Plan([Send(json.dumps({"input_tokens": tokens}).encode())]), ""
        if tokens > anthropic_answers.LONGEST_PROMPT:
            limit = anthropic_answers.LONGEST_PROMPT
            return _refused(Refusal(400, f"prompt is too long: {tokens} tokens > {limit} maximum"))
        made = anthropic_answers.messages(body, self.cache)
        plan = plan_for(body["model"], made, stream=body.get("stream") is True, credential=ANTHROPIC_CREDENTIAL)
        return plan, body.get("metadata", {}).get("user_id") or ""


def _read(exchange: Exchange, headers: dict[str, str], *, counting: bool) -> Asked | Refusal:
    if headers.get("content-type", "").partition(";")[0] != "application/json":
        return Refusal(400, "content-type: header must be application/json")
    try:
        body = json.loads(exchange.body)
    except ValueError:
        return Refusal(400, "The request body is not valid JSON")
    if not isinstance(body, dict):
        return Refusal(400, "Input should be a valid dictionary")
    betas = frozenset(word.strip() for word in headers.get("anthropic-beta", "").split(",") if word.strip())
    return Asked(body, headers["anthropic-version"], betas, counting)


def _refused(refusal: Refusal) -> tuple[Plan, str]:
    # The real API tells its SDKs what a retry cannot mend.
    should_retry = "true" if refusal.status in (408, 409, 429, 529) or refusal.status >= 500 else "false"
    plan = Plan([Send(refusal.body())], status=refusal.status, headers=(("x-should-retry", should_retry),))
    return plan, ""


def _models(name: str) -> tuple[Plan, str]:
    if name:
        if name not in anthropic_rules.MODELS:
            return _refused(Refusal(404, f"model: {name}", "not_found_error"))
        return Plan([Send(json.dumps(_model(name)).encode())]), ""
    data = [_model(each) for each in anthropic_rules.MODELS]
    page = {"data": data, "has_more": False, "first_id": data[0]["id"], "last_id": data[-1]["id"]}
    return Plan([Send(json.dumps(page).encode())]), ""


def _model(name: str) -> dict[str, Any]:
    return {
        "type": "model",
        "id": name,
        "display_name": name.replace("-", " ").title(),
        "created_at": "2025-09-29T00:00:00Z",
        "lifecycle": "active",
        "max_input_tokens": anthropic_answers.LONGEST_PROMPT,
        "max_tokens": 64_000,
    }
