"""One running gateway for all tests of the commands that talk to one."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.gateway import headgate, running
from tests.cli.limits_api import LimitsApi, limits_api


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A gateway on its first start; its URL and working directory."""
    directory = tmp_path_factory.mktemp("gateway")
    with running("serve", "--port", "0", cwd=directory) as (url, _):
        yield url, directory


@pytest.fixture
def cli(gateway: tuple[str, Path]) -> Callable[..., Any]:
    """Runs a command in the gateway's directory, where its admin token lies; returns its decoded JSON."""
    url, directory = gateway

    def run(*arguments: str, code: int = 0) -> Any:
        done = headgate(*arguments, "--json", cwd=directory, environ={"HEADGATE_URL": url})
        assert done.returncode == code, done.stderr
        return json.loads(done.stdout) if code == 0 else done.stderr

    return run


@pytest.fixture
def api(tmp_path: Path) -> Iterator[LimitsApi]:
    """The admin API of limits, as a server that keeps what it is sent."""
    with limits_api(tmp_path) as served:
        yield served
