"""A few requests whose whole fate is reckoned by hand, and what must hold of any trace."""

from pathlib import Path

from headgate.simulation.profile import ProfileBook
from headgate.simulation.replay import NOT_FOUND, UNPRICED, Fate, replay
from headgate.simulation.synthetic import synthetic_trace
from headgate.simulation.trace import Outage, Profile
from tests.simulation.small import EXACT, TWO, policy, profiles, row, swapped

ALWAYS = Profile(outages=(Outage(0, 1 << 50, failures=1.0),))


def test_each_request_is_answered_where_the_policy_says_at_its_time_and_price(tmp_path: Path):
    rows = (row(1, 0), row(2, 10, stream=False))
    first, whole = replay(rows, policy(tmp_path), profiles(), 1)
    assert (first.fate, first.deployment, first.attempts) == (Fate.ANSWERED, "near/a", 1)
    # 1000 tokens at 10 USD and 20 at 20 USD a million.
    assert first.cost_nano_usd == 10_000_000 + 400_000
    assert (round(first.latency_ms, 6), round(first.first_event_ms or 0, 6)) == (3000, 1000)
    # A whole answer's first event is its end.
    assert round(whole.first_event_ms or 0, 6) == 3000
    (other,) = replay(rows[:1], policy(tmp_path, swapped()), profiles(), 1)
    assert (other.deployment, other.cost_nano_usd) == ("far/b", 1_000_000 + 40_000)


def test_what_a_provider_refuses_goes_on_to_the_next_and_then_is_known(tmp_path: Path):
    limited = Profile(1000, 10, 0, rpm=1)
    # The second comes before the provider has said anything; the third after.
    rows = (row(1, 0), row(2, 0.5), row(3, 2), row(4, 70))
    served = replay(rows, policy(tmp_path), profiles(near=limited), 1)
    assert [each.deployment for each in served] == ["near/a", "far/b", "far/b", "near/a"]
    assert [each.attempts for each in served] == [1, 2, 1, 1]
    # 100 ms of refusal come before the answer's own 3 s.
    assert round(served[1].latency_ms, 6) == 3100
    assert round(served[1].first_event_ms or 0, 6) == 1100


def test_a_failure_goes_on_and_one_that_is_everywhere_fails(tmp_path: Path):
    (moved,) = replay((row(1, 0),), policy(tmp_path), profiles(near=ALWAYS), 1)
    assert (moved.deployment, moved.attempts, round(moved.latency_ms, 6)) == ("far/b", 2, 4000)
    (failed,) = replay((row(1, 0),), policy(tmp_path), profiles(near=ALWAYS, far=ALWAYS), 1)
    assert (failed.fate, failed.reason, failed.cost_nano_usd) == (Fate.FAILED, "overload", 0)
    # Both, and the last once more.
    assert (failed.deployment, failed.attempts) == ("far/b", 3)


def test_what_leads_nowhere_is_refused_with_its_reason(tmp_path: Path):
    served = replay((row(1, 0, "unknown"), row(2, 0, "none")), policy(tmp_path), profiles(), 1)
    assert [(each.fate, each.reason, each.attempts) for each in served] == [
        (Fate.REFUSED, NOT_FOUND, 0),
        (Fate.REFUSED, UNPRICED, 0),
    ]


def test_where_prices_may_be_missing_the_dearest_is_taken(tmp_path: Path):
    made = policy(tmp_path, "prices: {unpriced: ceiling}\n" + TWO)
    (served,) = replay((row(1, 0, "none"),), made, profiles(), 1)
    assert served.fate is Fate.ANSWERED
    assert served.cost_nano_usd


def test_a_fallback_answers_where_the_route_cannot(tmp_path: Path):
    text = TWO.replace("alias: none\n", "alias: none\n    fallbacks: {error: [m]}\n").replace(
        "model: unpriced}", 'model: c, price: {input_per_mtok: "5", output_per_mtok: "5"}}'
    )
    book = ProfileBook({"near/c": ALWAYS, "near/a": EXACT})
    (served,) = replay((row(1, 0, "none"),), policy(tmp_path, text), book, 1)
    assert (served.fate, served.deployment) == (Fate.ANSWERED, "near/a")


def test_a_provider_that_fails_is_left_alone_for_a_while(tmp_path: Path):
    rows = tuple(row(number, number * 2.0) for number in range(20))
    served = replay(rows, policy(tmp_path), profiles(near=ALWAYS), 1)
    assert all(each.deployment == "far/b" for each in served)
    assert sum(each.attempts - 1 for each in served) < 15


def test_the_same_seed_gives_the_same_fates(tmp_path: Path):
    trace = synthetic_trace(5, 300)
    text = TWO.replace("alias: m", "alias: open-large").replace("alias: none", "alias: closed-small")
    made, book = policy(tmp_path, text), ProfileBook({"near/a": Profile(failures=0.2, rpm=20)})
    counts: list[int] = []
    first = replay(trace.rows, made, book, 1, counts.append)
    assert first == replay(trace.rows, made, book, 1)
    assert first != replay(trace.rows, made, book, 2)
    assert [each.row for each in first] == list(trace.rows)
    assert counts == list(range(1, 301))
