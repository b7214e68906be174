"""Errors in the dialects whose routes are not built yet, so that their SDKs can read the 404 they get."""

from collections.abc import Callable
from typing import Final

import msgspec

from headgate.domain.errors import HeadgateError

Render = Callable[[HeadgateError, str], bytes]

_GOOGLE_STATUSES: Final = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
}


def foreign_renderer(path: str) -> Render | None:
    """Return how to write an error for the caller of ``path``; ``None`` where a wire format of ours does."""
    return _render_google if path.startswith("/v1beta/") else None


def _render_google(error: HeadgateError, request_id: str) -> bytes:
    """Google's shape (cloud.google.com/apis/design/errors)."""
    status = _GOOGLE_STATUSES.get(error.status, "UNKNOWN")
    details = _details(error) | {"request_id": request_id}
    return msgspec.json.encode(
        {"error": {"code": error.status, "message": error.message, "status": status, "headgate": details}}
    )


def _details(error: HeadgateError) -> dict[str, str | None]:
    return {"code": error.code, "reason": error.reason, "doc_url": error.doc_url}
