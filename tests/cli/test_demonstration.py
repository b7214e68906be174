"""The demo: traffic to look at, and nothing left of it."""

import json
import re
import socket
from pathlib import Path
from typing import Any

import pytest

from headgate.cli.demonstration import demo_environment, find_example, provisioned_keys
from headgate.settings.load import load_settings
from tests.cli.gateway import headgate, running, wait_for


def test_the_demo_shows_traffic_and_leaves_nothing(tmp_path: Path):
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
    with running("demo", "--port", str(port), cwd=tmp_path) as (url, output):
        found = re.search(r"in (\S*headgate-demo-\S+);", output.read_text())
        assert found is not None
        data = Path(found[1])
        environ = {"HEADGATE_URL": url, "HEADGATE_DATA_DIR": str(data)}

        def seen() -> Any:
            done = headgate("requests", "list", "--json", cwd=tmp_path, environ=environ)
            return len(json.loads(done.stdout)["data"]) >= 3

        wait_for(seen, 30)
    assert not data.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["output.txt"]


def test_the_examples_secrets_are_made_up_and_the_operators_own_keys_stay_out(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-mine")
    monkeypatch.setenv("ACME_KEY", "known-to-others-known-to-others-1")
    made = demo_environment("a: ${ACME_KEY}\nb: $${NOT_ONE}\nc: ${WITH_DEFAULT:-x}\nd: ${OPENAI_API_KEY}\n", "/data")
    assert made["HEADGATE_DATA_DIR"] == "/data"
    assert set(made) == {"ACME_KEY", "OPENAI_API_KEY", "HEADGATE_DATA_DIR", "PATH"}
    assert "sk-mine" not in made.values()
    assert "known-to-others-known-to-others-1" not in made.values()


def test_every_key_of_the_example_is_found():
    text = find_example().read_text("utf-8")
    settings = load_settings(str(find_example()), demo_environment(text, "data")).settings
    assert len(list(provisioned_keys(settings))) == text.count("secret:")
