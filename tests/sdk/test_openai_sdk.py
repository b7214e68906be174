"""The official ``openai`` SDK against a real gateway process before a strict upstream."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.fakes import openai_rules
from tests.fakes.openai_answers import WORDS
from tests.fakes.openai_api import Exchange, FakeOpenAI
from tests.gateway import KEY, LIMITED_KEY, ROOT, Gateway, config

PYTHON = ROOT / ".venv-sdk-openai" / "bin" / "python"
TEXT = "".join(WORDS)


class Run(NamedTuple):
    """What one run of the script left behind."""

    seen: dict[str, Any]
    exchanges: list[Exchange]
    gateway: Gateway


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    assert PYTHON.exists(), "make test creates .venv-sdk-openai from requirements/sdk-openai.txt"
    directory: Path = tmp_path_factory.mktemp("sdk")
    with FakeOpenAI() as fake, Gateway(directory, config(fake.url)) as gateway:
        environment = {
            "GATEWAY": gateway.base_url,
            "UPSTREAM": f"http://127.0.0.1:{fake.port}",
            "KEY": KEY,
            "LIMITED_KEY": LIMITED_KEY,
            "HOME": str(directory),
        }
        script = Path(__file__).with_name("openai_script.py")
        done = subprocess.run(
            [str(PYTHON), str(script)], env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr
        yield Run(json.loads(done.stdout), fake.exchanges, gateway)


@pytest.fixture(scope="module")
def seen(run: Run) -> dict[str, Any]:
    return run.seen


def test_chat_answers_with_the_upstreams_text_and_usage(seen: dict[str, Any]) -> None:
    chat = seen["chat"]
    assert (chat["text"], chat["finish"]) == (TEXT, "stop")
    assert (chat["usage"]["prompt_tokens"], chat["usage"]["completion_tokens"]) == (2, 13)


def test_the_request_id_that_the_sdk_reports_leads_to_the_record(run: Run) -> None:
    record = run.gateway.record(run.seen["chat"]["request_id"])
    assert (record["outcome"], record["usage"]["output_tokens"], record["user"]) == ("ok", 13, "u-1")
    # 2 tokens at 2.50 USD and 13 at 10 USD per million.
    assert record["cost_usd"] == "0.000135"


def test_a_stream_has_the_same_text_and_no_usage_event_that_nobody_asked_for(seen: dict[str, Any]) -> None:
    assert seen["stream"] == {"text": TEXT, "finish": "stop", "usage_seen": False, "all_have_choices": True}


def test_a_stream_ends_with_usage_where_it_was_asked_for(seen: dict[str, Any]) -> None:
    assert seen["stream_with_usage"]["choices"] == 0
    assert seen["stream_with_usage"]["usage"]["completion_tokens"] == 13


def test_every_event_arrives_before_the_upstream_makes_the_next(seen: dict[str, Any]) -> None:
    # One opening, the words, the finish reason and the usage; an event held back would have left the upstream waiting.
    assert seen["stream_arrival"] == {"events": len(WORDS) + 3, "rising": True}


def test_a_single_tool_call_and_its_result(seen: dict[str, Any]) -> None:
    expected = [["call_0", "weather", {"place": "Köln", "call": 0}]]
    assert seen["tool_single"] == {"finish": "tool_calls", "calls": expected, "then": TEXT}


def test_parallel_tool_calls(seen: dict[str, Any]) -> None:
    assert seen["tools_parallel"] == [
        ["call_0", "weather", {"place": "Köln", "call": 0}],
        ["call_1", "clock", {"place": "Köln", "call": 1}],
    ]


def test_streamed_tool_arguments_come_in_pieces_and_add_up(seen: dict[str, Any]) -> None:
    assert seen["tools_streamed"]["pieces"] >= 4
    assert seen["tools_streamed"]["calls"] == seen["tools_parallel"]


def test_json_schema_is_parsed_into_the_callers_model(seen: dict[str, Any]) -> None:
    expected = {"place": "Köln", "level": 7, "readings": [0.5]}
    assert seen["json_schema"] == expected
    assert seen["json_schema_streamed"] == expected


def test_image_parts_reach_the_upstream(seen: dict[str, Any]) -> None:
    assert seen["images"] == "I see 2 images."


def test_embeddings_in_every_coding(seen: dict[str, Any]) -> None:
    assert [len(vector) for vector in seen["embeddings_default"]["vectors"]] == [8, 8]
    assert seen["embeddings_default"]["tokens"] == 4
    assert seen["embeddings_float"] == [0.0, 0.125, 0.25, 0.375]
    assert seen["embeddings_base64"] == 8 * 4


def test_models_are_those_the_key_may_use(seen: dict[str, Any]) -> None:
    assert {"gpt-4o", "text-embedding-3-small"} <= set(seen["models"]["listed"])
    assert seen["models"]["one"] == ["gpt-4o", "model"]
    assert seen["models"]["limited"] == ["gpt-4o"]


def test_the_async_client_works_concurrently(seen: dict[str, Any]) -> None:
    assert seen["async_client"] == {"texts": [TEXT], "streamed": TEXT, "vectors": 1}


def test_raw_responses_carry_the_gateways_headers(seen: dict[str, Any]) -> None:
    headers = seen["raw_response"]["headers"]
    assert seen["raw_response"]["text"] == TEXT
    assert headers["x-request-id"] == headers["x-headgate-request-id"]
    assert headers["x-headgate-upstream-request-id"] == "req_fake_upstream"
    assert (headers["x-headgate-model"], headers["x-headgate-provider"]) == ("gpt-4o", "openai")
    assert (headers["x-headgate-attempts"], headers["x-headgate-cost-usd"]) == ("1", "0.000135")


def test_raw_streams_end_with_done(seen: dict[str, Any]) -> None:
    assert seen["streaming_response"]["last"] == "data: [DONE]"
    assert seen["streaming_response"]["headers"]["content-type"].startswith("text/event-stream")


@pytest.mark.parametrize(
    ("case", "kind", "status", "code", "should_retry"),
    [
        ("wrong_key", "AuthenticationError", 401, "invalid_api_key", "false"),
        ("not_allowed", "PermissionDeniedError", 403, "model_not_allowed", "false"),
        ("unknown_model", "NotFoundError", 404, "model_not_found", "false"),
        ("rate_limited", "RateLimitError", 429, "upstream_rate_limited", None),
        ("quota", "InternalServerError", 502, "upstream_credentials_exhausted", "false"),
        ("bad_request", "BadRequestError", 400, "invalid_request", "false"),
        ("context_length", "BadRequestError", 400, "context_length_exceeded", "false"),
        ("routing_field", "BadRequestError", 400, "unsupported_parameter", "false"),
        ("too_large", "APIStatusError", 413, "body_too_large", "false"),
        ("deadline", "InternalServerError", 504, "deadline_exceeded", "false"),
        ("upstream_500", "InternalServerError", 502, "upstream_error", None),
        ("upstream_503", "InternalServerError", 502, "upstream_error", None),
        ("upstream_credential", "InternalServerError", 502, "upstream_credentials_exhausted", "false"),
        ("upstream_html", "InternalServerError", 502, "upstream_error", None),
        ("upstream_stalls", "InternalServerError", 504, "upstream_timeout", None),
        ("stream_before_content", "InternalServerError", 502, "upstream_error", None),
    ],
)
def test_failures_are_the_sdks_own_exceptions_with_the_contracts_codes(
    seen: dict[str, Any], case: str, *, kind: str, status: int, code: str, should_retry: str | None
) -> None:
    error = seen["errors"][case]
    assert (error["class"], error["status"], error["code"]) == (kind, status, code)
    assert error["should_retry"] == should_retry
    assert error["request_id"].startswith("req_")


def test_a_rate_limit_says_when_to_come_back(seen: dict[str, Any]) -> None:
    assert seen["errors"]["rate_limited"]["retry_after"] == "7"


def test_the_sdks_own_time_out_is_its_own_exception(seen: dict[str, Any]) -> None:
    assert seen["errors"]["client_timeout"]["class"] == "APITimeoutError"


@pytest.mark.parametrize(
    ("case", "code"),
    [
        ("stream_cut", "upstream_error"),
        ("stream_stalls", "upstream_timeout"),
        ("stream_error_event", "upstream_error"),
        ("stream_without_done", "upstream_error"),
    ],
)
def test_a_stream_that_breaks_raises_with_the_contracts_code(seen: dict[str, Any], case: str, code: str) -> None:
    error = seen["errors"][case]
    assert (error["class"], error["code"]) == ("APIError", code)


def test_the_sdk_retries_what_may_succeed_later_and_nothing_else(run: Run) -> None:
    models = [json.loads(exchange.body).get("model") for exchange in run.exchanges]
    assert models.count("fault-status-502") == 3
    assert models.count("fault-status-403") == 1


def test_a_repetition_under_an_idempotency_key_is_answered_and_a_retry_under_it_is_tried(run: Run) -> None:
    users = [json.loads(exchange.body).get("user") for exchange in run.exchanges]
    (first, fresh), (second, replayed) = run.seen["idempotent"]["answers"]
    assert (fresh, replayed, users.count("once")) == (None, "true", 1)
    assert first == second
    # Each of the SDK's three requests is tried twice, but for the last: by then the breaker has opened.
    assert (run.seen["idempotent"]["failed"]["code"], users.count("every-try")) == ("upstream_error", 5)


@pytest.mark.skipif(not openai_rules.DESCRIPTION.exists(), reason="skipped: no public description of the API at hand")
def test_everything_that_reached_the_upstream_is_lawful_by_its_public_description(run: Run) -> None:
    for exchange in run.exchanges:
        name = "CreateEmbeddingRequest" if exchange.target.endswith("/embeddings") else "CreateChatCompletionRequest"
        schema = openai_rules.description(name)
        assert schema is not None
        assert schema.complaint(exchange.json) is None, exchange.body
    assert len(run.exchanges) > 30
