"""``headgate prices update``: a table is checked, installed whole, and what changed is said."""

import json
from pathlib import Path
from typing import Any

import pytest

from headgate.catalog.book import OVERRIDE_FILE
from headgate.cli.failure import CommandError
from headgate.cli.pricing import update


def table(**models: dict[str, int]) -> bytes:
    rows = [{"id": name, "rates": rates} for name, rates in models.items()]
    content: dict[str, Any] = {"source": "contract", "package_version": "1", "as_of": "2026-11-23"}
    content["ceiling"] = {"input": 1, "output": 1}
    return json.dumps(content | {"providers": {"openai": {"fallback": [], "models": rows}}}).encode()


def test_the_summary_names_what_is_new_changed_and_gone(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file, data = tmp_path / "prices.json", tmp_path / "data"
    file.write_bytes(table(a={"input": 1, "output": 2}, b={"input": 1, "output": 2}))
    update(file, data, as_json=True)
    assert json.loads(capsys.readouterr().out)["added"] == ["openai/a", "openai/b"]
    file.write_bytes(table(b={"input": 9, "output": 2}, c={"input": 1, "output": 2}))
    update(file, data, as_json=True)
    summary = json.loads(capsys.readouterr().out)
    assert (summary["added"], summary["changed"], summary["removed"]) == (["openai/c"], ["openai/b"], ["openai/a"])
    assert (data / OVERRIDE_FILE).read_bytes() == file.read_bytes()


def test_a_wrong_table_is_refused_and_the_installed_one_stays(tmp_path: Path):
    file, data = tmp_path / "prices.json", tmp_path / "data"
    file.write_bytes(table(a={"input": 1, "output": 2}))
    update(file, data, as_json=False)
    before = (data / OVERRIDE_FILE).read_bytes()
    file.write_bytes(b'{"providers": "all of them"}')
    with pytest.raises(CommandError, match=r"prices\.json"):
        update(file, data, as_json=False)
    assert (data / OVERRIDE_FILE).read_bytes() == before


def test_a_damaged_installed_table_is_repaired(tmp_path: Path):
    file, data = tmp_path / "prices.json", tmp_path / "data"
    data.mkdir()
    (data / OVERRIDE_FILE).write_bytes(b"garbage")
    file.write_bytes(table(a={"input": 1, "output": 2}))
    update(file, data, as_json=False)
    assert (data / OVERRIDE_FILE).read_bytes() == file.read_bytes()


def test_a_missing_file_is_said(tmp_path: Path):
    with pytest.raises(CommandError, match="No such file"):
        update(tmp_path / "none.json", tmp_path / "data", as_json=False)
