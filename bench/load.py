"""Load: whole answers by wrk, streams by our own C client, both pinned beside the upstream."""

import json
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

from bench.processes import LOAD_CORE
from bench.targets import KEY, Target, request_body

EVENTS_PER_STREAM = 50
_SETTLE_S = 0.05
_SETTLED_SHARE = 0.1

_LUA = """
wrk.method = "POST"
wrk.headers["content-type"] = "application/json"
wrk.headers["authorization"] = "Bearer {key}"
{headers}
wrk.body = [==[{body}]==]
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('\\nRESULT {{"requests":%d,"seconds":%f,"errors":%d,"p50_us":%d,"p99_us":%d}}\\n',
    summary.requests, summary.duration / 1e6, e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50), latency:percentile(99)))
end
"""


class Whole(NamedTuple):
    """One run of whole answers."""

    requests_per_s: float
    cpu_us: float
    """CPU of the target per request."""
    p50_us: float
    p99_us: float
    errors: int


class Streamed(NamedTuple):
    """One run of streams."""

    streams_per_s: float
    cpu_us_per_stream: float
    first_p50_us: float
    errors: int
    events_per_stream: float
    """What arrived, ``[DONE]`` included: a target may merge events or add its own."""

    @property
    def cpu_us_per_event(self) -> float:
        """The request itself included."""
        return self.cpu_us_per_stream / EVENTS_PER_STREAM


def prepare(directory: Path, target: Target) -> None:
    """Write the files that the generators read for this target."""
    headers = "\n".join(f'wrk.headers["{name}"] = "{value}"' for name, value in target.headers)
    body = request_body(stream=False, model=target.model).decode()
    (directory / f"{target.name}.lua").write_text(_LUA.format(key=KEY, headers=headers, body=body))
    (directory / f"{target.name}.json").write_bytes(request_body(stream=True, model=target.model))


def whole_command(directory: Path, target: Target, connections: int, seconds: float) -> list[str]:
    """wrk with one thread, for as long as the target is measured."""
    url = f"http://127.0.0.1:{target.port}{target.path}"
    timeout = ["--timeout", "30s"] if target.slow else []
    script = str(directory / f"{target.name}.lua")
    duration = f"{max(1, round(_seconds(target, seconds)))}s"
    return ["wrk", "-t1", f"-c{connections}", f"-d{duration}", *timeout, "-s", script, "--latency", url]


def streamed_command(directory: Path, target: Target, connections: int, seconds: float) -> list[str]:
    """Our own client: port, path, connections, seconds, key, file of the body, more header lines."""
    headers = "".join(f"{name}: {value}\r\n" for name, value in target.headers)
    program, body = str(directory / "stream_client"), str(directory / f"{target.name}.json")
    return [
        program,
        str(target.port),
        target.path,
        str(connections),
        str(_seconds(target, seconds)),
        KEY,
        body,
        headers,
    ]


def _seconds(target: Target, seconds: float) -> float:
    return seconds * 2 if target.slow else seconds


def whole(directory: Path, target: Target, connections: int, seconds: float) -> Whole:
    """Ask for whole answers over this many connections."""
    before = target.child.cpu_ns() if target.child else 0
    output = _run(whole_command(directory, target, connections, seconds))
    cpu_ns = target.child.cpu_ns() - before if target.child else 0
    result = json.loads(next(line for line in output.splitlines() if line.startswith("RESULT "))[7:])
    requests = max(1, result["requests"])
    return Whole(
        requests / result["seconds"], cpu_ns / 1000 / requests, result["p50_us"], result["p99_us"], result["errors"]
    )


def streamed(directory: Path, target: Target, connections: int, seconds: float) -> Streamed:
    """Ask for streams over this many connections."""
    before = target.child.cpu_ns() if target.child else 0
    result = json.loads(_run(streamed_command(directory, target, connections, seconds)))
    cpu_ns = target.child.cpu_ns() - before if target.child else 0
    streams = max(1, result["streams"])
    return Streamed(
        result["streams"] / _seconds(target, seconds),
        cpu_ns / 1000 / streams,
        result["first_p50_us"],
        result["errors"],
        result["events"] / streams,
    )


def settle(target: Target, within_s: float = 10.0) -> None:
    """Wait until the target has stopped working on what nobody waits for any more.

    wrk leaves when its time is up; a slow gateway goes on answering, on the core where the next one is measured.
    """
    if target.child is None:
        return
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        before = target.child.cpu_ns()
        time.sleep(_SETTLE_S)
        if target.child.cpu_ns() - before < _SETTLED_SHARE * _SETTLE_S * 1e9:
            return


def _run(command: list[str]) -> str:
    return subprocess.run(
        ["taskset", "-c", str(LOAD_CORE), *command], check=True, capture_output=True, text=True, timeout=120
    ).stdout
