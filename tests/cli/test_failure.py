"""How a command ends when it cannot do what was asked."""

import subprocess
import sys
from pathlib import Path

import pytest

from headgate.cli import main
from tests.cli.gateway import environment


def test_a_failed_command_says_why_in_one_line_and_exits_with_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(sys, "argv", ["headgate", "prices", "update", str(tmp_path / "none.json")])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 1
    assert capsys.readouterr().err == f"headgate: {tmp_path / 'none.json'}: No such file or directory\n"


def test_a_reader_that_leaves_early_is_no_traceback(tmp_path: Path):
    command = f"{sys.executable} -m headgate.cli serve --help | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, cwd=tmp_path, env=environment(), check=False
    )
    assert "Traceback" not in done.stderr
