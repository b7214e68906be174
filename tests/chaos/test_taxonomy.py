"""F5: what providers say when they fail, in their own words, and the one class of failure that each of it is.

The words are those of the vendors' public documentation and of answers that users have published; the names in
them are made up. They go the whole way: bytes → the wire format's `parse_fault` → `pipeline.faults`.
"""

import json
from typing import Any, NamedTuple

import pytest

from headgate.domain.routing import FailureClass
from headgate.pipeline.faults import fault_of_status, parse_retry_after
from headgate.providers.build import build_provider
from headgate.providers.provider import Provider
from headgate.settings.model import ProviderSettings, Secret, TimeoutSettings
from headgate.wire import WIRE_FORMATS

NOW = 1_795_442_400.0  # Mon, 23 Nov 2026 14:00:00 GMT
AUTH, QUOTA, RATE = FailureClass.AUTH, FailureClass.QUOTA, FailureClass.RATE
OVERLOAD, CONTEXT = FailureClass.OVERLOAD, FailureClass.CONTEXT_LENGTH
FILTER, BAD, UNKNOWN = FailureClass.CONTENT_FILTER, FailureClass.BAD_REQUEST, FailureClass.NOT_FOUND


class Said(NamedTuple):
    """One answer of a provider."""

    vendor: str
    failure: FailureClass
    status: int
    body: Any
    """JSON, or a page."""

    @property
    def name(self) -> str:
        return f"{self.vendor}-{self.status}-{self.failure.value}"


def openai(message: str, kind: str | None, code: str | int | None) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def anthropic(kind: str, message: str) -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_011"}


def google(code: int, status: str, message: str, reason: str | None = None) -> list[dict[str, Any]]:
    """As the OpenAI-compatible endpoint sends it: in an array."""
    error: dict[str, Any] = {"code": code, "message": message, "status": status}
    if reason is not None:
        info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "googleapis.com"}
        error["details"] = [info]
    return [{"error": error}]


OPENAI = (
    (AUTH, 401, openai("Incorrect API key provided: sk-123.", "invalid_request_error", "invalid_api_key")),
    (AUTH, 401, openai("You must be a member of an organization to use the API", "invalid_request_error", None)),
    (AUTH, 403, openai("Country not supported", "request_forbidden", "unsupported_country_region_territory")),
    (UNKNOWN, 403, openai("Project does not have access to model", "invalid_request_error", "model_not_found")),
    (UNKNOWN, 404, openai("The model `x` does not exist", "invalid_request_error", "model_not_found")),
    (RATE, 429, openai("Rate limit reached for gpt-4o on tokens per min (TPM)", "tokens", "rate_limit_exceeded")),
    (RATE, 429, openai("Rate limit reached for gpt-4o on requests per min", "requests", "rate_limit_exceeded")),
    (QUOTA, 429, openai("You exceeded your current quota", "insufficient_quota", "insufficient_quota")),
    (QUOTA, 429, openai("Your account is not active", "billing_not_active", "billing_not_active")),
    (QUOTA, 400, openai("Billing hard limit has been reached", "invalid_request_error", "billing_hard_limit_reached")),
    (
        CONTEXT,
        400,
        openai(
            "This model's maximum context length is 8192 tokens", "invalid_request_error", "context_length_exceeded"
        ),
    ),
    (CONTEXT, 400, openai("Invalid 'input': too long", "invalid_request_error", "string_above_max_length")),
    (FILTER, 400, openai("Your request was rejected", "invalid_request_error", "content_policy_violation")),
    (FILTER, 400, openai("Your request was rejected", "image_generation_user_error", "moderation_blocked")),
    (BAD, 400, openai("Invalid value for 'temperature'", "invalid_request_error", "invalid_value")),
    (BAD, 422, openai("Unprocessable", "invalid_request_error", None)),
    (OVERLOAD, 500, openai("The server had an error", "server_error", None)),
    (OVERLOAD, 503, openai("The engine is currently overloaded", "server_error", None)),
    (OVERLOAD, 503, openai("Slow down", "slow_down", "slow_down")),
)
ANTHROPIC = (
    (AUTH, 401, anthropic("authentication_error", "invalid x-api-key")),
    (AUTH, 403, anthropic("permission_error", "Your API key does not have permission to use the resource")),
    (QUOTA, 402, anthropic("billing_error", "There is a problem with your billing or payment information")),
    (QUOTA, 400, anthropic("invalid_request_error", "Your credit balance is too low to access the Anthropic API.")),
    (
        QUOTA,
        400,
        anthropic(
            "invalid_request_error",
            "You have reached your specified API usage limits. You will regain access on 2026-12-01 at 00:00 UTC.",
        ),
    ),
    (QUOTA, 429, anthropic("enforced_spend_limit_reached", "The workspace has reached its monthly spend limit")),
    (RATE, 429, anthropic("rate_limit_error", "This request would exceed your organization's rate limit")),
    (RATE, 429, anthropic("rate_limit_error", "Number of concurrent connections has exceeded your rate limit")),
    (CONTEXT, 400, anthropic("invalid_request_error", "prompt is too long: 200001 tokens > 200000 maximum")),
    (
        CONTEXT,
        400,
        anthropic("invalid_request_error", "input length and `max_tokens` exceed context limit: 190000 + 20000"),
    ),
    (CONTEXT, 413, anthropic("request_too_large", "Request exceeds the maximum size")),
    (FILTER, 400, anthropic("invalid_request_error", "Output blocked by content filtering policy")),
    (UNKNOWN, 404, anthropic("not_found_error", "model: claude-99")),
    (BAD, 400, anthropic("invalid_request_error", "max_tokens: Field required")),
    (OVERLOAD, 500, anthropic("api_error", "Internal server error")),
    (OVERLOAD, 504, anthropic("timeout_error", "The request timed out")),
    (OVERLOAD, 529, anthropic("overloaded_error", "Overloaded")),
)
AZURE = (
    (AUTH, 401, {"error": {"code": "401", "message": "Access denied due to invalid subscription key"}}),
    (AUTH, 401, {"statusCode": 401, "message": "Unauthorized. Access token is missing, invalid, or expired."}),
    (AUTH, 403, {"error": {"code": "403", "message": "Public access is disabled. Please configure private endpoint."}}),
    (UNKNOWN, 404, {"error": {"code": "DeploymentNotFound", "message": "The API deployment does not exist."}}),
    (
        RATE,
        429,
        {"error": {"code": "429", "message": "Requests have exceeded token rate limit of your current pricing tier."}},
    ),
    (RATE, 429, {"error": {"code": "RateLimitReached", "message": "Your requests have exceeded the call rate limit"}}),
    (RATE, 429, {"error": {"code": "too_many_requests", "message": "Too many requests. Please slow down."}}),
    (QUOTA, 429, {"error": {"code": "insufficient_quota", "message": "Quota exceeded for the subscription."}}),
    (
        FILTER,
        400,
        {
            "error": {
                "message": "The response was filtered due to the prompt triggering the content management policy.",
                "type": None,
                "param": "prompt",
                "code": "content_filter",
                "status": 400,
                "innererror": {"code": "ResponsibleAIPolicyViolation", "content_filter_result": {}},
            }
        },
    ),
    (
        CONTEXT,
        400,
        openai(
            "This model's maximum context length is 8192 tokens", "invalid_request_error", "context_length_exceeded"
        ),
    ),
    (BAD, 400, {"error": {"code": "BadRequest", "message": "Unsupported api-version"}}),
    (OVERLOAD, 408, {"error": {"code": "Timeout", "message": "The operation was timeout."}}),
    (OVERLOAD, 424, {"error": {"code": "424", "message": "A dependency failed."}}),
    (OVERLOAD, 500, {"error": {"code": "InternalServerError", "message": "Backend returned unexpected response."}}),
    (OVERLOAD, 503, {"error": {"code": "ServiceUnavailable", "message": "The service is temporarily unable."}}),
)
GOOGLE = (
    (AUTH, 400, google(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", "API_KEY_INVALID")),
    (AUTH, 400, google(400, "INVALID_ARGUMENT", "API key expired. Please renew the API key.", "API_KEY_INVALID")),
    (AUTH, 401, google(401, "UNAUTHENTICATED", "Request had invalid authentication credentials.")),
    (AUTH, 403, google(403, "PERMISSION_DENIED", "Your API key was reported as leaked.")),
    (AUTH, 400, google(400, "FAILED_PRECONDITION", "User location is not supported for the API use.")),
    (UNKNOWN, 404, google(404, "NOT_FOUND", "models/gemini-99 is not found for API version v1beta")),
    (RATE, 429, google(429, "RESOURCE_EXHAUSTED", "Resource has been exhausted (e.g. check quota).")),
    (RATE, 429, google(429, "RESOURCE_EXHAUSTED", "Quota exceeded for metric: generate_requests_per_model_per_day")),
    (
        CONTEXT,
        400,
        google(400, "INVALID_ARGUMENT", "The input token count (1048577) exceeds the maximum number of tokens allowed"),
    ),
    (BAD, 400, google(400, "INVALID_ARGUMENT", "Invalid JSON payload received. Unknown name")),
    (OVERLOAD, 500, google(500, "INTERNAL", "An internal error has occurred.")),
    (OVERLOAD, 503, google(503, "UNAVAILABLE", "The model is overloaded. Please try again later.")),
    (OVERLOAD, 504, google(504, "DEADLINE_EXCEEDED", "Deadline expired before operation could complete.")),
)
GROQ = (
    (AUTH, 401, openai("Invalid API Key", "invalid_request_error", "invalid_api_key")),
    (AUTH, 400, openai("Organization has been restricted.", "invalid_request_error", "organization_restricted")),
    (UNKNOWN, 404, openai("The model `x` does not exist", "invalid_request_error", "model_not_found")),
    (RATE, 429, openai("Rate limit reached on tokens per minute (TPM)", "tokens", "rate_limit_exceeded")),
    (RATE, 429, openai("Rate limit reached on requests per day (RPD)", "requests", "rate_limit_exceeded")),
    (CONTEXT, 413, openai("Request too large for model on tokens per minute", "tokens", "rate_limit_exceeded")),
    (
        CONTEXT,
        400,
        openai("Please reduce the length", "invalid_request_error", "context_length_exceeded"),
    ),
    (BAD, 400, openai("Failed to call a function.", "invalid_request_error", "tool_use_failed")),
    (BAD, 422, openai("Unprocessable Entity", "invalid_request_error", None)),
    (OVERLOAD, 498, openai("Flex tier capacity exceeded", "server_error", "capacity_exceeded")),
    (OVERLOAD, 502, openai("Bad Gateway", "internal_server_error", None)),
    (OVERLOAD, 503, openai("Service Unavailable", "service_unavailable", None)),
)
BEDROCK = (
    (AUTH, 403, {"message": "The security token included in the request is invalid."}),
    (AUTH, 403, {"Message": "User is not authorized to perform: bedrock:InvokeModel"}),
    (UNKNOWN, 404, {"message": "This model version has reached the end of its life."}),
    (RATE, 429, {"message": "Too many requests, please wait before trying again."}),
    (RATE, 429, {"message": "Too many tokens, please wait before trying again."}),
    (RATE, 400, {"__type": "ThrottlingException", "message": "Too many requests, please wait before trying again."}),
    (QUOTA, 400, {"__type": "ServiceQuotaExceededException", "message": "Your request exceeds the service quota."}),
    (CONTEXT, 400, {"message": "Input is too long for requested model."}),
    (BAD, 400, {"message": "Malformed input request: extraneous key [x] is not permitted"}),
    (OVERLOAD, 408, {"message": "Model has timed out in processing the request."}),
    (OVERLOAD, 424, {"message": "The system encountered an unexpected error during processing."}),
    (OVERLOAD, 429, {"__type": "ModelNotReadyException", "message": "Model is not ready for inference."}),
    (OVERLOAD, 500, {"message": "The system encountered an unexpected error during processing. Try again."}),
    (OVERLOAD, 503, {"message": "Bedrock is unable to process your request."}),
)
IMITATORS = (
    (
        CONTEXT,
        400,
        openai("This model's maximum context length is 131072.", "invalid_request_error", "invalid_request_error"),
    ),
    (
        CONTEXT,
        400,
        {"object": "error", "message": "This model's maximum context length is 4096", "code": 40303},
    ),
    (QUOTA, 402, openai("Insufficient Balance", "unknown_error", "invalid_request_error")),
    (QUOTA, 402, {"error": {"code": 402, "message": "Insufficient credits. Add more to continue."}}),
    (FILTER, 403, {"error": {"code": 403, "message": "Your input was flagged", "metadata": {"reasons": ["violence"]}}}),
    (RATE, 429, {"detail": "Requests rate limit exceeded"}),
    (BAD, 422, {"detail": [{"loc": ["body", "messages"], "msg": "field required", "type": "value_error.missing"}]}),
    (OVERLOAD, 500, "Internal Server Error"),
    (OVERLOAD, 502, "<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"),
    (OVERLOAD, 503, {"error": "Model is currently loading", "estimated_time": 20.0}),
    (OVERLOAD, 520, "<!doctype html><title>Web server is returning an unknown error</title>"),
    (OVERLOAD, 524, "error code: 524"),
)
CORPUS = [
    Said(vendor, *row)
    for vendor, rows in (
        ("openai", OPENAI),
        ("anthropic", ANTHROPIC),
        ("azure", AZURE),
        ("google", GOOGLE),
        ("groq", GROQ),
        ("bedrock", BEDROCK),
        ("imitators", IMITATORS),
    )
    for row in rows
]
RETRY_AFTER = [
    # RFC 9110 §10.2.3: delay-seconds and the three forms of HTTP-date (§5.6.7), and what providers send besides.
    ({b"retry-after": b"7"}, 7.0),
    ({b"retry-after": b" 7 "}, 7.0),
    ({b"retry-after": b"0"}, 0.0),
    ({b"retry-after": b"2.5"}, 2.5),
    ({b"retry-after": b"Mon, 23 Nov 2026 14:01:00 GMT"}, 60.0),
    ({b"retry-after": b"Monday, 23-Nov-26 14:01:00 GMT"}, 60.0),
    ({b"retry-after": b"Mon Nov 23 14:01:00 2026"}, 60.0),
    ({b"retry-after": b"Mon, 23 Nov 2026 13:00:00 GMT"}, 0.0),
    ({b"retry-after": b"-5"}, 0.0),
    ({b"retry-after": b"1000000000"}, 86_400.0),
    ({b"retry-after": b"soon"}, None),
    ({}, None),
    ({b"retry-after-ms": b"1500", b"retry-after": b"2"}, 1.5),
    ({b"retry-after-ms": b"1500.5", b"retry-after": b"2"}, 1.5005),
]


@pytest.fixture(scope="module")
def provider() -> Provider:
    settings = ProviderSettings(name="openai", kind="openai", credential=Secret("sk-proj-0123456789abcdefghij"))
    return build_provider(settings, TimeoutSettings(), {})


@pytest.mark.parametrize("said", CORPUS, ids=lambda said: said.name)
def test_a_providers_words_have_their_class(said: Said, provider: Provider) -> None:
    body = said.body.encode() if isinstance(said.body, str) else json.dumps(said.body).encode()
    wire_format = WIRE_FORMATS["anthropic_messages" if said.vendor == "anthropic" else "openai_chat"]
    fault = fault_of_status(said.status, wire_format.parse_fault(body), {}, provider, NOW)
    assert fault.failure is said.failure, said.body


@pytest.mark.parametrize(("headers", "seconds"), RETRY_AFTER, ids=lambda value: str(value)[:48])
def test_a_wait_is_understood_in_every_form(headers: dict[bytes, bytes], seconds: float | None) -> None:
    assert parse_retry_after(headers, NOW) == seconds


@pytest.mark.parametrize("vendor", ["anthropic_messages", "openai_chat"])
@pytest.mark.parametrize(
    "words", ["Your credit balance is too low", "API key not valid", "You have reached your specified API usage limits"]
)
def test_what_quotes_the_caller_benches_no_credential(vendor: str, words: str, provider: Provider) -> None:
    body = json.dumps(anthropic("invalid_request_error", f"Input tag '{words}' found using 'type' does not match"))
    fault = fault_of_status(400, WIRE_FORMATS[vendor].parse_fault(body.encode()), {}, provider, NOW)
    assert fault.failure is BAD


def test_the_corpus_is_large_enough() -> None:
    assert len(CORPUS) >= 100
    assert len(RETRY_AFTER) >= 12
