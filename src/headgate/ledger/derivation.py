"""What the accounts must hold, worked out from the rows alone: the second opinion on every balance.

It shares no code with the engine on purpose. It adds up what was posted per account, follows every reservation to its
one end, and looks whether an admission took an account above its limit.
"""

from collections.abc import Iterable
from typing import Final

from headgate.ledger.outcomes import Reason, State
from headgate.ledger.replay import SavedHold
from headgate.ledger.rows import ACCOUNT, ADJUST, END, EXTEND, INTENT, PART, PATH, RELEASE, Row

MOST_PROBLEMS: Final = 100


class Reserved:
    """An open reservation: account numbers, what is held on each, what was posted on each in parts."""

    __slots__ = ("accounts", "held", "posted")

    def __init__(self, accounts: tuple[int, ...], held: int, posted: int) -> None:
        """As of now."""
        self.accounts = accounts
        self.held = held
        self.posted = posted


class Derivation:
    """Sums over rows, taken in as they were written."""

    def __init__(self, holds: Iterable[SavedHold] = ()) -> None:
        """Begin with what was open before the first row."""
        self.posted: dict[int, int] = {}
        """What the rows posted, by account number."""
        self.held: dict[int, int] = {}
        """What is held after the last row, by account number."""
        self.open: dict[str, Reserved] = {}
        self.intents = 0
        self.ends: dict[str, int] = {"posted": 0, "voided": 0}
        self.recovered = 0
        self.overrun = 0
        """What ends and parts posted beyond what was held for them, nano-USD."""
        self.problems: list[str] = []
        self._paths: dict[int, tuple[int, ...]] = {}
        self.limits: dict[int, tuple[str, int, bool]] = {}
        """Accounts that were announced: name, limit, whether it binds."""
        self._base: dict[int, int] = {}
        for hold in holds:
            self.open[hold.rid] = Reserved(hold.accounts, hold.held, hold.posted)
            for number in hold.accounts:
                self.held[number] = self.held.get(number, 0) + hold.held

    def know(self, number: int, name: str, limit: int, posted: int, *, enforced: bool) -> None:
        """Say what an account's limit and balance were before the first row."""
        self.limits[number] = (name, limit, enforced)
        self._base[number] = posted

    def take(self, rows: Iterable[Row]) -> None:
        """Take in these rows, which follow those before."""
        for row in rows:
            kind = row[0]
            if kind == INTENT:
                self._intent(row)
            elif kind == END:
                self._end(row)
            elif kind == PART:
                self._part(row)
            elif kind in (EXTEND, RELEASE):
                self._change(row[1], row[3] if kind == EXTEND else -row[3])
            elif kind == ADJUST:
                self._move(row[2], 0, row[3])
            elif kind == PATH:
                self._paths[row[1]] = tuple(row[2])
            elif kind == ACCOUNT:
                self.limits[row[1]] = ("/".join(row[2:6]), row[6], row[7])

    def _intent(self, row: Row) -> None:
        _, rid, path, _, amount, _, _, _ = row
        self.intents += 1
        if rid in self.open:
            self._say(f"{rid} was reserved twice")
        accounts = self._paths.get(path)
        if accounts is None:
            self._say(f"{rid} names a path that was never announced")
            accounts = ()
        self.open[rid] = Reserved(accounts, amount, 0)
        held = self.held
        for number in accounts:
            held[number] = held.get(number, 0) + amount
        if amount:
            self._check_limits(rid, accounts)

    def _change(self, rid: str, amount: int) -> None:
        known = self.open.get(rid)
        if known is None:
            self._say(f"{rid} changes what it holds and is not open")
            return
        known.held += amount
        self._move(known.accounts, amount, 0)
        if known.held < 0:
            self._say(f"{rid} holds less than nothing")
        if amount > 0:
            self._check_limits(rid, known.accounts)

    def _part(self, row: Row) -> None:
        _, rid, _, amount, _, _ = row
        known = self.open.get(rid)
        if known is None:
            self._say(f"{rid} posts a part and is not open")
            return
        freed = min(known.held, amount)
        self.overrun += amount - freed
        known.held -= freed
        known.posted += amount
        self._move(known.accounts, -freed, amount)

    def _end(self, row: Row) -> None:
        _, rid, _, amount, _, _, state, reason, _ = row
        known = self.open.pop(rid, None)
        if known is None:
            self._say(f"{rid} ends and is not open: it ended twice, or was never reserved")
            return
        if state == State.VOIDED:
            self.ends["voided"] += 1
            if amount or known.posted:
                self._say(f"{rid} is voided with money posted")
        else:
            self.ends["posted"] += 1
        if reason == Reason.RECOVERED:
            self.recovered += 1
        if amount > known.held:
            self.overrun += amount - known.held
        self._move(known.accounts, -known.held, amount)

    def _move(self, accounts: Iterable[int], held: int, posted: int) -> None:
        for number in accounts:
            self.held[number] = self.held.get(number, 0) + held
            self.posted[number] = self.posted.get(number, 0) + posted

    def _check_limits(self, rid: str, accounts: Iterable[int]) -> None:
        for number in accounts:
            name, limit, enforced = self.limits.get(number, ("", 0, False))
            total = self._base.get(number, 0) + self.posted.get(number, 0) + self.held[number]
            if enforced and total > limit:
                self._say(f"{rid} was admitted on {name} to {total} of {limit}")

    def _say(self, problem: str) -> None:
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(problem)
