"""What the ledger is asked and what it answers: frozen values, the same from every engine."""

from enum import IntEnum, StrEnum
from typing import Final

from msgspec import Struct

from headgate.domain.limits import LimitedKind
from headgate.ledger.limit_book import LimitPath
from headgate.ledger.windows import Counter

THRESHOLDS_PERCENT: Final = (50, 80, 100)
"""Shares of a budget whose crossing is reported, once per account."""


class Moment(Struct, frozen=True, gc=False):
    """One reading of both clocks, in ms. Periods go by the wall clock, windows by the monotonic one."""

    wall_ms: int
    mono_ms: int


class Ask(Struct, frozen=True, gc=False):
    """So much, of money and of tokens."""

    nano_usd: int
    """An upper bound of the cost."""
    tokens: int = 0
    """An upper bound of the tokens, which strict windows admit."""
    expected_tokens: int = 0
    """What it will probably take, at most ``tokens``: smooth windows admit it."""


class Claim(Struct, frozen=True, gc=False):
    """What a request asks to hold before it is sent."""

    rid: str
    """The request's id: a second claim of the same id is the first one."""
    path: LimitPath
    ask: Ask
    memo: object = None
    """What the next start is to be told of the request if this process dies before it ends: anything that msgpack can
    write, frozen."""


class RefusalCode(StrEnum):
    """The contract's words for what a limit says."""

    REQUEST_EXCEEDS_BUDGET = "request_exceeds_budget"
    """Not even an empty period would fit it: 402."""
    BUDGET_EXHAUSTED = "budget_exhausted"
    """An empty period would fit it: 402, and ``resets_at_ms`` says when one begins."""
    CONCURRENCY_EXCEEDED = "concurrency_exceeded"
    RATE_LIMIT_EXCEEDED = "rate_limit_exceeded"
    BUDGET_IN_FLIGHT = "budget_in_flight"
    """It fits what is posted, but not what is held as well: 429, worth another try."""


class Refusal(Struct, frozen=True, gc=False):
    """Which limit said no, and its figures: nano-USD for a budget, tokens or requests for a window."""

    code: RefusalCode
    kind: LimitedKind
    scope_id: str
    limit_name: str
    """The budget's id, or ``rpm``, ``tpm``, ``tph``, ``tpd``, ``concurrency``."""
    limit: int
    used: int
    """Posted; for a window what it counts, debt included."""
    held: int
    asked: int
    resets_at_ms: int | None = None
    """When the period ends or the window is empty (wall clock); ``None`` where it never does."""
    retry_after_ms: int | None = None
    """When another try may succeed; ``None`` where it cannot (402, and tokens above a whole window)."""
    account: str = ""
    """The account's name, for whoever waits for it."""


class Threshold(Struct, frozen=True, gc=False):
    """A budget's account has passed a share of its limit: told once per account and share."""

    account: str
    kind: LimitedKind
    scope_id: str
    budget_id: str
    percent: int
    posted: int
    limit: int


class Admitted(Struct):
    """A running request, from `admit` to `leave`."""

    path: LimitPath
    counters: tuple[Counter, ...] = ()
    left: bool = False


class Held(Struct, frozen=True, gc=False):
    """The claim is held on every account of its path."""

    rid: str
    held_nano_usd: int
    durable_first: bool
    """A budget that can refuse is on the path: send nothing before the intent is durable."""
    again: bool = False
    """The rid was known already, and nothing was held a second time."""
    would_refuse: tuple[Refusal, ...] = ()
    """What budgets in audit mode would have said."""


class State(IntEnum):
    """Where a reservation is. The last two are final, and each is reached at most once."""

    HELD = 0
    DISPATCHED = 1
    POSTED = 2
    VOIDED = 3


class Reason(IntEnum):
    """Why a reservation ended the way it did."""

    SETTLED = 0
    """By what was used."""
    VOIDED = 1
    """Nothing was used."""
    RECOVERED = 2
    """The process died first: the whole hold is posted, since a provider may have billed it."""
    UNSENT = 3
    """The intent could not be made durable, so nothing was sent."""


class Settlement(Struct, frozen=True, gc=False):
    """How a reservation ended."""

    rid: str
    state: State
    reason: Reason
    posted_nano_usd: int
    """All that was posted for this request, earlier parts included."""
    overrun_nano_usd: int = 0
    """What was used beyond the hold: posted in full all the same, and an overage."""
    thresholds: tuple[Threshold, ...] = ()
    again: bool = False
    """It had ended before; this is how, and nothing was changed."""


class BudgetStatus(Struct, frozen=True, gc=False):
    """One account of a path, nano-USD."""

    account: str
    kind: LimitedKind
    scope_id: str
    budget_id: str
    enforced: bool
    limit: int
    posted: int
    held: int
    starts_at_ms: int
    resets_at_ms: int | None

    @property
    def free(self) -> int:
        """What could be held at this moment."""
        return max(0, self.limit - self.posted - self.held)


class WindowStatus(Struct, frozen=True, gc=False):
    """One window of a path, in tokens or requests; ``concurrency`` counts what runs."""

    kind: LimitedKind
    scope_id: str
    limit_name: str
    limit: int
    remaining: int
    resets_in_ms: int


class PathStatus(Struct, frozen=True):
    """All accounts and windows of a path."""

    budgets: tuple[BudgetStatus, ...]
    windows: tuple[WindowStatus, ...]


class LedgerUseError(Exception):
    """The ledger was asked for what cannot be, such as settling what was never reserved: a defect of the caller."""


class UnknownReservationError(LedgerUseError):
    """No reservation of this id is open, nor one that ended lately."""


class AdjustmentError(LedgerUseError):
    """An adjustment names an account that is not open, or would leave it below zero."""
