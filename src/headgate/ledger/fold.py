"""What rows posted on each account: sums alone, cheap enough to be taken of every row as it is written.

Checkpoints add these sums to what all earlier rows posted. Whoever doubts them adds up the rows again, and follows each
of them, by `headgate.ledger.derivation`.
"""

from collections.abc import Iterable

from headgate.ledger.replay import SavedHold
from headgate.ledger.rows import ADJUST, END, INTENT, PART, PATH, Row

_NOWHERE: tuple[int, ...] = ()


class Fold:
    """Sums over rows, taken in as they were written."""

    __slots__ = ("_accounts_of", "_paths", "_sums")

    def __init__(self, holds: Iterable[SavedHold] = ()) -> None:
        """Begin with what was open before the first row."""
        self._accounts_of = {hold.rid: hold.accounts for hold in holds}
        self._paths: dict[int, tuple[int, ...]] = {}
        self._sums: dict[tuple[int, ...], int] = {}
        """By the accounts that a reservation is held on: most reservations share them with many."""

    def take(self, rows: Iterable[Row]) -> None:
        """Take in these rows, which follow those before."""
        accounts_of, sums = self._accounts_of, self._sums
        for row in rows:
            kind = row[0]
            if kind == INTENT:
                accounts_of[row[1]] = self._paths[row[2]]
            elif kind == END:
                accounts = accounts_of.pop(row[1], _NOWHERE)
                sums[accounts] = sums.get(accounts, 0) + row[3]
            elif kind == PART:
                accounts = accounts_of.get(row[1], _NOWHERE)
                sums[accounts] = sums.get(accounts, 0) + row[3]
            elif kind == PATH:
                self._paths[row[1]] = tuple(row[2])
            elif kind == ADJUST:
                accounts = tuple(row[2])
                sums[accounts] = sums.get(accounts, 0) + row[3]

    @property
    def posted(self) -> dict[int, int]:
        """What the rows posted, by account number."""
        posted: dict[int, int] = {}
        for accounts, amount in self._sums.items():
            for number in accounts:
                posted[number] = posted.get(number, 0) + amount
        return posted
