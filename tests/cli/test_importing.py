"""``headgate import litellm``: what it writes, what it never overwrites, and how it ends."""

import json
import stat
from pathlib import Path

import pytest

from tests.cli.gateway import headgate

CONFIG = """\
model_list:
  - model_name: gpt-4o
    litellm_params:
      model: openai/gpt-4o
      api_key: os.environ/OPENAI_API_KEY
      rpm: 60
general_settings:
  master_key: sk-never-print-this-one
"""
KEYS = [
    {"token": f"{number:064x}", "key_alias": f"key {number}", "models": ["gpt-4o"], "max_budget": 5.0}
    for number in (1, 2)
]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "config.yaml").write_text(CONFIG)
    (tmp_path / "keys.json").write_text(json.dumps(KEYS))
    return tmp_path


def test_it_writes_both_files_and_ends_with_what_is_refused(source: Path) -> None:
    done = headgate("import", "litellm", "config.yaml", "--keys", "keys.json", "--out", "new/place", cwd=source)
    assert done.returncode == 0, done.stderr
    for name in ("headgate.yaml", "apply.yaml"):
        assert stat.S_IMODE((source / "new/place" / name).stat().st_mode) == 0o600
    assert [path.name for path in sorted((source / "new/place").iterdir())] == ["apply.yaml", "headgate.yaml"]
    listed = done.stdout
    assert listed.index("Translated") < listed.index("REFUSED: Headgate does not do this")
    assert "keys[].max_budget (2 keys)" in listed
    assert "9 translated, 3 approximated, 1 refused." in listed
    assert "Written: new/place/headgate.yaml, new/place/apply.yaml" in listed
    assert "Set before the gateway starts: OPENAI_API_KEY" in listed
    assert "never-print" not in listed + (source / "new/place/headgate.yaml").read_text()
    checked = headgate("check-config", "new/place/headgate.yaml", cwd=source, environ={"OPENAI_API_KEY": "sk-x"})
    assert checked.returncode == 0, checked.stderr


def test_a_plan_writes_nothing_and_json_says_all_of_it(source: Path) -> None:
    done = headgate("import", "litellm", "config.yaml", "--keys", "keys.json", "--plan", "--json", cwd=source)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["written"], told["files"]) == (False, ["headgate.yaml", "apply.yaml"])
    assert told["counts"] == {"translated": 9, "approximated": 3, "refused": 1}
    assert len(told["findings"]) == 13
    assert told["findings"][2] == {
        "source": "config.yaml",
        "line": 5,
        "end_line": 5,
        "option": "model_list[0].litellm_params.api_key",
        "outcome": "translated",
        "reason": "becomes providers.openai.credential",
    }
    assert sorted(path.name for path in source.iterdir()) == ["config.yaml", "keys.json"]
    assert "nothing was written" in headgate("import", "litellm", "config.yaml", "--plan", cwd=source).stdout


def test_what_is_there_is_replaced_only_by_force_and_then_whole(source: Path) -> None:
    (source / "apply.yaml").write_text("mine")
    again = ("import", "litellm", "config.yaml", "--keys", "keys.json")
    done = headgate(*again, cwd=source)
    assert done.returncode == 1
    assert "apply.yaml: there already; give --force" in done.stderr
    assert (source / "apply.yaml").read_text() == "mine"
    assert not (source / "headgate.yaml").exists()
    assert headgate(*again, "--force", cwd=source).returncode == 0
    assert "secret_sha256" in (source / "apply.yaml").read_text()


def test_a_link_that_leads_nowhere_is_there_too(source: Path) -> None:
    (source / "headgate.yaml").symlink_to("elsewhere.yaml")
    assert headgate("import", "litellm", "config.yaml", cwd=source).returncode == 1
    assert not (source / "elsewhere.yaml").exists()


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("config.yaml", "model_list: [", "config.yaml:2"),
        ("config.yaml", "- a\n", "config.yaml:1"),
        ("config.yaml", "a: &x 1\nb: *x\n", "anchors (&x)"),
        ("keys.json", "{", "keys.json: line 1"),
        ("keys.json", '{"a": 1}', "expected a list of keys"),
    ],
)
def test_an_input_that_cannot_be_read_is_exit_code_one(source: Path, name: str, text: str, words: str) -> None:
    (source / name).write_text(text)
    done = headgate("import", "litellm", "config.yaml", "--keys", "keys.json", cwd=source)
    assert done.returncode == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert not (source / "headgate.yaml").exists()


def test_files_that_are_not_there_and_slugs_that_are_none(source: Path) -> None:
    assert "none.yaml: No such file" in headgate("import", "litellm", "none.yaml", cwd=source).stderr
    wrong = headgate("import", "litellm", "config.yaml", "--organization", "A B", cwd=source)
    assert (wrong.returncode, "--organization" in wrong.stderr) == (2, True)


def test_wrong_usage_is_exit_code_two(source: Path) -> None:
    assert headgate("import", "litellm", cwd=source).returncode == 2
    assert headgate("import", "litellm", "config.yaml", "--keyz", "x", cwd=source).returncode == 2
    assert headgate("import", "others", "config.yaml", cwd=source).returncode == 2
