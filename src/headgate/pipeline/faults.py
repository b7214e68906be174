"""What a provider's failure means for the caller: one table from status and code to our own errors.

Only what `_shown` lets through of a provider's words reaches a caller, redacted; the rest is our own sentence.
"""

import email.utils
from collections.abc import Mapping
from typing import Final

from headgate.domain.errors import (
    BodyTooLargeError,
    ContentFilteredError,
    ContextLengthExceededError,
    HeadgateError,
    InvalidRequestError,
    ModelNotFoundError,
    UpstreamCredentialsExhaustedError,
    UpstreamError,
    UpstreamRateLimitedError,
    UpstreamTimeoutError,
)
from headgate.providers.provider import Provider
from headgate.providers.redact import redact
from headgate.upstream.transport import (
    ConnectTimeoutError,
    FirstEventTimeoutError,
    IdleTimeoutError,
    TotalTimeoutError,
    UpstreamFailure,
)
from headgate.wire.format import MalformedAnswerError, UpstreamFault

_QUOTA_CODES: Final = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"})
_CONTEXT_CODES: Final = frozenset({"context_length_exceeded", "string_above_max_length"})
_FILTER_CODES: Final = frozenset({"content_filter", "content_policy_violation", "moderation_blocked"})
_TIMEOUTS: Final = (ConnectTimeoutError, FirstEventTimeoutError, IdleTimeoutError, TotalTimeoutError)
_LONGEST_RETRY_AFTER_S: Final = 86_400.0


def error_of_failure(failure: UpstreamFailure, provider: str) -> HeadgateError:
    """Return the caller's error for an exchange that failed below the provider's words."""
    kind = UpstreamTimeoutError if isinstance(failure, _TIMEOUTS) else UpstreamError
    return kind(f"The provider `{provider}` failed: {failure.message}.", reason=failure.kind)


def error_of_status(
    status: int, fault: UpstreamFault | None, headers: Mapping[bytes, bytes], provider: Provider, now: float
) -> HeadgateError:
    """Return the caller's error for an answer whose status is not 2xx; ``now`` is wall-clock seconds."""
    words = _shown(fault, provider)
    code = (fault.code or fault.type or "") if fault is not None else ""
    param = fault.param if fault is not None else None
    retry_after_s = parse_retry_after(headers, now)
    reason = f"provider_status_{status}"
    if code in _QUOTA_CODES or status in (401, 402, 403):
        # The provider's words may name our account or key, so none of them are shown.
        return UpstreamCredentialsExhaustedError(
            f"The provider `{provider.name}` refuses the gateway's credential (status {status}).", reason=reason
        )
    if code in _CONTEXT_CODES:
        return ContextLengthExceededError(words, param=param, reason=reason)
    if code in _FILTER_CODES:
        return ContentFilteredError(words, param=param, reason=reason)
    if status == 429:
        return UpstreamRateLimitedError(words, reason=reason, retry_after_s=retry_after_s)
    if status == 404:
        return ModelNotFoundError(words, param=param or "model", reason=reason)
    if status in (408, 504):
        return UpstreamTimeoutError(words, reason=reason, retry_after_s=retry_after_s)
    if status == 413:
        return BodyTooLargeError(words, reason=reason)
    if 400 <= status < 500:
        return InvalidRequestError(words, param=param, reason=reason)
    if 300 <= status < 400:
        return UpstreamError(
            f"The provider `{provider.name}` answered with a redirect ({status}), which is never followed.",
            reason=reason,
        )
    return UpstreamError(words, reason=reason, retry_after_s=retry_after_s)


def error_in_stream(fault: UpstreamFault, provider: Provider) -> HeadgateError:
    """Return the caller's error for an error that the provider sent inside a good answer, whole or streamed."""
    if fault.code in _FILTER_CODES:
        return ContentFilteredError(_shown(fault, provider), reason="provider_error_event")
    return UpstreamError(_shown(fault, provider), reason="provider_error_event")


def error_of_malformed(error: MalformedAnswerError, provider: Provider) -> HeadgateError:
    """Return the caller's error for an answer that cannot be read; a parser may quote the provider's bytes."""
    why = redact(str(error), provider.secrets)
    return UpstreamError(
        f"The provider `{provider.name}` sent an answer that cannot be read: {why}.", reason="malformed"
    )


def parse_retry_after(headers: Mapping[bytes, bytes], now: float) -> float | None:
    """Return the wait a provider asks for, in seconds (RFC 9110 §10.2.3, and ``retry-after-ms``); ``None`` if unusable.

    Negative and absurdly long waits are bounded, since a provider's typing error must not park a client for a year.
    """
    text = headers.get(b"retry-after-ms")
    if text is not None and text.isdigit():
        # As a float, for Python refuses integers of more than 4300 digits.
        return min(float(text) / 1000, _LONGEST_RETRY_AFTER_S)
    raw = headers.get(b"retry-after")
    if raw is None:
        return None
    value = raw.decode("latin-1").strip()
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(value).timestamp() - now
        except (ValueError, OverflowError):
            return None
    if not seconds >= 0:
        return 0.0 if seconds < 0 else None
    return min(seconds, _LONGEST_RETRY_AFTER_S)


def _shown(fault: UpstreamFault | None, provider: Provider) -> str:
    if fault is None or not fault.message:
        return f"The provider `{provider.name}` answered with an error that it did not explain."
    return f"{provider.name}: {redact(fault.message, provider.secrets)}"
