"""Reading the file of ``headgate apply``."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headgate.cli.applying import read_document
from headgate.cli.failure import CommandError
from tests.cli.gateway import chat, headgate


def test_values_come_out_as_json_has_them(tmp_path: Path):
    file = tmp_path / "desired.yaml"
    file.write_text(
        "organizations:\n"
        "  - slug: acme\n"
        "    blocked: yes\n"
        "    name: null\n"
        '    time_zone: "${ZONE:-UTC}"\n'
        "    keys:\n"
        "      - {name: a, models: ['*'], secret: '${SECRET}', tags: {level: 7}}\n"
        "      - {name: b, secret: {file: secret.txt}}\n"
    )
    (tmp_path / "secret.txt").write_text("from-a-file\n")
    assert read_document(file, {"SECRET": "from-the-environment"}) == {
        "organizations": [
            {
                "slug": "acme",
                "blocked": True,
                "name": None,
                "time_zone": "UTC",
                "keys": [
                    {"name": "a", "models": ["*"], "secret": "from-the-environment", "tags": {"level": 7}},
                    {"name": "b", "secret": "from-a-file"},
                ],
            }
        ]
    }


def test_json_is_read_too(tmp_path: Path):
    file = tmp_path / "desired.json"
    file.write_text('{"organizations": [{"slug": "acme", "blocked": false}]}')
    assert read_document(file, {}) == {"organizations": [{"slug": "acme", "blocked": False}]}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: 1\nb: ${NONE}\n", "desired.yaml:2"),
        ("a: &x 1\nb: *x\n", "desired.yaml:1"),
        ("a: !!python/object:os.system x\n", "desired.yaml:1"),
        ("a: {secret: {file: missing.txt}}\n", "missing.txt"),
        ("a: [\n", "desired.yaml"),
        ("a: 1\na: 2\n", "desired.yaml:2"),
    ],
)
def test_a_file_that_cannot_be_used_is_an_error_that_says_where(tmp_path: Path, text: str, words: str):
    file = tmp_path / "desired.yaml"
    file.write_text(text)
    with pytest.raises(CommandError) as caught:
        read_document(file, {})
    assert words in str(caught.value)


def test_a_file_that_is_missing_large_or_no_text_is_an_error(tmp_path: Path):
    with pytest.raises(CommandError, match="No such file"):
        read_document(tmp_path / "none.yaml", {})
    (tmp_path / "large.yaml").write_bytes(b"a" * 2_000_000)
    with pytest.raises(CommandError, match="larger"):
        read_document(tmp_path / "large.yaml", {})
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(CommandError, match="UTF-8"):
        read_document(tmp_path / "bytes.yaml", {})


def test_apply_plans_then_does_and_shows_new_secrets_once(gateway: tuple[str, Path], cli: Callable[..., Any]):
    url, directory = gateway
    (directory / "desired.yaml").write_text(
        "organizations:\n  - slug: acme\n    teams:\n"
        "      - {slug: ml, keys: [{name: prod, models: ['*'], sandbox: true}]}\n"
    )
    planned = cli("apply", "desired.yaml", "--plan")
    assert [change["action"] for change in planned["changes"]] == ["create"] * 3
    assert planned["applied"] is False
    done = headgate("apply", "desired.yaml", cwd=directory, environ={"HEADGATE_URL": url})
    assert done.returncode == 0, done.stderr
    secret = re.search(r"hg_\w+", done.stdout)
    assert secret is not None
    assert chat(url, secret[0]) == 200
    assert cli("apply", "desired.yaml")["changes"] == []
