"""A key that another gateway issued and keeps by its SHA-256 alone works here, and nobody here ever sees its text."""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from tests.fakes.openai_api import FakeOpenAI
from tests.gateway import Gateway, config, hello

# As LiteLLM makes them: shorter than what a provisioned secret may be, which a digest does not tell.
THEIRS = "sk-mN3kPq7RsT9uVwXyZ1a2Bc"
DIGEST = sha256(THEIRS.encode()).hexdigest()
OTHER = "sk-a-second-key-of-theirs"


@pytest.fixture
def fake() -> Iterator[FakeOpenAI]:
    with FakeOpenAI() as server:
        yield server


def test_a_digest_in_the_file_lets_the_key_in_with_its_models_and_no_other(fake: FakeOpenAI, tmp_path: Path) -> None:
    key = f'          - {{name: theirs, models: ["gpt-4o"], secret_sha256: "{DIGEST.upper()}"}}\n'
    text = config(fake.url).replace("  - slug: globex", f"{key}  - slug: globex")
    with Gateway(tmp_path, text) as gateway:
        assert gateway.chat(hello(), key=THEIRS).status == 200
        assert gateway.chat(hello(model="openai/gpt-4o-mini"), key=THEIRS).status == 403
        assert gateway.chat(hello(), key=OTHER).status == 401
        # The digest is no password: who presents it is refused.
        assert gateway.chat(hello(), key=DIGEST).status == 401
        shown = next(row for row in gateway.admin("GET", "/keys").json["data"] if row["name"] == "theirs")
        assert (shown["hint"], shown["managed_by"]) == ("", "file")


def test_a_digest_that_is_applied_works_at_once_and_after_a_restart(fake: FakeOpenAI, tmp_path: Path) -> None:
    key = {"name": "theirs", "secret_sha256": DIGEST}
    document = {"organizations": [{"slug": "zed", "teams": [{"slug": "t", "keys": [key]}]}]}
    with Gateway(tmp_path, config(fake.url)) as gateway:
        applied = gateway.admin("POST", "/apply", {"document": document})
        assert applied.status == 200, applied
        assert [(step["kind"], step["secret"]) for step in applied.json["changes"]] == [
            ("organization", None),
            ("team", None),
            ("key", None),
        ]
        assert gateway.chat(hello(), key=THEIRS).status == 200
        assert gateway.admin("POST", "/apply", {"document": document}).json["changes"] == []
        gateway.stop()
        gateway.start()
        assert gateway.chat(hello(), key=THEIRS).status == 200
        everything = gateway.log() + str(applied) + str(gateway.admin("GET", "/audit?limit=50").body)
        assert THEIRS not in everything
        assert DIGEST not in everything
