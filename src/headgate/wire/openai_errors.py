"""OpenAI's error object, both ways: a provider's error body understood, ours rendered for the caller."""

from typing import Final, cast

import msgspec
from msgspec import UNSET, Struct, UnsetType, structs

from headgate.domain.errors import HeadgateError
from headgate.wire.format import UpstreamFault
from headgate.wire.json_body import member_of, read_any

MAX_FAULT_CHARS: Final = 4096
"""A provider's message beyond it is cut: it is shown to a caller, not archived."""

# OpenAI's own words where it has one for the status, else the nearest of its family.
_TYPES: Final = {
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    409: "conflict_error",
    429: "rate_limit_error",
    504: "timeout_error",
}

_TELLING: Final = (
    ("This model's maximum context length is", "context_length_exceeded"),
    ("Input is too long for requested model", "context_length_exceeded"),
    ("The input token count (", "context_length_exceeded"),
    ("API key not valid", "invalid_api_key"),
    ("API key expired", "invalid_api_key"),
    ("User location is not supported", "invalid_api_key"),
)
"""The words of those who have no code for it: DeepSeek and vLLM, Bedrock, and Google, who says 400 to a bad key.

Only at the beginning of a message: further on it may quote the caller, who must not name what benches a credential.
"""


class HeadgateDetail(Struct):
    """What every format's error says in ``error.headgate``; what is not known is left out."""

    code: str
    reason: str | None
    doc_url: str
    request_id: str
    param: str | UnsetType | None = UNSET
    scope: str | UnsetType = UNSET
    limit: str | UnsetType = UNSET
    used: str | UnsetType = UNSET
    held: str | UnsetType = UNSET
    resets_at: str | UnsetType | None = UNSET


class _ErrorDetail(Struct):
    message: str
    type: str
    param: str | None
    code: str
    headgate: HeadgateDetail


class _ErrorBody(Struct):
    error: _ErrorDetail


_ENCODE: Final = msgspec.json.Encoder().encode


def error_type(status: int) -> str:
    """Return OpenAI's ``type`` word for a status."""
    return _TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")


def render_error(error: HeadgateError, request_id: str) -> bytes:
    """Return the error body for the caller."""
    detail = detail_of(error, request_id)
    message = clean(error.message) or error.code
    return _ENCODE(_ErrorBody(_ErrorDetail(message, error_type(error.status), clean(error.param), error.code, detail)))


def detail_of(error: HeadgateError, request_id: str) -> HeadgateDetail:
    """Return the part of an error that is the same in every format."""
    detail = HeadgateDetail(error.code, clean(error.reason), error.doc_url, request_id)
    limit = error.limit
    if limit is not None:
        detail.scope = limit.scope.encode("utf-8", "replace").decode()
        detail.limit, detail.used, detail.held, detail.resets_at = limit.limit, limit.used, limit.held, limit.resets_at
    return detail


def render_stream_error(error: HeadgateError, request_id: str) -> bytes:
    """Return the event that ends a stream which failed after content began; no ``[DONE]`` follows it.

    OpenAI's clients raise on an event whose data has ``error``.
    """
    return b"data: " + render_error(error, request_id) + b"\n\n"


def clean(text: str | None) -> str | None:
    """Make text encodable: a message may quote a header that held half a surrogate pair."""
    return None if text is None else text.encode("utf-8", "replace").decode()


def parse_fault(body: bytes) -> UpstreamFault | None:
    """Understand a provider's error body: OpenAI's object, or one of the shapes that its imitators use.

    ``{"error": {…}}``, ``{"error": "text"}``, ``{"message": …}``, ``{"detail": …}`` (FastAPI), and Google's
    ``[{"error": {…}}]``. HTML and plain text give ``None``.
    """
    try:
        value = cast("object", read_any(body))
    except (ValueError, RecursionError):
        return None
    if isinstance(value, list):
        items = cast("list[object]", value)
        return read_fault(items[0]) if items else None
    return read_fault(value)


def read_fault(value: object) -> UpstreamFault | None:
    """Understand an error that is decoded already."""
    error = member_of(value, "error")
    if isinstance(error, str) and error:
        return UpstreamFault(_cut(error), _word(value, "type"), _word(value, "code"), _word(value, "param"))
    if error:
        return _with_code(_read_object(error) or _read_word(error))
    return _with_code(_read_object(value))


def _with_code(fault: UpstreamFault | None) -> UpstreamFault | None:
    """Name by its words what has no code of OpenAI's."""
    if fault is not None:
        for words, code in _TELLING:
            if fault.message.startswith(words):
                return structs.replace(fault, code=code)
    return fault


def _read_object(error: object) -> UpstreamFault | None:
    kind = _word(error, "type") or _word(error, "status") or (_word(error, "__type") or "").rpartition("#")[2] or None
    code = _word(error, "code")
    if member_of(member_of(error, "metadata"), "reasons"):
        code = "content_filter"  # openrouter.ai, "Errors": moderation, under status 403.
    for name in ("message", "Message", "detail", "msg", "error_message"):
        message = _message(member_of(error, name))
        if message:
            return UpstreamFault(_cut(message), kind, code, _word(error, "param"))
    return None


def _read_word(error: object) -> UpstreamFault | None:
    """Make do with an error object that has a type or a code but no words."""
    kind, code = _word(error, "type") or _word(error, "status"), _word(error, "code")
    return UpstreamFault(kind or code or "", kind, code, _word(error, "param")) if kind or code else None


def _message(value: object) -> str | None:
    """Read a message that may be text, an object with one, or FastAPI's list of problems."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "; ".join(text for item in cast("list[object]", value)[:8] if (text := _message(item))) or None
    for name in ("message", "msg", "detail"):
        inner = member_of(value, name)
        if isinstance(inner, str):
            return inner
    return None


def _word(value: object, name: str) -> str | None:
    """Return a short word; Google and OpenRouter give ``code`` as a number."""
    word = member_of(value, name)
    if isinstance(word, str):
        return word[:256] or None
    return str(word) if type(word) is int else None


def _cut(text: str) -> str:
    return text if len(text) <= MAX_FAULT_CHARS else text[:MAX_FAULT_CHARS] + "…"
