"""The ledger of one process: the engine in memory, the journal on disk, and recovery as the normal way to start.

A decision and its row are made in one step on the event loop, so the journal's order is the order of decisions, and
whatever prefix of it survives a crash is a state in which nothing exceeded its limit. `reserve` and `extend` return
when the row is durable, where a budget may refuse; all else is written in order and waited for by nobody.

Recovery (accounting.md §1.7): an intent without an end may have been sent, and a provider may bill it, so all that is
held is posted with the reason `recovered`. Nothing is refunded on a guess.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from headgate.ledger.engine import Engine
from headgate.ledger.fold import Fold
from headgate.ledger.journal import Journal, Queued
from headgate.ledger.journal_file import JournalFile
from headgate.ledger.limit_book import LimitPath
from headgate.ledger.outcomes import (
    Admitted,
    Ask,
    Claim,
    Held,
    Moment,
    PathStatus,
    Reason,
    Refusal,
    RefusalCode,
    Settlement,
    Threshold,
)
from headgate.ledger.replay import Replay, take_checkpoint
from headgate.ledger.rows import Row
from headgate.ledger.status import RateLeft, rates_left, status_of
from headgate.ledger.waiting import BudgetQueue
from headgate.storage.lock import WriterLock

CHECKPOINT_ROWS: Final = 20_000
"""Rows after which the state is saved, so that a start replays no more than about as many."""
PRUNE_MS: Final = 3_600_000
"""How often memory is searched for accounts whose period is over."""


def read_clocks() -> Moment:
    """Both clocks of this machine."""
    return Moment(time.time_ns() // 1_000_000, time.monotonic_ns() // 1_000_000)


class Recovered(Struct, frozen=True):
    """A reservation that the process before left open."""

    settlement: Settlement
    """Posted in full."""
    memo: Any
    """`headgate.ledger.outcomes.Claim.memo`, as plain values: lists, maps and texts."""
    opened_wall_ms: int


class Recovery(Struct, frozen=True):
    """What a start found and did."""

    accounts: int
    rows: int
    """Rows after the last checkpoint."""
    recovered: tuple[Recovered, ...]
    took_ms: float


class EmbeddedLedger:
    """The port that the pipeline calls. Belongs to one event loop's thread but for the journal's writer."""

    def __init__(
        self, engine: Engine, journal: Journal, lock: WriterLock, clock: Callable[[], Moment], recovery: Recovery
    ) -> None:
        """Use `open_ledger`."""
        self._engine = engine
        self._journal = journal
        self._lock = lock
        self._clock = clock
        self._changes = 0
        self._pruned_at_ms = clock().mono_ms
        self.recovery: Final = recovery
        self._queue = BudgetQueue(
            lambda claim: engine.reserve(claim, clock()),
            lambda rid: self.void(rid, reason=Reason.UNSENT),
        )

    @property
    def unavailable(self) -> str | None:
        """Why what has a budget is refused at present; ``None`` while the journal can be written."""
        return self._journal.failure

    @property
    def has_waiters(self) -> bool:
        """Requests stand in line for what others hold."""
        return not self._queue.is_empty

    @property
    def committed_seq(self) -> int:
        """The last batch that is on disk, with all its rows; from any thread."""
        return self._journal.committed_seq

    @property
    def is_full(self) -> bool:
        """So much waits to be written that no request should be taken, with or without a budget."""
        return self._journal.is_full

    def start(self) -> None:
        """Begin writing; call it on the event loop. The ends that recovery found are written first."""
        self._journal.start(asyncio.get_running_loop())
        self.checkpoint(prune=True)

    def admit(self, path: LimitPath) -> Admitted | Refusal:
        """Count one more request of this path: requests per minute and concurrency. In memory, no wait."""
        return self._engine.admit(path, self._clock())

    def leave(self, admitted: Admitted) -> None:
        """The request is over, however it ended; a second call changes nothing."""
        self._engine.leave(admitted)

    async def reserve(self, claim: Claim, *, wait_s: float = 0.0) -> Held | Refusal:
        """Hold the claim on its whole path, or refuse; returns once it may be sent.

        Args:
            claim: what to hold.
            wait_s: ``budget_wait``: how long to stand in line for holds of others to settle.

        Raises:
            LedgerUnavailableError: the intent could not be made durable; nothing is held and nothing may be sent.
            InvalidLimitError: an amount that is none.
            LedgerUseError: a reservation of this id has ended already.
        """
        if claim.path.has_enforced_money:
            self._journal.check()
        now = self._clock()
        account = None if wait_s <= 0 or self._queue.is_empty else self._line_of(claim, now)
        outcome = await self._queue.wait(claim, account, wait_s) if account else self._engine.reserve(claim, now)
        if isinstance(outcome, Refusal):
            if wait_s <= 0 or account or outcome.code is not RefusalCode.BUDGET_IN_FLIGHT:
                return outcome
            outcome = await self._queue.wait(claim, outcome.account, wait_s)
            if isinstance(outcome, Refusal):
                return outcome
        if outcome.durable_first:
            self._changes += 1
            try:
                await self._journal.durable()
            except BaseException:
                # Too late, failed, or the caller has gone: it was never sent, whether or not its intent is on disk.
                # Where the same reservation was asked for a second time, the first caller may have sent it.
                if not outcome.again:
                    self.void(claim.rid, reason=Reason.UNSENT)
                raise
        else:
            self._written()
        return outcome

    def _line_of(self, claim: Claim, now: Moment) -> str | None:
        """The account of this path at which somebody waits already."""
        return self._queue.line_at(self._engine.account_names(claim.path, now))

    def dispatched(self, rid: str) -> None:
        """Bytes are about to leave for a provider."""
        self._engine.dispatched(rid)
        self._written()

    async def extend(self, rid: str, ask: Ask) -> Held | Refusal:
        """Hold so much more, for the next attempt; returns once it is durable.

        Raises:
            LedgerUnavailableError: it could not be made durable; what was held before is still held.
            UnknownReservationError: no such reservation is open.
        """
        outcome = self._engine.extend(rid, ask, self._clock())
        if isinstance(outcome, Refusal) or not outcome.durable_first:
            return outcome
        try:
            self._journal.check()
            await self._journal.durable()
        except BaseException:
            if rid in self._engine.open:
                self.release_part(rid, ask)
            raise
        self._written()
        return outcome

    def release_part(self, rid: str, ask: Ask) -> int:
        """Give back what is known not to be needed, such as the input's over-hold; return what is still held."""
        left = self._engine.release_part(rid, ask, self._clock())
        if not self._queue.is_empty:
            self._queue.freed(self._accounts_of(rid))
        self._written()
        return left

    def post_part(self, rid: str, amount_nano_usd: int, tokens: int, payee: str) -> tuple[Threshold, ...]:
        """Post what a failed attempt cost; the rest of the hold stays for the next one."""
        thresholds = self._engine.post_part(rid, amount_nano_usd, tokens, payee, self._clock())
        self._written()
        return thresholds

    def settle(
        self, rid: str, amount_nano_usd: int, tokens: int | None, *, payee: str = "", payload: object = None
    ) -> Settlement:
        """End a reservation by what its last attempt used; ``payload`` is kept with the row, for records.

        ``tokens`` is `None` where nobody knows: windows then go on counting what they admitted.

        Returns at once. The row is durable some 20 ms later at most while the disk works; a crash before that posts
        the whole hold instead. A second call, and one after `void`, changes nothing and returns how it ended.
        """
        names = () if self._queue.is_empty else self._accounts_of(rid)
        settlement = self._engine.settle(rid, amount_nano_usd, tokens, self._clock(), payee=payee, payload=payload)
        if names:
            self._queue.freed(names)
        self._written()
        return settlement

    def void(self, rid: str, *, reason: Reason = Reason.VOIDED, payload: object = None) -> Settlement:
        """End a reservation of which nothing (more) was used; otherwise as `settle`."""
        names = () if self._queue.is_empty else self._accounts_of(rid)
        settlement = self._engine.void(rid, self._clock(), reason=reason, payload=payload)
        if names:
            self._queue.freed(names)
        self._written()
        return settlement

    def adjust(self, accounts: tuple[str, ...], delta_nano_usd: int, reason: str) -> tuple[Threshold, ...]:
        """Post a correction on open accounts by name, as a new row. Raises `AdjustmentError`; nothing was changed."""
        thresholds = self._engine.adjust(accounts, delta_nano_usd, reason, self._clock())
        self._queue.freed(accounts)
        self._written()
        return thresholds

    def note(self, payload: object) -> None:
        """Write down the record of a request that held nothing, in its place among the others."""
        self._engine.note(payload, self._clock())
        self._written()

    def status(self, path: LimitPath) -> PathStatus:
        """Every account and window of a path, as of now."""
        return status_of(self._engine, path, self._clock())

    def rates_left(self, path: LimitPath) -> tuple[RateLeft | None, RateLeft | None]:
        """What is left of the tightest windows of requests and of tokens of a path, as of now."""
        return rates_left(self._engine, path, self._clock())

    def balances(self) -> dict[str, tuple[int, int]]:
        """Posted and held of every account in memory, by name: what `headgate.ledger.verify` compares with."""
        return {name: (account.posted, account.held) for name, account in self._engine.chart.accounts.items()}

    def first_seq(self) -> int:
        """The oldest batch that `read` can yield; the one after `committed_seq` where there is none."""
        return self._journal.first_seq()

    def read(self, after_seq: int) -> Iterator[tuple[int, list[Row]]]:
        """Yield the batches after ``after_seq`` by sequence, for whoever makes records of them; from any thread.

        Raises:
            LedgerCorruptError: a batch is not what was written, or is gone although ``retain_after`` would keep it.
        """
        return self._journal.read(after_seq)

    async def flushed(self) -> None:
        """Return when everything so far is durable. Raises `LedgerUnavailableError`."""
        await self._journal.durable()

    def checkpoint(self, *, prune: bool = False) -> None:
        """Queue the state to be saved behind the rows that led to it."""
        self._changes = 0
        self._journal.save(take_checkpoint(self._engine, self._clock(), prune=prune))

    async def aclose(self) -> None:
        """Write everything and let go of the file. Open reservations are left to the next start's recovery."""
        await asyncio.to_thread(self._journal.close)
        self._lock.release()

    def _accounts_of(self, rid: str) -> tuple[str, ...]:
        reservation = self._engine.open.get(rid)
        return () if reservation is None else tuple(account.name for account in reservation.accounts)

    def _written(self) -> None:
        self._journal.nudge()
        self._changes += 1
        if self._changes >= CHECKPOINT_ROWS:
            now_ms = self._clock().mono_ms
            prune = now_ms - self._pruned_at_ms >= PRUNE_MS
            if prune:
                self._pruned_at_ms = now_ms
            self.checkpoint(prune=prune)


def open_ledger(
    path: Path,
    *,
    durability: str = "fsync",
    commit_timeout_s: float = 0.5,
    clock: Callable[[], Moment] = read_clocks,
    append: Callable[[JournalFile], Callable[[int, bytes], None]] | None = None,
    retain_after: Callable[[], int] | None = None,
) -> EmbeddedLedger:
    """Open the journal at ``path`` for this process alone, recover, and return a ledger to `start`.

    Args:
        path: the journal's file, made where there is none.
        durability: ``fsync`` or ``os`` (`headgate.ledger.journal_file.SYNCHRONOUS`).
        commit_timeout_s: how long a reservation waits for the disk before it is refused.
        clock: reads both clocks.
        append: given the file, returns what commits a batch to it: a slow or failing disk in tests.
        retain_after: batches after the one it returns outlive checkpoints, for whoever still reads records from them.

    Raises:
        DatabaseLockedError: another process has it.
        LedgerCorruptError: it is damaged.
    """
    file = None
    lock = WriterLock(path)
    try:
        file = JournalFile(path, durability=durability)
        engine, queued, fold, recovery = recover(file, clock())
        last_seq = file.last_seq()
    except BaseException:
        if file is not None:
            file.close()
        lock.release()
        raise
    journal = Journal(
        file,
        queued,
        last_seq=last_seq,
        fold=fold,
        commit_timeout_s=commit_timeout_s,
        append=append(file) if append is not None else None,
        retain_after=retain_after,
    )
    return EmbeddedLedger(engine, journal, lock, clock, recovery)


def recover(file: JournalFile, now: Moment) -> tuple[Engine, Queued, Fold, Recovery]:
    """Make the engine again and end what the process before left open.

    The rows of those ends, and all that follow, lie in the returned queue.
    """
    began = time.perf_counter()
    saved = file.load()
    queued: Queued = []
    engine = Engine(queued.append)
    replay = Replay(engine, now)
    replay.restore(saved.accounts, saved.windows, saved.holds, saved.next_number, saved.horizon_ms)
    fold = Fold(saved.holds)
    count = 0
    for _, rows in file.batches(saved.seq):
        count += replay.apply(rows)
        fold.take(rows)
    # What was replayed is on disk already; what follows is new.
    queued.clear()
    recovered = tuple(_post_what_is_held(engine, rid, now) for rid in list(engine.open))
    took_ms = (time.perf_counter() - began) * 1000
    return engine, queued, fold, Recovery(len(engine.chart.accounts), count, recovered, took_ms)


def _post_what_is_held(engine: Engine, rid: str, now: Moment) -> Recovered:
    held = engine.open[rid]
    # Windows keep what they admitted: charging the whole bound to a smooth one would close it for an hour.
    settlement = engine.settle(rid, held.held, None, now, reason=Reason.RECOVERED)
    return Recovered(settlement, held.memo, held.opened_wall_ms)
