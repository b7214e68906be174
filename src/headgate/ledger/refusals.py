"""Why a claim does not fit, in the contract's words: the slow path of a reservation, taken only when one is refused."""

from typing import Final

from headgate.ledger.chart import Account, Lines, place_of
from headgate.ledger.outcomes import Ask, Moment, Refusal, RefusalCode
from headgate.ledger.periods import FOREVER_MS
from headgate.ledger.windows import Ring

LONGEST_RETRY_MS: Final = 5_000
"""What a caller is told to wait at most for holds to settle (accounting.md §1.4)."""
SHORTEST_RETRY_MS: Final = 100
_SEVEREST_FIRST: Final = {code: place for place, code in enumerate(RefusalCode)}


def refusal_of_account(account: Account, amount: int, typical_hold_ms: int) -> Refusal | None:
    """Say why ``amount`` does not fit ``account``; ``None`` where it does.

    ``typical_hold_ms`` is how long holds have lasted lately: the hint for those who wait for some to settle.
    """
    if not amount or account.posted + account.held + amount <= account.limit:
        return None
    retry_after_ms = None
    if amount > account.limit:
        code = RefusalCode.REQUEST_EXCEEDS_BUDGET
    elif account.posted + amount > account.limit:
        code = RefusalCode.BUDGET_EXHAUSTED
    else:
        code = RefusalCode.BUDGET_IN_FLIGHT
        retry_after_ms = min(LONGEST_RETRY_MS, max(SHORTEST_RETRY_MS, typical_hold_ms))
    return Refusal(
        code=code,
        kind=account.key.kind,
        scope_id=account.key.scope_id,
        limit_name=account.key.budget_id,
        limit=account.limit,
        used=account.posted,
        held=account.held,
        asked=amount,
        resets_at_ms=account.ends_ms if account.ends_ms < FOREVER_MS else None,
        retry_after_ms=retry_after_ms,
        account=account.name,
    )


def refusal_of_window(ring: Ring, amount: int, now: Moment) -> Refusal | None:
    """Say why ``amount`` does not fit the window; ``None`` where it does."""
    if ring.fits(amount, now.mono_ms):
        return None
    kind, scope_id = place_of(ring.name)
    return Refusal(
        code=RefusalCode.RATE_LIMIT_EXCEEDED,
        kind=kind,
        scope_id=scope_id,
        limit_name=ring.shape.name,
        limit=ring.limit,
        used=ring.total + ring.debt,
        held=0,
        asked=amount,
        resets_at_ms=now.wall_ms + ring.resets_in_ms(now.mono_ms),
        retry_after_ms=ring.frees_in_ms(amount, now.mono_ms),
    )


def severest(refusals: list[Refusal]) -> Refusal:
    """The one to tell: what no waiting mends comes first, and holds that settle soon come last."""
    return min(refusals, key=lambda refusal: _SEVEREST_FIRST[refusal.code])


def why_not(lines: Lines, ask: Ask, now: Moment, typical_hold_ms: int) -> tuple[Refusal | None, tuple[Refusal, ...]]:
    """Return what refuses, if anything does, and what budgets in audit mode would have refused."""
    binding: list[Refusal] = []
    audited: list[Refusal] = []
    for account in lines.accounts:
        refusal = refusal_of_account(account, ask.nano_usd, typical_hold_ms)
        if refusal is not None:
            (binding if account.enforced else audited).append(refusal)
    for ring in lines.tokens:
        refusal = refusal_of_window(ring, ask.expected_tokens if ring.smooth else ask.tokens, now)
        if refusal is not None:
            binding.append(refusal)
    return severest(binding) if binding else None, tuple(audited)
