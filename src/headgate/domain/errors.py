"""Every error a caller can meet, as one tree.

    HeadgateError
    ├── InvalidRequestError            400 invalid_request
    │   ├── UnsupportedParameterError  400 unsupported_parameter
    │   ├── UnsupportedFeatureError    400 unsupported_feature
    │   └── ContextLengthExceededError 400 context_length_exceeded
    ├── ContentFilteredError           400 content_filtered
    ├── InvalidApiKeyError             401 invalid_api_key
    ├── BudgetExhaustedError           402 budget_exhausted
    ├── RequestExceedsBudgetError      402 request_exceeds_budget
    ├── UnpricedModelError             403 unpriced_model
    ├── ModelNotAllowedError           403 model_not_allowed
    ├── ResidencyViolationError        403 residency_violation
    ├── PermissionDeniedError          403 permission_denied
    ├── NotFoundError                  404 not_found
    │   └── ModelNotFoundError         404 model_not_found
    ├── MethodNotAllowedError          405 method_not_allowed
    ├── RequestTimeoutError            408 request_timeout
    ├── ConflictError                  409 conflict
    │   └── ProvisionedReadOnlyError   409 provisioned_read_only
    ├── IdempotencyInFlightError       409 idempotency_in_flight
    ├── IdempotencyNotReplayableError  409 idempotency_not_replayable
    ├── PreconditionFailedError        412 precondition_failed
    ├── BodyTooLargeError              413 body_too_large
    ├── UnsupportedMediaTypeError      415 unsupported_media_type
    ├── ValidationFailedError          422 validation_failed
    ├── IdempotencyMismatchError       422 idempotency_mismatch
    ├── ConfigRejectedError            422 config_rejected
    ├── PreconditionRequiredError      428 precondition_required
    ├── UpstreamRateLimitedError       429 upstream_rate_limited
    ├── RateLimitExceededError         429 rate_limit_exceeded
    ├── BudgetInFlightError            429 budget_in_flight
    ├── ConcurrencyExceededError       429 concurrency_exceeded
    ├── HeadersTooLargeError           431 headers_too_large
    ├── ClientClosedError              499 client_closed (record only: nobody is left to read it)
    ├── InternalError                  500 internal_error
    ├── UpstreamError                  502 upstream_error
    │   └── UpstreamCredentialsExhaustedError 502 upstream_credentials_exhausted
    ├── OverloadedError                503 overloaded
    ├── LedgerUnavailableError         503 ledger_unavailable
    ├── CacheMissError                 504 cache_miss
    ├── DeadlineExceededError          504 deadline_exceeded
    └── UpstreamTimeoutError           504 upstream_timeout

`message` is always safe to show: it is written by us, or is a provider's text that was redacted. A wire format renders
an error in its own dialect; the code is the class name's words in snake case and is a promise
(docs/reference/errors.md).
"""

from typing import ClassVar, Final

from msgspec import Struct

DOCS: Final = "https://headgate.dev/docs/reference/errors"


class LimitDetail(Struct, frozen=True):
    """The limit that refused a request, as its caller may read it."""

    scope: str
    """What the limit hangs on: kind and id, such as ``team/team_42``."""
    limit: str
    """Money as a decimal of USD; tokens and requests as a whole number. Likewise the next two."""
    used: str
    held: str
    """What requests hold that have not ended."""
    resets_at: str | None
    """RFC 3339; ``None`` where it never does."""


class ConfigFinding(Struct, frozen=True, kw_only=True):
    """One reason why a configuration cannot be used."""

    file: str
    """The file's name as it was given, or ``environment``."""
    line: int | None
    """Counted from 1; ``null`` where no line is to blame."""
    path: str
    """The setting, such as ``providers.openai.base_url``; empty where none is to blame."""
    message: str

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return ": ".join(part for part in (place, self.path, self.message) if part)


class HeadgateError(Exception):
    """An error with a status, a code and words for the caller."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    retryable: bool = False
    """Whether the same request may succeed later; false sends ``x-should-retry: false``."""

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        reason: str | None = None,
        retry_after_s: float | None = None,
        limit: LimitDetail | None = None,
    ) -> None:
        """Say what happened in ``message``, which field is to blame, why in detail, and when to come back (s)."""
        super().__init__(message)
        self.message = message
        self.param = param
        self.reason = reason
        self.retry_after_s = retry_after_s
        self.limit = limit

    @property
    def doc_url(self) -> str:
        """The page that explains this code."""
        return f"{DOCS}#{self.code}"


class InvalidRequestError(HeadgateError):
    """The request is malformed."""

    status = 400
    code = "invalid_request"


class UnsupportedParameterError(InvalidRequestError):
    """A field that is refused by name, such as a routing field in a body."""

    code = "unsupported_parameter"


class UnsupportedFeatureError(InvalidRequestError):
    """The target's wire format cannot carry what was asked; nothing is dropped in silence."""

    code = "unsupported_feature"


class ContextLengthExceededError(InvalidRequestError):
    """The provider says the prompt is longer than the model's context window."""

    code = "context_length_exceeded"


class ContentFilteredError(HeadgateError):
    """The provider refused the content."""

    status = 400
    code = "content_filtered"


class InvalidApiKeyError(HeadgateError):
    """No key, an unknown, expired, blocked or revoked one: the caller cannot tell which."""

    status = 401
    code = "invalid_api_key"


class BudgetExhaustedError(HeadgateError):
    """What is left of a budget's period does not pay for the request; an empty period would."""

    status = 402
    code = "budget_exhausted"


class RequestExceedsBudgetError(HeadgateError):
    """The request can cost more than a whole budget."""

    status = 402
    code = "request_exceeds_budget"


class UnpricedModelError(HeadgateError):
    """No price is known for the model and ``prices.unpriced`` is ``refuse``."""

    status = 403
    code = "unpriced_model"


class ModelNotAllowedError(HeadgateError):
    """The key may not use this model."""

    status = 403
    code = "model_not_allowed"


class ResidencyViolationError(HeadgateError):
    """Nothing that the model leads to may have the data: policies on the key's path permit no target."""

    status = 403
    code = "residency_violation"


class PermissionDeniedError(HeadgateError):
    """The caller is known, and may not do this."""

    status = 403
    code = "permission_denied"


class NotFoundError(HeadgateError):
    """No such route or resource, or none that this caller may know of."""

    status = 404
    code = "not_found"


class ModelNotFoundError(NotFoundError):
    """No alias and no ``provider/model`` answers to this name."""

    code = "model_not_found"


class MethodNotAllowedError(HeadgateError):
    """The path exists, for another method."""

    status = 405
    code = "method_not_allowed"


class RequestTimeoutError(HeadgateError):
    """The client took too long to send its request."""

    status = 408
    code = "request_timeout"
    retryable = True


class ConflictError(HeadgateError):
    """The change contradicts the present state, such as a slug that is taken."""

    status = 409
    code = "conflict"


class ProvisionedReadOnlyError(ConflictError):
    """The resource is managed by the configuration file and is changed there."""

    code = "provisioned_read_only"


class IdempotencyInFlightError(HeadgateError):
    """A request under the same idempotency key is being answered."""

    status = 409
    code = "idempotency_in_flight"
    retryable = True


class IdempotencyNotReplayableError(HeadgateError):
    """The request of this idempotency key was carried out, and its answer cannot be given again."""

    status = 409
    code = "idempotency_not_replayable"


class PreconditionFailedError(HeadgateError):
    """``If-Match`` names an older version of the resource."""

    status = 412
    code = "precondition_failed"


class BodyTooLargeError(HeadgateError):
    """The body exceeds ``server.max_body``."""

    status = 413
    code = "body_too_large"


class UnsupportedMediaTypeError(HeadgateError):
    """The body is not of a type this route reads."""

    status = 415
    code = "unsupported_media_type"


class ValidationFailedError(HeadgateError):
    """A field of a management request has a wrong type or value; ``param`` names it."""

    status = 422
    code = "validation_failed"


class IdempotencyMismatchError(HeadgateError):
    """The idempotency key was sent before, with another request."""

    status = 422
    code = "idempotency_mismatch"


class ConfigRejectedError(HeadgateError):
    """A configuration that cannot be used; the last good one stays. ``findings`` say where and why."""

    status = 422
    code = "config_rejected"

    def __init__(self, message: str, findings: tuple[ConfigFinding, ...] = ()) -> None:
        """Say that it was rejected in ``message``, and every reason in ``findings``."""
        super().__init__(message)
        self.findings = findings


class PreconditionRequiredError(HeadgateError):
    """This change needs ``If-Match``."""

    status = 428
    code = "precondition_required"


class UpstreamRateLimitedError(HeadgateError):
    """The provider says 429."""

    status = 429
    code = "upstream_rate_limited"
    retryable = True


class RateLimitExceededError(HeadgateError):
    """A window of requests or tokens is full. Not worth a retry where the request is larger than the whole window."""

    status = 429
    code = "rate_limit_exceeded"
    retryable = True


class BudgetInFlightError(HeadgateError):
    """The budget would pay for the request once others that run have been settled."""

    status = 429
    code = "budget_in_flight"
    retryable = True


class ConcurrencyExceededError(HeadgateError):
    """As many requests run at once as may."""

    status = 429
    code = "concurrency_exceeded"
    retryable = True


class HeadersTooLargeError(HeadgateError):
    """The request's header fields exceed the limit."""

    status = 431
    code = "headers_too_large"


class ClientClosedError(HeadgateError):
    """The client went away before the answer was complete."""

    status = 499
    code = "client_closed"


class InternalError(HeadgateError):
    """A defect of ours; the details are in the log under the request id."""

    status = 500
    code = "internal_error"


class UpstreamError(HeadgateError):
    """The provider could not be reached, failed, or answered something unreadable."""

    status = 502
    code = "upstream_error"
    retryable = True


class UpstreamCredentialsExhaustedError(UpstreamError):
    """The provider refuses the credential Headgate holds (401, 403, quota)."""

    code = "upstream_credentials_exhausted"
    retryable = False


class OverloadedError(HeadgateError):
    """The gateway is draining or has no capacity left."""

    status = 503
    code = "overloaded"
    retryable = True


class LedgerUnavailableError(HeadgateError):
    """What a request would cost cannot be written down durably, so it is not sent."""

    status = 503
    code = "ledger_unavailable"
    retryable = True


class CacheMissError(HeadgateError):
    """The caller wants what is cached or nothing (RFC 9111 §5.2.1.7), and nothing is."""

    status = 504
    code = "cache_miss"


class DeadlineExceededError(HeadgateError):
    """The request's own deadline ran out."""

    status = 504
    code = "deadline_exceeded"


class UpstreamTimeoutError(HeadgateError):
    """The provider did not answer, or stopped answering, in time."""

    status = 504
    code = "upstream_timeout"
    retryable = True
