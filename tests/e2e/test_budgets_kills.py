"""A6 in its short form: kill -9 of the real process under load (`bench.budgets.kills`)."""

from pathlib import Path

from bench.budgets import kills, report


def test_a6_ten_kills_of_the_gateway_lose_nothing_double_nothing_and_post_what_was_billed(tmp_path: Path) -> None:
    found = kills.run(tmp_path, 10, seed=20261124)
    assert report.missed(report.of_kills(found)) == []
    assert found.owed > 500
