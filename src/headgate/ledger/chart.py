"""The chart of accounts: every account, window and counter in memory, and which of them a path means at a moment.

A path is resolved once per period and snapshot, then found by one look-up. What is new is announced as a row.
"""

from collections.abc import Callable
from typing import Final

from msgspec import Struct

from headgate.domain.limits import AccountKey, Budget, BudgetMode, LimitedKind, RateLimits, WindowMode
from headgate.ledger.limit_book import BudgetLine, LimitPath, RateLine
from headgate.ledger.outcomes import THRESHOLDS_PERCENT, Moment, Threshold
from headgate.ledger.periods import FOREVER_MS, span_of
from headgate.ledger.rows import ACCOUNT, PATH, WINDOW, Row
from headgate.ledger.windows import RPM, TPD, TPH, TPM, Counter, Ring, WindowShape

RESOLVED: Final = 65_536
"""Resolved paths that are kept at most."""
KEPT_AFTER_END_MS: Final = 2 * 86_400_000
"""How long after its period an account stays in memory, for clocks that jump back and holds that end late."""
_NEVER: Final = 2**63


class Account:
    """One account's balance, nano-USD. ``posted + held <= limit`` after every admission."""

    __slots__ = (
        "alert_at",
        "dirty",
        "ends_ms",
        "enforced",
        "fired",
        "held",
        "key",
        "limit",
        "name",
        "number",
        "posted",
        "starts_ms",
        "touched",
    )

    def __init__(
        self,
        number: int,
        key: AccountKey,
        *,
        limit: int,
        enforced: bool,
        starts_ms: int,
        ends_ms: int,
        touched: "list[Account]",
    ) -> None:
        """An account on which nothing was posted yet; ``touched`` is where it puts itself when it changes."""
        self.number = number
        self.key = key
        self.name = key.name
        self.limit = limit
        self.enforced = enforced
        self.starts_ms = starts_ms
        self.ends_ms = ends_ms
        self.posted = 0
        self.held = 0
        self.fired = 0
        """How many of the thresholds were reported."""
        self.alert_at = 0
        """What `posted` must reach for a threshold to be crossed."""
        self.touched = touched
        self.dirty = False
        """Changed since it was last saved, and therefore in ``touched``."""
        self.aim()

    def touch(self) -> None:
        """Say that it changes; to be called where ``dirty`` is false."""
        self.dirty = True
        self.touched.append(self)

    def aim(self) -> None:
        """Set where the next threshold lies, after ``limit`` or ``fired`` was set."""
        if self.fired == len(THRESHOLDS_PERCENT) or not self.limit:
            self.alert_at = _NEVER
        else:
            self.alert_at = -(-self.limit * THRESHOLDS_PERCENT[self.fired] // 100)

    def crossed(self) -> tuple[Threshold, ...]:
        """Return the thresholds that were crossed since the last call."""
        if self.posted < self.alert_at:
            return ()
        found: list[Threshold] = []
        while self.posted >= self.alert_at:
            percent = THRESHOLDS_PERCENT[self.fired]
            key = self.key
            found.append(Threshold(self.name, key.kind, key.scope_id, key.budget_id, percent, self.posted, self.limit))
            self.fired += 1
            self.aim()
        return tuple(found)

    @property
    def row(self) -> Row:
        """What announces it."""
        key = self.key
        return (
            ACCOUNT,
            self.number,
            str(key.kind),
            key.scope_id,
            key.budget_id,
            key.period_id,
            self.limit,
            self.enforced,
            self.starts_ms,
            self.ends_ms,
        )


class Lines:
    """What a path means from ``starts_ms`` to ``ends_ms``: the accounts, windows and counters themselves."""

    __slots__ = (
        "accounts",
        "counters",
        "ends_ms",
        "enforced",
        "epoch",
        "number",
        "path",
        "requests",
        "starts_ms",
        "tokens",
    )

    def __init__(self, path: LimitPath, accounts: tuple[Account, ...], starts_ms: int, ends_ms: int) -> None:
        """Lines with accounts alone."""
        self.path = path
        self.accounts = accounts
        self.starts_ms = starts_ms
        self.ends_ms = ends_ms
        self.enforced = any(account.enforced for account in accounts)
        self.tokens: tuple[Ring, ...] = ()
        """The windows of tokens."""
        self.requests: tuple[Ring, ...] = ()
        """Likewise of requests."""
        self.counters: tuple[tuple[RateLine, Counter], ...] = ()
        self.number = 0
        self.epoch = 0

    @classmethod
    def of(cls, accounts: tuple[Account, ...], tokens: tuple[Ring, ...]) -> "Lines":
        """The lines of a reservation that is open, whatever its path has come to mean since."""
        lines = cls(LimitPath(""), accounts, -FOREVER_MS, FOREVER_MS)
        lines.tokens = tokens
        return lines


class Gone(Struct, frozen=True):
    """What `Chart.prune` took out of memory, by number."""

    accounts: tuple[int, ...]
    """Whose periods are over; they are kept on disk."""
    idle_accounts: tuple[int, ...]
    """On which nothing was ever posted."""
    windows: tuple[int, ...]


class Chart:
    """Accounts and windows by name. Changes nothing but its own maps."""

    def __init__(self, emit: Callable[[Row], object]) -> None:
        """An empty chart that announces what is new through ``emit``."""
        self._emit = emit
        self.accounts: dict[str, Account] = {}
        self.touched_accounts: Final[list[Account]] = []
        """Changed since the last checkpoint; likewise the windows."""
        self.touched_windows: Final[list[Ring]] = []
        self.windows: dict[str, Ring] = {}
        """Of tokens; a journal knows them."""
        self._requests: dict[str, Ring] = {}
        """Of requests, in memory alone: what a process admitted before it died holds nobody back."""
        self._counters: dict[str, Counter] = {}
        self._newest: dict[str, Budget | RateLimits] = {}
        self._resolved: dict[str, Lines] = {}
        self._paths: dict[tuple[tuple[int, ...], tuple[int, ...]], int] = {}
        self._epoch = 1
        self.next_number = 1
        self.horizon_ms = -FOREVER_MS
        """The end of the latest period that was forgotten: time never runs back behind it."""

    def lines(self, path: LimitPath, wall_ms: int) -> Lines:
        """Return what ``path`` means at this moment. The hot path: one look-up."""
        if wall_ms < self.horizon_ms:  # noqa: PLR1730  a call of max is a tenth of what this costs
            wall_ms = self.horizon_ms
        lines = self._resolved.get(path.name)
        if lines is not None and lines.path is path and lines.starts_ms <= wall_ms < lines.ends_ms:
            return lines
        lines = self._resolve(path, wall_ms)
        if len(self._resolved) >= RESOLVED:
            self._resolved.clear()
        self._resolved[path.name] = lines
        return lines

    def announced(self, lines: Lines) -> int:
        """Return the number under which this path's rows go, announcing it first where that is needed."""
        if lines.epoch == self._epoch:
            return lines.number
        place = (tuple(each.number for each in lines.accounts), tuple(ring.number for ring in lines.tokens))
        number = self._paths.get(place)
        if number is None:
            number = self._paths[place] = len(self._paths) + 1
            self._emit((PATH, number, *place))
        lines.number, lines.epoch = number, self._epoch
        return number

    def account(self, key: AccountKey, limit: int, starts_ms: int, ends_ms: int, *, enforced: bool) -> Account:
        """Return the account of ``key`` with this limit, announcing it where it or its limit is new."""
        account = self.accounts.get(key.name)
        if account is None:
            number = self._take_number()
            account = Account(
                number,
                key,
                limit=limit,
                enforced=enforced,
                starts_ms=starts_ms,
                ends_ms=ends_ms,
                touched=self.touched_accounts,
            )
            self.accounts[account.name] = account
            account.touch()
            self._emit(account.row)
        elif account.limit != limit or account.enforced is not enforced:
            account.limit, account.enforced = limit, enforced
            account.aim()
            if not account.dirty:
                account.touch()
            self._emit(account.row)
        return account

    def begin_epoch(self) -> None:
        """Announce paths anew from here on, so that rows that follow need none from before."""
        self._epoch += 1
        self._paths.clear()

    def prune(self, now: Moment, used: set[int]) -> Gone:
        """Forget what is over or idle; ``used`` are the numbers of accounts and windows that reservations still name.

        Looks at everything that is in memory, about 0.1 µs each: now and then, and not for every checkpoint.
        """
        closed: list[int] = []
        idle: list[int] = []
        for account in list(self.accounts.values()):
            if account.number in used or account.dirty:
                continue
            # One that was corrected back to nothing stays, so that no threshold is told a second time.
            if not account.posted and not account.fired:
                idle.append(account.number)
            elif account.ends_ms + KEPT_AFTER_END_MS <= now.wall_ms:
                closed.append(account.number)
                self.horizon_ms = max(self.horizon_ms, account.ends_ms)
            else:
                continue
            del self.accounts[account.name]
        empty = [ring for ring in self.windows.values() if ring.number not in used and _is_idle(ring, now)]
        for ring in empty:
            del self.windows[ring.name]
        for name in [name for name, ring in self._requests.items() if _is_idle(ring, now)]:
            del self._requests[name]
        for name in [name for name, counter in self._counters.items() if not counter.running]:
            del self._counters[name]
        if len(self._newest) > RESOLVED:
            self._newest.clear()
        self._resolved.clear()
        return Gone(tuple(closed), tuple(idle), tuple(ring.number for ring in empty))

    def _take_number(self) -> int:
        number = self.next_number
        self.next_number += 1
        return number

    def _resolve(self, path: LimitPath, wall_ms: int) -> Lines:
        starts_ms, ends_ms = -FOREVER_MS, FOREVER_MS
        accounts: list[Account] = []
        for line in path.budgets:
            budget = self._newest_budget(line)
            span = span_of(budget.period, wall_ms, path.time_zone)
            starts_ms, ends_ms = max(starts_ms, span.starts_at_ms), min(ends_ms, span.ends_at_ms)
            amount = budget.amount_nano_usd
            if budget.override is not None and wall_ms < budget.override.until_ms:
                amount = budget.override.amount_nano_usd
                ends_ms = min(ends_ms, budget.override.until_ms)
            key = AccountKey(line.kind, line.scope_id, budget.id, span.id)
            enforced = budget.mode is BudgetMode.ENFORCE
            accounts.append(self.account(key, amount, span.starts_at_ms, span.ends_at_ms, enforced=enforced))
        lines = Lines(path, tuple(accounts), starts_ms, ends_ms)
        self._add_rates(lines)
        return lines

    def _add_rates(self, lines: Lines) -> None:
        tokens: list[Ring] = []
        requests: list[Ring] = []
        counters: list[tuple[RateLine, Counter]] = []
        for line in lines.path.rates:
            rates = self._newest_rates(line)
            place = f"{line.kind}/{line.scope_id}"
            if rates.rpm is not None:
                ring = self._requests.setdefault(f"{place}/rpm", Ring(0, f"{place}/rpm", RPM, rates.rpm, []))
                ring.limit = rates.rpm
                requests.append(ring)
            for shape, limit, mode in (
                (TPM, rates.tpm, rates.tpm_mode),
                (TPH, rates.tph, rates.tph_mode),
                (TPD, rates.tpd, rates.tpd_mode),
            ):
                if limit is not None:
                    tokens.append(self._window(place, shape, limit, mode))
            if rates.concurrency is not None:
                counter = self._counters.setdefault(place, Counter(rates.concurrency))
                counter.limit = rates.concurrency
                counters.append((line, counter))
        lines.tokens, lines.requests, lines.counters = tuple(tokens), tuple(requests), tuple(counters)

    def _window(self, place: str, shape: WindowShape, limit: int, mode: WindowMode) -> Ring:
        name = f"{place}/{shape.name}"
        smooth = mode is WindowMode.SMOOTH
        ring = self.windows.get(name)
        if ring is None:
            number = self._take_number()
            ring = self.windows[name] = Ring(number, name, shape, limit, self.touched_windows, smooth=smooth)
        elif ring.limit == limit and ring.smooth is smooth:
            return ring
        ring.limit, ring.smooth = limit, smooth
        if not ring.dirty:
            ring.touch()
        self._emit((WINDOW, ring.number, name, shape.name, limit, smooth))
        return ring

    def _newest_budget(self, line: BudgetLine) -> Budget:
        """A request that holds an older snapshot must not bring back a limit that was lowered since."""
        known = self._newest.get(line.budget.id)
        if isinstance(known, Budget) and known.version > line.budget.version:
            return known
        self._newest[line.budget.id] = line.budget
        return line.budget

    def _newest_rates(self, line: RateLine) -> RateLimits:
        place = f"{line.kind}/{line.scope_id}"
        known = self._newest.get(place)
        if isinstance(known, RateLimits) and known.version > line.rates.version:
            return known
        self._newest[place] = line.rates
        return line.rates


def _is_idle(ring: Ring, now: Moment) -> bool:
    ring.advance(now.mono_ms)
    return ring.is_empty


def place_of(name: str) -> tuple[LimitedKind, str]:
    """Return what a window of this name hangs on: its kind and id."""
    kind, _, rest = name.partition("/")
    return LimitedKind(kind), rest.rpartition("/")[0]
