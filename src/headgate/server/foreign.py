"""Errors in the dialects whose routes are not built yet, so that their SDKs can read the 404 they get."""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from headgate.domain.errors import HeadgateError

Render = Callable[[HeadgateError, str], bytes]

_ANTHROPIC_TYPES: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
    503: "overloaded_error",
}
_GOOGLE_STATUSES: Final = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
}


def foreign_renderer(path: str, headers: Sequence[tuple[bytes, bytes]]) -> Render | None:
    """Return how to write an error for the caller of ``path``; ``None`` where OpenAI's shape is the right one."""
    if path.startswith("/v1/messages") or any(name == b"anthropic-version" for name, _ in headers):
        return _render_anthropic
    if path.startswith("/v1beta/"):
        return _render_google
    return None


def _render_anthropic(error: HeadgateError, request_id: str) -> bytes:
    """Anthropic's shape (docs.anthropic.com/en/api/errors)."""
    kind = _ANTHROPIC_TYPES.get(error.status, "api_error")
    body = {"type": kind, "message": error.message, "headgate": _details(error)}
    return msgspec.json.encode({"type": "error", "error": body, "request_id": request_id})


def _render_google(error: HeadgateError, request_id: str) -> bytes:
    """Google's shape (cloud.google.com/apis/design/errors)."""
    status = _GOOGLE_STATUSES.get(error.status, "UNKNOWN")
    details = _details(error) | {"request_id": request_id}
    return msgspec.json.encode(
        {"error": {"code": error.status, "message": error.message, "status": status, "headgate": details}}
    )


def _details(error: HeadgateError) -> dict[str, str | None]:
    return {"code": error.code, "reason": error.reason, "doc_url": error.doc_url}
