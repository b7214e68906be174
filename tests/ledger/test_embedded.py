"""The durable ledger: what is on disk when `reserve` returns, and what the next start makes of it."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from headgate.domain.limits import BudgetMode, Period, RateLimits, WindowMode
from headgate.ledger.embedded import EmbeddedLedger, open_ledger
from headgate.ledger.outcomes import Ask, Held, Reason, RefusalCode
from headgate.ledger.verify import verify_journal
from headgate.storage.lock import DatabaseLockedError
from tests.ledger.crowd import crowd
from tests.ledger.tree import HOUR_MS, Clock, budget, claim, held, key_path, refused

ACCOUNT = "key/key_1/bud_1/2026-11"
KEEP_ALL: Callable[[], int] = lambda: 0  # noqa: E731


@asynccontextmanager
async def opened(file: Path, clock: Clock | None = None, **options: object) -> AsyncIterator[EmbeddedLedger]:
    ledger = open_ledger(file, durability="os", clock=clock or Clock(), commit_timeout_s=30, **options)
    ledger.start()
    try:
        yield ledger
    finally:
        await ledger.aclose()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


def after_a_crash(file: Path, name: str = "crashed.db") -> Path:
    """A copy of the file and its log as a dying process would leave them."""
    copy = file.with_name(name)
    for suffix in ("", "-wal"):
        if Path(f"{file}{suffix}").exists():
            shutil.copy(f"{file}{suffix}", f"{copy}{suffix}")
    return copy


async def test_what_was_reserved_is_on_disk_and_posted_in_full_by_the_next_start(file: Path) -> None:
    path = key_path(budget("bud_1", 100))
    async with opened(file) as ledger:
        await ledger.reserve(replace(claim("sent", path, 60), memo=("who", "what")))
        ledger.dispatched("sent")
        crashed = after_a_crash(file)

    async with opened(crashed) as ledger:
        assert [lost.memo for lost in ledger.recovery.recovered] == [["who", "what"]]
        ends = [lost.settlement for lost in ledger.recovery.recovered]
        assert [(end.rid, end.reason, end.posted_nano_usd) for end in ends] == [("sent", Reason.RECOVERED, 60)]
        assert refused(await ledger.reserve(claim("next", path, 41))).code is RefusalCode.BUDGET_EXHAUSTED
        assert held(await ledger.reserve(claim("next", path, 40)))
        ledger.void("next")
        await ledger.flushed()
        assert verify_journal(crashed, ledger.balances()).problems == ()
    async with opened(crashed) as ledger:
        assert ledger.recovery.recovered == ()
        assert ledger.balances() == {ACCOUNT: (60, 0)}


async def test_a_start_after_a_clean_end_finds_the_same_balances_and_windows(file: Path) -> None:
    clock, path = Clock(), key_path(budget("bud_1", 1_000), rates=RateLimits(tpm=900, tph=900, tpd=900))
    async with opened(file, clock) as ledger:
        for number in range(20):
            await ledger.reserve(claim(f"r{number}", path, 20, 20, 5))
            ledger.settle(f"r{number}", 7, 3 + number)
        before = ledger.status(path)
    clock.mono_ms = 77_777

    async with opened(file, clock) as ledger:
        assert ledger.status(path).budgets == before.budgets
        assert [(w.limit_name, w.remaining) for w in ledger.status(path).windows] == [
            (w.limit_name, w.remaining) for w in before.windows
        ]


@pytest.mark.parametrize("checkpoint", [False, True])
async def test_strict_windows_outlive_the_process(file: Path, checkpoint: bool) -> None:
    clock, path = Clock(), key_path(budget("bud_1", 1_000), rates=RateLimits(tpd=100))
    async with opened(file, clock) as ledger:
        await ledger.reserve(claim("a", path, 1, 80))
        if checkpoint:
            ledger.checkpoint()
            await ledger.flushed()
        crashed = after_a_crash(file)
    clock.pass_ms(2 * HOUR_MS)
    clock.mono_ms = 5

    async with opened(crashed, clock) as ledger:
        assert refused(await ledger.reserve(claim("b", path, 1, 21))).limit_name == "tpd"
        clock.pass_ms(23 * HOUR_MS)
        assert held(await ledger.reserve(claim("b", path, 1, 100)))


async def test_a_path_without_enforced_money_waits_for_no_disk(file: Path) -> None:
    def never(_file: object) -> Callable[[int, bytes], None]:
        return lambda seq, body: asyncio.run(asyncio.sleep(0.2))

    async with opened(file, append=never) as ledger:
        began = asyncio.get_running_loop().time()
        await ledger.reserve(claim("a", key_path(rates=RateLimits(tpm=100)), 50, 5))
        await ledger.reserve(claim("b", key_path(budget("bud_1", 1, mode=BudgetMode.AUDIT)), 50))
        assert asyncio.get_running_loop().time() - began < 0.15


async def test_checkpoints_keep_a_start_short_and_change_no_figure(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headgate.ledger.embedded.CHECKPOINT_ROWS", 50)
    clock, path = Clock(), key_path(budget("bud_1", 10**9), rates=RateLimits(tpd=10**9))
    async with opened(file, clock) as ledger:
        for number in range(300):
            await ledger.reserve(claim(f"r{number}", path, 20, 9))
            if number % 3:
                ledger.settle(f"r{number}", number, 5)
        await ledger.flushed()
        report = verify_journal(file, ledger.balances())
        assert (report.problems, report.open_holds) == ((), 100)
        assert report.rows < 120
        balances = ledger.balances()
        crashed = after_a_crash(file)

    async with opened(crashed, clock) as ledger:
        assert len(ledger.recovery.recovered) == 100
        posted, held_then = balances[ACCOUNT]
        assert ledger.balances() == {ACCOUNT: (posted + held_then, 0)}
        await ledger.flushed()
        assert verify_journal(crashed, ledger.balances()).adds_up


async def test_batches_stay_for_whoever_still_reads_them(file: Path) -> None:
    path = key_path(budget("bud_1", 100))
    async with opened(file, retain_after=KEEP_ALL) as ledger:
        await ledger.reserve(claim("a", path, 60))
        ledger.settle("a", 5, 0, payload=b"the record")
        ledger.note(b"a cache hit")
        ledger.checkpoint()
        await ledger.flushed()
        rows = [row for _, batch in ledger.read(0) for row in batch]

    assert [row[-1] for row in rows if isinstance(row[-1], bytes)] == [b"the record", b"a cache hit"]


async def test_one_process_alone_has_the_journal(file: Path) -> None:
    async with opened(file):
        with pytest.raises(DatabaseLockedError):
            open_ledger(file)


async def test_accounts_of_periods_long_over_leave_memory_and_stay_on_disk(file: Path) -> None:
    clock, path = Clock(), key_path(budget("bud_1", 100, Period.DAY))
    async with opened(file, clock) as ledger:
        for number in range(5):
            await ledger.reserve(claim(f"r{number}", path, 50))
            ledger.settle(f"r{number}", 50, 0)
            clock.pass_ms(24 * HOUR_MS)
        ledger.checkpoint()
        ledger.checkpoint(prune=True)
        await ledger.flushed()
        assert sorted(ledger.balances()) == ["key/key_1/bud_1/2026-11-27", "key/key_1/bud_1/2026-11-28"]
        assert verify_journal(file, ledger.balances()).adds_up

        clock.jump(-30 * 24 * HOUR_MS)
        await ledger.reserve(claim("back", path, 50))
        assert refused(await ledger.reserve(claim("back again", path, 51))).held == 50
        assert min(ledger.balances()) == "key/key_1/bud_1/2026-11-27"


async def test_budget_wait_holds_what_settles_in_time(file: Path) -> None:
    path = key_path(budget("bud_1", 100))
    async with opened(file) as ledger:
        await ledger.reserve(claim("a", path, 100))
        waiting = asyncio.get_running_loop().create_task(ledger.reserve(claim("b", path, 60), wait_s=10))
        await asyncio.sleep(0.01)
        ledger.settle("a", 40, 0)

        assert held(await waiting)
        assert ledger.balances() == {ACCOUNT: (40, 60)}


async def test_a_caller_who_goes_while_the_disk_works_holds_nothing(file: Path) -> None:
    path = key_path(budget("bud_1", 100))
    async with opened(file) as ledger:
        task = asyncio.get_running_loop().create_task(ledger.reserve(claim("a", path, 100)))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        assert ledger.balances() == {ACCOUNT: (0, 0)}
        await ledger.flushed()
        assert verify_journal(file, ledger.balances()).voided == 1


async def test_a3_many_at_the_last_cents_never_take_more_and_leave_less_than_a_hundredth(file: Path) -> None:
    found = await crowd(file, callers=60, requests=2_000, seed=1)

    assert (found.over, found.problems) == (0, ())
    assert found.spent == found.posted <= found.limit
    assert found.posted >= 0.99 * found.limit


async def test_a10_a_month_that_ends_under_load_has_each_row_in_exactly_one_period(file: Path) -> None:
    clock, path = Clock(wall_ms=1_796_083_199_000), key_path(budget("bud_1", 10**9))
    used: dict[str, int] = {}
    async with opened(file, clock, retain_after=KEEP_ALL) as ledger:

        async def caller(name: int) -> None:
            for turn in range(20):
                outcome = await ledger.reserve(claim(f"{name}.{turn}", path, 100))
                assert isinstance(outcome, Held)
                await asyncio.sleep(0)
                clock.pass_ms(7)
                used[outcome.rid] = (name * 20 + turn) % 100
                ledger.settle(outcome.rid, used[outcome.rid], 0)

        async with asyncio.TaskGroup() as group:
            for name in range(20):
                group.create_task(caller(name))
        await ledger.flushed()

        balances = ledger.balances()
        assert sorted(balances) == [ACCOUNT, "key/key_1/bud_1/2026-12"]
        assert sum(posted for posted, _ in balances.values()) == sum(used.values())
        assert all(posted for posted, _ in balances.values())
        assert verify_journal(file, balances).adds_up


async def test_smooth_debt_outlives_the_process(file: Path) -> None:
    clock, path = Clock(), key_path(rates=RateLimits(tpm=100, tpm_mode=WindowMode.SMOOTH))
    async with opened(file, clock) as ledger:
        await ledger.reserve(claim("a", path, 0, 1_000, 50))
        ledger.settle("a", 0, 1_000)
        await ledger.flushed()
        crashed = after_a_crash(file)
    clock.pass_ms(5 * 60_000)
    clock.mono_ms = 9_999_999

    async with opened(crashed, clock) as ledger:
        assert refused(await ledger.reserve(claim("b", path, 0, 10))).used > 400


async def test_a_crash_does_not_charge_the_whole_bound_to_a_smooth_window(file: Path) -> None:
    clock, path = Clock(), key_path(budget("bud_1", 100), rates=RateLimits(tpm=100, tpd=90_000))
    async with opened(file, clock) as ledger:
        await ledger.reserve(claim("a", path, 10, 80_000, 30))
        crashed = after_a_crash(file)

    for _ in range(2):
        async with opened(crashed, clock) as ledger:
            assert [each.remaining for each in ledger.status(path).windows] == [70, 10_000]


async def test_extending_is_durable_too(file: Path) -> None:
    path = key_path(budget("bud_1", 100))
    async with opened(file) as ledger:
        await ledger.reserve(claim("a", path, 10))
        await ledger.extend("a", Ask(50))
        crashed = after_a_crash(file)

    async with opened(crashed) as ledger:
        assert ledger.balances() == {ACCOUNT: (60, 0)}
