"""Figures, and the requests that they are made of."""

from pathlib import Path

from headgate.simulation.policy import Policy
from headgate.simulation.profile import ProfileBook
from headgate.simulation.replay import replay
from headgate.simulation.report import Report, quantile, report
from headgate.simulation.trace import Trace, TraceRow
from tests.simulation.small import TWO, policy, profiles, row, swapped

ROWS = (row(1, 0), row(2, 10), row(3, 20, "gone"))


def compared(before: Policy, after: Policy, rows: tuple[TraceRow, ...] = ROWS) -> Report:
    book: ProfileBook = profiles()
    trace = Trace("three", rows, left_out=4)
    replays = [(each, replay(rows, each, book, 1)) for each in (before, after)]
    return report(trace, 1, book, *replays)


def test_an_identical_policy_changes_nothing(tmp_path: Path):
    made = compared(policy(tmp_path), policy(tmp_path))
    assert made.changes.requests == 0
    assert made.changes.moved == ()
    assert made.changes.cheaper.requests == made.changes.dearer.requests == 0
    assert made.against == made.policy
    assert (made.difference.cost_usd, made.difference.cost_percent, made.difference.latency_p95_ms) == ("0", 0.0, 0.0)


def test_what_moves_is_named_with_what_it_saves(tmp_path: Path):
    made = compared(policy(tmp_path), policy(tmp_path, swapped(), "other.yaml"))
    (move,) = made.changes.moved
    assert (move.before, move.after, move.ids) == ("near/a", "far/b", ("r1", "r2"))
    # Twice 10,400,000 becomes twice 1,040,000 nano-USD.
    assert (made.against.cost_usd, made.policy.cost_usd) == ("0.0208", "0.00208")
    assert (move.cost_usd, made.difference.cost_percent) == ("-0.01872", -90.0)
    assert made.changes.cheaper.ids == ("r1", "r2")
    assert made.changes.dearer.ids == ()
    (refused,) = made.policy.refused
    assert (refused.reason, refused.ids) == ("model_not_found", ("r3",))
    assert made.changes.newly_refused.requests == 0
    assert made.trace.left_out == 4


def test_what_is_refused_now_and_was_not_is_named_in_both_directions(tmp_path: Path):
    open_to = policy(tmp_path, TWO.replace("alias: none", "alias: gone").replace("unpriced}", "a, price: free}"))
    closed = policy(tmp_path, TWO, "closed.yaml")
    made = compared(open_to, closed)
    assert made.changes.newly_refused.ids == ("r3",)
    assert compared(closed, open_to).changes.no_longer_refused.ids == ("r3",)
    # A request that only one of the two answers is no saving.
    assert made.changes.cheaper.requests == 0


def test_portions_add_up_to_the_whole(tmp_path: Path):
    made = compared(policy(tmp_path), policy(tmp_path))
    (model,) = made.policy.models
    assert (model.name, model.requests, model.cost_usd, model.ids) == ("m", 2, "0.0208", ("r1", "r2"))
    assert [(each.name, each.requests) for each in made.policy.deployments] == [("near/a", 2)]


def test_a_quantile_is_the_time_of_a_request_that_is_named():
    times = [(float(ms), f"r{ms}") for ms in range(20, 0, -1)]
    half, most = quantile(times, 0.5), quantile(times, 0.95)
    assert half is not None
    assert most is not None
    assert (half.ms, half.request) == (10.0, "r10")
    assert (most.ms, most.request) == (19.0, "r19")
    assert quantile([], 0.5) is None


def test_the_recorded_cost_is_there_where_every_request_has_one(tmp_path: Path):
    made = policy(tmp_path)
    assert compared(made, made).trace.recorded_cost_usd is None
    rows = (row(1, 0, cost_usd="0.25"), row(2, 1, cost_usd="0.5"))
    assert compared(made, made, rows).trace.recorded_cost_usd == "0.75"


def test_what_is_assumed_is_said(tmp_path: Path):
    made = compared(policy(tmp_path), policy(tmp_path))
    words = " ".join(made.assumptions)
    assert "near/a: first event 1000 ms, 10 tokens/s (as the trace states)." in words
    assert "count as on: far, near" in words
