"""What a trace tells of deployments."""

from headgate.routing.table import Deployment
from headgate.simulation.profile import DEFAULT_PROFILE, FEWEST_ANSWERS, ProfileBook, observe
from headgate.simulation.trace import Profile, TraceRow

NEAR = Deployment("near", "a", None)


def answers(count: int, **fields: object) -> list[TraceRow]:
    """Streams whose first event takes 500 ms and each of 20 tokens 10 ms after it."""
    common = {"output_tokens": 20, "deployment": "near/a", "first_event_ms": 500.0, "duration_ms": 700.0}
    return [TraceRow(f"r{number}", number, "m", 10, **(common | fields)) for number in range(count)]  # type: ignore[arg-type]


def test_streams_tell_the_first_event_and_the_pace():
    observed = observe(answers(FEWEST_ANSWERS))["near/a"]
    assert observed.answers == FEWEST_ANSWERS
    assert observed.profile == Profile(first_event_ms=500, tokens_per_s=100, spread=0)


def test_whole_answers_are_parted_by_the_line_through_them():
    rows = [
        TraceRow(f"r{n}", n, "m", 10, n, stream=False, deployment="near/a", duration_ms=300.0 + 20 * n)
        for n in range(1, FEWEST_ANSWERS + 1)
    ]
    profile = observe(rows)["near/a"].profile
    assert round(profile.first_event_ms, 6) == 300
    assert round(profile.tokens_per_s, 6) == 50


def test_failures_are_a_share_of_the_tries():
    rows = answers(FEWEST_ANSWERS)
    rows += [TraceRow(f"f{n}", 99, "m", 10, failed_on=("near/a",), deployment="far/b") for n in range(5)]
    assert observe(rows)["near/a"].profile.failures == 5 / (5 + FEWEST_ANSWERS)


def test_few_answers_failures_and_second_tries_teach_nothing():
    assert observe(answers(FEWEST_ANSWERS - 1)) == {}
    assert observe(answers(FEWEST_ANSWERS, outcome="truncated")) == {}
    assert observe(answers(FEWEST_ANSWERS, failed_on=("far/b",))) == {}


def test_what_was_observed_wins_over_what_is_stated_and_that_over_the_defaults():
    stated = Profile(first_event_ms=1, rpm=7, failures=0.5)
    nothing = ProfileBook({})
    assert (nothing.of(NEAR).profile, nothing.of(NEAR).is_assumed) == (DEFAULT_PROFILE, True)
    assert list(nothing.consulted) == ["near/a"]
    assert ProfileBook({"near/a": stated}).of(NEAR).profile == stated
    both = ProfileBook({"near/a": stated}, answers(FEWEST_ANSWERS)).of(NEAR)
    assert both.profile == Profile(first_event_ms=500, tokens_per_s=100, spread=0, rpm=7, failures=0.5)
    assert not both.is_assumed


def test_what_is_said_of_a_deployment_holds_for_each_of_its_credentials():
    book = ProfileBook({"near/a": Profile(rpm=7), "near/a#two": Profile(rpm=9)})
    assert book.of(Deployment("near", "a", None, credential="one")).profile.rpm == 7
    assert book.of(Deployment("near", "a", None, credential="two")).profile.rpm == 9
