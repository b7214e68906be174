"""From LiteLLM's two files to an answer: imported, checked, served, applied, and asked with a key issued there."""

import json
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from tests.fakes.openai_api import CREDENTIAL, FakeOpenAI
from tests.gateway import ROOT, Gateway, hello

ISSUED = "sk-Qm7Zt2LkVx9RpYwB4NcHdA"
ISSUED_MINI = "sk-Ab1Cd2Ef3Gh4Ij5Kl6Mn7O"
MASTER = "sk-master-1234567890-abcdef"


@pytest.fixture
def fake() -> Iterator[FakeOpenAI]:
    with FakeOpenAI() as server:
        yield server


def litellm_config(url: str) -> str:
    """What runs at LiteLLM today: two models of one upstream, one of them priced by hand, and things not built here."""
    return f"""
model_list:
  - model_name: smart
    litellm_params:
      model: openai/gpt-4o
      api_base: {url}
      api_key: os.environ/UPSTREAM_KEY
      rpm: 100
      input_cost_per_token: 2.5e-06
      output_cost_per_token: 0.00001
  - model_name: small
    litellm_params:
      model: openai/gpt-4o-mini
      api_base: {url}
      api_key: os.environ/UPSTREAM_KEY
      input_cost_per_token: 0
      output_cost_per_token: 0
litellm_settings:
  num_retries: 2
  cache: true
general_settings:
  master_key: os.environ/LITELLM_MASTER_KEY
"""


def test_keys_that_litellm_issued_get_answers_from_what_was_imported(fake: FakeOpenAI, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(litellm_config(fake.url))
    rows = [
        {"token": sha256(ISSUED.encode()).hexdigest(), "key_alias": "all", "models": [], "team_id": "ml"},
        {"token": sha256(ISSUED_MINI.encode()).hexdigest(), "key_alias": "mini", "models": ["small"], "spend": 3.5},
        {"token": sha256(b"sk-blocked").hexdigest(), "key_alias": "off", "models": [], "blocked": True},
    ]
    (tmp_path / "keys.json").write_text(json.dumps({"keys": rows, "total_count": 3}))
    environment = {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": str(ROOT / "src"),
        "UPSTREAM_KEY": CREDENTIAL,
        "LITELLM_MASTER_KEY": MASTER,
    }

    def headgate(*arguments: str, **more: str) -> str:
        command = [sys.executable, "-m", "headgate.cli", *arguments]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment | more, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    headgate("import", "litellm", "config.yaml", "--keys", "keys.json", "--organization", "acme")
    headgate("check-config", "headgate.yaml")
    written = (tmp_path / "headgate.yaml").read_text()
    with Gateway(tmp_path, written, environment=environment) as gateway:
        asked = {"HEADGATE_URL": gateway.base_url, "HEADGATE_ADMIN_TOKEN": MASTER}
        assert gateway.chat(hello(model="smart"), key=ISSUED).status == 401
        applied = json.loads(headgate("apply", "apply.yaml", "--json", **asked))
        assert [change["path"] for change in applied["changes"]] == [
            *("acme", "acme/mini", "acme/off", "acme/ml", "acme/ml/all")
        ]
        assert not any(change["secret"] for change in applied["changes"])
        answer = gateway.chat(hello(model="smart"), key=ISSUED)
        assert answer.status == 200, answer.body
        assert fake.exchanges[-1].json["model"] == "gpt-4o"
        assert fake.exchanges[-1].header("authorization") == f"Bearer {CREDENTIAL}"
        assert gateway.chat(hello(model="small"), key=ISSUED_MINI).status == 200
        assert gateway.chat(hello(model="smart"), key=ISSUED_MINI).status == 403
        assert gateway.chat(hello(model="small"), key="sk-blocked").status == 401
        assert json.loads(headgate("apply", "apply.yaml", "--json", **asked))["changes"] == []
        told = gateway.log() + headgate("requests", "--json", **asked) + headgate("keys", "list", "--json", **asked)
    for secret in (ISSUED, ISSUED_MINI, CREDENTIAL, MASTER):
        assert secret not in told + written + (tmp_path / "apply.yaml").read_text()
