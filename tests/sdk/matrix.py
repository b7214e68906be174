"""Which scenario works through which client library before which kind of provider: the table, and its page.

``python -m tests.sdk.matrix > docs/reference/compatibility.md`` writes the page. test_matrix.py runs every cell and
compares what was seen with the table and the page.
"""

import sys
from typing import Any, NamedTuple

from tests.fakes.openai_answers import WORDS

CLIENTS = ("openai", "anthropic")
PROVIDERS = ("openai", "anthropic")
TEXT = "".join(WORDS)
WEATHER = ["weather", {"place": "Köln"}]
CLOCK = ["clock", {"place": "Köln"}]
GAUGE = {"place": "Köln", "level": 7, "readings": [0.5]}


class Scenario(NamedTuple):
    """Something a client does, and what it must then see."""

    name: str
    title: str
    expected: Any


class Refused(NamedTuple):
    """The gateway says by name what the provider's format cannot carry."""

    code: str
    param: str


class Ignored(NamedTuple):
    """The answer comes without what was only a hint; ``x-headgate-ignored`` names it."""

    hints: str


class Inapplicable(NamedTuple):
    """There is nothing to try."""

    reason: str


Verdict = Refused | Ignored | Inapplicable | None
"""What a cell comes to; None where it works."""

SCENARIOS = (
    Scenario("text", "Text", {"text": TEXT, "finish": "end", "tokens": [2, 13]}),
    Scenario("stream", "Streamed text", {"text": TEXT, "finish": "end", "tokens": [2, 13], "several": True}),
    Scenario("multi_turn", "Several turns", {"text": TEXT, "finish": "end", "tokens": [5, 13]}),
    Scenario("system", "System prompt", {"text": TEXT, "finish": "end", "tokens": [5, 13]}),
    Scenario("images", "Images", "I see 2 images."),
    Scenario("one_tool", "A tool and its result", {"calls": [WEATHER], "finish": "tools", "then": TEXT}),
    Scenario("parallel_tools", "Parallel tools", {"calls": [WEATHER, CLOCK], "finish": "tools", "then": TEXT}),
    Scenario("streamed_arguments", "Streamed arguments", {"calls": [WEATHER, CLOCK], "several": True}),
    Scenario("forced_tool", "A forced tool", [CLOCK]),
    Scenario("json_schema", "JSON by a schema", GAUGE),
    Scenario("stop", "Stop sequences", {"text": "The sluice is open: Grüße", "finish": "end"}),
    Scenario("max_tokens", "A maximum of output", {"text": "The sluice is", "finish": "length", "tokens": [2, 3]}),
    Scenario("cached_usage", "Tokens from the prompt cache", {"cached": True, "total": 1502}),
    Scenario("thinking", "Thinking, by effort", {"text": TEXT, "thought": True}),
    Scenario("thinking_budget", "Thinking, by a budget", {"text": TEXT, "thought": True}),
    Scenario("thoughts_return", "Thoughts sent back with a result", {"calls": [WEATHER], "then": TEXT}),
    Scenario("temperature", "Temperature", TEXT),
    Scenario("choices", "Several answers to one request", 2),
    Scenario("server_tool", "A tool of the provider's own", TEXT),
    Scenario("refusal", "Refusal by the model", {"finish": "refusal"}),
    Scenario("count_tokens", "Counting tokens", True),
    Scenario("models", "Models", {"listed": True, "one": True}),
)

_NO_SUCH_CALL = Inapplicable("OpenAI's API has no such call or field.")
_NOT_ANTHROPICS = Inapplicable(
    "Anthropic's API has no such field; its SDK lost the temperature with the API version `2026-10-21`."
)
EXCEPTIONS: dict[tuple[str, str, str], Refused | Ignored | Inapplicable] = {
    ("cached_usage", "openai", "anthropic"): Inapplicable(
        "Anthropic caches what a request marks, and OpenAI's requests hold no marks."
    ),
    ("thinking_budget", "openai", "openai"): _NO_SUCH_CALL,
    ("thinking_budget", "openai", "anthropic"): _NO_SUCH_CALL,
    ("thinking_budget", "anthropic", "openai"): Ignored("thinking.budget_tokens, thinking.type"),
    ("thoughts_return", "openai", "openai"): _NO_SUCH_CALL,
    ("thoughts_return", "openai", "anthropic"): _NO_SUCH_CALL,
    ("temperature", "anthropic", "openai"): _NOT_ANTHROPICS,
    ("temperature", "anthropic", "anthropic"): _NOT_ANTHROPICS,
    ("choices", "openai", "anthropic"): Refused("unsupported_feature", "n"),
    ("choices", "anthropic", "openai"): _NOT_ANTHROPICS,
    ("choices", "anthropic", "anthropic"): _NOT_ANTHROPICS,
    ("server_tool", "openai", "openai"): _NO_SUCH_CALL,
    ("server_tool", "openai", "anthropic"): _NO_SUCH_CALL,
    ("server_tool", "anthropic", "openai"): Refused("unsupported_feature", "tools[0]"),
    ("count_tokens", "openai", "openai"): _NO_SUCH_CALL,
    ("count_tokens", "openai", "anthropic"): _NO_SUCH_CALL,
}
"""Every cell that does not simply work: (scenario, client, provider)."""


class Failure(NamedTuple):
    """An error, and what each library makes of it."""

    name: str
    title: str
    status: int | None
    code: str | None
    openai: str
    anthropic: str
    retry: str | None = None
    """``x-should-retry``."""


FAILURES = (
    Failure(
        "wrong_key", "An unknown key", 401, "invalid_api_key", "AuthenticationError", "AuthenticationError", "false"
    ),
    Failure(
        "not_allowed",
        "A model that the key may not use",
        403,
        "model_not_allowed",
        "PermissionDeniedError",
        "PermissionDeniedError",
        "false",
    ),
    Failure("unknown_model", "An unknown model", 404, "model_not_found", "NotFoundError", "NotFoundError", "false"),
    Failure(
        "bad_request",
        "A request that the provider refuses",
        400,
        "invalid_request",
        "BadRequestError",
        "BadRequestError",
        "false",
    ),
    Failure(
        "context_length",
        "A prompt that is too long",
        400,
        "context_length_exceeded",
        "BadRequestError",
        "BadRequestError",
        "false",
    ),
    Failure(
        "too_large",
        "A body that is too large",
        413,
        "body_too_large",
        "APIStatusError",
        "ContentTooLargeError",
        "false",
    ),
    Failure(
        "rate_limited", "A provider's rate limit", 429, "upstream_rate_limited", "RateLimitError", "RateLimitError"
    ),
    Failure(
        "upstream_credential",
        "A credential that the provider refuses",
        502,
        "upstream_credentials_exhausted",
        "InternalServerError",
        "InternalServerError",
        "false",
    ),
    Failure(
        "upstream_error", "A provider's fault", 502, "upstream_error", "InternalServerError", "InternalServerError"
    ),
    Failure("overloaded", "A provider's overload", 502, "upstream_error", "InternalServerError", "InternalServerError"),
    Failure(
        "upstream_html",
        "An answer that is no JSON",
        502,
        "upstream_error",
        "InternalServerError",
        "InternalServerError",
    ),
    Failure(
        "upstream_timeout",
        "A provider that says nothing",
        504,
        "upstream_timeout",
        "InternalServerError",
        "GatewayTimeoutError",
    ),
    Failure("client_timeout", "The client's own time-out", None, None, "APITimeoutError", "APITimeoutError"),
    Failure(
        "stream_error_event", "A stream that reports an error", 200, "upstream_error", "APIError", "APIStatusError"
    ),
    Failure("stream_cut", "A stream that is cut", 200, "upstream_error", "APIError", "APIStatusError"),
    Failure("stream_without_end", "A stream without its end", 200, "upstream_error", "APIError", "APIStatusError"),
)


def expectation(scenario: str, client: str, provider: str) -> Verdict:
    """What the table says of a cell; None where it works."""
    return EXCEPTIONS.get((scenario, client, provider))


def verdict(scenario: Scenario, client: str, provider: str, seen: dict[str, Any]) -> Verdict:
    """What a run says of a cell; None where it works.

    Raises:
        AssertionError: it neither works nor is refused by name.
    """
    expected = expectation(scenario.name, client, provider)
    if isinstance(expected, Inapplicable):
        return expected
    value = seen[scenario.name]
    refused = value.get("refused") if isinstance(value, dict) else None
    if refused and refused["code"] == "unsupported_feature":
        return Refused(refused["code"], refused["param"])
    if isinstance(value, dict) and value.get("ignored"):
        assert value["text"] == scenario.expected["text"]
        return Ignored(value["ignored"])
    assert value == scenario.expected, f"{scenario.name}: {value}"
    return None


def render(verdicts: dict[tuple[str, str, str], Verdict]) -> str:
    """Write the page from what each cell came to."""
    notes: list[str] = []
    rows = []
    for scenario in SCENARIOS:
        cells = [_cell(verdicts[scenario.name, client, kind], notes) for client in CLIENTS for kind in PROVIDERS]
        rows.append(f"| {scenario.title} | {' | '.join(cells)} |\n")
    failures = "".join(
        f"| {each.title} | {each.status or '—'} | {f'`{each.code}`' if each.code else '—'} | `{each.openai}` "
        f"| `{each.anthropic}` |\n"
        for each in FAILURES
    )
    told = "".join(f"{index}. {note}\n" for index, note in enumerate(notes, 1))
    return _PAGE.format(rows="".join(rows), notes=told, failures=failures)


def _cell(found: Verdict, notes: list[str]) -> str:
    if found is None:
        return "works"
    if isinstance(found, Refused):
        return f"refused: `{found.code}` (`{found.param}`)"
    if isinstance(found, Ignored):
        return "answers; ignored: " + ", ".join(f"`{hint.strip()}`" for hint in found.hints.split(","))
    if found.reason not in notes:
        notes.append(found.reason)
    return f"— ({notes.index(found.reason) + 1})"


_PAGE = """\
# Compatibility

The official SDKs of OpenAI and Anthropic, unchanged, each before a provider of either kind. Every cell is run by the
tests, and this page is compared with what they saw. *Works* means that the client sees what it would see without a
gateway; *refused* means that it is told by name what the provider's format cannot carry, and that nothing was sent;
*ignored* means that a hint was left out and named in the header [`x-headgate-ignored`](headers.md).

| scenario | OpenAI's SDK, OpenAI's models | OpenAI's SDK, Anthropic's models | Anthropic's SDK, OpenAI's models \
| Anthropic's SDK, Anthropic's models |
|---|---|---|---|---|
{rows}
{notes}
## Errors

The same for both kinds of provider: status, [code](errors.md), and the class that each SDK raises. A stream that fails
after content began has its status already.

| what happens | status | code | OpenAI's SDK | Anthropic's SDK |
|---|---|---|---|---|
{failures}
## Libraries

LangChain (`ChatOpenAI`), LlamaIndex (`OpenAILike`; its `OpenAI` class refuses names it does not know), pydantic-ai
(`OpenAIChatModel`, `AnthropicModel`), instructor, and the npm packages `ai` (`createOpenAI().chat(model)`), `openai`
and `@anthropic-ai/sdk` are run with text, streams, tools and structured output.
"""


def page() -> str:
    """The page that the table promises."""
    cells = [(scenario.name, client, kind) for scenario in SCENARIOS for client in CLIENTS for kind in PROVIDERS]
    return render({cell: expectation(*cell) for cell in cells})


if __name__ == "__main__":
    sys.stdout.write(page())
