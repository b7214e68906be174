"""Load: whole answers by wrk, streams by our own C client, both pinned beside the upstream."""

import json
import subprocess
from pathlib import Path
from typing import NamedTuple

from bench.processes import LOAD_CORE
from bench.targets import KEY, Target, request_body

PATH = "/v1/chat/completions"
EVENTS_PER_STREAM = 50

_LUA = """
wrk.method = "POST"
wrk.headers["content-type"] = "application/json"
wrk.headers["authorization"] = "Bearer {key}"
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

    @property
    def cpu_us_per_event(self) -> float:
        """The request itself included."""
        return self.cpu_us_per_stream / EVENTS_PER_STREAM


def prepare(directory: Path) -> None:
    """Write the files that the generators read."""
    (directory / "whole.lua").write_text(_LUA.format(key=KEY, body=request_body(stream=False).decode()))
    (directory / "stream.json").write_bytes(request_body(stream=True))


def whole(directory: Path, target: Target, connections: int, seconds: float) -> Whole:
    """Ask for whole answers over this many connections."""
    url = f"http://127.0.0.1:{target.port}{PATH}"
    duration = f"{max(1, round(seconds))}s"
    command = ["wrk", "-t1", f"-c{connections}", f"-d{duration}", "-s", str(directory / "whole.lua"), "--latency", url]
    before = target.child.cpu_ns() if target.child else 0
    output = _run(command)
    cpu_ns = target.child.cpu_ns() - before if target.child else 0
    result = json.loads(next(line for line in output.splitlines() if line.startswith("RESULT "))[7:])
    requests = max(1, result["requests"])
    return Whole(
        requests / result["seconds"], cpu_ns / 1000 / requests, result["p50_us"], result["p99_us"], result["errors"]
    )


def streamed(directory: Path, target: Target, connections: int, seconds: float) -> Streamed:
    """Ask for streams over this many connections."""
    program, body = str(directory / "stream_client"), str(directory / "stream.json")
    command = [program, str(target.port), PATH, str(connections), str(seconds), KEY, body]
    before = target.child.cpu_ns() if target.child else 0
    result = json.loads(_run(command))
    cpu_ns = target.child.cpu_ns() - before if target.child else 0
    streams = max(1, result["streams"])
    return Streamed(result["streams"] / seconds, cpu_ns / 1000 / streams, result["first_p50_us"], result["errors"])


def _run(command: list[str]) -> str:
    return subprocess.run(
        ["taskset", "-c", str(LOAD_CORE), *command], check=True, capture_output=True, text=True, timeout=120
    ).stdout
