"""The configuration as commands read it."""

from pathlib import Path

import pytest

from headgate.cli.configuration import load
from headgate.cli.failure import CommandError


def test_without_a_file_the_vendors_whose_credential_is_set_are_on(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GROQ_API_KEY", "gsk-1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    names = [provider.name for provider in load(None).settings.providers]
    assert "groq" in names
    assert "sandbox" in names
    assert "openai" not in names


def test_the_command_lines_address_wins(tmp_path: Path):
    file = tmp_path / "headgate.yaml"
    file.write_text('server: {listen: "127.0.0.1:1"}\n')
    assert load(file).settings.server.listen == "127.0.0.1:1"
    assert load(file, listen="127.0.0.1:2").settings.server.listen == "127.0.0.1:2"


def test_a_file_that_cannot_be_used_is_a_failed_command(tmp_path: Path):
    with pytest.raises(CommandError, match="cannot be read"):
        load(tmp_path / "none.yaml")
