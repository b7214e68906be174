"""Where the time goes by room: py-spy's samples of a running gateway, scaled to the CPU that was measured without it.

A sample belongs to the innermost Python frame, so what a C function takes (decoding, a write to a socket, SQLite)
counts for the room that called it. uvloop has no Python frames: what runs while it has called nobody, its own system
calls above all, is the time of the frame that runs it. Each thread is scaled on its own: two threads that both want one
core are both sampled, but only one of them runs.
"""

import re
import subprocess
import sys
import sysconfig
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from bench.processes import LOAD_CORE

SAMPLES_PER_S = 400
EVENT_LOOP = "event loop"
STANDARD_LIBRARY = "standard library"
UNSAMPLED = "threads never seen running"

_SOURCE = Path(__file__).resolve().parent.parent / "src" / "headgate"
_STDLIB = Path(sysconfig.get_path("stdlib"))
_THREAD = re.compile(r"thread \((\d+)\)")
_LEAF = re.compile(r"(.*) \((.*?)(?::\d+)?\)$")
_LOOP_FILES = frozenset({"asyncio/runners.py", "asyncio/base_events.py", "asyncio/events.py", "selectors.py"})
# py-spy takes a thread for running when it is about to wake; nothing is computed in these.
_WAITS = frozenset({("Condition.wait", "threading.py"), ("Event.wait", "threading.py"), ("wait", "threading.py")})


class Sample(NamedTuple):
    """How often one thread was seen in one place."""

    thread: int
    """The operating system's id."""
    function: str
    path: str
    times: int


class SamplerError(RuntimeError):
    """py-spy is not there, or may not look at the process."""


def record(pid: int, seconds: int, to: Path) -> subprocess.Popen[str]:
    """Start sampling ``pid``, beside the load and away from what is sampled; the caller loads it meanwhile."""
    program = Path(sys.executable).parent / "py-spy"
    if not program.exists():
        raise SamplerError("py-spy is not installed in this environment")
    command = [str(program), "record", "--pid", str(pid), "--format", "raw", "--full-filenames", "--threads"]
    command += ["--rate", str(SAMPLES_PER_S), "--duration", str(seconds), "--output", str(to)]
    pinned = ["taskset", "-c", str(LOAD_CORE), *command]
    return subprocess.Popen(pinned, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(sampler: subprocess.Popen[str], written: Path) -> list[Sample]:
    """Wait for the sampler and read what it saw."""
    output, _ = sampler.communicate(timeout=60)
    if sampler.returncode != 0 or not written.exists():
        # Without root, Linux lets a process look at its descendants only (kernel.yama.ptrace_scope).
        raise SamplerError(output.strip().splitlines()[-1] if output.strip() else f"exit {sampler.returncode}")
    return parse(written.read_text().splitlines())


def parse(lines: Iterable[str]) -> list[Sample]:
    """Read py-spy's raw format: ``thread (ID): NAME;OUTER (FILE:LINE);…;INNER (FILE:LINE) COUNT``."""
    found: Counter[tuple[int, str, str]] = Counter()
    for line in lines:
        stack, _, count = line.rpartition(" ")
        frames = stack.split(";")
        thread, leaf = _THREAD.match(frames[0]), _LEAF.match(frames[-1])
        if thread is None or leaf is None or len(frames) < 2:
            continue
        found[int(thread[1]), leaf[1], leaf[2]] += int(count)
    return [Sample(*place, count) for place, count in found.items()]


def room_of(path: str, source: Path = _SOURCE, stdlib: Path = _STDLIB) -> str:
    """Name the room that a file is in: a folder of src/headgate, the standard library, the loop, or another package."""
    file = Path(path)
    if file.is_relative_to(source):
        inside = file.relative_to(source).parts
        return f"headgate/{inside[0]}"
    parts = file.parts
    for place in ("site-packages", "dist-packages"):
        if place in parts:
            package = parts[parts.index(place) + 1]
            return EVENT_LOOP if package == "uvloop" else f"package {package.removesuffix('.py')}"
    if path.startswith("<frozen "):
        return STANDARD_LIBRARY
    if file.is_relative_to(stdlib):
        return EVENT_LOOP if file.relative_to(stdlib).as_posix() in _LOOP_FILES else STANDARD_LIBRARY
    return "elsewhere"


def by_room(samples: Iterable[Sample], cpu_us: Mapping[int, float]) -> dict[str, float]:
    """Share each thread's CPU among the rooms it was seen in, in proportion; the sum is the sum of ``cpu_us``."""
    seen: dict[int, Counter[str]] = {}
    for sample in samples:
        if (sample.function, Path(sample.path).name) not in _WAITS:
            seen.setdefault(sample.thread, Counter())[room_of(sample.path)] += sample.times
    rooms: dict[str, float] = {}
    for thread, used in cpu_us.items():
        counts = seen.get(thread) or Counter({UNSAMPLED: 1})
        total = counts.total()
        for room, count in counts.items():
            rooms[room] = rooms.get(room, 0.0) + used * count / total
    return dict(sorted(rooms.items(), key=lambda item: -item[1]))
