"""What a provider's failure means for the caller."""

import pytest

from headgate.domain.errors import HeadgateError
from headgate.pipeline.faults import (
    fault_in_answer,
    fault_of_failure,
    fault_of_status,
    parse_retry_after,
)
from headgate.providers.build import build_provider
from headgate.providers.provider import Provider
from headgate.settings.model import ProviderSettings, Secret, TimeoutSettings
from headgate.upstream import transport
from headgate.wire.format import UpstreamFault

NOW = 1_795_442_400.0  # Mon, 23 Nov 2026 14:00:00 GMT
SECRET = "sk-proj-0123456789abcdefghij"


@pytest.fixture
def provider() -> Provider:
    return build_provider(
        ProviderSettings(name="openai", kind="openai", credential=Secret(SECRET)), TimeoutSettings(), {}
    )


@pytest.mark.parametrize(
    ("status", "fault", "code"),
    [
        (400, UpstreamFault("bad", param="temperature"), "invalid_request"),
        (400, UpstreamFault("long", code="context_length_exceeded"), "context_length_exceeded"),
        (400, UpstreamFault("filtered", code="content_filter"), "content_filtered"),
        (401, UpstreamFault("Incorrect API key"), "upstream_credentials_exhausted"),
        (402, None, "upstream_credentials_exhausted"),
        (403, None, "upstream_credentials_exhausted"),
        (404, UpstreamFault("no such model"), "model_not_found"),
        (408, None, "upstream_timeout"),
        (409, None, "invalid_request"),
        (413, None, "body_too_large"),
        (422, None, "invalid_request"),
        (429, UpstreamFault("slow down"), "upstream_rate_limited"),
        (429, UpstreamFault("quota", code="insufficient_quota"), "upstream_credentials_exhausted"),
        (429, UpstreamFault("quota", type="insufficient_quota"), "upstream_credentials_exhausted"),
        (301, None, "upstream_error"),
        (302, None, "upstream_error"),
        (500, None, "upstream_error"),
        (502, None, "upstream_error"),
        (503, None, "upstream_error"),
        (504, None, "upstream_timeout"),
        (529, None, "upstream_error"),
        (600, None, "upstream_error"),
    ],
)
def test_each_status_has_its_code(status: int, fault: UpstreamFault | None, code: str, provider: Provider) -> None:
    error = fault_of_status(status, fault, {}, provider, NOW).error
    assert error.code == code
    assert error.reason == f"provider_status_{status}"


def test_the_providers_words_name_the_field(provider: Provider) -> None:
    error = fault_of_status(400, UpstreamFault("must be at most 2", param="temperature"), {}, provider, NOW).error
    assert (error.message, error.param) == ("openai: must be at most 2", "temperature")


@pytest.mark.parametrize("status", [400, 404, 429, 500])
def test_a_credential_in_the_providers_words_is_not_shown(status: int, provider: Provider) -> None:
    error = fault_of_status(status, UpstreamFault(f"wrong key {SECRET}!"), {}, provider, NOW).error
    assert SECRET not in error.message
    assert "wrong key" in error.message


def test_the_words_about_our_credential_are_not_shown_at_all(provider: Provider) -> None:
    error = fault_of_status(401, UpstreamFault("org-acme: key of Jane Doe is disabled"), {}, provider, NOW).error
    assert "Jane" not in error.message


def test_a_fault_inside_a_stream_is_told(provider: Provider) -> None:
    assert fault_in_answer(UpstreamFault("overloaded"), provider).error.code == "upstream_error"
    assert fault_in_answer(UpstreamFault("no", code="content_filter"), provider).error.code == "content_filtered"


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (transport.ConnectError, "upstream_error"),
        (transport.AddressRefusedError, "upstream_error"),
        (transport.TlsError, "upstream_error"),
        (transport.ConnectionCutError, "upstream_error"),
        (transport.MalformedHttpError, "upstream_error"),
        (transport.AnswerTooLargeError, "upstream_error"),
        (transport.EncodedAnswerError, "upstream_error"),
        (transport.ConnectTimeoutError, "upstream_timeout"),
        (transport.FirstEventTimeoutError, "upstream_timeout"),
        (transport.IdleTimeoutError, "upstream_timeout"),
        (transport.TotalTimeoutError, "upstream_timeout"),
    ],
)
def test_each_failure_has_its_code(kind: type[transport.UpstreamFailure], code: str) -> None:
    error: HeadgateError = fault_of_failure(kind("it broke", sent=True), "openai").error
    assert (error.code, error.reason) == (code, kind.kind)
    assert error.retryable


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({b"retry-after": b"5"}, 5.0),
        ({b"retry-after": b" 5 "}, 5.0),
        ({b"retry-after": b"0.5"}, 0.5),
        ({b"retry-after": b"-3"}, 0.0),
        ({b"retry-after": b"1e12"}, 86_400.0),
        ({b"retry-after": b"nan"}, None),
        ({b"retry-after": b"inf"}, 86_400.0),
        ({b"retry-after": b"soon"}, None),
        ({b"retry-after": b""}, None),
        ({b"retry-after": b"Mon, 23 Nov 2026 14:00:30 GMT"}, 30.0),
        ({b"retry-after": b"Mon, 23 Nov 2026 13:00:00 GMT"}, 0.0),
        ({b"retry-after": b"Mon, 99 Nov 2026 13:00:00 GMT"}, None),
        ({b"retry-after-ms": b"250"}, 0.25),
        ({b"retry-after-ms": b"x", b"retry-after": b"2"}, 2.0),
        ({b"retry-after-ms": b"9" * 300}, 86_400.0),
        ({b"retry-after-ms": b"9" * 5000}, 86_400.0),
        ({b"retry-after": b"9" * 5000}, 86_400.0),
        ({b"retry-after": b"Mon, 23 Nov 2026 14:00:30 +99999999999999999"}, None),
    ],
)
def test_retry_after_in_all_its_forms(headers: dict[bytes, bytes], seconds: float | None) -> None:
    assert parse_retry_after(headers, NOW) == seconds
