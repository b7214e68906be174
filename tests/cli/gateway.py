"""A real ``headgate serve`` process for tests of the commands that talk to one."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any

import headgate as package

SOURCES = str(Path(package.__file__).parents[1])
_START_S = 30.0


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The process environment without settings and credentials, able to import what is tested here."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return kept | {"PYTHONPATH": SOURCES} | dict(extra or {})


def headgate(*arguments: str, cwd: Path, environ: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "headgate.cli", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=environment(environ),
        timeout=60,
        check=False,
    )


@contextlib.contextmanager
def running(*arguments: str, cwd: Path) -> Generator[tuple[str, Path]]:
    """Run a command that serves; yield its URL and the file with all it wrote, and end it with SIGTERM."""
    output = cwd / "output.txt"
    with output.open("wb") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", "headgate.cli", *arguments],
            cwd=cwd,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
        )
    try:
        yield _url_of(process, output), output
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0, output.read_text()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(10)


def wait_for(check: Callable[[], Any], seconds: float = 15.0) -> Any:
    """Poll until ``check`` returns something true; return that."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = check()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError("it never came")


def chat(url: str, secret: str) -> int:
    """Send one chat request with curl; return the status."""
    body = '{"model": "sandbox/lorem-7", "messages": [{"role": "user", "content": "Hello"}]}'
    headers = ["-H", f"Authorization: Bearer {secret}", "-H", "Content-Type: application/json"]
    command = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", *headers, "-d", body]
    done = subprocess.run([*command, f"{url}/v1/chat/completions"], capture_output=True, text=True, check=False)
    return int(done.stdout)


def _url_of(process: subprocess.Popen[bytes], output: Path) -> str:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and process.poll() is None:
        _, ready, rest = output.read_text().partition("headgate ready on ")
        if ready and "\n" in rest:
            return rest.split()[0]
        time.sleep(0.02)
    raise AssertionError(f"it did not start:\n{output.read_text()}")
