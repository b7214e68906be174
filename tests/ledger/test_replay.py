"""What is saved and replayed decides as what it was; `machine.py` does this after every random run."""

from headgate.domain.limits import RateLimits
from headgate.ledger.engine import Engine
from headgate.ledger.outcomes import Ask
from headgate.ledger.replay import Replay, take_checkpoint
from tests.ledger.tree import HOUR_MS, Clock, balances, budget, claim, key_path, make_engine, picture

PATH = key_path(budget("bud_1", 1_000), rates=RateLimits(tpm=500, tph=1_000, tpd=2_000))


def restored(saved: object, clock: Clock) -> Engine:
    engine = Engine(lambda row: None)
    replay = Replay(engine, clock())
    replay.restore(saved.accounts, saved.windows, saved.holds, saved.next_number, saved.horizon_ms)
    return engine


def busy(clock: Clock) -> tuple[Engine, list[tuple]]:
    engine, rows = make_engine()
    for number in range(8):
        clock.pass_ms(9_000)
        engine.reserve(claim(f"r{number}", PATH, 30, 50, 20), clock())
        if number % 2:
            engine.extend(f"r{number}", Ask(10, 5, 5), clock())
            engine.post_part(f"r{number}", 3, 2, "openai", clock())
            engine.release_part(f"r{number}", Ask(5, 5, 5), clock())
        if number % 3:
            engine.settle(f"r{number}", 9, 30, clock())
    engine.note(b"a hit", clock())
    return engine, rows


def test_rows_alone_make_the_same_engine() -> None:
    clock = Clock()
    engine, rows = busy(clock)
    again = Engine(lambda row: None)

    assert Replay(again, clock()).apply(rows) == len(rows)
    assert picture(again, clock()) == picture(engine, clock())


def test_a_checkpoint_alone_makes_the_same_engine() -> None:
    clock = Clock()
    engine, _ = busy(clock)

    again = restored(take_checkpoint(engine, clock()), clock)

    assert picture(again, clock()) == picture(engine, clock())
    for rid in list(engine.open):
        assert again.settle(rid, 1, 10, clock()) == engine.settle(rid, 1, 10, clock())
    assert picture(again, clock()) == picture(engine, clock())


def test_a_second_checkpoint_holds_only_what_changed() -> None:
    clock = Clock()
    engine, _ = busy(clock)
    first = take_checkpoint(engine, clock())
    second = take_checkpoint(engine, clock())

    assert (len(first.accounts), len(first.windows)) == (1, 3)
    assert (second.accounts, second.windows, second.holds) == ((), (), first.holds)


def test_a_boot_with_another_monotonic_clock_makes_buckets_younger_if_anything() -> None:
    clock = Clock()
    engine, _ = busy(clock)
    saved = take_checkpoint(engine, clock())
    later = Clock(clock.wall_ms, mono_ms=123_457)

    again = restored(saved, later)

    for step in range(0, 3 * HOUR_MS, 61_001):
        for name, ring in engine.chart.windows.items():
            assert again.chart.windows[name].remaining(later.mono_ms + step) <= ring.remaining(clock.mono_ms + step)


def test_what_seems_to_lie_in_the_future_counts_as_of_now() -> None:
    clock = Clock()
    engine, _ = busy(clock)
    saved = take_checkpoint(engine, clock())
    set_back = Clock(clock.wall_ms - HOUR_MS, mono_ms=50_000)

    again = restored(saved, set_back)

    assert balances(again) == balances(engine)
    assert all(ring.remaining(50_000) < ring.limit for ring in again.chart.windows.values())
    assert all(ring.remaining(50_000 + 25 * HOUR_MS) == ring.limit for ring in again.chart.windows.values())
