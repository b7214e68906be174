"""What a limit's refusal means for the caller: one table from the ledger's words to our own errors."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from headgate.domain.access import VirtualKey
from headgate.domain.errors import (
    BudgetExhaustedError,
    BudgetInFlightError,
    ConcurrencyExceededError,
    HeadgateError,
    LimitDetail,
    RateLimitExceededError,
    RequestExceedsBudgetError,
)
from headgate.domain.limits import LimitedKind
from headgate.domain.money import format_usd
from headgate.ledger.outcomes import Refusal, RefusalCode

_UNITS: Final = {"rpm": "requests a minute", "tpm": "tokens a minute", "tph": "tokens an hour", "tpd": "tokens a day"}
_BUDGETS: Final = {
    RefusalCode.REQUEST_EXCEEDS_BUDGET: RequestExceedsBudgetError,
    RefusalCode.BUDGET_EXHAUSTED: BudgetExhaustedError,
    RefusalCode.BUDGET_IN_FLIGHT: BudgetInFlightError,
}


def error_of_refusal(refusal: Refusal, key: VirtualKey) -> HeadgateError:
    """Return the caller's error for what a limit refused; ``key`` is the caller's, for the names on its path."""
    whose = _whose(refusal, key)
    if refusal.code in _BUDGETS:
        return _BUDGETS[refusal.code](
            f"The budget of {whose} is {format_usd(refusal.limit)} USD; {format_usd(refusal.used)} are spent and "
            f"{format_usd(refusal.held)} are held by running requests, and this one can cost up to "
            f"{format_usd(refusal.asked)}.",
            # The account's name ends in the budget's id and the period.
            reason="/".join(refusal.account.rsplit("/", 2)[-2:]),
            retry_after_s=_retry_after_s(refusal),
            limit=_detail(refusal, format_usd),
        )
    reason, retry_after_s, detail = refusal.limit_name, _retry_after_s(refusal), _detail(refusal, str)
    if refusal.code is RefusalCode.CONCURRENCY_EXCEEDED:
        words = f"At most {refusal.limit} requests of {whose} may run at once."
        return ConcurrencyExceededError(words, reason=reason, retry_after_s=retry_after_s, limit=detail)
    words = (
        f"The limit of {whose} is {refusal.limit} {_UNITS[refusal.limit_name]}; {refusal.used} are used, "
        f"and this request takes {refusal.asked}."
    )
    error = RateLimitExceededError(words, reason=reason, retry_after_s=retry_after_s, limit=detail)
    # What is larger than the whole window never fits, so no waiting mends it.
    error.retryable = retry_after_s is not None
    return error


def limit_of(refusal: Refusal) -> str:
    """Return what a record calls the limit: an account's name, or that of a window."""
    return refusal.account or f"{refusal.kind}/{refusal.scope_id}/{refusal.limit_name}"


def _whose(refusal: Refusal, key: VirtualKey) -> str:
    if refusal.kind is LimitedKind.KEY:
        return f"the key `{key.name}`"
    for scope in key.path:
        if scope.id == refusal.scope_id:
            return f"the {scope.kind} `{scope.slug}`"
    # An end user, model or tag: the organization's id and the name.
    name = refusal.scope_id.partition("/")[2]
    return f"the {refusal.kind.replace('_', ' ')} `{name}`"


def _detail(refusal: Refusal, show: Callable[[int], str]) -> LimitDetail:
    resets_at = None
    if refusal.resets_at_ms is not None:
        moment = datetime.fromtimestamp(refusal.resets_at_ms / 1000, UTC)
        resets_at = moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
    return LimitDetail(
        scope=f"{refusal.kind}/{refusal.scope_id}",
        limit=show(refusal.limit),
        used=show(refusal.used),
        held=show(refusal.held),
        resets_at=resets_at,
    )


def _retry_after_s(refusal: Refusal) -> float | None:
    return None if refusal.retry_after_ms is None else refusal.retry_after_ms / 1000
