"""``headgate reload`` against a real gateway."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.gateway import headgate, running

GOOD = """
providers: {sandbox: {kind: sandbox}}
models: [{alias: "sandbox/*", deployments: [{provider: sandbox, model: "*"}]}]
"""
BETTER = GOOD.replace(
    "models: [", "server: {drain: 7s}\nmodels: [{alias: other, deployments: [{provider: sandbox, model: echo}]}, "
)
BAD = "models:\n  - alais: x\n"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    directory = tmp_path_factory.mktemp("reload")
    (directory / "headgate.yaml").write_text(GOOD)
    with running("serve", "--config", "headgate.yaml", "--port", "0", cwd=directory) as (url, _):
        yield url, directory


def test_what_changed_is_printed(place: tuple[str, Path]):
    url, directory = place
    (directory / "headgate.yaml").write_text(BETTER)
    done = headgate("reload", "--url", url, cwd=directory)
    assert done.returncode == 0, done.stderr
    first, *rest = done.stdout.splitlines()
    assert first.startswith("Revision ")
    assert first.endswith("has headgate.yaml")
    assert rest == ["  models added: other", "Changed, but not before the next start: server.drain"]


def test_nothing_changed_is_said_and_json_has_all_of_it(place: tuple[str, Path]):
    url, directory = place
    (directory / "headgate.yaml").write_text(GOOD)
    headgate("reload", "--url", url, cwd=directory)
    assert "  nothing changed" in headgate("reload", "--url", url, cwd=directory).stdout
    answer = json.loads(headgate("reload", "--url", url, "--json", cwd=directory).stdout)
    assert answer["sha256"] == hashlib.sha256(GOOD.encode()).hexdigest()


def test_a_rejected_file_is_an_error_that_names_the_line(place: tuple[str, Path]):
    url, directory = place
    (directory / "headgate.yaml").write_text(BAD)
    done = headgate("reload", "--url", url, cwd=directory)
    assert done.returncode == 1
    assert "headgate.yaml:2: models[0].alais: unknown key" in done.stderr
    (directory / "headgate.yaml").unlink()
    assert "headgate.yaml: cannot be read" in headgate("reload", "--url", url, cwd=directory).stderr
