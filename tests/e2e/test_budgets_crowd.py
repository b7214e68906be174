"""A3 and the agents in their short form: the sandbox's meter beside every account, all the time (`bench.budgets`)."""

from pathlib import Path

from bench.budgets import agents, crowd, report

CALLERS = 100


def test_a3_many_clients_at_the_last_cents_of_three_levels_never_pass_a_limit(tmp_path: Path) -> None:
    found = crowd.run(tmp_path, requests=4_000, callers=CALLERS, seed=20261124, durability="os")
    assert report.missed(report.of_crowd(found, CALLERS)) == []
    assert found.asked > 4_400
    assert found.samples > 5
    assert found.answers.keys() >= {"200", "402 budget_exhausted", "429 budget_in_flight"}


def test_agents_that_ask_for_much_and_use_little_are_refused_only_when_the_money_is_spent(tmp_path: Path) -> None:
    shape = agents.Shape(
        budget="1", begins_at=4_000, most_tokens=15_000, result_tokens=2_000, max_tokens=1_600, answer_tokens=200
    )
    assert report.missed(report.of_agents(agents.run(tmp_path, shape, seed=20261124))) == []
