"""The ledger as a state machine in memory: what may be held is decided and held in one call, without a wait in between.

No I/O, no clock, no locks: a caller gives the moment, calls from one thread, and gets an answer at once. Every change
is handed to ``emit`` as a row (`headgate.ledger.rows`) in the order in which it happened; whoever keeps the rows can
make the engine again (`headgate.ledger.replay`).

The states are TigerBeetle's two-phase transfers (docs.tigerbeetle.com, "Two-phase transfers"): a hold becomes posted or
voided, exactly once. Unlike there, a hold that was dispatched never expires: the provider may bill it.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from headgate.domain.limits import MAX_TOKENS, InvalidLimitError, check_amount
from headgate.domain.money import MAX_NANO_USD, format_usd
from headgate.ledger.chart import Account, Chart, Lines
from headgate.ledger.limit_book import LimitPath
from headgate.ledger.outcomes import (
    AdjustmentError,
    Admitted,
    Ask,
    Claim,
    Held,
    LedgerUseError,
    Moment,
    Reason,
    Refusal,
    RefusalCode,
    Settlement,
    State,
    Threshold,
    UnknownReservationError,
)
from headgate.ledger.refusals import SHORTEST_RETRY_MS, refusal_of_window, severest, why_not
from headgate.ledger.rows import ADJUST, ATTEMPT, END, EXTEND, INTENT, NOTE, PART, RELEASE, Row
from headgate.ledger.windows import Ring

REMEMBERED_ENDS: Final = 16_384
"""Ended reservations whose ids are still known, so that ending one again changes nothing."""
_HOLD_WEIGHT: Final = 16
# To look a member up in its enumeration takes longer than to add up an account.
_HELD: Final = State.HELD
_DISPATCHED: Final = State.DISPATCHED
_POSTED: Final = State.POSTED
_VOIDED: Final = State.VOIDED


class Reservation(Struct, gc=False):
    """A hold that has not ended: what it holds on which accounts, and where its tokens were admitted."""

    rid: str
    accounts: tuple[Account, ...]
    rings: tuple[Ring, ...]
    opened_wall_ms: int
    opened_mono_ms: int
    memo: object
    """Its claim's."""
    marks: list[tuple[Ring, int, int]]
    """Window, bucket and amount of every admission, the newest last."""
    state: State = _HELD
    held: int = 0
    posted: int = 0
    overrun: int = 0
    """What parts used beyond what was held for them."""
    tokens: int = 0
    expected: int = 0
    used_tokens: int = 0
    """Of attempts that were posted already."""

    def hold(self, ask: Ask) -> None:
        """Hold so much more; whoever calls has just made sure that it fits, or has asked every window to `advance`."""
        amount = ask.nano_usd
        self.held += amount
        self.tokens += ask.tokens
        self.expected += ask.expected_tokens
        # Of an account a checkpoint saves what is posted: what is held is saved with the hold.
        for account in self.accounts:
            account.held += amount
        for ring in self.rings:
            admitted = ask.expected_tokens if ring.smooth else ask.tokens
            self.marks.append((ring, ring.add_now(admitted), admitted))

    def give_back(self, ring: Ring, amount: int, mono_ms: int) -> None:
        """Take ``amount`` out of the buckets of ``ring`` that this reservation filled, the newest first."""
        for place in range(len(self.marks) - 1, -1, -1):
            each, index, admitted = self.marks[place]
            if each is ring and amount > 0 and admitted:
                back = min(amount, admitted)
                ring.give_back(back, index, mono_ms)
                self.marks[place] = (ring, index, admitted - back)
                amount -= back
        if not ring.dirty:
            ring.touch()

    def adjust_windows(self, used: int, mono_ms: int) -> None:
        """Make every window count ``used`` tokens for this reservation."""
        marks = self.marks
        if len(marks) == len(self.rings):
            # Admitted once, and nothing given back since: nearly every request.
            for ring, index, admitted in marks:
                ring.correct(admitted, used, index, mono_ms)
            return
        for ring in self.rings:
            admitted = sum(amount for each, _, amount in self.marks if each is ring)
            if used < admitted:
                self.give_back(ring, admitted - used, mono_ms)
            elif used > admitted:
                ring.owe(used - admitted, mono_ms)
                if not ring.dirty:
                    ring.touch()


class Engine:
    """Accounts, windows and reservations, and the only code that changes them."""

    def __init__(self, emit: Callable[[Row], object], *, remembered_ends: int = REMEMBERED_ENDS) -> None:
        """An empty ledger that hands every change to ``emit``."""
        self._emit = emit
        self._remembered_ends = remembered_ends
        self.chart: Final = Chart(emit)
        self.open: Final[dict[str, Reservation]] = {}
        self.ended: Final[OrderedDict[str, Settlement]] = OrderedDict()
        self.typical_hold_ms = SHORTEST_RETRY_MS

    # --- Requests and concurrency: memory only ---------------------------------------------------------------------

    def admit(self, path: LimitPath, now: Moment) -> Admitted | Refusal:
        """Count one more request, at every level or at none. What was admitted must `leave`, however it ends."""
        lines = self.chart.lines(path, now.wall_ms)
        if not lines.counters and not lines.requests:
            return Admitted(path)
        refusals: list[Refusal] = []
        for line, counter in lines.counters:
            if counter.running >= counter.limit:
                refusals.append(
                    Refusal(
                        code=RefusalCode.CONCURRENCY_EXCEEDED,
                        kind=line.kind,
                        scope_id=line.scope_id,
                        limit_name="concurrency",
                        limit=counter.limit,
                        used=counter.running,
                        held=0,
                        asked=1,
                        retry_after_ms=self.typical_hold_ms,
                    )
                )
        for ring in lines.requests:
            refusal = refusal_of_window(ring, 1, now)
            if refusal is not None:
                refusals.append(refusal)
        if refusals:
            return severest(refusals)
        for _, counter in lines.counters:
            counter.running += 1
        for ring in lines.requests:
            ring.add(1, now.mono_ms)
        return Admitted(path, tuple(counter for _, counter in lines.counters))

    def leave(self, admitted: Admitted) -> None:
        """The request is over; a second call changes nothing."""
        if not admitted.left:
            admitted.left = True
            for counter in admitted.counters:
                counter.running -= 1

    # --- Reservations ----------------------------------------------------------------------------------------------

    def reserve(self, claim: Claim, now: Moment) -> Held | Refusal:
        """Hold the claim on every account and window of its path, or on none.

        Raises:
            InvalidLimitError: an amount that is no whole number from 0 to the largest that is kept.
            LedgerUseError: a reservation of this id has ended already.
        """
        rid, ask, memo = claim.rid, claim.ask, claim.memo
        _check(ask)
        if rid in self.open:
            known = self.open[rid]
            return Held(rid, known.held, durable_first=any(each.enforced for each in known.accounts), again=True)
        if rid in self.ended:
            raise LedgerUseError(f"reservation {rid} has ended; a new attempt needs a new id")
        wall_ms, mono_ms = now.wall_ms, now.mono_ms
        lines = self.chart.lines(claim.path, wall_ms)
        would_refuse: tuple[Refusal, ...] = ()
        if not _fits(lines.accounts, lines.tokens, ask, mono_ms):
            refusal, would_refuse = why_not(lines, ask, now, self.typical_hold_ms)
            if refusal is not None:
                return refusal
        number = self.chart.announced(lines)
        reservation = self.open[rid] = Reservation(rid, lines.accounts, lines.tokens, wall_ms, mono_ms, memo, [])
        reservation.hold(ask)
        self._emit((INTENT, rid, number, wall_ms, ask.nano_usd, ask.tokens, ask.expected_tokens, memo))
        return Held(rid, ask.nano_usd, lines.enforced, False, would_refuse)

    def dispatched(self, rid: str) -> None:
        """Bytes are about to leave for a provider: from here on it may bill, whatever happens to us."""
        self._open(rid).state = _DISPATCHED
        self._emit((ATTEMPT, rid))

    def extend(self, rid: str, ask: Ask, now: Moment) -> Held | Refusal:
        """Hold so much more on the same accounts, or nothing more anywhere."""
        _check(ask)
        held = self._open(rid)
        would_refuse: tuple[Refusal, ...] = ()
        if not _fits(held.accounts, held.rings, ask, now.mono_ms):
            lines = Lines.of(held.accounts, held.rings)
            refusal, would_refuse = why_not(lines, ask, now, self.typical_hold_ms)
            if refusal is not None:
                return refusal
        held.hold(ask)
        self._emit((EXTEND, rid, now.wall_ms, ask.nano_usd, ask.tokens, ask.expected_tokens))
        durable_first = any(account.enforced for account in held.accounts)
        return Held(rid, held.held, durable_first, False, would_refuse)

    def release_part(self, rid: str, ask: Ask, now: Moment) -> int:
        """Give back what is known not to be needed, such as the over-hold of the input; return what is still held.

        No more is given back than is held.
        """
        _check(ask)
        held = self._open(rid)
        amount, tokens = min(ask.nano_usd, held.held), min(ask.tokens, held.tokens)
        expected = min(ask.expected_tokens, held.expected)
        held.held -= amount
        held.tokens -= tokens
        held.expected -= expected
        for account in held.accounts:
            account.held -= amount
        for ring in held.rings:
            held.give_back(ring, expected if ring.smooth else tokens, now.mono_ms)
        self._emit((RELEASE, rid, now.wall_ms, amount, tokens, expected))
        return held.held

    def post_part(self, rid: str, amount: int, tokens: int, payee: str, now: Moment) -> tuple[Threshold, ...]:
        """Post what a failed attempt cost and keep holding the rest for the next one; return the thresholds crossed."""
        _check_used(amount, tokens)
        held = self._open(rid)
        freed = min(amount, held.held)
        held.held -= freed
        held.posted += amount
        held.overrun += amount - freed
        held.used_tokens += tokens
        thresholds = _post(held.accounts, freed, amount)
        self._emit((PART, rid, now.wall_ms, amount, tokens, payee))
        return thresholds

    def settle(
        self,
        rid: str,
        amount: int,
        tokens: int | None,
        now: Moment,
        *,
        payee: str = "",
        reason: Reason = Reason.SETTLED,
        payload: object = None,
    ) -> Settlement:
        """End a reservation by what its last attempt used. More than was held is posted in full all the same.

        ``tokens`` is `None` where nobody knows: every window then goes on counting what it admitted.

        Raises:
            UnknownReservationError: no such reservation is open, nor did one end lately.
        """
        _check_used(amount, 0 if tokens is None else tokens)
        return self._end(rid, amount, tokens, now, payee=payee, state=_POSTED, reason=reason, payload=payload)

    def void(self, rid: str, now: Moment, *, reason: Reason = Reason.VOIDED, payload: object = None) -> Settlement:
        """End a reservation of which nothing (more) was used. Parts that were posted stay posted."""
        return self._end(rid, 0, 0, now, payee="", state=_VOIDED, reason=reason, payload=payload)

    def adjust(self, accounts: tuple[str, ...], delta: int, reason: str, now: Moment) -> tuple[Threshold, ...]:
        """Post a correction, such as a provider's bill, on accounts by name: a new row, never a changed one.

        Raises:
            AdjustmentError: an account is not open, or would be left below zero; nothing was changed.
            UnicodeEncodeError: ``reason`` cannot be written down.
        """
        reason.encode()
        check_amount(abs(delta) if type(delta) is int else delta, "delta")
        found: list[Account] = []
        for name in accounts:
            account = self.chart.accounts.get(name)
            if account is None:
                raise AdjustmentError(f"{name} is not open")
            if account.posted + delta < 0:
                raise AdjustmentError(f"{name} has posted less than {format_usd(-delta)} USD")
            found.append(account)
        thresholds = _post(tuple(found), 0, delta)
        self._emit((ADJUST, now.wall_ms, tuple(account.number for account in found), delta, reason))
        return thresholds

    def note(self, payload: object, now: Moment) -> None:
        """Write down the record of a request that held nothing, such as a cache hit or a refusal."""
        self._emit((NOTE, now.wall_ms, payload))

    def account_names(self, path: LimitPath, now: Moment) -> tuple[str, ...]:
        """The accounts a path means at this moment."""
        return tuple(account.name for account in self.chart.lines(path, now.wall_ms).accounts)

    def _open(self, rid: str) -> Reservation:
        reservation = self.open.get(rid)
        if reservation is None:
            raise UnknownReservationError(f"no reservation {rid} is open")
        return reservation

    def _end(
        self,
        rid: str,
        amount: int,
        tokens: int | None,
        now: Moment,
        *,
        payee: str,
        state: State,
        reason: Reason,
        payload: object,
    ) -> Settlement:
        held = self.open.pop(rid, None)
        if held is None:
            before = self.ended.get(rid)
            if before is None:
                raise UnknownReservationError(f"no reservation {rid} is open, and none ended lately")
            return again(before)
        mono_ms, freed, earlier, overrun = now.mono_ms, held.held, held.posted, held.overrun
        thresholds = _post(held.accounts, freed, amount)
        if held.rings and tokens is not None:
            held.adjust_windows(held.used_tokens + tokens, mono_ms)
        if earlier:
            state = _POSTED
        if amount > freed:
            overrun += amount - freed
        settlement = Settlement(rid, state, reason, earlier + amount, overrun, thresholds)
        self.remember(settlement)
        self.typical_hold_ms += (mono_ms - held.opened_mono_ms - self.typical_hold_ms) // _HOLD_WEIGHT
        self._emit((END, rid, now.wall_ms, amount, tokens, payee, int(state), int(reason), payload))
        return settlement

    def remember(self, settlement: Settlement) -> None:
        """Keep how a reservation ended, and forget the oldest such memory where there are too many."""
        ended = self.ended
        ended[settlement.rid] = settlement
        if len(ended) > self._remembered_ends:
            ended.popitem(last=False)


def again(settlement: Settlement) -> Settlement:
    """The same end, told to somebody who asked for it once more: nothing is reported twice."""
    return Settlement(
        settlement.rid,
        settlement.state,
        settlement.reason,
        settlement.posted_nano_usd,
        settlement.overrun_nano_usd,
        again=True,
    )


def _check(ask: Ask) -> None:
    # The types are promised by annotations that nobody enforces at run time, and a float would poison every balance.
    nano_usd, tokens, expected = ask.nano_usd, ask.tokens, ask.expected_tokens
    if (
        type(nano_usd) is type(tokens) is type(expected) is int
        and 0 <= nano_usd <= MAX_NANO_USD
        and 0 <= expected <= tokens <= MAX_TOKENS
    ):
        return
    check_amount(nano_usd, "nano_usd")
    check_amount(tokens, "tokens", MAX_TOKENS)
    check_amount(expected, "expected_tokens", MAX_TOKENS)
    if expected > tokens:
        raise InvalidLimitError("expected_tokens", "must not be above tokens, which is the upper bound")


def _check_used(nano_usd: int, tokens: int) -> None:
    if type(nano_usd) is not int or not 0 <= nano_usd <= MAX_NANO_USD:
        check_amount(nano_usd, "nano_usd")
    if type(tokens) is not int or not 0 <= tokens <= MAX_TOKENS:
        check_amount(tokens, "tokens", MAX_TOKENS)


def _fits(accounts: tuple[Account, ...], rings: tuple[Ring, ...], ask: Ask, mono_ms: int) -> bool:
    amount = ask.nano_usd
    # What costs nothing is not refused for want of money, even where an overrun has left less than nothing.
    if amount:
        for account in accounts:
            if account.posted + account.held + amount > account.limit:
                return False
    for ring in rings:  # noqa: SIM110  a generator costs a frame per request
        if not ring.fits(ask.expected_tokens if ring.smooth else ask.tokens, mono_ms):
            return False
    return True


def _post(accounts: tuple[Account, ...], freed: int, amount: int) -> tuple[Threshold, ...]:
    thresholds: tuple[Threshold, ...] = ()
    for account in accounts:
        account.held -= freed
        account.posted += amount
        if not account.dirty:
            account.touch()
        assert account.held >= 0, "a hold was freed twice"
        if account.posted >= account.alert_at:
            thresholds += account.crossed()
    return thresholds
