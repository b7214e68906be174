"""The command line as a process: start-up time, exit codes, and words where something is wrong."""

import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.gateway import environment, headgate


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


def test_help_imports_nothing_that_a_command_needs(tmp_path: Path):
    code = (
        "import sys\nsys.argv=['headgate','--help']\nfrom headgate.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "heavy={'sqlalchemy','starlette','aiohttp','rich','alembic','yaml','http.client'}\n"
        "found=sorted(heavy & set(sys.modules))\n"
        "assert not found, found"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=environment(), check=False
    )
    assert done.returncode == 0, done.stderr


def test_help_is_quick(tmp_path: Path):
    times: list[float] = []
    for _ in range(5):
        started = time.perf_counter()
        assert headgate("--help", cwd=tmp_path).returncode == 0
        times.append(time.perf_counter() - started)
    # The best of five is what the program takes; the others are what else the machine does.
    assert min(times) < 0.3


def test_the_version_is_printed(tmp_path: Path):
    done = headgate("--version", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout.startswith("headgate 0.")


@pytest.mark.parametrize(
    "arguments",
    [
        *(("nonsense",), ("keys",), ("serve", "--port", "x"), ("keys", "create", "name"), ("usage", "--nonsense")),
        *(("requests", "nonsense"), ("requests", "--token", "x", "show", "req_1")),
    ],
)
def test_wrong_usage_is_exit_code_two(tmp_path: Path, arguments: tuple[str, ...]):
    done = headgate(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert "Usage:" in done.stderr + done.stdout


def test_an_unknown_log_level_is_wrong_usage(tmp_path: Path):
    done = headgate("serve", "--log-level", "loud", cwd=tmp_path)
    assert done.returncode == 2
    assert "debug, info, warning, error" in done.stderr


def test_listen_and_port_together_are_wrong_usage(tmp_path: Path):
    assert headgate("serve", "--listen", "127.0.0.1:1", "--port", "1", cwd=tmp_path).returncode == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ("keys", "list"),
        ("usage",),
        ("requests",),
        ("requests", "--limit", "3", "--json"),
        ("requests", "show", "req_1"),
        ("keys", "revoke", "key_1"),
        ("keys", "status", "key_1"),
        ("budgets", "list"),
        ("limits", "set", "--scope", "key_1", "--rpm", "1"),
        ("ledger", "verify", "--live"),
        ("ledger", "adjust", "key_1", "-1", "--reason", "a bill"),
    ],
)
def test_a_client_command_says_how_to_start_a_gateway(tmp_path: Path, arguments: tuple[str, ...]):
    url = f"http://127.0.0.1:{free_port()}"
    done = headgate(*arguments, cwd=tmp_path, environ={"HEADGATE_URL": url, "HEADGATE_ADMIN_TOKEN": "hga_x"})
    assert done.returncode == 1
    assert done.stderr == f"headgate: no gateway answers at {url}; start one with `headgate serve`\n"


def test_doctor_answers_in_json(tmp_path: Path):
    done = headgate("doctor", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert '"check": "sqlite"' in done.stdout
