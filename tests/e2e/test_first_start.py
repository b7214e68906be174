"""What a newcomer meets: nothing configured, no provider key, and yet an answer."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.gateway import ROOT, Gateway

SDK_PYTHON = ROOT / ".venv-sdk-openai" / "bin" / "python"


def curl_line(gateway: Gateway) -> str:
    """The command that the banner prints, as it is printed."""
    deadline = time.monotonic() + 10
    while True:
        found = re.search(r"^[ \t]*(curl (?:[^\n]*\\\n)*[^\n]*)$", gateway.log(), re.MULTILINE)
        if found and gateway.log().endswith("\n"):
            return found[1]
        assert time.monotonic() < deadline, f"no curl line in the banner:\n{gateway.log()}"
        time.sleep(0.02)


def run(
    command: str, directory: Path, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        cwd=directory,
    )


def test_a_first_start_without_any_provider_key_ends_in_a_working_curl(tmp_path: Path) -> None:
    with Gateway(tmp_path, None) as gateway:
        done = run(curl_line(gateway), tmp_path)
        assert done.returncode == 0, done.stderr
        answer = json.loads(done.stdout)
        assert answer["choices"][0]["message"]["content"]
        assert answer["usage"]["completion_tokens"] > 0
        record = gateway.records(1)[0]
        assert (record["outcome"], record["sandbox"], record["usage_quality"]) == ("ok", True, "provider")
        assert record["cost_usd"] not in (None, "0")


def test_the_first_key_is_shown_once_and_its_secret_is_not_kept(tmp_path: Path) -> None:
    with Gateway(tmp_path, None) as gateway:
        curl_line(gateway)
        secret = re.search(r"hg_[A-Za-z0-9_-]{20,}", gateway.log())
        assert secret is not None
        gateway.stop()
        shown = gateway.log().count(secret[0])
        gateway.start()
        assert gateway.log().count(secret[0]) == shown
        for path in gateway.data_dir.iterdir():
            assert secret[0].encode() not in path.read_bytes(), path
        assert (
            gateway.chat(
                {"model": "sandbox/echo", "messages": [{"role": "user", "content": "hi"}]}, key=secret[0]
            ).status
            == 200
        )


def tour() -> list[str]:
    """The commands of the README's tour that need neither make nor the Internet, in order."""
    text = (ROOT / "README.md").read_text().partition("## Five minutes")[2].partition("**Ask a real model.**")[0]
    snippets = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
    return [snippet for snippet in snippets if not snippet.startswith("export HEADGATE_API_KEY")]


def test_the_readmes_tour_works_as_pasted(tmp_path: Path) -> None:
    """Only what differs here is replaced: the port, and the environments that the commands run in."""
    with Gateway(tmp_path, None) as gateway:
        curl_line(gateway)
        key = re.search(r"hg_[A-Za-z0-9_-]{20,}", gateway.log())
        assert key is not None
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "PYTHONPATH": str(ROOT / "src"),
            "HEADGATE_API_KEY": key[0],
            "HEADGATE_URL": gateway.base_url,
        }
        printed: list[str] = []
        for snippet in tour():
            command = snippet.replace("http://127.0.0.1:4100", gateway.base_url)
            command = command.replace(".venv/bin/headgate", f"{sys.executable} -m headgate.cli")
            if "pip install" in command:
                command = command.partition("\n")[2].replace("/tmp/tour/bin/python", f"env -u PYTHONPATH {SDK_PYTHON}")
            done = run(command, tmp_path, environment)
            assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
            printed.append(done.stdout)
        asked, streamed, sdk, issued, seen = printed
        assert json.loads(asked)["choices"][0]["message"]["content"] == "Hello, Headgate"
        assert streamed.rstrip().endswith("data: [DONE]")
        assert sdk.startswith("Hello from the SDK")
        assert re.search(r"hg_\w+", issued)
        assert "tour" in issued
        assert seen.count("sandbox/") >= 3


def test_the_data_directory_is_for_its_owner_only(tmp_path: Path) -> None:
    with Gateway(tmp_path, None) as gateway:
        assert gateway.data_dir.stat().st_mode & 0o077 == 0
        assert (gateway.data_dir / "admin-token").stat().st_mode & 0o077 == 0


def test_a_second_gateway_on_the_same_data_is_refused(tmp_path: Path) -> None:
    with Gateway(tmp_path, None):
        second = Gateway(tmp_path, None)
        with pytest.raises(AssertionError, match="did not start") as caught:
            second.start()
        assert "Traceback" not in str(caught.value)
