"""What is left on a path: the figures of its accounts and windows, for headers and for whoever asks."""

from collections.abc import Sequence

from msgspec import Struct

from headgate.ledger.chart import Account, place_of
from headgate.ledger.engine import Engine
from headgate.ledger.limit_book import LimitPath
from headgate.ledger.outcomes import BudgetStatus, Moment, PathStatus, WindowStatus
from headgate.ledger.periods import FOREVER_MS
from headgate.ledger.windows import Ring


def status_of(engine: Engine, path: LimitPath, now: Moment) -> PathStatus:
    """Return every account and window of ``path`` at this moment."""
    lines = engine.chart.lines(path, now.wall_ms)
    windows = [_window(ring, now) for ring in lines.requests]
    windows += [_window(ring, now) for ring in lines.tokens]
    windows += [
        WindowStatus(line.kind, line.scope_id, "concurrency", counter.limit, max(0, counter.limit - counter.running), 0)
        for line, counter in lines.counters
    ]
    return PathStatus(tuple(_budget(account) for account in lines.accounts), tuple(windows))


class RateLeft(Struct, frozen=True, gc=False):
    """What is left of the tightest window of a kind."""

    limit: int
    remaining: int
    resets_in_ms: int


def rates_left(engine: Engine, path: LimitPath, now: Moment) -> tuple[RateLeft | None, RateLeft | None]:
    """Return what is left of requests and of tokens on ``path``, and look at nothing else: every answer tells it."""
    lines = engine.chart.lines(path, now.wall_ms)
    return _tightest(lines.requests, now.mono_ms), _tightest(lines.tokens, now.mono_ms)


def _tightest(rings: Sequence[Ring], mono_ms: int) -> RateLeft | None:
    """Of the window of which the smallest part is left."""
    found, least, remaining = None, 2.0, 0
    for ring in rings:
        left = ring.remaining(mono_ms)
        part = left / ring.limit if ring.limit else 0.0
        if part < least:
            found, least, remaining = ring, part, left
    return None if found is None else RateLeft(found.limit, remaining, found.resets_in_ms(mono_ms))


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
