"""The plan: where rules lead, who is a candidate, and that somebody always is."""

import heapq
import itertools
import re
from random import Random as Chance  # noqa: TID251  seeded

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.domain.errors import ModelNotFoundError
from headgate.domain.routing import Considered, FailureClass, RoutingNote, Strategy
from headgate.routing.breaker import SILENT_PROBE_S, TRIP_IN_A_ROW
from headgate.routing.health import Health, HealthBook
from headgate.routing.plan import DEEPEST, Facts, follow, plan
from headgate.routing.table import Deployment, Fallbacks, Route, RouteTable, Rule
from tests.routing.routes import NOW, book, deployment, facts, price, route, succeed

A, B, C = deployment("a"), deployment("b"), deployment("c")


def table(*routes: Route) -> RouteTable:
    return RouteTable(routes, ["a"], lambda provider, model: (Deployment(provider, model, None),))


def trip(health: Health, now: float = NOW) -> None:
    for _ in range(TRIP_IN_A_ROW):
        health.begin(now, 1)
        health.failed(now, FailureClass.OVERLOAD, began=now)


def fail(health: Health, failure: FailureClass, now: float = NOW, retry_after_s: float | None = None) -> None:
    health.begin(now, 1)
    health.failed(now, failure, retry_after_s=retry_after_s, began=now)


def test_one_healthy_deployment_is_the_plan_and_its_note_is_shared() -> None:
    made, target = book(), route(A)
    first, second = plan(target, facts(), made, NOW), plan(target, facts(), made, NOW)
    assert first.candidates == (A,)
    assert first.note == RoutingNote("priority", (Considered("a/m"),))
    assert first.note is second.note
    assert not first.is_last_resort


def test_a_note_has_the_candidates_with_their_scores_and_then_the_others_with_why_not() -> None:
    made, target = book(), route(A, B, C, strategy=Strategy.PRIORITY)
    trip(made.of(B))
    found = plan(target, facts(), made, NOW, lambda each: "residency" if each is C else None, rules=("vip",))
    assert found.candidates == (A,)
    assert found.note == RoutingNote(
        "priority",
        (
            Considered("a/m", 0.0),
            Considered("b/m", why_not="breaker_open"),
            Considered("c/m", why_not="residency"),
        ),
        ("vip",),
    )


def test_a_note_of_balanced_has_the_parts_and_no_infinite_score() -> None:
    target = route(deployment("a", price=price(1, 1)), deployment("b"), strategy=Strategy.BALANCED)
    found = plan(target, facts(), book(), NOW)
    for each in found.note.considered:
        assert each.parts is not None
        assert each.score == pytest.approx(sum(each.parts))
    assert found.note.considered[1].parts == pytest.approx((0.25, 0.0, 0.25 / 1000, 0.0))
    cheapest = plan(target, facts(strategy=Strategy.CHEAPEST), book(), NOW).note.considered
    assert [each.score for each in cheapest] == [pytest.approx(0.001256), None]
    assert msgspec.json.decode(msgspec.json.encode(found.note), type=RoutingNote) == found.note


def test_a_note_written_before_it_had_parts_can_still_be_read() -> None:
    old = b'["priority",[["a/m",0.0,null]],[]]'
    assert msgspec.json.decode(old, type=RoutingNote) == RoutingNote("priority", (Considered("a/m", 0.0),))


def test_a_lower_priority_comes_after_all_of_a_higher_one_whatever_the_strategy_says() -> None:
    early = [deployment(name, priority=0) for name in "ab"]
    late = [deployment(name, priority=1, weight=1000) for name in "cd"]
    target = route(*late, *early, strategy=Strategy.WEIGHTED)
    for draw in (0.1, 0.5, 0.9):
        found = plan(target, facts(), book(draw, 1 - draw), NOW)
        assert {each.provider for each in found.candidates[:2]} == {"a", "b"}
        assert {each.provider for each in found.candidates[2:]} == {"c", "d"}


def test_the_callers_strategy_wins_over_the_routes() -> None:
    target = route(deployment("a", weight=1), deployment("b", weight=100))
    found = plan(target, facts(strategy=Strategy.WEIGHTED), book(0.5), NOW)
    assert [each.provider for each in found.candidates] == ["b", "a"]
    assert found.note.strategy == "weighted"
    assert plan(route(A), facts(strategy=Strategy.WEIGHTED), book(0.5), NOW).note.strategy == "weighted"


@pytest.mark.parametrize(
    ("failure", "why_not"),
    [
        (FailureClass.RATE, "cooling"),
        (FailureClass.AUTH, "credential_refused"),
        (FailureClass.QUOTA, "quota"),
        (FailureClass.NOT_FOUND, "model_unknown"),
    ],
)
def test_what_is_not_available_is_left_out_while_something_else_is(failure: FailureClass, why_not: str) -> None:
    made = book()
    fail(made.of(A), failure)
    found = plan(route(A, B), facts(), made, NOW)
    assert found.candidates == (B,)
    assert found.note.considered[-1] == Considered("a/m", why_not=why_not)
    assert not found.is_last_resort


@pytest.mark.parametrize("refuses", [False, True])
def test_where_none_is_available_the_one_that_is_soonest_is_tried(refuses: bool) -> None:
    made = book()
    fail(made.of(A), FailureClass.RATE, retry_after_s=60)
    fail(made.of(B), FailureClass.RATE, retry_after_s=5)
    fail(made.of(C), FailureClass.AUTH)
    found = plan(
        route(A, B, C), facts(), made, NOW, (lambda each: "residency" if each is B else None) if refuses else None
    )
    assert found.candidates == ((A,) if refuses else (B,))
    assert found.is_last_resort
    assert found.note.considered[0].why_not == "cooling"
    assert len(found.note.considered) == 3


def test_a_single_deployment_is_tried_even_with_an_open_breaker() -> None:
    made = book()
    trip(made.of(A))
    found = plan(route(A), facts(), made, NOW)
    assert found.candidates == (A,)
    assert found.is_last_resort
    assert found.note.considered == (Considered("a/m", why_not="breaker_open"),)


def test_what_is_refused_is_never_a_candidate_not_even_as_the_last() -> None:
    found = plan(route(A, B), facts(), book(), NOW, lambda _: "residency")
    assert found.candidates == ()
    assert not found.is_last_resort
    assert found.note.considered == (Considered("a/m", why_not="residency"), Considered("b/m", why_not="residency"))
    assert plan(route(A), facts(), book(), NOW, lambda _: "residency").candidates == ()


def test_while_all_breakers_are_open_each_is_probed_every_second() -> None:
    made, target = book(), route(A, B)
    for each in (A, B):
        trip(made.of(each))
    tried: dict[int, set[str]] = {}
    for step in range(60):
        now = NOW + 1.0 + step * 0.05
        found = plan(target, facts(), made, now)
        (candidate,) = found.candidates
        assert found.is_last_resort
        tried.setdefault(step // 20, set()).add(candidate.provider)
        health = made.of(candidate)
        health.begin(now, 1)
        health.failed(now, FailureClass.OVERLOAD, began=now)
    assert tried == {second: {"a", "b"} for second in range(3)}


def stall(health: Health, now: float, waited_s: float = 120.0) -> None:
    for _ in range(TRIP_IN_A_ROW):
        health.begin(now - waited_s, 1)
        health.failed(now, FailureClass.STALL, began=now - waited_s)


def test_where_all_are_silent_few_wait_and_the_others_hear_when_to_come_back() -> None:
    made, target = book(), route(A, B)
    for each in (A, B):
        stall(made.of(each), NOW)
    waiting: list[tuple[float, str]] = []
    for step in range(1, 6000):
        now = NOW + step * 0.01
        found = plan(target, facts(), made, now)
        if found.candidates:
            assert found.retry_after_s is None
            waiting.append((now, found.candidates[0].provider))
            made.of(found.candidates[0]).begin(now, 1)
        else:
            assert found.is_last_resort
            assert found.retry_after_s is not None
            assert 0 < found.retry_after_s <= SILENT_PROBE_S
            assert [each.deployment for each in found.note.considered] == ["a/m", "b/m"]
    assert len(waiting) < 60, "of 6000 requests less than a hundredth"
    for provider in ("a", "b"):
        times = [NOW, *(now for now, name in waiting if name == provider), NOW + 60]
        assert max(after - before for before, after in itertools.pairwise(times)) <= SILENT_PROBE_S + 0.02


def test_beside_a_silent_one_whatever_fails_at_once_is_the_last_resort() -> None:
    made = book()
    stall(made.of(A), NOW)
    trip(made.of(B))
    found = plan(route(A, B), facts(), made, NOW + 2.0)
    assert found.candidates == (B,)
    assert found.is_last_resort


def test_one_that_is_well_is_never_refused_because_others_are_silent() -> None:
    made = book()
    stall(made.of(A), NOW)
    succeed(made.of(B), NOW, first_event_s=60.0, duration_s=300.0)
    for _ in range(500):
        made.of(B).begin(NOW, 1)
    assert plan(route(A, B), facts(), made, NOW + 1.0).candidates == (B,)
    assert plan(route(B), facts(), made, NOW + 1.0).candidates == (B,)


def test_after_a_silence_the_first_content_of_the_one_probe_lets_everybody_in() -> None:
    made, target = book(), route(A)
    stall(made.of(A), NOW)
    probe_at = next(
        NOW + step * 0.1 for step in range(1, 100) if plan(target, facts(), made, NOW + step * 0.1).candidates
    )
    assert probe_at <= NOW + SILENT_PROBE_S + 0.1
    made.of(A).begin(probe_at, 1)
    assert not plan(target, facts(), made, probe_at + 0.5).candidates
    made.of(A).heard()
    assert plan(target, facts(), made, probe_at + 0.6).candidates == (A,)


def test_after_an_outage_of_everything_the_first_healed_deployment_is_found_within_a_second_of_traffic() -> None:
    made, target = book(), route(A, B)
    for each in (A, B):
        trip(made.of(each))
    served = None
    for step in range(20):
        now = NOW + 1.0 + step * 0.1
        (candidate, *_) = plan(target, facts(), made, now).candidates
        health = made.of(candidate)
        health.begin(now, 1)
        if candidate is B:
            served = now
            health.neutral(now, began=now)
            break
        health.failed(now, FailureClass.OVERLOAD, began=now)
    assert served is not None
    assert served <= NOW + 1.0 + 1.0


def first_success_after(heal_at: float, strategy: Strategy, takes_s: float, every_s: float) -> float:
    """Return when a deployment that was down until ``heal_at`` first answers again, another being well all the time.

    A try that fails takes ``takes_s`` and goes on to the next candidate; one that succeeds takes 20 ms.
    """
    made = HealthBook(draw=Chance(7).random)
    target = route(deployment("sick"), deployment("well", weight=2), strategy=strategy)
    ends: list[tuple[float, int, float, Deployment, tuple[Deployment, ...]]] = []
    now, number = NOW, 0

    def start(candidates: tuple[Deployment, ...], now: float, number: int) -> None:
        health, fails = made.of(candidates[0]), candidates[0].provider == "sick" and now < heal_at
        health.begin(now, 100)
        heapq.heappush(ends, (now + (takes_s if fails else 0.02), number, now, candidates[0], candidates[1:]))

    while now < heal_at + 60:
        now, number = now + every_s, number + 1
        while ends and ends[0][0] <= now:
            at, _, began, candidate, rest = heapq.heappop(ends)
            if candidate.provider == "sick" and began < heal_at:
                made.of(candidate).failed(at, FailureClass.STALL, began=began)
                left = tuple(each for each in rest if made.of(each).why_not(at) is None)
                if left:
                    start(left, at, number)
                    number += 1
                continue
            if candidate.provider == "sick":
                return at
            made.of(candidate).succeeded(
                at, first_event_s=0.01, duration_s=at - began, output_tokens=10, input_tokens=100,
                cached_input_tokens=0, began=began,
            )  # fmt: skip
        start(plan(target, facts(), made, now).candidates, now, number)
    return now


@pytest.mark.parametrize("strategy", [Strategy.PRIORITY, Strategy.WEIGHTED])
@pytest.mark.parametrize("takes_s", [0.001, 3.0, 30.0])
@pytest.mark.parametrize("down_s", [2.0, 17.3, 61.0])
def test_ten_seconds_after_a_deployment_has_healed_it_answers_again(
    strategy: Strategy, takes_s: float, down_s: float
) -> None:
    heal_at = NOW + down_s
    assert first_success_after(heal_at, strategy, takes_s, every_s=0.05) - heal_at <= 10.5


def named(name: str, **fields: object) -> Route:
    return Route(name, **fields)  # type: ignore[arg-type]


def test_a_route_without_rules_leads_to_itself() -> None:
    target = route(A)
    assert follow(table(target), target, facts()) == (target, ())


def test_the_first_rule_that_holds_decides_and_else_the_route_itself() -> None:
    small, large = named("small", deployments=(B,)), named("large", deployments=(C,))
    target = named(
        "alias",
        deployments=(A,),
        rules=(
            Rule("small", input_tokens_below=100),
            Rule("large", input_tokens_above=1000),
            Rule("small", user=re.compile("bot")),
        ),
    )
    routes = table(target, small, large)
    assert follow(routes, target, facts(50)) == (small, ("small",))
    assert follow(routes, target, facts(5000, end_user="bot")) == (large, ("large",))
    assert follow(routes, target, facts(500, end_user="bot")) == (small, ("small",))
    assert follow(routes, target, facts(500)) == (target, ())


@pytest.mark.parametrize(
    ("rule", "given", "holds"),
    [
        (Rule("x"), facts(), True),
        (Rule("x", input_tokens_above=1000), facts(1000), False),
        (Rule("x", input_tokens_above=1000), facts(1001), True),
        (Rule("x", input_tokens_below=1000), facts(1000), False),
        (Rule("x", input_tokens_below=1000), facts(999), True),
        (Rule("x", input_tokens_above=10, input_tokens_below=20), facts(15), True),
        (Rule("x", user=re.compile(r"a.*\Z")), facts(end_user="alice"), True),
        (Rule("x", user=re.compile(r"a.*\Z")), facts(end_user="bob"), False),
        (Rule("x", user=re.compile(r".*\Z")), facts(), False),
        (Rule("x", tags=(("tier", re.compile(r"gold\Z")),)), facts(tags=(("tier", "gold"),)), True),
        (Rule("x", tags=(("tier", re.compile(r"gold\Z")),)), facts(tags=(("tier", "tin"), ("tier", "gold"))), True),
        (Rule("x", tags=(("tier", re.compile(r"gold\Z")),)), facts(tags=(("other", "gold"),)), False),
        (Rule("x", tags=(("a", re.compile("1")), ("b", re.compile("2")))), facts(tags=(("a", "1"),)), False),
        (Rule("x", tags=(("a", re.compile("1")), ("b", re.compile("2")))), facts(tags=(("b", "2"), ("a", "1"))), True),
    ],
)  # fmt: skip
def test_a_rule_holds_where_all_that_it_names_does(rule: Rule, given: Facts, holds: bool) -> None:
    there, target = named("x", deployments=(B,)), named("alias", deployments=(A,), rules=(rule,))
    found, names = follow(table(there, target), target, given)
    assert (found is there) == holds
    assert names == (("x",) if holds else ())


def test_use_and_the_rules_of_what_it_leads_to_are_followed() -> None:
    last = named("last", deployments=(C,))
    middle = named("middle", deployments=(B,), rules=(Rule("last", input_tokens_above=10),))
    first = named("first", use="middle")
    routes = table(first, middle, last)
    assert follow(routes, first, facts(100)) == (last, ("middle", "last"))
    assert follow(routes, first, facts(5)) == (middle, ("middle",))


def test_aliases_in_a_circle_end_in_an_error_that_shows_it() -> None:
    one, two = named("one", use="two"), named("two", use="one")
    with pytest.raises(ModelNotFoundError) as caught:
        follow(table(one, two), one, facts())
    assert caught.value.param == "model"
    assert f"more than {DEEPEST} aliases" in (caught.value.reason or "")


def test_a_rule_may_lead_to_a_providers_own_model() -> None:
    target = named("alias", deployments=(B,), rules=(Rule("a/other"),))
    found, names = follow(table(target), target, facts())
    assert found.deployments == (Deployment("a", "other", None),)
    assert names == ("a/other",)


def test_fallbacks_do_not_make_one_healthy_deployment_slow() -> None:
    target = route(A, fallbacks=Fallbacks(error=("other",)))
    made = book()
    assert plan(target, facts(), made, NOW).note is plan(target, facts(), made, NOW).note


EVENTS = st.tuples(
    st.floats(0, 20),
    st.integers(0, 3),
    st.sampled_from([*FailureClass, "success", "neutral", "still running"]),
    st.none() | st.floats(0, 400),
)


def happen(
    made: HealthBook, targets: list[Deployment], event: tuple[float, int, object, float | None], now: float
) -> None:
    _, place, outcome, retry_after_s = event
    health = made.of(targets[place])
    if isinstance(outcome, FailureClass):
        health.begin(now, 1)
        health.failed(now, outcome, retry_after_s=retry_after_s, began=now)
    elif outcome == "success":
        succeed(health, now, duration_s=0.1)
    else:
        health.begin(now, 1)
        if outcome == "neutral":
            health.neutral(now, began=now)


@given(st.lists(EVENTS, max_size=60), st.sampled_from(list(Strategy)), st.sets(st.integers(0, 3)))
def test_whatever_happened_somebody_is_tried_unless_all_are_refused(
    events: list[tuple[float, int, object, float | None]], strategy: Strategy, refused: set[int]
) -> None:
    made = book(0.3, 0.7, 0.1)
    targets = [
        deployment("a", priority=0, rpm=20), deployment("b", priority=0, tpm=30), deployment("c", priority=1),
        deployment("d", priority=1, weight=5),
    ]  # fmt: skip
    target, now = route(*targets, strategy=strategy), NOW

    def refuse(each: Deployment) -> str | None:
        return "residency" if targets.index(each) in refused else None

    for event in events:
        now += event[0]
        happen(made, targets, event, now)
        found = plan(target, facts(), made, now, refuse)
        allowed = {each.provider for place, each in enumerate(targets) if place not in refused}

        assert bool(found.candidates) == bool(allowed)
        assert {each.provider for each in found.candidates} <= allowed
        assert len(set(found.candidates)) == len(found.candidates)
        assert sorted(each.deployment for each in found.note.considered) == sorted(each.name for each in targets)
        if found.is_last_resort:
            assert len(found.candidates) == 1
        names = [each.deployment for each in found.note.considered]
        assert names[: len(found.candidates)] == [each.name for each in found.candidates]
        for each in targets:
            assert made.of(each).wait_s(now) <= 300.001
