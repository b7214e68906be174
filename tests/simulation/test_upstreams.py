"""How simulated providers answer."""

from headgate.domain.catalog import Capabilities
from headgate.domain.routing import FailureClass
from headgate.routing.table import Deployment
from headgate.simulation.profile import ProfileBook
from headgate.simulation.trace import Outage, Profile
from headgate.simulation.upstreams import REFUSAL_S, Upstreams
from tests.simulation.small import EXACT, row

NEAR = Deployment("near", "a", None)


def upstreams(profile: Profile = EXACT, start_ms: int = 0) -> Upstreams:
    return Upstreams(ProfileBook({"near/a": profile}), 1, start_ms)


def test_an_answer_takes_what_the_profile_says():
    answer = upstreams().begin(row(1, 0), NEAR, 1, 0.0)
    assert (answer.first_event_s, round(answer.duration_s, 9), answer.failure, answer.headers) == (1.0, 3.0, None, ())


def test_load_of_its_own_slows_it_down():
    world = upstreams(Profile(1000, 10, 0, concurrency=2))
    first = world.begin(row(1, 0), NEAR, 1, 0.0)
    assert first.first_event_s == 1.0
    assert world.begin(row(2, 0), NEAR, 1, 0.0).first_event_s == 1.5
    world.end(row(1, 0), NEAR, first, 3.0)
    assert world.begin(row(3, 3), NEAR, 1, 3.0).first_event_s == 1.5


def test_what_exceeds_a_limit_is_refused_until_it_has_refilled():
    world = upstreams(Profile(1000, 10, 0, rpm=2, tpm=1_000_000))
    assert world.begin(row(1, 0), NEAR, 1, 0.0).failure is None
    second = world.begin(row(2, 0), NEAR, 1, 0.0)
    assert dict(second.headers)[b"x-ratelimit-remaining-requests"] == b"0"
    assert dict(second.headers)[b"x-ratelimit-limit-requests"] == b"2"
    assert dict(second.headers)[b"x-ratelimit-reset-requests"] == b"60.000s"
    assert dict(second.headers)[b"x-ratelimit-remaining-tokens"] == b"997960"
    third = world.begin(row(3, 0), NEAR, 1, 0.0)
    assert (third.failure, third.retry_after_s, third.duration_s) == (FailureClass.RATE, 30.0, REFUSAL_S)
    assert world.begin(row(4, 30), NEAR, 1, 30.0).failure is None


def test_more_tokens_than_a_minute_ever_has_take_the_whole_minute():
    world = upstreams(Profile(1000, 10, 0, tpm=100))
    assert world.begin(row(1, 0), NEAR, 1, 0.0).failure is None
    assert world.begin(row(2, 0), NEAR, 1, 0.0).failure is FailureClass.RATE


def test_an_outage_holds_on_the_clock_of_the_trace():
    world = upstreams(
        Profile(1000, 10, 0, outages=(Outage(10_000, 20_000, 1.0), Outage(20_000, 30_000, 0.0, 4.0))), 5000
    )
    assert world.begin(row(1, 0), NEAR, 1, 4.9).failure is None
    assert world.begin(row(2, 0), NEAR, 1, 5.0).failure is FailureClass.OVERLOAD
    assert world.begin(row(3, 0), NEAR, 1, 15.0).first_event_s == 4.0
    assert world.begin(row(4, 0), NEAR, 1, 25.0).first_event_s == 1.0


def test_a_share_of_failures_is_about_that_share():
    world = upstreams(Profile(failures=0.25))
    failed = sum(world.begin(row(n, 0), NEAR, 1, 0.0).failure is not None for n in range(2000))
    assert 430 <= failed <= 570


def test_a_prompt_beyond_the_window_fails():
    small = Deployment("near", "a", None, capabilities=Capabilities(context_window=1019))
    assert upstreams().begin(row(1, 0), small, 1, 0.0).failure is FailureClass.CONTEXT_LENGTH


def test_a_prefix_is_cached_only_where_the_session_was_within_five_minutes():
    world, far = upstreams(), Deployment("far", "b", None)
    turn = row(1, 0, session="s", cached_input_tokens=900)

    def ask(deployment: Deployment, now: float) -> int:
        answer = world.begin(turn, deployment, 1, now)
        return world.end(turn, deployment, answer, now + answer.duration_s)

    assert ask(NEAR, 0.0) == 0
    assert ask(NEAR, 100.0) == 900
    assert ask(far, 150.0) == 0
    assert ask(NEAR, 500.0) == 0
    alone = row(2, 0, cached_input_tokens=900)
    assert world.end(alone, far, world.begin(alone, far, 1, 600.0), 601.0) == 900
