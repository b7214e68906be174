"""``headgate migrate``."""

from pathlib import Path

from tests.cli.gateway import headgate


def test_migrate_makes_the_tables_and_then_has_nothing_to_do(tmp_path: Path):
    first = headgate("migrate", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    assert "none →" in first.stdout
    again = headgate("migrate", cwd=tmp_path)
    assert again.returncode == 0
    assert "up to date" in again.stdout
