"""OpenAI's error object, rendered for callers and read from providers."""

import json

import pytest

from headgate.domain import errors
from headgate.wire.format import UpstreamFault
from headgate.wire.openai_errors import MAX_FAULT_CHARS, error_type, parse_fault, render_error, render_stream_error


def test_an_error_is_rendered_as_the_contract_says() -> None:
    error = errors.UnsupportedParameterError("no `api_base` here", param="api_base", reason="routing_field")

    assert json.loads(render_error(error, "req_1")) == {
        "error": {
            "message": "no `api_base` here",
            "type": "invalid_request_error",
            "param": "api_base",
            "code": "unsupported_parameter",
            "headgate": {
                "code": "unsupported_parameter",
                "reason": "routing_field",
                "doc_url": error.doc_url,
                "request_id": "req_1",
            },
        }
    }


def all_errors(kind: type[errors.HeadgateError] = errors.HeadgateError) -> list[type[errors.HeadgateError]]:
    return [kind, *(leaf for child in kind.__subclasses__() for leaf in all_errors(child))]


@pytest.mark.parametrize("kind", all_errors())
def test_every_error_of_the_tree_is_rendered(kind: type[errors.HeadgateError]) -> None:
    body = json.loads(render_error(kind("words"), "req_1"))["error"]

    assert body["code"] == kind.code
    assert body["type"] == error_type(kind.status)
    assert body["param"] is None


@pytest.mark.parametrize(
    ("status", "word"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (402, "insufficient_quota"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (413, "invalid_request_error"),
        (429, "rate_limit_error"),
        (500, "server_error"),
        (502, "server_error"),
        (504, "timeout_error"),
    ],
)
def test_the_type_is_openais_word_for_the_status(status: int, word: str) -> None:
    assert error_type(status) == word


def test_a_stream_error_is_one_event_without_an_end_marker() -> None:
    event = render_stream_error(errors.UpstreamError("line one\nline two\r\n\r\ndata: x"), "req_1")

    assert event.startswith(b'data: {"error":')
    assert event.endswith(b"}\n\n")
    assert event.count(b"\n") == 2
    assert b"\r" not in event
    assert b"[DONE]" not in event


def test_half_a_surrogate_pair_in_words_does_not_fail_the_rendering() -> None:
    body = json.loads(render_error(errors.InvalidRequestError("bad \ud83d", param="\ud83d", reason="\ud83d"), "r"))

    assert body["error"]["message"] == "bad ?"


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (
            b'{"error":{"message":"m","type":"t","param":"p","code":"c"}}',
            UpstreamFault("m", "t", "c", "p"),
        ),
        (b'{"error":{"message":"m","type":null,"code":429}}', UpstreamFault("m", None, "429")),
        (b'{"error":"text"}', UpstreamFault("text")),
        (b'{"error":"text","code":"c"}', UpstreamFault("text", None, "c")),
        (b'{"detail":"text"}', UpstreamFault("text")),
        (b'{"detail":[{"msg":"a","loc":["b"]},{"msg":"c"}]}', UpstreamFault("a; c")),
        (b'{"message":"m","type":"t"}', UpstreamFault("m", "t")),
        (b'{"object":"error","message":{"detail":"m"},"type":"t","code":null}', UpstreamFault("m", "t")),
        (
            b'[{"error":{"code":400,"message":"m","status":"INVALID_ARGUMENT"}}]',
            UpstreamFault("m", "INVALID_ARGUMENT", "400"),
        ),
        (b'{"error":{"code":"overloaded"}}', UpstreamFault("overloaded", None, "overloaded")),
        (b'{"error":{"message":"half \\ud83d"}}', UpstreamFault("half \ufffd")),
    ],
)
def test_a_providers_error_is_understood_in_every_shape(body: bytes, fault: UpstreamFault) -> None:
    assert parse_fault(body) == fault


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>Bad Gateway</html>",
        b"Bad Gateway",
        b"[]",
        b"{}",
        b"null",
        b'"text"',
        b'{"error":null}',
        b'{"error":{}}',
        b'{"choices":[]}',
        b"[" * 10_000,
        b"\xff\xfe",
        b'{"error":1e400}',
    ],
)
def test_what_is_no_error_body_is_none(body: bytes) -> None:
    assert parse_fault(body) is None


def test_a_very_long_message_is_cut() -> None:
    fault = parse_fault(json.dumps({"error": {"message": "x" * 10**6}}).encode())

    assert fault is not None
    assert len(fault.message) == MAX_FAULT_CHARS + 1
