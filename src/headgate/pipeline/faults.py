"""What a provider's failure means: for the caller one of our errors, for the next attempt a class of failure.

Only what `_shown` lets through of a provider's words reaches a caller, redacted; the rest is our own sentence.
"""

import email.utils
from collections.abc import Mapping
from typing import Final

from msgspec import Struct

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
from headgate.domain.routing import FailureClass
from headgate.providers.provider import Provider
from headgate.providers.redact import redact
from headgate.upstream.transport import (
    AddressRefusedError,
    AnswerTooLargeError,
    ConnectTimeoutError,
    EncodedAnswerError,
    FirstEventTimeoutError,
    IdleTimeoutError,
    MalformedHttpError,
    TotalTimeoutError,
    UpstreamFailure,
)
from headgate.wire.format import MalformedAnswerError, UpstreamFault

_QUOTA_CODES: Final = frozenset(
    {
        "insufficient_quota",
        "billing_hard_limit_reached",
        "billing_not_active",
        "enforced_spend_limit_reached",
        "billing_error",
        "credit_balance_too_low",
        "ServiceQuotaExceededException",
    }
)
_CONTEXT_CODES: Final = frozenset({"context_length_exceeded", "string_above_max_length", "request_too_large"})
_AUTH_CODES: Final = frozenset({"invalid_api_key", "organization_restricted"})
_RATE_CODES: Final = frozenset({"ThrottlingException"})
_OVERLOAD_CODES: Final = frozenset({"ModelNotReadyException", "capacity_exceeded"})
"""Whatever the status: 429 and Groq's own 498 ("Flex Tier Capacity Exceeded")."""
_FILTER_CODES: Final = frozenset({"content_filter", "content_policy_violation", "moderation_blocked"})
_MODEL_CODES: Final = frozenset({"model_not_found", "model_not_available", "model_access_denied"})
"""The credential is good, but not for this model: no reason to bench it for the others."""
_CLASS_OF_WORD: Final = {
    "overloaded_error": FailureClass.OVERLOAD,
    "api_error": FailureClass.OVERLOAD,
    "server_error": FailureClass.OVERLOAD,
    "timeout_error": FailureClass.OVERLOAD,
    "rate_limit_error": FailureClass.RATE,
    "rate_limit_exceeded": FailureClass.RATE,
    "tokens": FailureClass.RATE,
    "requests": FailureClass.RATE,
    "authentication_error": FailureClass.AUTH,
    "invalid_api_key": FailureClass.AUTH,
    "permission_error": FailureClass.AUTH,
    "invalid_request_error": FailureClass.BAD_REQUEST,
}
"""What codes and types mean inside a stream, where no status says it."""
_CLASS_OF_FAILURE: Final = (
    (ConnectTimeoutError, FailureClass.TRANSPORT),
    (FirstEventTimeoutError, FailureClass.STALL),
    (IdleTimeoutError, FailureClass.STALL),
    (TotalTimeoutError, FailureClass.STALL),
    (MalformedHttpError, FailureClass.MALFORMED),
    (AnswerTooLargeError, FailureClass.MALFORMED),
    (EncodedAnswerError, FailureClass.MALFORMED),
    (AddressRefusedError, FailureClass.NOT_FOUND),
    (UpstreamFailure, FailureClass.TRANSPORT),
)
_TIMEOUTS: Final = (ConnectTimeoutError, FirstEventTimeoutError, IdleTimeoutError, TotalTimeoutError)
_LONGEST_RETRY_AFTER_S: Final = 86_400.0


class Fault(Struct, frozen=True):
    """A failed attempt, judged."""

    error: HeadgateError
    """What the caller is told where nobody else answers."""
    failure: FailureClass


def fault_of_failure(failure: UpstreamFailure, provider: str) -> Fault:
    """Judge an exchange that failed below the provider's words."""
    kind = UpstreamTimeoutError if isinstance(failure, _TIMEOUTS) else UpstreamError
    error = kind(f"The provider `{provider}` failed: {failure.message}.", reason=failure.kind)
    return Fault(error, next(each for kind, each in _CLASS_OF_FAILURE if isinstance(failure, kind)))


def fault_of_status(
    status: int, fault: UpstreamFault | None, headers: Mapping[bytes, bytes], provider: Provider, now: float
) -> Fault:
    """Judge an answer whose status is not 2xx; ``now`` is wall-clock seconds."""
    words = _shown(fault, provider)
    code = (fault.code or fault.type or "") if fault is not None else ""
    param = fault.param if fault is not None else None
    retry_after_s = parse_retry_after(headers, now)
    reason = f"provider_status_{status}"
    if code in _FILTER_CODES:
        # Before the status: some say 403 to what was asked, and that is no reason to bench the credential.
        return Fault(ContentFilteredError(words, param=param, reason=reason), FailureClass.CONTENT_FILTER)
    if code in _QUOTA_CODES or code in _AUTH_CODES or status in (401, 402, 403):
        # The provider's words may name our account or key, so none of them are shown.
        error = UpstreamCredentialsExhaustedError(
            f"The provider `{provider.name}` refuses the gateway's credential (status {status}).", reason=reason
        )
        if code in _QUOTA_CODES or status == 402:
            return Fault(error, FailureClass.QUOTA)
        return Fault(error, FailureClass.NOT_FOUND if code in _MODEL_CODES else FailureClass.AUTH)
    if code in _CONTEXT_CODES:
        return Fault(ContextLengthExceededError(words, param=param, reason=reason), FailureClass.CONTEXT_LENGTH)
    if status == 424 or code in _OVERLOAD_CODES:
        # 424 is a failure behind the provider: Azure's "failed dependency", Bedrock's ModelErrorException.
        return Fault(UpstreamError(words, reason=reason, retry_after_s=retry_after_s), FailureClass.OVERLOAD)
    if status == 429 or code in _RATE_CODES:
        error = UpstreamRateLimitedError(words, reason=reason, retry_after_s=retry_after_s)
        return Fault(error, FailureClass.RATE)
    if status == 404:
        return Fault(ModelNotFoundError(words, param=param or "model", reason=reason), FailureClass.NOT_FOUND)
    if status in (408, 504):
        error = UpstreamTimeoutError(words, reason=reason, retry_after_s=retry_after_s)
        return Fault(error, FailureClass.OVERLOAD)
    if status == 413:
        # Too large for this provider; another one may take it.
        return Fault(BodyTooLargeError(words, reason=reason), FailureClass.CONTEXT_LENGTH)
    if 400 <= status < 500:
        return Fault(InvalidRequestError(words, param=param, reason=reason), FailureClass.BAD_REQUEST)
    if 300 <= status < 400:
        error = UpstreamError(
            f"The provider `{provider.name}` answered with a redirect ({status}), which is never followed.",
            reason=reason,
        )
        return Fault(error, FailureClass.MALFORMED)
    return Fault(UpstreamError(words, reason=reason, retry_after_s=retry_after_s), FailureClass.OVERLOAD)


def fault_in_answer(fault: UpstreamFault, provider: Provider) -> Fault:
    """Judge an error that the provider sent inside a good answer, whole or streamed."""
    words, reason = _shown(fault, provider), "provider_error_event"
    named = [word for word in (fault.code, fault.type) if word is not None]
    if not _FILTER_CODES.isdisjoint(named):
        return Fault(ContentFilteredError(words, reason=reason), FailureClass.CONTENT_FILTER)
    if not _QUOTA_CODES.isdisjoint(named):
        message = f"The provider `{provider.name}` refuses the gateway's credential."
        return Fault(UpstreamCredentialsExhaustedError(message, reason=reason), FailureClass.QUOTA)
    failure = FailureClass.CONTEXT_LENGTH if not _CONTEXT_CODES.isdisjoint(named) else FailureClass.OVERLOAD
    for word in named:
        failure = _CLASS_OF_WORD.get(word, failure)
    return Fault(UpstreamError(words, reason=reason), failure)


def fault_of_malformed(error: MalformedAnswerError, provider: Provider) -> Fault:
    """Judge an answer that cannot be read; a parser may quote the provider's bytes."""
    why = redact(str(error), provider.secrets)
    message = f"The provider `{provider.name}` sent an answer that cannot be read: {why}."
    return Fault(UpstreamError(message, reason="malformed"), FailureClass.MALFORMED)


def parse_retry_after(headers: Mapping[bytes, bytes], now: float) -> float | None:
    """Return the wait a provider asks for, in seconds (RFC 9110 §10.2.3, and ``retry-after-ms``); ``None`` if unusable.

    Negative and absurdly long waits are bounded, since a provider's typing error must not park a client for a year.
    """
    text = headers.get(b"retry-after-ms")
    if text is not None and text.replace(b".", b"", 1).isdigit():
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
