from headgate.domain.limits import Period, RateLimits
from headgate.ledger.status import RateLeft, rates_left, status_of
from tests.ledger.tree import Clock, budget, claim, key_path, make_engine


def test_a_path_shows_what_is_left_of_everything_on_it() -> None:
    (engine, _), now = make_engine(), Clock()
    path = key_path(
        budget("bud_1", 100),
        budget("bud_2", 50, Period.TOTAL),
        rates=RateLimits(rpm=5, tpm=1_000, tpd=9_000, concurrency=4),
    )
    engine.admit(path, now())
    engine.reserve(claim("a", path, 30, 400, 100), now())
    engine.reserve(claim("b", path, 20, 40, 10), now())
    engine.settle("b", 15, 10, now())

    status = status_of(engine, path, now())

    assert [(b.budget_id, b.limit, b.posted, b.held, b.free) for b in status.budgets] == [
        ("bud_1", 100, 15, 30, 55),
        ("bud_2", 50, 15, 30, 5),
    ]
    assert [b.resets_at_ms for b in status.budgets] == [1_796_083_200_000, None]
    assert [(w.limit_name, w.limit, w.remaining) for w in status.windows] == [
        ("rpm", 5, 4),
        ("tpm", 1_000, 890),
        ("tpd", 9_000, 8_590),
        ("concurrency", 4, 3),
    ]
    requests, tokens = rates_left(engine, path, now())
    assert requests is not None
    assert (requests.limit, requests.remaining) == (5, 4)
    assert tokens is not None
    assert (tokens.limit, tokens.remaining) == (1_000, 890)
    assert 60_000 <= tokens.resets_in_ms <= 61_000
    assert rates_left(engine, key_path(budget("bud_1", 100)), now()) == (None, None)


def test_a_window_of_nothing_is_the_tightest() -> None:
    (engine, _), now = make_engine(), Clock()
    _, tokens = rates_left(engine, key_path(rates=RateLimits(tpm=10, tph=0)), now())

    assert tokens == RateLeft(0, 0, 0)
