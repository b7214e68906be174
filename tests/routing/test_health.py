"""The health of deployments: what keeps requests away, for how long, and what is remembered."""

import gc

import pytest

from headgate.domain.routing import FailureClass
from headgate.routing.breaker import LONGEST_OPEN_S, TRIP_IN_A_ROW, BreakerState
from headgate.routing.health import DEPLOYMENTS, ROUTES, Health, HealthBook
from headgate.routing.learned import SAMPLES
from headgate.routing.table import Deployment
from tests.routing.routes import NOW, book, deployment, route, succeed

ONE = deployment("openai", credential="main")
BREAKING = {FailureClass.OVERLOAD, FailureClass.TRANSPORT, FailureClass.MALFORMED, FailureClass.STALL}


def fail(health: Health, failure: FailureClass, now: float = NOW, retry_after_s: float | None = None) -> None:
    health.begin(now, 10)
    health.failed(now, failure, retry_after_s=retry_after_s, began=now)


def healthy() -> Health:
    return book().of(ONE)


@pytest.mark.parametrize(
    ("failure", "why_not", "wait_s"),
    [
        (FailureClass.RATE, "cooling", 1.0),
        (FailureClass.QUOTA, "quota", 300.0),
        (FailureClass.AUTH, "credential_refused", 300.0),
        (FailureClass.NOT_FOUND, "model_unknown", 30.0),
        (FailureClass.OVERLOAD, None, 0.0),
        (FailureClass.TRANSPORT, None, 0.0),
        (FailureClass.MALFORMED, None, 0.0),
        (FailureClass.STALL, None, 0.0),
        (FailureClass.BAD_REQUEST, None, 0.0),
        (FailureClass.CONTEXT_LENGTH, None, 0.0),
        (FailureClass.CONTENT_FILTER, None, 0.0),
        (FailureClass.DEADLINE, None, 0.0),
    ],
)
def test_what_one_failure_of_each_class_does(failure: FailureClass, why_not: str | None, wait_s: float) -> None:
    health = healthy()
    fail(health, failure)
    assert health.in_flight == 0
    assert health.why_not(NOW) == why_not
    assert health.wait_s(NOW) == wait_s
    assert health.why_not(NOW + wait_s) is None
    assert health.breaker.consecutive == (1 if failure in BREAKING else 0)


@pytest.mark.parametrize("failure", list(FailureClass))
def test_only_failures_that_speak_against_the_provider_open_the_breaker(failure: FailureClass) -> None:
    health = healthy()
    for _ in range(50):
        fail(health, failure)
    assert health.breaker.admits(NOW) == (failure not in BREAKING)


def test_the_classes_are_all_decided() -> None:
    assert len(FailureClass) == 12


def test_an_open_breaker_recovers_through_real_traffic_within_ten_seconds() -> None:
    health = healthy()
    for _ in range(TRIP_IN_A_ROW):
        fail(health, FailureClass.OVERLOAD)
    assert health.why_not(NOW) == "breaker_open"
    assert 0 < health.wait_s(NOW) <= LONGEST_OPEN_S
    now = NOW + health.wait_s(NOW)
    assert health.why_not(now) is None
    health.begin(now, 10)
    assert health.why_not(now) == "probing"
    health.neutral(now, began=now)
    for _ in range(4):
        assert health.why_not(now) is None
        succeed(health, now, duration_s=0.0, first_event_s=0.0)
    assert health.breaker.state is BreakerState.CLOSED


@pytest.mark.parametrize(
    ("retry_after_s", "cooling_s"), [(0.0, 1.0), (0.2, 1.0), (7.0, 7.0), (300.0, 300.0), (86_400.0, 300.0)]
)
def test_a_rate_limit_cools_for_what_the_provider_asks_within_bounds(retry_after_s: float, cooling_s: float) -> None:
    health = healthy()
    fail(health, FailureClass.RATE, retry_after_s=retry_after_s)
    assert health.wait_s(NOW) == cooling_s


def test_an_unstated_rate_limit_doubles_while_it_repeats_and_begins_anew_after_a_success() -> None:
    health, now, waits = healthy(), NOW, []
    for _ in range(7):
        fail(health, FailureClass.RATE, now)
        waits.append(health.wait_s(now))
        now += waits[-1]
    assert waits == [1, 2, 4, 8, 16, 30, 30]
    succeed(health, now + 5, duration_s=4.0)
    fail(health, FailureClass.RATE, now + 5)
    assert health.wait_s(now + 5) == 1


def test_a_burst_that_is_refused_as_one_cools_once() -> None:
    health = healthy()
    for _ in range(20):
        fail(health, FailureClass.RATE)
    assert health.wait_s(NOW) == 1


def test_a_shorter_wait_does_not_end_a_longer_one() -> None:
    health = healthy()
    fail(health, FailureClass.RATE, retry_after_s=60.0)
    fail(health, FailureClass.RATE, retry_after_s=2.0)
    assert health.wait_s(NOW) == 60


def test_a_dead_credential_is_benched_with_all_its_models_and_no_other() -> None:
    made = book()
    first, same, other_credential, other_provider = (
        made.of(deployment("openai", model="a", credential="main")),
        made.of(deployment("openai", model="b", credential="main")),
        made.of(deployment("openai", model="a", credential="spare")),
        made.of(deployment("azure", model="a", credential="main")),
    )
    fail(first, FailureClass.AUTH)
    assert same.why_not(NOW) == "credential_refused"
    assert same.why_not(NOW + 299.9) == "credential_refused"
    assert same.why_not(NOW + 300.0) is None
    assert other_credential.why_not(NOW) is None
    assert other_provider.why_not(NOW) is None


def test_only_a_success_that_began_on_the_bench_ends_it() -> None:
    health = healthy()
    health.begin(NOW - 60, 10)
    fail(health, FailureClass.QUOTA)
    health.succeeded(
        NOW + 1, first_event_s=1, duration_s=61, output_tokens=9, input_tokens=9, cached_input_tokens=0, began=NOW - 60
    )
    assert health.why_not(NOW + 1) == "quota"
    succeed(health, NOW + 5, duration_s=2.0)
    assert health.why_not(NOW + 5) is None


def test_an_answer_far_slower_than_usual_there_counts_as_a_failure() -> None:
    health = healthy()
    for _ in range(SAMPLES):
        succeed(health, first_event_s=1.0)
    for _ in range(TRIP_IN_A_ROW):
        assert health.why_not(NOW + 20) is None
        succeed(health, NOW + 20, first_event_s=12.0, duration_s=13.0)
    assert health.why_not(NOW + 20) == "breaker_open"
    assert health.reason == "slow"


def test_the_end_of_an_attempt_without_its_begin_time_counts_as_recent() -> None:
    health = healthy()
    for _ in range(TRIP_IN_A_ROW):
        health.begin(NOW, 10)
        health.failed(NOW, FailureClass.STALL)
    now = NOW + 5
    health.begin(now, 10)
    health.neutral(now)
    assert health.why_not(now) is None


@pytest.mark.parametrize(
    ("rpm", "tpm", "why_not"), [(3, None, None), (2, None, "no_headroom"), (None, 2000, "no_headroom")]
)
def test_configured_limits_hold_for_a_minute_of_our_own_requests(
    rpm: int | None, tpm: int | None, why_not: str | None
) -> None:
    health = healthy()
    health.begin(NOW, 1000)
    health.begin(NOW, 1000)
    assert health.why_not(NOW, rpm, tpm) == why_not
    assert health.why_not(NOW + 61, rpm, tpm) is None


def test_what_the_provider_says_is_left_keeps_requests_away_until_there_is_more() -> None:
    health = healthy()
    health.learn_headers([(b"content-type", b"text/event-stream")], NOW)
    assert health.headroom.requests is None
    health.learn_headers(
        [(b"x-ratelimit-limit-requests", b"10"), (b"x-ratelimit-remaining-requests", b"1"),
         (b"x-ratelimit-reset-requests", b"9s")], NOW,
    )  # fmt: skip
    assert health.why_not(NOW) is None
    health.begin(NOW, 10)
    assert health.why_not(NOW) == "no_headroom"
    assert health.wait_s(NOW) == pytest.approx(1.0)
    assert health.why_not(NOW + 1.001) is None


def test_retries_are_a_fifth_of_the_requests_and_three_a_second() -> None:
    health = healthy()
    assert sum(health.may_retry(NOW) for _ in range(100)) == 30
    for _ in range(50):
        health.begin(NOW, 10)
    assert sum(health.may_retry(NOW) for _ in range(100)) == pytest.approx(10, abs=1)


def test_a_view_says_how_it_is_doing() -> None:
    made = book()
    health = made.of(ONE)
    limited = deployment("openai", credential="main", rpm=10, tpm=5000)
    succeed(health, NOW, first_event_s=0.5, duration_s=2.5, output_tokens=100, input_tokens=1000)
    health.begin(NOW, 500)
    health.begin(NOW, 500)
    health.failed(NOW + 1, FailureClass.OVERLOAD, began=NOW)

    (view,) = made.views([limited], NOW + 3)
    assert view.name == "openai/m#main"
    assert (view.state, view.reason, view.until_s) == ("closed", "overload", None)
    assert (view.successes, view.failures, view.consecutive_failures, view.in_flight) == (1, 1, 1, 1)
    assert view.first_event_ms == pytest.approx(500)
    assert view.tokens_per_s == pytest.approx(50)
    assert (view.rpm_left, view.tpm_left) == (7, 2900)
    assert view.last_failure_age_s == pytest.approx(2)


@pytest.mark.parametrize(
    ("failure", "times", "state"),
    [
        (FailureClass.OVERLOAD, 5, "open"),
        (FailureClass.RATE, 1, "cooling"),
        (FailureClass.AUTH, 1, "benched"),
        (FailureClass.NOT_FOUND, 1, "benched"),
    ],
)
def test_a_view_names_the_state(failure: FailureClass, times: int, state: str) -> None:
    made = book()
    for _ in range(times):
        fail(made.of(ONE), failure)
    (view,) = made.views([ONE], NOW)
    assert view.state == state
    assert view.until_s is not None
    (later,) = made.views([ONE], NOW + view.until_s)
    assert later.state == ("half_open" if state == "open" else "closed")


def test_a_view_of_one_that_nobody_used_says_so_and_is_not_remembered() -> None:
    made = book()
    fail(made.of(deployment("openai", model="other", credential="main")), FailureClass.AUTH)
    unused, elsewhere = made.views([ONE, deployment("azure")], NOW)
    assert (unused.state, unused.reason, unused.successes) == ("benched", None, 0)
    assert (elsewhere.state, elsewhere.rpm_left, elsewhere.first_event_ms) == ("closed", None, None)
    assert len(made) == 1


def named(number: int) -> Deployment:
    return deployment("openai", model=f"m{number}")


def filled() -> HealthBook:
    made = book()
    for number in range(DEPLOYMENTS):
        health = made.of(named(number))
        health.begin(NOW + number, 1)
        health.neutral(NOW + number)
    return made


def test_the_least_recently_used_deployments_are_forgotten_first() -> None:
    made = filled()
    busy, recent = made.of(named(0)), made.of(named(DEPLOYMENTS - 1))
    busy.begin(NOW, 1)
    idle = made.of(named(1))
    made.of(named(DEPLOYMENTS))

    assert len(made) <= DEPLOYMENTS
    assert made.of(named(0)) is busy
    assert made.of(named(DEPLOYMENTS - 1)) is recent
    assert made.of(named(1)) is not idle


def test_names_without_end_take_no_memory_without_end() -> None:
    made = book()
    for number in range(DEPLOYMENTS * 2):
        target = named(number)
        made.line_up(route(target))
    gc.collect()
    assert len(made) <= DEPLOYMENTS
    assert len(made._lines) <= ROUTES
    assert len(made._lengths) <= DEPLOYMENTS
    assert len(made._accounts) == 1


def test_a_line_up_and_the_book_speak_of_the_same_health_after_others_were_forgotten() -> None:
    made = filled()
    target = route(named(1), named(DEPLOYMENTS + 1))
    line = made.line_up(target)
    made.of(named(DEPLOYMENTS + 2))
    line = made.line_up(target)
    assert [seat.health is made.of(seat.deployment) for seat in line.seats] == [True, True]


def test_deployments_of_one_model_share_the_length_of_its_answers() -> None:
    made = book()
    succeed(made.of(deployment("openai", model="gpt")), output_tokens=70)
    assert made.of(deployment("azure", model="gpt")).length.tokens == 70
    assert made.of(deployment("azure", model="other")).length.tokens is None
