"""An engine's state as plain values, and an engine made again from them and the rows that followed.

Windows run on a monotonic clock that begins anew with every boot, so what is saved of them is in wall-clock ms. Where a
clock was set back meanwhile, what lies in the future counts as admitted now: windows err on the full side.
"""

from collections.abc import Iterable
from typing import Any, Final

from msgspec import Struct

from headgate.domain.limits import AccountKey, LimitedKind
from headgate.ledger.chart import Account, Gone
from headgate.ledger.engine import Engine, Reservation
from headgate.ledger.outcomes import Ask, Moment, Reason, State
from headgate.ledger.rows import ACCOUNT, ADJUST, ATTEMPT, END, EXTEND, INTENT, PART, PATH, RELEASE, WINDOW, Row
from headgate.ledger.windows import SHAPES, Ring


class SavedAccount(Struct, frozen=True, gc=False):
    """One account: what announces it (a row of kind ``ACCOUNT``), and its balance."""

    row: Row
    posted: int
    fired: int


class SavedWindow(Struct, frozen=True, array_like=True, gc=False):
    """One window of tokens; ``last_ms`` is when its newest bucket began (wall clock)."""

    number: int
    name: str
    shape: str
    limit: int
    smooth: bool
    last_ms: int
    buckets: tuple[int, ...]
    debt: int


class SavedHold(Struct, frozen=True, array_like=True, gc=False):
    """One open reservation; accounts and windows by number, ``marks`` as (window, bucket's start in ms, amount)."""

    rid: str
    state: int
    opened_wall_ms: int
    held: int
    posted: int
    overrun: int
    tokens: int
    expected: int
    used_tokens: int
    accounts: tuple[int, ...]
    windows: tuple[int, ...]
    marks: tuple[tuple[int, int, int], ...]
    memo: Any = None


class Checkpoint(Struct, frozen=True):
    """What changed since the checkpoint before, and every open hold."""

    accounts: tuple[SavedAccount, ...]
    windows: tuple[SavedWindow, ...]
    holds: tuple[SavedHold, ...]
    gone: Gone
    next_number: int
    horizon_ms: int


_NOTHING: Final = Gone((), (), ())


def take_checkpoint(engine: Engine, now: Moment, *, prune: bool = False) -> Checkpoint:
    """Return what a store must keep beside later rows, and with ``prune`` let the engine forget what is over.

    Costs what changed since the last one and what is open; pruning costs what is in memory.
    """
    ahead = now.wall_ms - now.mono_ms
    chart = engine.chart
    accounts: list[SavedAccount] = []
    for account in chart.touched_accounts:
        account.dirty = False
        accounts.append(SavedAccount(account.row, account.posted, account.fired))
    chart.touched_accounts.clear()
    holds = tuple(_saved_hold(reservation, ahead) for reservation in engine.open.values())
    used = {each for hold in holds for each in (*hold.accounts, *hold.windows)} if prune else set[int]()
    windows: list[SavedWindow] = []
    for ring in chart.touched_windows:
        ring.dirty = False
        last, buckets, debt = ring.dump()
        last_ms = last * ring.shape.width_ms + ahead
        windows.append(
            SavedWindow(ring.number, ring.name, ring.shape.name, ring.limit, ring.smooth, last_ms, buckets, debt)
        )
    chart.touched_windows.clear()
    chart.begin_epoch()
    gone = chart.prune(now, used) if prune else _NOTHING
    return Checkpoint(tuple(accounts), tuple(windows), holds, gone, chart.next_number, chart.horizon_ms)


def _saved_hold(held: Reservation, ahead: int) -> SavedHold:
    return SavedHold(
        held.rid,
        int(held.state),
        held.opened_wall_ms,
        held.held,
        held.posted,
        held.overrun,
        held.tokens,
        held.expected,
        held.used_tokens,
        tuple(account.number for account in held.accounts),
        tuple(ring.number for ring in held.rings),
        tuple((ring.number, index * ring.shape.width_ms + ahead, amount) for ring, index, amount in held.marks),
        held.memo,
    )


class Replay:
    """Makes a new, empty engine what it was: first what was saved, then the rows after it."""

    def __init__(self, engine: Engine, now: Moment) -> None:
        """Fill ``engine``, whose own rows are to be thrown away meanwhile."""
        self._engine: Final = engine
        self._now = now
        self._ahead = now.wall_ms - now.mono_ms
        self._accounts: dict[int, Account] = {}
        self._windows: dict[int, Ring] = {}
        self._paths: dict[int, tuple[tuple[Account, ...], tuple[Ring, ...]]] = {}

    def restore(
        self,
        accounts: Iterable[SavedAccount],
        windows: Iterable[SavedWindow],
        holds: Iterable[SavedHold],
        next_number: int,
        horizon_ms: int,
    ) -> None:
        """Take over what checkpoints saved. Nothing of it counts as changed."""
        chart = self._engine.chart
        chart.next_number = next_number
        chart.horizon_ms = horizon_ms
        for saved in accounts:
            account = self._account(saved.row)
            account.posted, account.fired = saved.posted, saved.fired
            account.aim()
        for each in windows:
            ring = self._window((WINDOW, each.number, each.name, each.shape, each.limit, each.smooth))
            ring.restore(self._index(ring, each.last_ms), each.buckets, each.debt)
        for hold in holds:
            self._hold(hold)

    def apply(self, rows: Iterable[Row]) -> int:
        """Do again what these rows say, in their order; return how many there were."""
        count = 0
        for row in rows:
            count += 1
            self._apply(row)
        return count

    def _apply(self, row: Row) -> None:
        kind = row[0]
        if kind == INTENT:
            _, rid, path, wall_ms, *ask, memo = row
            now = self._moment(wall_ms)
            accounts, rings = self._paths[path]
            reservation = Reservation(rid, accounts, rings, now.wall_ms, now.mono_ms, memo, [])
            self._engine.open[rid] = reservation
            _hold_again(reservation, Ask(*ask), now)
        elif kind == END:
            self._end(row)
        elif kind == ATTEMPT:
            self._engine.dispatched(row[1])
        elif kind in (EXTEND, RELEASE, PART):
            self._change(row)
        elif kind == ADJUST:
            names = tuple(self._accounts[number].name for number in row[2])
            self._engine.adjust(names, row[3], row[4], self._moment(row[1]))
        elif kind in (ACCOUNT, WINDOW):
            announced = self._account(row) if kind == ACCOUNT else self._window(row)
            if not announced.dirty:
                announced.touch()
        elif kind == PATH:
            accounts, windows = self._accounts, self._windows
            self._paths[row[1]] = (tuple(accounts[each] for each in row[2]), tuple(windows[each] for each in row[3]))

    def _change(self, row: Row) -> None:
        kind, rid, wall_ms, *rest = row
        now = self._moment(wall_ms)
        if kind == EXTEND:
            _hold_again(self._engine.open[rid], Ask(*rest), now)
        elif kind == RELEASE:
            self._engine.release_part(rid, Ask(*rest), now)
        else:
            amount, tokens, payee = rest
            self._engine.post_part(rid, amount, tokens, payee, now)

    def _end(self, row: Row) -> None:
        _, rid, wall_ms, amount, tokens, payee, state, reason, _ = row
        now = self._moment(wall_ms)
        if state == State.VOIDED:
            self._engine.void(rid, now, reason=Reason(reason))
        else:
            self._engine.settle(rid, amount, tokens, now, payee=payee, reason=Reason(reason))

    def _account(self, row: Row) -> Account:
        _, number, kind, scope_id, budget_id, period_id, limit, enforced, starts_ms, ends_ms = row
        account = self._accounts.get(number)
        if account is None:
            key = AccountKey(LimitedKind(kind), scope_id, budget_id, period_id)
            chart = self._engine.chart
            account = Account(
                number,
                key,
                limit=limit,
                enforced=enforced,
                starts_ms=starts_ms,
                ends_ms=ends_ms,
                touched=chart.touched_accounts,
            )
            self._accounts[number] = chart.accounts[account.name] = account
            chart.next_number = max(chart.next_number, number + 1)
            return account
        account.limit, account.enforced = limit, enforced
        account.aim()
        return account

    def _window(self, row: Row) -> Ring:
        _, number, name, shape, limit, smooth = row
        ring = self._windows.get(number)
        if ring is None:
            chart = self._engine.chart
            ring = Ring(number, name, SHAPES[shape], limit, chart.touched_windows, smooth=smooth)
            self._windows[number] = chart.windows[name] = ring
            chart.next_number = max(chart.next_number, number + 1)
        ring.limit, ring.smooth = limit, smooth
        return ring

    def _hold(self, saved: SavedHold) -> None:
        accounts = tuple(self._accounts[number] for number in saved.accounts)
        rings = tuple(self._windows[number] for number in saved.windows)
        opened = self._moment(saved.opened_wall_ms)
        held = Reservation(
            saved.rid,
            accounts,
            rings,
            opened.wall_ms,
            opened.mono_ms,
            saved.memo,
            [self._mark(*mark) for mark in saved.marks],
            State(saved.state),
            saved.held,
            saved.posted,
            saved.overrun,
            saved.tokens,
            saved.expected,
            saved.used_tokens,
        )
        for account in accounts:
            account.held += saved.held
        self._engine.open[saved.rid] = held

    def _mark(self, number: int, bucket_ms: int, amount: int) -> tuple[Ring, int, int]:
        ring = self._windows[number]
        return ring, self._index(ring, bucket_ms), amount

    def _index(self, ring: Ring, wall_ms: int) -> int:
        # Rounded up: a bucket that seems younger than it is ages later, which can only refuse more.
        width_ms = ring.shape.width_ms
        return min(-(-(wall_ms - self._ahead) // width_ms), self._now.mono_ms // width_ms)

    def _moment(self, wall_ms: int) -> Moment:
        return Moment(wall_ms, min(wall_ms - self._ahead, self._now.mono_ms))


def _hold_again(held: Reservation, ask: Ask, now: Moment) -> None:
    for ring in held.rings:
        ring.advance(now.mono_ms)
    held.hold(ask)
