"""What may be spent and how fast: budgets (money per period), rate limits (requests and tokens per window), accounts.

A limit hangs on something limited: a scope of the tree, a virtual key, or one of the three things a request names
itself, an end user, a model and a tag. `check_budget` and `check_rate_limits` are the one validator of both.
"""

from enum import StrEnum
from typing import Final

from msgspec import Struct

from headgate.domain.money import MAX_NANO_USD

MAX_TOKENS: Final = 9_000_000_000_000_000
"""The largest count of tokens or requests that is kept exactly everywhere (see `headgate.domain.money`)."""


class LimitedKind(StrEnum):
    """What a limit can hang on, the outermost first."""

    ORGANIZATION = "organization"
    TEAM = "team"
    PROJECT = "project"
    USER = "user"
    KEY = "key"
    END_USER = "end_user"
    MODEL = "model"
    TAG = "tag"


class Period(StrEnum):
    """For how long a budget's amount lasts, in the organization's time zone; weeks begin on Monday."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    TOTAL = "total"
    """Once, for good."""


class BudgetMode(StrEnum):
    """What happens where a request does not fit."""

    ENFORCE = "enforce"
    AUDIT = "audit"
    """Everything is counted and nothing refused; what would have been refused is reported."""


class WindowMode(StrEnum):
    """Which figure of a request a window of tokens admits."""

    STRICT = "strict"
    """The upper bound, so that in every interval of the window's length no more than the limit is used."""
    SMOOTH = "smooth"
    """What is expected; what was used beyond it is carried as debt until later windows have paid it."""


class Override(Struct, frozen=True):
    """Another amount for a while, such as a raise until Monday."""

    amount_nano_usd: int
    until_ms: int
    """Wall-clock ms; from then on the budget's own amount holds again."""


class Budget(Struct, frozen=True):
    """So much money in every period."""

    id: str
    amount_nano_usd: int
    period: Period
    mode: BudgetMode = BudgetMode.ENFORCE
    override: Override | None = None
    version: int = 1
    """Rises with every change, so that a request with an older snapshot cannot bring an old amount back."""


class RateLimits(Struct, frozen=True):
    """Requests a minute, tokens a minute, hour and day, and requests at once; ``None`` is no limit."""

    rpm: int | None = None
    tpm: int | None = None
    tph: int | None = None
    tpd: int | None = None
    concurrency: int | None = None
    tpm_mode: WindowMode = WindowMode.SMOOTH
    tph_mode: WindowMode = WindowMode.STRICT
    tpd_mode: WindowMode = WindowMode.STRICT
    version: int = 1
    """As a budget's."""


class AccountKey(Struct, frozen=True):
    """One account: a new period is a new account, and no job ever resets one."""

    kind: LimitedKind
    scope_id: str
    budget_id: str
    period_id: str

    @property
    def name(self) -> str:
        """The key as one text, such as ``team/team_42/bud_7/2026-11``."""
        return f"{self.kind}/{self.scope_id}/{self.budget_id}/{self.period_id}"


class BudgetEvent(Struct, frozen=True, gc=False):
    """A budget's account has passed a share of its limit: told once per account and share."""

    at_ms: int
    """Wall clock, ms since the epoch."""
    organization_id: str | None
    account: str
    """The account's name: see `AccountKey.name`."""
    kind: LimitedKind
    scope_id: str
    """What the budget hangs on: a scope, a key, or what a request names itself."""
    budget_id: str
    percent: int
    posted_nano_usd: int
    """What was posted when it was passed."""
    limit_nano_usd: int

    @property
    def id(self) -> str:
        """Names the event, so that telling it twice is telling it once."""
        return f"{self.account}/{self.percent}"


class InvalidLimitError(ValueError):
    """A limit or an amount that cannot be kept exactly; ``field`` names it."""

    def __init__(self, field: str, problem: str) -> None:
        """Say which field is wrong, and how."""
        super().__init__(f"{field}: {problem}")
        self.field = field


def check_amount(value: object, field: str, most: int = MAX_NANO_USD) -> int:
    """Return ``value`` where it is an integer from 0 to ``most``.

    Raises:
        InvalidLimitError: it is anything else: negative, a bool, a float (NaN and whole ones included), a text, or
            above what is exact in every store.
    """
    # A bool is an int to Python, and a float that looks whole may have been rounded: only an int is an amount.
    if type(value) is not int:
        raise InvalidLimitError(field, f"must be a whole number, not {type(value).__name__}")
    if value < 0:
        raise InvalidLimitError(field, "must not be negative")
    if value > most:
        raise InvalidLimitError(field, f"must not be above {most}")
    return value


def check_budget(budget: Budget) -> Budget:
    """Return ``budget`` where all of it can be kept. Raises `InvalidLimitError`, which names the field."""
    if type(budget.id) is not str or not budget.id:
        raise InvalidLimitError("id", "must be a text that is not empty")
    check_amount(budget.amount_nano_usd, "amount_nano_usd")
    _check_word(budget.period, Period, "period")
    _check_word(budget.mode, BudgetMode, "mode")
    check_amount(budget.version, "version")
    if budget.override is not None:
        check_amount(budget.override.amount_nano_usd, "override.amount_nano_usd")
        check_amount(budget.override.until_ms, "override.until_ms")
    return budget


def check_rate_limits(limits: RateLimits) -> RateLimits:
    """Return ``limits`` where all of them can be kept. Raises `InvalidLimitError`, which names the field."""
    for field in ("rpm", "tpm", "tph", "tpd", "concurrency"):
        value = getattr(limits, field)
        if value is not None:
            check_amount(value, field, MAX_TOKENS)
    for field in ("tpm_mode", "tph_mode", "tpd_mode"):
        _check_word(getattr(limits, field), WindowMode, field)
    check_amount(limits.version, "version")
    return limits


def _check_word(value: object, kind: type[StrEnum], field: str) -> None:
    if not isinstance(value, kind):
        raise InvalidLimitError(field, f"must be one of {', '.join(kind)}")
