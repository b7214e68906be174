"""A5 in its short form: what the ledger says beside what the provider's own meter says (`bench.budgets.accuracy`)."""

from pathlib import Path

from bench.budgets import accuracy, report


def test_a5_every_row_with_the_providers_usage_equals_the_meter_and_no_other_is_below_it(tmp_path: Path) -> None:
    found = accuracy.of_sandbox(tmp_path, 2_000, seed=20261124)
    assert report.missed(report.of_accuracy(found, "", is_own_tokenizer=False)) == []


def test_a5_counted_rows_are_within_a_thousandth_where_the_tokenizer_is_the_providers_own(tmp_path: Path) -> None:
    found = accuracy.of_upstream(tmp_path, 600, seed=20261124)
    assert report.missed(report.of_accuracy(found, "", is_own_tokenizer=True)) == []
