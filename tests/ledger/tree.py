"""A small organization with limits, and clocks that a test turns by hand."""

from headgate.domain.access import Path, ScopeKind, ScopeRef
from headgate.domain.limits import Budget, BudgetMode, LimitedKind, Override, Period, RateLimits
from headgate.ledger.engine import Engine
from headgate.ledger.limit_book import LimitBook, LimitPath, Limits
from headgate.ledger.outcomes import Ask, Claim, Held, Moment, Refusal

NOVEMBER_24_MS = 1_795_521_600_000
"""2026-11-24T12:00:00Z."""
ORGANIZATION = "org_1"
HOUR_MS = 3_600_000


class Clock:
    """Both clocks; `jump` moves the wall clock alone."""

    def __init__(self, wall_ms: int = NOVEMBER_24_MS, mono_ms: int = 1_000_000) -> None:
        self.wall_ms = wall_ms
        self.mono_ms = mono_ms

    def __call__(self) -> Moment:
        return Moment(self.wall_ms, self.mono_ms)

    def pass_ms(self, ms: int) -> None:
        self.wall_ms += ms
        self.mono_ms += ms

    def jump(self, ms: int) -> None:
        self.wall_ms += ms


def scopes(team: int = 1) -> Path:
    return (
        ScopeRef(ScopeKind.ORGANIZATION, ORGANIZATION, "acme"),
        ScopeRef(ScopeKind.TEAM, f"team_{team}", f"team-{team}"),
    )


def budget(
    name: str,
    amount: int,
    period: Period = Period.MONTH,
    mode: BudgetMode = BudgetMode.ENFORCE,
    override: Override | None = None,
    version: int = 1,
) -> Budget:
    return Budget(name, amount, period, mode, override, version)


def limits(kind: LimitedKind, place: str, *budgets: Budget, rates: RateLimits | None = None) -> Limits:
    return Limits(kind, place, budgets, rates)


def key_path(*budgets: Budget, rates: RateLimits | None = None) -> LimitPath:
    """The path of a key on which alone these limits hang."""
    return LimitBook.build([limits(LimitedKind.KEY, "key_1", *budgets, rates=rates)]).path(scopes(), "key_1")


def rates_path(**rates: object) -> LimitPath:
    return key_path(rates=RateLimits(**rates))


def make_engine() -> tuple[Engine, list[tuple]]:
    rows: list[tuple] = []
    return Engine(rows.append), rows


def claim(rid: str, path: LimitPath, nano_usd: int, tokens: int = 0, expected: int | None = None) -> Claim:
    return Claim(rid, path, Ask(nano_usd, tokens, tokens if expected is None else expected))


def held(outcome: Held | Refusal) -> Held:
    assert isinstance(outcome, Held), outcome
    return outcome


def refused(outcome: object) -> Refusal:
    assert isinstance(outcome, Refusal), outcome
    return outcome


def balances(engine: Engine) -> dict[str, tuple[int, int]]:
    return {name: (account.posted, account.held) for name, account in engine.chart.accounts.items()}


def picture(engine: Engine, now: Moment) -> object:
    """Everything that a decision depends on, as values that compare."""
    return (
        {name: (each.posted, each.held, each.limit, each.fired) for name, each in engine.chart.accounts.items()},
        {name: (ring.remaining(now.mono_ms), ring.total, ring.debt) for name, ring in engine.chart.windows.items()},
        {rid: (each.state, each.held, each.posted, each.tokens) for rid, each in engine.open.items()},
    )
