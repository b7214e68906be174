"""The tables: medians with their range, and ratios to nginx of the same rounds."""

import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from bench.load import Streamed, Whole
from bench.processes import GATEWAY_CORE, LOAD_CORE


class Measured(NamedTuple):
    """All that was measured of one target."""

    name: str
    whole: dict[int, list[Whole]]
    """By number of connections, one item a round."""
    streamed: list[Streamed]
    rss_bytes: int
    started_ms: float


def header() -> str:
    """Machine, date, commit: without them a figure says nothing."""
    commit = _output(["git", "rev-parse", "--short", "HEAD"]) or "unknown"
    dirty = " with uncommitted changes" if _output(["git", "status", "--porcelain"]) else ""
    model = next((line.partition(":")[2] for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "?")
    load = os.getloadavg()[0]
    return "\n".join(
        [
            f"machine  {model.strip()}, {os.cpu_count()} cores, Linux {platform.release()}",
            f"python   {platform.python_version()}",
            f"cores    load and upstream {LOAD_CORE}, target {GATEWAY_CORE}",
            f"date     {_output(['date', '-u', '+%Y-%m-%d %H:%M UTC'])}; load average before the run {load:.1f}",
            f"commit   {commit}{dirty}",
        ]
    )


def versions() -> dict[str, str]:
    """The versions of what every run uses."""
    # nginx writes its version to stderr, wrk in the first line of its usage, which it ends with an error.
    nginx = re.search(r"nginx/(\S+)", _output([shutil.which("nginx") or "/usr/sbin/nginx", "-v"]))
    wrk = re.search(r"wrk (?:debian/)?(\S+)", _output(["wrk", "-v"]))
    node = _output(["node", "--version"]).removeprefix("v")
    found = {"nginx": nginx[1] if nginx else "", "wrk": wrk[1] if wrk else "", "Node": node}
    return {name: version for name, version in found.items() if version}


def table(measured: Sequence[Measured]) -> str:
    """All figures as one Markdown table, a column a target; a ratio is to nginx in the same rounds."""
    by_name = {one.name: one for one in measured}
    floor = by_name.get("nginx")
    direct = by_name.get("direct")
    counts = sorted(measured[0].whole)
    rows: list[tuple[str, list[str]]] = [
        *(
            (f"CPU µs per request, c={count}", [_request_cpu(one, floor, count) for one in measured])
            for count in counts
        ),
        ("added p50 µs, c=1", [_added(one, direct) for one in measured]),
        *(
            (f"requests per second, c={count}", [_rate(one, count) for one in measured])
            for count in counts
            if count > 1
        ),
        ("requests per second and core, c=32", [_per_core(one) for one in measured]),
        ("CPU µs per relayed event, 32 streams", [_event_cpu(one, floor) for one in measured]),
        ("first event p50 µs, 32 streams", [spread([run.first_p50_us for run in one.streamed]) for one in measured]),
        ("streams per second, 32 streams", [spread([run.streams_per_s for run in one.streamed]) for one in measured]),
        ("resident memory MB after the run", [_or_dash(one.rss_bytes / 1e6) for one in measured]),
        ("start to ready ms", [_or_dash(one.started_ms) for one in measured]),
        ("errors", [str(errors_of(one)) for one in measured]),
    ]
    return markdown([["", *by_name], *([title, *cells] for title, cells in rows)])


def _request_cpu(one: Measured, floor: Measured | None, count: int) -> str:
    cpu = [run.cpu_us for run in one.whole[count]]
    return _with_ratio(cpu, [run.cpu_us for run in floor.whole[count]] if floor else [])


def _event_cpu(one: Measured, floor: Measured | None) -> str:
    cpu = [run.cpu_us_per_event for run in one.streamed]
    return _with_ratio(cpu, [run.cpu_us_per_event for run in floor.streamed] if floor else [])


def _with_ratio(values: Sequence[float], floor: Sequence[float]) -> str:
    """The median of the rounds' own ratios: neighbours that slow a round down slow both targets down."""
    if max(values) == 0:
        return "–"
    if not floor:
        return spread(values, 1)
    ratio = statistics.median([value / base for value, base in zip(values, floor, strict=True)])
    return f"{spread(values, 1)} = {ratio:.2f} × nginx"


def _added(one: Measured, direct: Measured | None) -> str:
    if direct is None or one is direct:
        return "–"
    return spread([run.p50_us - base.p50_us for run, base in zip(one.whole[1], direct.whole[1], strict=True)])


def _rate(one: Measured, count: int) -> str:
    return spread([run.requests_per_s for run in one.whole[count]])


def _per_core(one: Measured) -> str:
    cpu = statistics.median([run.cpu_us for run in one.whole[32]])
    return _or_dash(1e6 / cpu if cpu else 0)


def _or_dash(value: float) -> str:
    return f"{value:.0f}" if value else "–"


def errors_of(one: Measured) -> int:
    """How many answers of all runs were none, late or not 200."""
    return sum(run.errors for runs in one.whole.values() for run in runs) + sum(run.errors for run in one.streamed)


def spread(values: Sequence[float], digits: int = 0) -> str:
    """``median (min–max)``."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}–{max(values):.{digits}f})"


def markdown(rows: list[list[str]]) -> str:
    """A table whose first row is its head."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def _output(command: list[str]) -> str:
    try:
        done = subprocess.run(
            command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=Path(__file__).parent
        )
        return done.stdout.strip()
    except OSError as error:
        print(error, file=sys.stderr)
        return ""


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []
