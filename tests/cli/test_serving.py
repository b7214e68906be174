"""``headgate serve``: its banner, and what guards its database and its API."""

import json
import socket
import subprocess
from pathlib import Path

from tests.cli.gateway import environment, headgate


def test_the_banners_line_works_as_pasted(gateway: tuple[str, Path]):
    url, directory = gateway
    text = (directory / "output.txt").read_text()
    line = next(line for line in text.splitlines() if line.strip().startswith("curl"))
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, env=environment(), check=False)
    answer = json.loads(done.stdout)
    assert answer["choices"][0]["message"]["content"] == "Hello, Headgate"
    assert url in line


def test_a_wrong_token_is_said_with_the_places_to_look(gateway: tuple[str, Path]):
    url, directory = gateway
    done = headgate("keys", "list", "--token", "hga_wrong", "--url", url, cwd=directory)
    assert done.returncode == 1
    assert "HEADGATE_ADMIN_TOKEN" in done.stderr
    assert "hga_wrong" not in done.stderr


def test_an_address_in_use_is_one_line_that_says_what_to_do(tmp_path: Path):
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        port = held.getsockname()[1]
        done = headgate("serve", "--port", str(port), cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == (
        f"headgate: cannot listen on 127.0.0.1:{port}: Address already in use; "
        "stop what listens there, or take another port with --port\n"
    )


def test_a_data_directory_that_cannot_be_made_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    environ = {"HEADGATE_DATA_DIR": str(tmp_path / "file" / "data")}
    done = headgate("serve", "--port", "0", cwd=tmp_path, environ=environ)
    assert done.returncode == 1
    assert done.stderr.startswith(f"headgate: {tmp_path / 'file'}")
    assert "Errno" not in done.stderr


def test_a_damaged_journal_is_one_line_that_says_what_to_do(tmp_path: Path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "ledger.db").write_text("no database")
    done = headgate("serve", "--port", "0", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("headgate: data/ledger.db is damaged")
    assert "Traceback" not in done.stderr


def test_every_provider_that_cannot_be_built_is_a_line(tmp_path: Path):
    lines = ["providers:", "  one: {kind: opnai}", "  two: {kind: opnai}", "models: []"]
    (tmp_path / "headgate.yaml").write_text("\n".join(lines))
    done = headgate("serve", "--config", "headgate.yaml", "--port", "0", cwd=tmp_path)
    assert done.returncode == 1
    assert [line.partition(" there")[0] for line in done.stderr.splitlines()] == [
        "headgate: headgate.yaml:2: providers.one.kind:",
        "headgate.yaml:3: providers.two.kind:",
    ]


def test_a_second_process_leaves_the_database_alone(gateway: tuple[str, Path]):
    _, directory = gateway
    for command in (("serve", "--port", "0"), ("migrate",)):
        done = headgate(*command, cwd=directory)
        assert done.returncode == 1
        assert "headgate.db" in done.stderr
        assert "Traceback" not in done.stderr
    assert "in use by a running gateway" in headgate("doctor", cwd=directory).stdout
