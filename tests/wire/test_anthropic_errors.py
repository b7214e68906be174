"""Anthropic's error object, rendered for callers and read from providers."""

import json

import pytest

from headgate.domain import errors
from headgate.wire.anthropic_errors import error_type, parse_fault, render_error, render_stream_error
from headgate.wire.format import UpstreamFault
from tests.wire.test_openai_errors import all_errors


def test_an_error_is_rendered_as_the_contract_says() -> None:
    error = errors.UnsupportedParameterError("no `api_base` here", param="api_base", reason="routing_field")

    assert json.loads(render_error(error, "req_1")) == {
        "type": "error",
        "error": {
            "type": "invalid_request_error",
            "message": "no `api_base` here",
            "headgate": {
                "code": "unsupported_parameter",
                "reason": "routing_field",
                "param": "api_base",
                "doc_url": error.doc_url,
                "request_id": "req_1",
            },
        },
        "request_id": "req_1",
    }


@pytest.mark.parametrize("kind", all_errors())
def test_every_error_of_the_tree_is_rendered(kind: type[errors.HeadgateError]) -> None:
    body = json.loads(render_error(kind("words \ud83d"), "req_1"))

    assert body["error"]["type"] == error_type(kind.status)
    assert body["error"]["message"] == "words ?"
    assert body["error"]["headgate"]["code"] == kind.code


@pytest.mark.parametrize(
    ("status", "word"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (402, "billing_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (405, "invalid_request_error"),
        (409, "conflict_error"),
        (413, "request_too_large"),
        (422, "invalid_request_error"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (502, "api_error"),
        (503, "overloaded_error"),
        (504, "timeout_error"),
    ],
)
def test_the_type_is_anthropics_word_for_the_status(status: int, word: str) -> None:
    assert error_type(status) == word


def test_a_stream_error_is_one_event_by_the_name_of_error() -> None:
    event = render_stream_error(errors.UpstreamError("line one\nline two\r\n\r\ndata: x"), "req_1")

    assert event.startswith(b'event: error\ndata: {"type":"error","error":{"type":"api_error"')
    assert event.endswith(b"}\n\n")
    assert event.count(b"\n") == 3
    assert b"\r" not in event


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("prompt is too long: 208310 tokens > 200000 maximum", "context_length_exceeded"),
        ("input length and `max_tokens` exceed context limit: 1 + 2 > 2", "context_length_exceeded"),
        ("Output blocked by content filtering policy", "content_filter"),
        ("Your credit balance is too low to access the Anthropic API.", "insufficient_quota"),
        ("max_tokens: must be at least 1", None),
    ],
)
def test_words_that_matter_get_a_code(message: str, code: str | None) -> None:
    body = {"type": "error", "error": {"type": "invalid_request_error", "message": message}, "request_id": "req_x"}

    assert parse_fault(json.dumps(body).encode()) == UpstreamFault(message, "invalid_request_error", code)


def test_a_code_of_the_providers_own_stays() -> None:
    body = b'{"error":{"message":"prompt is too long","code":"mine"}}'

    assert parse_fault(body) == UpstreamFault("prompt is too long", None, "mine")


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b"null", b'{"type":"message","content":[]}', b"[" * 10_000])
def test_what_is_no_error_body_is_none(body: bytes) -> None:
    assert parse_fault(body) is None
