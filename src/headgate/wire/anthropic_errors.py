"""Anthropic's error object, both ways: a provider's error body understood, ours rendered for the caller.

Source: platform.claude.com, "Errors": ``{"type":"error","error":{"type","message"},"request_id"}``.
"""

from typing import Final

import msgspec
from msgspec import Struct, structs

from headgate.domain.errors import HeadgateError
from headgate.wire import format as wire_format
from headgate.wire import openai_errors
from headgate.wire.format import UpstreamFault

ID_HEADERS: Final = (*wire_format.ID_HEADERS, b"request-id")
"""Anthropic's SDKs read the last one (platform.claude.com, "Request id")."""

# The page's own words for the status; ``invalid_request_error`` "may also be used for other 4XX status codes".
_TYPES: Final = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
# Anthropic has no codes, and one type for everything that is wrong with a request, so its words tell what matters.
_TELLING: Final = (
    ("prompt is too long", "context_length_exceeded"),
    ("input length and `max_tokens` exceed context limit", "context_length_exceeded"),
    ("Output blocked by content filtering policy", "content_filter"),
    ("Your credit balance is too low", "insufficient_quota"),
    ("You have reached your specified API usage limits", "insufficient_quota"),
)
"""Only at the beginning of a message: further on it may quote the caller, who must not have a credential benched."""


class _ErrorDetail(Struct):
    type: str
    message: str
    headgate: openai_errors.HeadgateDetail


class _ErrorBody(Struct, tag="error"):
    error: _ErrorDetail
    request_id: str


_ENCODE: Final = msgspec.json.Encoder().encode


def error_type(status: int) -> str:
    """Return Anthropic's ``type`` word for a status."""
    return _TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")


def render_error(error: HeadgateError, request_id: str) -> bytes:
    """Return the error body for the caller; ``param``, which Anthropic has no member for, stands in ``headgate``."""
    clean = openai_errors.clean
    detail = openai_errors.detail_of(error, request_id)
    detail.param = clean(error.param)
    message = clean(error.message) or error.code
    return _ENCODE(_ErrorBody(_ErrorDetail(error_type(error.status), message, detail), request_id))


def render_stream_error(error: HeadgateError, request_id: str) -> bytes:
    """Return the event that ends a stream which failed after content began; no ``message_stop`` follows it.

    Anthropic's clients raise on an event named ``error`` (platform.claude.com, "Streaming Messages", "Error events").
    """
    return b"event: error\ndata: " + render_error(error, request_id) + b"\n\n"


def parse_fault(body: bytes) -> UpstreamFault | None:
    """Understand a provider's error body; ``None`` where it is none. Its imitators' shapes are those of OpenAI's."""
    return _with_code(openai_errors.parse_fault(body))


def read_fault(value: object) -> UpstreamFault | None:
    """Understand an error that is decoded already."""
    return _with_code(openai_errors.read_fault(value))


def _with_code(fault: UpstreamFault | None) -> UpstreamFault | None:
    if fault is not None and fault.code is None:
        for words, code in _TELLING:
            if fault.message.startswith(words):
                return structs.replace(fault, code=code)
    return fault
