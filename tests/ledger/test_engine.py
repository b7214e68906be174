import math

import pytest

from headgate.domain.limits import BudgetMode, InvalidLimitError, LimitedKind, Override, Period, RateLimits, WindowMode
from headgate.ledger.limit_book import LimitBook
from headgate.ledger.outcomes import (
    AdjustmentError,
    Admitted,
    Ask,
    Claim,
    LedgerUseError,
    RefusalCode,
    State,
    UnknownReservationError,
)
from headgate.ledger.rows import END, INTENT
from headgate.ledger.status import status_of
from tests.ledger.tree import (
    HOUR_MS,
    ORGANIZATION,
    Clock,
    balances,
    budget,
    claim,
    held,
    key_path,
    limits,
    make_engine,
    picture,
    rates_path,
    refused,
    scopes,
)

ACCOUNT = "key/key_1/bud_1/2026-11"


def test_a_reservation_is_held_then_posted_by_what_was_used() -> None:
    (engine, rows), now, path = make_engine(), Clock(), key_path(budget("bud_1", 100))

    assert held(engine.reserve(claim("r", path, 60), now())).durable_first
    assert balances(engine) == {ACCOUNT: (0, 60)}
    engine.dispatched("r")
    settlement = engine.settle("r", 25, 0, now(), payee="openai", payload=b"record")

    assert (settlement.state, settlement.posted_nano_usd, settlement.overrun_nano_usd) == (State.POSTED, 25, 0)
    assert balances(engine) == {ACCOUNT: (25, 0)}
    assert rows[-1][-1] == b"record"


def test_a_voided_reservation_leaves_nothing() -> None:
    (engine, _), now, path = make_engine(), Clock(), key_path(budget("bud_1", 100))
    engine.reserve(claim("r", path, 60), now())

    assert engine.void("r", now()).state is State.VOIDED
    assert balances(engine) == {ACCOUNT: (0, 0)}


def test_the_three_refusals_of_a_budget_are_told_apart() -> None:
    (engine, _), now, path = make_engine(), Clock(), key_path(budget("bud_1", 100))
    engine.reserve(claim("a", path, 30), now())
    engine.settle("a", 30, 0, now())
    engine.reserve(claim("b", path, 50), now())

    in_flight = refused(engine.reserve(claim("c", path, 21), now()))
    exhausted = refused(engine.reserve(claim("d", path, 71), now()))
    never = refused(engine.reserve(claim("e", path, 101), now()))

    assert (in_flight.code, exhausted.code, never.code) == (
        RefusalCode.BUDGET_IN_FLIGHT,
        RefusalCode.BUDGET_EXHAUSTED,
        RefusalCode.REQUEST_EXCEEDS_BUDGET,
    )
    assert (in_flight.kind, in_flight.scope_id, in_flight.limit_name) == (LimitedKind.KEY, "key_1", "bud_1")
    assert (in_flight.limit, in_flight.used, in_flight.held, in_flight.asked) == (100, 30, 50, 21)
    assert in_flight.retry_after_ms is not None
    assert exhausted.retry_after_ms is never.retry_after_ms is None
    assert exhausted.resets_at_ms == 1_796_083_200_000  # 2026-12-01T00:00Z
    assert held(engine.reserve(claim("f", path, 20), now()))


def test_a_total_budget_never_resets() -> None:
    (engine, _), now, path = make_engine(), Clock(), key_path(budget("bud_1", 100, Period.TOTAL))
    engine.reserve(claim("a", path, 100), now())
    engine.settle("a", 100, 0, now())
    now.pass_ms(400 * 24 * HOUR_MS)

    refusal = refused(engine.reserve(claim("b", path, 1), now()))

    assert (refusal.code, refusal.resets_at_ms) == (RefusalCode.BUDGET_EXHAUSTED, None)


def test_what_no_waiting_mends_is_told_before_what_a_second_mends() -> None:
    now = Clock()
    book = LimitBook.build(
        [
            limits(LimitedKind.ORGANIZATION, ORGANIZATION, budget("bud_1", 100)),
            limits(LimitedKind.KEY, "key_1", budget("bud_2", 90)),
        ]
    )
    engine, _ = make_engine()
    path = book.path(scopes(), "key_1")
    engine.reserve(claim("a", path, 60), now())

    assert refused(engine.reserve(claim("b", path, 95), now())).limit_name == "bud_2"
    assert refused(engine.reserve(claim("b", path, 50), now())).limit_name == "bud_1"


def test_i6_a_refusal_at_the_last_level_changes_nothing_at_the_first() -> None:
    now = Clock()
    book = LimitBook.build(
        [
            limits(LimitedKind.ORGANIZATION, ORGANIZATION, budget("bud_1", 100), rates=RateLimits(tph=1_000)),
            limits(LimitedKind.TEAM, "team_1", budget("bud_2", 50), rates=RateLimits(tpm=1_000)),
            limits(LimitedKind.KEY, "key_1", budget("bud_3", 100), rates=RateLimits(tpd=10)),
        ]
    )
    (engine, rows), path = make_engine(), book.path(scopes(), "key_1")
    engine.reserve(claim("a", path, 40, 4), now())
    before, count = picture(engine, now()), len(rows)

    assert refused(engine.reserve(claim("b", path, 11, 1), now())).limit_name == "bud_2"
    assert refused(engine.reserve(claim("b", path, 1, 7), now())).limit_name == "tpd"
    assert (picture(engine, now()), len(rows)) == (before, count)


def test_i5_reserving_and_ending_twice_is_once() -> None:
    (engine, rows), now, path = make_engine(), Clock(), key_path(budget("bud_1", 100))
    engine.reserve(claim("r", path, 60), now())

    assert held(engine.reserve(claim("r", path, 99), now())).again
    engine.settle("r", 10, 0, now())
    again = engine.settle("r", 50, 0, now())

    assert (again.again, again.posted_nano_usd) == (True, 10)
    assert engine.void("r", now()).state is State.POSTED
    assert balances(engine) == {ACCOUNT: (10, 0)}
    assert [row[0] for row in rows if row[0] in (INTENT, END)] == [INTENT, END]
    with pytest.raises(LedgerUseError):
        engine.reserve(claim("r", path, 1), now())


def test_what_was_never_reserved_cannot_end() -> None:
    engine, _ = make_engine()

    for call in (
        lambda: engine.settle("r", 1, 0, Clock()()),
        lambda: engine.void("r", Clock()()),
        lambda: engine.dispatched("r"),
        lambda: engine.extend("r", Ask(1), Clock()()),
    ):
        with pytest.raises(UnknownReservationError):
            call()


def test_a_hold_is_extended_on_its_own_accounts_or_not_at_all() -> None:
    (engine, _), now, path = make_engine(), Clock(), key_path(budget("bud_1", 100), rates=RateLimits(tph=50))
    engine.reserve(claim("r", path, 60, 10), now())

    assert held(engine.extend("r", Ask(40, 10, 10), now())).held_nano_usd == 100
    assert refused(engine.extend("r", Ask(1), now())).code is RefusalCode.BUDGET_IN_FLIGHT
    assert refused(engine.extend("r", Ask(0, 31, 31), now())).limit_name == "tph"
    assert balances(engine) == {ACCOUNT: (0, 100)}


def test_what_is_known_not_to_be_needed_is_given_back_at_once() -> None:
    (engine, _), now, path = make_engine(), Clock(), key_path(budget("bud_1", 100), rates=RateLimits(tph=50))
    engine.reserve(claim("r", path, 90, 50), now())

    assert engine.release_part("r", Ask(70, 40, 40), now()) == 20
    assert held(engine.reserve(claim("s", path, 80, 40), now()))
    assert engine.release_part("r", Ask(70, 40, 40), now()) == 0


def test_a_failed_attempt_posts_its_own_line_and_the_rest_stays_held() -> None:
    (engine, _), now, path = make_engine(), Clock(), key_path(budget("bud_1", 100))
    engine.reserve(claim("r", path, 60), now())

    engine.post_part("r", 20, 0, "openai", now())
    assert balances(engine) == {ACCOUNT: (20, 40)}
    settlement = engine.settle("r", 30, 0, now(), payee="anthropic")

    assert settlement.posted_nano_usd == 50
    assert balances(engine) == {ACCOUNT: (50, 0)}


def test_a_request_of_which_a_part_was_posted_is_not_voided_by_what_followed() -> None:
    (engine, _), now, path = make_engine(), Clock(), key_path(budget("bud_1", 100))
    engine.reserve(claim("r", path, 60), now())
    engine.post_part("r", 20, 0, "openai", now())

    settlement = engine.void("r", now())

    assert (settlement.state, settlement.posted_nano_usd) == (State.POSTED, 20)


def test_what_was_used_beyond_the_hold_is_posted_in_full_and_said() -> None:
    (engine, _), now, path = make_engine(), Clock(), key_path(budget("bud_1", 100))
    engine.reserve(claim("r", path, 60), now())
    engine.post_part("r", 70, 0, "openai", now())

    settlement = engine.settle("r", 50, 0, now())

    assert (settlement.posted_nano_usd, settlement.overrun_nano_usd) == (120, 60)
    assert balances(engine) == {ACCOUNT: (120, 0)}
    assert refused(engine.reserve(claim("s", path, 1), now())).code is RefusalCode.BUDGET_EXHAUSTED
    assert held(engine.reserve(claim("free", path, 0), now()))


def test_a_lowered_limit_admits_nothing_more_and_a_raise_does_at_once() -> None:
    (engine, _), now = make_engine(), Clock()
    engine.reserve(claim("a", key_path(budget("bud_1", 100)), 80), now())

    lowered = key_path(budget("bud_1", 50, version=2))
    assert refused(engine.reserve(claim("b", lowered, 10), now())).limit == 50
    assert balances(engine) == {ACCOUNT: (0, 80)}
    assert held(engine.reserve(claim("c", key_path(budget("bud_1", 200, version=3)), 100), now()))


def test_a_request_with_an_older_snapshot_cannot_bring_a_limit_back() -> None:
    (engine, _), now = make_engine(), Clock()
    old = key_path(budget("bud_1", 100, version=1), rates=RateLimits(tph=100, version=1))
    new = key_path(budget("bud_1", 10, version=2), rates=RateLimits(tph=10, version=2))
    engine.reserve(claim("a", new, 1, 1), now())

    assert refused(engine.reserve(claim("b", old, 50, 1), now())).limit == 10
    assert refused(engine.reserve(claim("b", old, 1, 50), now())).limit == 10


def test_an_override_raises_the_limit_until_its_end() -> None:
    (engine, _), now = make_engine(), Clock()
    path = key_path(budget("bud_1", 100, override=Override(500, now.wall_ms + HOUR_MS)))
    assert held(engine.reserve(claim("a", path, 400), now()))
    engine.settle("a", 300, 0, now())

    now.pass_ms(HOUR_MS - 1)
    assert held(engine.reserve(claim("b", path, 100), now()))
    now.pass_ms(1)
    refusal = refused(engine.reserve(claim("c", path, 1), now()))

    assert (refusal.code, refusal.limit, refusal.used) == (RefusalCode.BUDGET_EXHAUSTED, 100, 300)
    assert balances(engine) == {ACCOUNT: (300, 100)}


def test_a_budget_in_audit_mode_counts_and_tells_and_never_refuses() -> None:
    (engine, _), now = make_engine(), Clock()
    path = key_path(budget("bud_1", 100, mode=BudgetMode.AUDIT))

    outcome = held(engine.reserve(claim("a", path, 150), now()))

    assert not outcome.durable_first
    assert [refusal.code for refusal in outcome.would_refuse] == [RefusalCode.REQUEST_EXCEEDS_BUDGET]
    assert balances(engine) == {ACCOUNT: (0, 150)}
    assert [refusal.code for refusal in held(engine.extend("a", Ask(1), now())).would_refuse]


def test_thresholds_are_told_once_per_account_and_share() -> None:
    (engine, _), now, path = make_engine(), Clock(), key_path(budget("bud_1", 100))

    def spend(rid: str, amount: int) -> list[int]:
        engine.reserve(claim(rid, path, amount), now())
        return [each.percent for each in engine.settle(rid, amount, 0, now()).thresholds]

    assert [spend("a", 49), spend("b", 1), spend("c", 29)] == [[], [50], []]
    engine.adjust((ACCOUNT,), -40, "credit note", now())
    assert [spend("d", 41), spend("e", 20)] == [[80], [100]]


def test_a_hold_of_october_posts_to_october() -> None:
    now = Clock(wall_ms=1_793_491_199_000)  # 2026-10-31T23:59:59Z
    (engine, _), path = make_engine(), key_path(budget("bud_1", 100))
    engine.reserve(claim("a", path, 90), now())
    now.pass_ms(2_000)

    assert held(engine.reserve(claim("b", path, 90), now()))
    engine.settle("a", 70, 0, now())

    assert balances(engine) == {"key/key_1/bud_1/2026-10": (70, 0), ACCOUNT: (0, 90)}


def test_smooth_windows_admit_what_is_expected_and_collect_the_rest_later() -> None:
    (engine, _), now, path = make_engine(), Clock(mono_ms=0), rates_path(tpm=100)
    assert held(engine.reserve(claim("a", path, 0, 1_000, 50), now()))
    engine.settle("a", 0, 300, now())

    # 100 were paid at once, 100 by each of the windows of 61 s that follow.
    for seconds in (62, 124):
        now.mono_ms = seconds * 1_000
        assert refused(engine.reserve(claim("b", path, 0, 1_000, 1), now())).limit_name == "tpm"
    now.mono_ms = 184_000
    assert held(engine.reserve(claim("b", path, 0, 1_000, 100), now()))


def test_strict_windows_admit_the_bound_and_give_back_what_was_not_used() -> None:
    (engine, _), now, path = make_engine(), Clock(), rates_path(tpm=100, tpm_mode=WindowMode.STRICT)
    engine.reserve(claim("a", path, 0, 80, 10), now())

    refusal = refused(engine.reserve(claim("b", path, 0, 30, 10), now()))
    assert (refusal.code, refusal.limit_name, refusal.used) == (RefusalCode.RATE_LIMIT_EXCEEDED, "tpm", 80)
    assert 0 < refusal.retry_after_ms <= 61_000
    engine.settle("a", 0, 20, now())

    assert held(engine.reserve(claim("b", path, 0, 80, 10), now()))


def test_where_nobody_knows_the_tokens_windows_count_what_they_admitted() -> None:
    (engine, _), now, path = make_engine(), Clock(), rates_path(tpm=100, tpd=100)
    engine.reserve(claim("a", path, 0, 80, 10), now())

    engine.settle("a", 0, None, now())

    assert [each.remaining for each in status_of(engine, path, now()).windows] == [90, 20]


def test_tokens_above_a_whole_window_are_never_to_be_tried_again() -> None:
    (engine, _), now = make_engine(), Clock()

    assert refused(engine.reserve(claim("a", rates_path(tpd=10), 0, 11), now())).retry_after_ms is None


def test_requests_a_minute_and_at_once_are_admitted_at_every_level_or_at_none() -> None:
    now = Clock()
    book = LimitBook.build(
        [
            limits(LimitedKind.TEAM, "team_1", rates=RateLimits(rpm=10, concurrency=3)),
            limits(LimitedKind.KEY, "key_1", rates=RateLimits(rpm=3, concurrency=2)),
        ]
    )
    engine, rows = make_engine()
    path, sibling = book.path(scopes(), "key_1"), book.path(scopes(), "key_2")
    running = [engine.admit(path, now()) for _ in range(2)]

    refusal = refused(engine.admit(path, now()))
    assert (refusal.code, refusal.scope_id, refusal.limit) == (RefusalCode.CONCURRENCY_EXCEEDED, "key_1", 2)
    assert isinstance(engine.admit(sibling, now()), Admitted)
    assert refused(engine.admit(sibling, now())).scope_id == "team_1"
    engine.leave(running[0])
    engine.leave(running[0])
    assert isinstance(engine.admit(path, now()), Admitted)
    engine.leave(running[1])
    limited = refused(engine.admit(path, now()))

    assert (limited.code, limited.limit_name, limited.used) == (RefusalCode.RATE_LIMIT_EXCEEDED, "rpm", 3)
    assert 0 < limited.retry_after_ms <= 61_000
    assert rows == []


@pytest.mark.parametrize("bad", [-1, True, 1.0, math.nan, math.inf, "1", None, 9 * 10**15 + 1], ids=repr)
def test_i10_what_is_no_amount_changes_nothing(bad: object) -> None:
    (engine, rows), now, path = make_engine(), Clock(), key_path(budget("bud_1", 100), rates=RateLimits(tph=10))
    engine.reserve(claim("r", path, 60), now())
    before, count = picture(engine, now()), len(rows)

    for call in (
        lambda: engine.reserve(claim("x", path, bad), now()),
        lambda: engine.reserve(claim("x", path, 1, bad, 0), now()),
        lambda: engine.reserve(Claim("x", path, Ask(1, 1, bad)), now()),
        lambda: engine.extend("r", Ask(bad), now()),
        lambda: engine.release_part("r", Ask(bad), now()),
        lambda: engine.settle("r", bad, 0, now()),
        lambda: engine.settle("r", 1, -1 if bad is None else bad, now()),
        lambda: engine.post_part("r", bad, 0, "x", now()),
    ):
        with pytest.raises(InvalidLimitError):
            call()
    assert (picture(engine, now()), len(rows)) == (before, count)


def test_more_is_not_expected_than_is_possible() -> None:
    engine, _ = make_engine()

    with pytest.raises(InvalidLimitError, match=r"^expected_tokens: "):
        engine.reserve(claim("r", key_path(), 0, 5, 6), Clock()())


def test_an_adjustment_is_a_new_row_and_never_leaves_less_than_nothing() -> None:
    (engine, rows), now, path = make_engine(), Clock(), key_path(budget("bud_1", 100))
    engine.reserve(claim("r", path, 60), now())
    engine.settle("r", 60, 0, now())

    engine.adjust((ACCOUNT,), -20, "invoice 7", now())
    assert balances(engine) == {ACCOUNT: (40, 0)}
    count = len(rows)
    with pytest.raises(AdjustmentError):
        engine.adjust((ACCOUNT,), -41, "too much", now())
    with pytest.raises(AdjustmentError):
        engine.adjust(("key/key_1/bud_1/1999-01",), 1, "nowhere", now())
    with pytest.raises(InvalidLimitError):
        engine.adjust((ACCOUNT,), -0.5, "half", now())

    assert len(rows) == count


def test_ended_reservations_are_remembered_up_to_a_bound() -> None:
    from headgate.ledger.engine import Engine

    engine, now, path = Engine(lambda row: None, remembered_ends=2), Clock(), key_path(budget("bud_1", 100))
    for rid in "abc":
        engine.reserve(claim(rid, path, 1), now())
        engine.settle(rid, 1, 0, now())

    assert engine.settle("b", 1, 0, now()).again
    with pytest.raises(UnknownReservationError):
        engine.settle("a", 1, 0, now())
