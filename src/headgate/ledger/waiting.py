"""Waiting for holds to settle, first come, first served: what a request does before it is told `budget_in_flight`.

Who is refused by an account because of what others hold stands in that account's queue. Whenever something of the
account is freed, its head is tried again, in the call that freed it: nothing polls. A newcomer whose path holds an
account with a queue stands behind it, so a large request is not overtaken for ever by small ones. Who is then refused
by another account moves to that one's queue and keeps his place by arrival.

Works over any engine whose claim is decided at once.
"""

import asyncio
from bisect import insort
from collections.abc import Callable, Iterable

from headgate.ledger.outcomes import Claim, Held, Refusal, RefusalCode


class _Waiter:
    """One request in line."""

    __slots__ = ("account", "answer", "claim", "ticket")

    def __init__(self, claim: Claim, ticket: int, answer: "asyncio.Future[Held | Refusal | None]") -> None:
        self.claim = claim
        self.ticket = ticket
        self.answer = answer
        """`None` where the time is up."""
        self.account = ""

    def __lt__(self, other: "_Waiter") -> bool:
        return self.ticket < other.ticket


class BudgetQueue:
    """The queues of all accounts. Belongs to one event loop."""

    def __init__(self, reserve: Callable[[Claim], Held | Refusal], void: Callable[[str], object]) -> None:
        """Try claims with ``reserve``; undo with ``void``, which calls `freed`, one that nobody waits for any more."""
        self._reserve = reserve
        self._void = void
        self._queues: dict[str, list[_Waiter]] = {}
        self._tickets = 0

    @property
    def is_empty(self) -> bool:
        """Nobody waits."""
        return not self._queues

    def line_at(self, accounts: Iterable[str]) -> str | None:
        """Return the first of these accounts at which somebody waits already, if any."""
        return next((name for name in accounts if name in self._queues), None)

    async def wait(self, claim: Claim, account: str, wait_s: float) -> Held | Refusal:
        """Stand in line at ``account`` for up to ``wait_s`` seconds; the last try at their end has the last word."""
        loop = asyncio.get_running_loop()
        self._tickets += 1
        waiter = _Waiter(claim, self._tickets, loop.create_future())
        self._stand(waiter, account)
        timer = loop.call_later(wait_s, _time_is_up, waiter)
        try:
            answer = await waiter.answer
            return self._reserve(claim) if answer is None else answer
        except asyncio.CancelledError:
            answered = waiter.answer
            if answered.done() and not answered.cancelled() and isinstance(answered.result(), Held):
                self._void(claim.rid)
            raise
        finally:
            timer.cancel()
            self._leave(waiter)

    def freed(self, accounts: Iterable[str]) -> None:
        """Something of these accounts was freed: try who waits at them in order of arrival, until none fits any more.

        A line is done with when its head does not fit.
        """
        done: set[str] = set()
        names = tuple(accounts)
        while lines := [name for name in names if name in self._queues and name not in done]:
            first = min(lines, key=lambda name: self._queues[name][0].ticket)
            if not self._try_head(first):
                done.add(first)

    def _try_head(self, account: str) -> bool:
        """Try the first in this line, and say whether he has left it."""
        waiter = self._queues[account][0]
        if not waiter.answer.done():
            outcome = self._reserve(waiter.claim)
            refusal = worth_waiting(outcome)
            if refusal is None:
                waiter.answer.set_result(outcome)
            elif refusal.account == account:
                return False
            else:
                self._stand(waiter, refusal.account)
        self._remove(waiter, account)
        return True

    def _remove(self, waiter: _Waiter, account: str) -> None:
        queue = self._queues[account]
        queue.remove(waiter)
        if not queue:
            del self._queues[account]

    def _stand(self, waiter: _Waiter, account: str) -> None:
        waiter.account = account
        insort(self._queues.setdefault(account, []), waiter)

    def _leave(self, waiter: _Waiter) -> None:
        """Step out of the line; who stood behind a head that leaves may fit at once."""
        queue = self._queues.get(waiter.account)
        if queue is None or waiter not in queue:
            return
        was_head = queue[0] is waiter
        self._remove(waiter, waiter.account)
        if was_head:
            self.freed((waiter.account,))


def _time_is_up(waiter: _Waiter) -> None:
    if not waiter.answer.done():
        waiter.answer.set_result(None)


def worth_waiting(outcome: Held | Refusal) -> Refusal | None:
    """Return the refusal that waiting may mend, if it is one."""
    if isinstance(outcome, Refusal) and outcome.code is RefusalCode.BUDGET_IN_FLIGHT:
        return outcome
    return None
