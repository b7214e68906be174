"""``headgate serve``: its banner, and what guards its database and its API."""

import json
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


def test_a_second_process_leaves_the_database_alone(gateway: tuple[str, Path]):
    _, directory = gateway
    for command in (("serve", "--port", "0"), ("migrate",)):
        done = headgate(*command, cwd=directory)
        assert done.returncode == 1
        assert "headgate.db" in done.stderr
        assert "Traceback" not in done.stderr
    assert "in use by a running gateway" in headgate("doctor", cwd=directory).stdout
