"""What each refusal of a limit becomes for its caller."""

import pytest

from headgate.domain.access import ScopeKind, ScopeRef, VirtualKey
from headgate.domain.limits import LimitedKind
from headgate.ledger.outcomes import Refusal, RefusalCode
from headgate.pipeline.refusals import error_of_refusal, limit_of

KEY = VirtualKey("key_1", "ci", (ScopeRef(ScopeKind.ORGANIZATION, "org_1", "acme"),), ("*",))
USD = 1_000_000_000


def refusal(code: RefusalCode, **facts: object) -> Refusal:
    budget = Refusal(
        code=code,
        kind=LimitedKind.ORGANIZATION,
        scope_id="org_1",
        limit_name="bud_7",
        limit=5 * USD,
        used=4 * USD,
        held=USD // 2,
        asked=USD,
        resets_at_ms=1_800_000_000_000,
        account="organization/org_1/bud_7/2026-11",
    )
    return Refusal(**{name: getattr(budget, name) for name in Refusal.__struct_fields__} | facts)


@pytest.mark.parametrize(
    ("code", "status", "retry_after_ms"),
    [
        (RefusalCode.REQUEST_EXCEEDS_BUDGET, 402, None),
        (RefusalCode.BUDGET_EXHAUSTED, 402, None),
        (RefusalCode.BUDGET_IN_FLIGHT, 429, 1500),
    ],
)
def test_a_budgets_refusal_has_its_code_its_figures_in_usd_and_its_period(
    code: RefusalCode, status: int, retry_after_ms: int | None
) -> None:
    error = error_of_refusal(refusal(code, retry_after_ms=retry_after_ms), KEY)
    assert (error.status, error.code, error.reason) == (status, code.value, "bud_7/2026-11")
    assert error.retryable is (status == 429)
    assert error.retry_after_s == (None if retry_after_ms is None else 1.5)
    assert error.limit is not None
    assert (error.limit.scope, error.limit.limit, error.limit.used) == ("organization/org_1", "5", "4")
    assert (error.limit.held, error.limit.resets_at) == ("0.5", "2027-01-15T08:00:00.000Z")
    assert "organization `acme`" in error.message


@pytest.mark.parametrize(("retry_after_ms", "retryable"), [(2500, True), (None, False)])
def test_a_window_that_can_never_hold_the_request_is_not_worth_another_try(
    retry_after_ms: int | None, retryable: bool
) -> None:
    window = refusal(
        RefusalCode.RATE_LIMIT_EXCEEDED,
        kind=LimitedKind.KEY,
        scope_id="key_1",
        limit_name="tpm",
        limit=100,
        used=90,
        held=0,
        asked=20,
        retry_after_ms=retry_after_ms,
        account="",
    )
    error = error_of_refusal(window, KEY)
    assert (error.status, error.code, error.reason, error.retryable) == (429, "rate_limit_exceeded", "tpm", retryable)
    assert error.message == (
        "The limit of the key `ci` is 100 tokens a minute; 90 are used, and this request takes 20."
    )
    assert limit_of(window) == "key/key_1/tpm"


def test_concurrency_says_how_many() -> None:
    full = refusal(RefusalCode.CONCURRENCY_EXCEEDED, limit_name="concurrency", limit=2, resets_at_ms=None, account="")
    error = error_of_refusal(full, KEY)
    assert (error.code, error.reason) == ("concurrency_exceeded", "concurrency")
    assert error.limit is not None
    assert error.limit.resets_at is None


def test_an_end_user_is_called_by_the_name_that_the_request_gave() -> None:
    error = error_of_refusal(
        refusal(RefusalCode.BUDGET_EXHAUSTED, kind=LimitedKind.END_USER, scope_id="org_1/ada"), KEY
    )
    assert "the end user `ada`" in error.message
