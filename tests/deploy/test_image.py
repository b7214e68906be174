"""The image's recipe without a container engine: make runs its one build step, and what that made is started here."""

import http.client
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from headgate import __version__

ROOT = Path(__file__).resolve().parents[2]
PREFIX = ROOT / ".venv-image"
RECIPE = (ROOT / "deploy" / "Dockerfile").read_text("utf-8")
TOKEN = "an-operators-token-of-the-image"


@pytest.fixture(scope="module")
def prefix() -> Path:
    assert (PREFIX / "bin" / "headgate").exists(), "make test creates .venv-image with deploy/build-image.sh"
    return PREFIX


class Container(subprocess.Popen[bytes]):
    """The image's command, in an environment like a container's: its variables, nothing else, and a volume."""

    def __init__(self, prefix: Path, volume: Path) -> None:
        self.environment = {
            "PATH": f"{prefix}/bin:/usr/bin:/bin",
            "PYTHONDONTWRITEBYTECODE": "1",
            "HEADGATE_LISTEN": "127.0.0.1:0",
            "HEADGATE_DATA_DIR": str(volume),
            "HEADGATE_ADMIN_TOKEN": TOKEN,
        }
        self.log = volume / "log"
        with self.log.open("wb") as log:
            super().__init__(
                [str(prefix / "bin" / "headgate"), "serve"], cwd=volume, env=self.environment, stdout=log, stderr=log
            )

    def port(self) -> int:
        deadline = time.monotonic() + 20
        while (found := re.search(r"headgate ready on http://[^:]+:(\d+)", self.log.read_text())) is None:
            assert self.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.02)
        return int(found[1])


@pytest.fixture
def container(prefix: Path, tmp_path: Path) -> Iterator[Container]:
    with Container(prefix, tmp_path) as running:
        yield running
        running.send_signal(signal.SIGTERM)
        assert running.wait(15) == 0, running.log.read_text()


def instructions(word: str) -> list[str]:
    return re.findall(rf"^{word} (.*)$", RECIPE, re.MULTILINE)


def test_the_recipe_runs_nothing_but_the_script() -> None:
    assert instructions("RUN") == ["deploy/build-image.sh /opt/headgate"]
    assert os.access(ROOT / "deploy" / "build-image.sh", os.X_OK)


def test_the_image_is_not_root_and_asks_for_its_health_without_a_shell() -> None:
    (user,) = instructions("USER")
    assert re.fullmatch(r"[1-9][0-9]*:[1-9][0-9]*", user)
    assert f"--chown={user} /data /data" in RECIPE
    command = json.loads(RECIPE.partition("HEALTHCHECK")[2].partition("CMD ")[2].splitlines()[0])
    assert command == ["python", "/opt/headgate/healthcheck.py"]
    for word in ("ENTRYPOINT", "CMD"):
        assert all(isinstance(json.loads(each), list) for each in instructions(word))


def test_the_build_context_holds_what_the_step_needs_and_no_more() -> None:
    kept = re.findall(r"^!(\S+)$", (ROOT / "deploy" / "Dockerfile.dockerignore").read_text("utf-8"), re.MULTILINE)
    assert {"src", "requirements", "examples", "deploy", "pyproject.toml", "README.md", "LICENSE"} <= set(kept)
    assert not {"tests", "data", ".git"} & set(kept)


def test_the_prefix_holds_this_version_and_no_installer(prefix: Path) -> None:
    said = subprocess.run([prefix / "bin" / "headgate", "--version"], capture_output=True, text=True, check=True).stdout
    assert said == f"headgate {__version__}\n"
    assert not list((prefix / "bin").glob("pip*"))
    assert not list(prefix.glob("lib/*/site-packages/pytest*"))


def test_what_was_built_answers_is_healthy_and_writes_to_its_volume_alone(container: Container, prefix: Path) -> None:
    before = {path for path in prefix.rglob("*") if path.is_file()}
    port = container.port()
    health = {**container.environment, "HEADGATE_LISTEN": f"0.0.0.0:{port}"}
    script = [str(prefix / "bin" / "python"), str(prefix / "healthcheck.py")]
    assert subprocess.run(script, env=health, check=False).returncode == 0
    assert subprocess.run(script, env=health | {"HEADGATE_LISTEN": "0.0.0.0:1"}, check=False).returncode == 1
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/admin/v1/me", headers={"authorization": f"Bearer {TOKEN}"})
    answer = connection.getresponse()
    answer.read()
    assert answer.status == 200
    secret = re.search(r"hg_[A-Za-z0-9_-]+", container.log.read_text())
    assert secret is not None, container.log.read_text()
    body = json.dumps({"model": "sandbox/echo", "messages": [{"role": "user", "content": "hello"}]})
    headers = {"authorization": f"Bearer {secret[0]}", "content-type": "application/json"}
    connection.request("POST", "/v1/chat/completions", body, headers)
    answered = connection.getresponse()
    assert json.loads(answered.read())["choices"][0]["message"]["content"] == "hello"
    connection.close()
    assert {path for path in prefix.rglob("*") if path.is_file()} == before
    assert (container.log.parent / "headgate.db").exists()
