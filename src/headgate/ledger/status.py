"""What is left on a path: the figures of its accounts and windows, for headers and for whoever asks."""

from headgate.ledger.chart import Account, place_of
from headgate.ledger.engine import Engine
from headgate.ledger.limit_book import LimitPath
from headgate.ledger.outcomes import BudgetStatus, Moment, PathStatus, WindowStatus
from headgate.ledger.periods import FOREVER_MS
from headgate.ledger.windows import Ring


def status_of(engine: Engine, path: LimitPath, now: Moment) -> PathStatus:
    """Return every account and window of ``path`` at this moment."""
    lines = engine.chart.lines(path, now.wall_ms)
    windows = [_window(ring, now) for _, ring in lines.requests]
    windows += [_window(ring, now) for ring in lines.tokens]
    windows += [
        WindowStatus(line.kind, line.scope_id, "concurrency", counter.limit, max(0, counter.limit - counter.running), 0)
        for line, counter in lines.counters
    ]
    return PathStatus(tuple(_budget(account) for account in lines.accounts), tuple(windows))


def tightest(status: PathStatus, limit_names: frozenset[str]) -> WindowStatus | None:
    """The window of these names of which the smallest part is left: what the rate limit headers tell."""
    windows = [window for window in status.windows if window.limit_name in limit_names]
    return min(windows, key=lambda window: window.remaining / window.limit if window.limit else 0.0, default=None)


def _budget(account: Account) -> BudgetStatus:
    return BudgetStatus(
        account=account.name,
        kind=account.key.kind,
        scope_id=account.key.scope_id,
        budget_id=account.key.budget_id,
        enforced=account.enforced,
        limit=account.limit,
        posted=account.posted,
        held=account.held,
        starts_at_ms=account.starts_ms,
        resets_at_ms=account.ends_ms if account.ends_ms < FOREVER_MS else None,
    )


def _window(ring: Ring, now: Moment) -> WindowStatus:
    kind, scope_id = place_of(ring.name)
    remaining = ring.remaining(now.mono_ms)
    return WindowStatus(kind, scope_id, ring.shape.name, ring.limit, remaining, ring.resets_in_ms(now.mono_ms))
