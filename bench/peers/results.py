"""``RESULTS.md``: Headgate beside the peers, the verdicts, what ran, and how far to trust it."""

import re
import statistics
import textwrap
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from bench.load import EVENTS_PER_STREAM, Streamed, Whole
from bench.report import Measured, errors_of, markdown, spread

OURS = "headgate"
COLUMNS = ("nginx", OURS)
"""What stands beside the peers in the table."""
FULL_ROUNDS = 5
"""Fewer are called a look."""


class Bar(NamedTuple):
    """How many times less CPU per request than a peer Headgate shall take, at 32 connections."""

    peer: str
    title: str
    times: float


BARS = (
    Bar("litellm", "LiteLLM", 60.0),
    Bar("portkey", "Portkey", 8.0),
    Bar("tensorzero", "TensorZero", 2.0),
)


class Run(NamedTuple):
    """What the report says of the run beside its figures."""

    header: str
    """Machine, date, commit."""
    rounds: int
    seconds: int
    versions: Mapping[str, str]
    """By what it is the version of."""
    off: Mapping[str, str]
    """What each peer does without and what was done in its favour, by name."""
    commands: Sequence[str]


def results(run: Run, measured: Sequence[Measured], absent: Mapping[str, str]) -> str:
    """Return the page; ``absent`` holds the reason why a peer has no figures."""
    look = "" if run.rounds >= FULL_ROUNDS else " **So few rounds are a look, not a figure.**"
    versions = [["", "version"], *([name, version] for name, version in run.versions.items())]
    parts = [
        "# Headgate beside other gateways",
        _wrapped(
            f"Written by `make bench PEERS=1`. Interleaved rounds: {run.rounds}, a measurement: {run.seconds} s.{look} "
            "[README.md](README.md) says what is measured and how, "
            "[peers/gateways.py](peers/gateways.py) holds the peers' configuration."
        ),
        f"```text\n{run.header}\n```",
        markdown(versions),
        "## Figures",
        _wrapped(
            "A cell is the median (least–most) over the rounds; × Headgate is the median of each round's own ratio."
        ),
        figures(measured, absent),
        "## Verdict",
        "\n".join(f"- {line}" for line in verdicts(measured, absent)),
        "## What is off, and what was done in a peer's favour",
        "\n".join(_item(line) for line in _caveats(run, measured)),
        "## What ran",
        _wrapped(
            "`$DIR` is the run's temporary directory; ports are whatever was free. The load runs under `taskset -c` "
            "on the core of the upstream, what is measured on the other one."
        ),
        "```text\n" + "\n".join(run.commands) + "\n```",
    ]
    return "\n\n".join(parts) + "\n"


def reason(error: str) -> str:
    """Return the last line of an error, which says most, without the addresses and folders of the machine it is of."""
    lines = error.strip().splitlines() or ["no reason given"]
    return re.sub(r"\w+://\S+|(?<!\w)/[\w.-]+/\S+", "…", lines[-1].strip())


def figures(measured: Sequence[Measured], absent: Mapping[str, str]) -> str:
    """Return the table: a column a target, in the order of ``COLUMNS`` and ``BARS``."""
    by_name = {one.name: one for one in measured}
    names = [name for name in COLUMNS if name in by_name] + [bar.peer for bar in BARS if bar.peer in by_name]
    shown = [by_name[name] for name in names]
    ours, direct = by_name.get(OURS), by_name.get("direct")
    rows = [["", *names, *absent]]

    def row(title: str, cells: Sequence[str]) -> None:
        rows.append([title, *cells, *("not measured" for _ in absent)])

    for count in (8, 32):
        row(f"CPU µs per request, c={count}", [spread([run.cpu_us for run in one.whole[count]], 1) for one in shown])
        row(f"× Headgate, c={count}", [_times(one, ours, count) for one in shown])
    for count in (8, 32):
        row(
            f"requests per second, c={count}",
            [spread([run.requests_per_s for run in one.whole[count]]) for one in shown],
        )
    row("added p50 µs, c=1", [_added(one, direct) for one in shown])
    row(
        "CPU µs per streamed event, 32 streams",
        [spread([r.cpu_us_per_event for r in one.streamed], 1) for one in shown],
    )
    row("× Headgate, streamed event", [_stream_times(one, ours) for one in shown])
    row("first event p50 ms, 32 streams", [spread([r.first_p50_us / 1000 for r in one.streamed], 1) for one in shown])
    row("events per stream that arrived", [spread([r.events_per_stream for r in one.streamed], 1) for one in shown])
    row("resident memory MB after the run", [f"{one.rss_bytes / 1e6:.0f}" for one in shown])
    row("errors", [str(errors_of(one)) for one in shown])
    return markdown(rows) + "".join(f"\n\n{name} was not measured: {why}" for name, why in absent.items())


def verdicts(measured: Sequence[Measured], absent: Mapping[str, str]) -> list[str]:
    """Return one line a bar: met, missed or not measured, with the figure."""
    by_name = {one.name: one for one in measured}
    lines: list[str] = []
    for bar in BARS:
        asked = f"at least {bar.times:g} times less CPU per request than {bar.title}, c=32"
        ours, theirs = by_name.get(OURS), by_name.get(bar.peer)
        if ours is None or theirs is None:
            why = absent.get(bar.peer, "not among this run's targets")
            lines.append(f"{asked}: **not measured** ({why})")
            continue
        ratios = _ratios(theirs.whole[32], ours.whole[32])
        verdict = "met" if statistics.median(ratios) >= bar.times else "missed"
        failed = errors_of(theirs)
        note = f"; {failed} of {bar.title}'s answers were errors" if failed else ""
        lines.append(f"{asked}: **{verdict}**, {spread(ratios, 2)}{note}")
    return lines


def _ratios(theirs: Sequence[Whole], ours: Sequence[Whole]) -> list[float]:
    return [run.cpu_us / base.cpu_us for run, base in zip(theirs, ours, strict=True)]


def _times(one: Measured, ours: Measured | None, count: int) -> str:
    return f"{statistics.median(_ratios(one.whole[count], ours.whole[count])):.2f}" if ours else "–"


def _stream_times(one: Measured, ours: Measured | None) -> str:
    if ours is None:
        return "–"
    pairs = zip(one.streamed, ours.streamed, strict=True)
    return f"{statistics.median([run.cpu_us_per_event / base.cpu_us_per_event for run, base in pairs]):.2f}"


def _added(one: Measured, direct: Measured | None) -> str:
    if direct is None:
        return "–"
    return spread([run.p50_us - base.p50_us for run, base in zip(one.whole[1], direct.whole[1], strict=True)])


def _caveats(run: Run, measured: Sequence[Measured]) -> list[str]:
    lines = [
        f"**{OURS}**: on are virtual keys, model rights, prices, a durable record of every request in an embedded "
        "database, and the log at level `info`, as bench/targets.py configures it.",
        *(f"**{name}**: {off}." for name, off in run.off.items()),
        "All of it is on the loopback of one machine without TLS, and the upstream answers at once: the figures are "
        "what a gateway adds, not what a user waits for.",
        "The machine is shared. CPU per request withstands neighbours, though a busy neighbour empties the caches; "
        "requests per second and latency do not.",
        "All targets run at once. A turn ends when the target that was measured is idle again, so that a slow one does "
        "not work off its queue on the next one's core.",
        "wrk counts an answer that arrives in time and not one under way at the end, though its CPU is counted: about "
        "half the connections over all requests, against the slow. LiteLLM is measured twice as long for that reason.",
        f"CPU per event is CPU over the upstream's {EVENTS_PER_STREAM} events; the request itself is in it.",
    ]
    lines += [
        f"**{one.name}** delivered {_delivered(one.streamed):.1f} events of a stream of {EVENTS_PER_STREAM + 1}."
        for one in measured
        if abs(_delivered(one.streamed) - EVENTS_PER_STREAM - 1) > 0.5
    ]
    return lines


def _delivered(runs: Sequence[Streamed]) -> float:
    return statistics.median([run.events_per_stream for run in runs])


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False)


def _item(text: str) -> str:
    return textwrap.fill(
        text, 120, initial_indent="- ", subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )
