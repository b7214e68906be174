"""``headgate simulate``."""

import gzip
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, cast

from msgspec import Struct

from headgate.cli.failure import CommandError
from headgate.cli.output import print_json, print_table

if TYPE_CHECKING:
    from headgate.cli.client import GatewayClient
    from headgate.simulation.policy import Policy
    from headgate.simulation.report import Figures, Measured, Report
    from headgate.simulation.trace import Trace

_NAMED: Final = 2
"""So many ids stand beside a figure; ``--json`` has all."""
_QUIET_S: Final = 2.0
_FIGURE: Final = {"figure": "figure", "against": "against", "policy": "policy", "change": "change", "ids": "requests"}
_MOVE: Final = {"before": "from", "after": "to", "requests": "requests", "cost_usd": "cost USD", "ids": "for example"}


class Wanted(Struct, frozen=True):
    """What is to be simulated; exactly one of the three sources is given."""

    policy: Path
    against: Path
    trace: Path | None
    is_synthetic: bool
    records: "Callable[[], GatewayClient] | None"
    start: str | None
    end: str | None
    seed: int
    limit: int
    save: Path | None


def simulate(wanted: Wanted, *, as_json: bool) -> None:
    """Replay a trace under two policies and print what differs.

    Raises:
        CommandError: a file cannot be used; the text names the line.
    """
    from headgate.simulation.profile import ProfileBook
    from headgate.simulation.replay import replay
    from headgate.simulation.report import report

    policy, against = _policy(wanted.policy), _policy(wanted.against)
    trace = _trace(wanted)
    if not trace.rows:
        raise CommandError("no request to replay; of those that were found none went as far as a deployment")
    if wanted.save is not None:
        _save(trace, wanted.save)
    profiles = ProfileBook(trace.profiles, trace.rows)
    told = _Progress(2 * len(trace.rows))
    before = replay(trace.rows, against, profiles, wanted.seed, told.at)
    after = replay(trace.rows, policy, profiles, wanted.seed, told.second)
    told.end()
    made = report(trace, wanted.seed, profiles, (against, before), (policy, after))
    if as_json:
        print_json(made)
    else:
        _print(made)


def _policy(path: Path) -> "Policy":
    from headgate.settings.load import ConfigurationError
    from headgate.simulation.policy import read_policy

    try:
        return read_policy(path, os.environ)
    except ConfigurationError as error:
        raise CommandError(str(error)) from None


def _trace(wanted: Wanted) -> "Trace":
    from headgate.simulation.synthetic import synthetic_trace
    from headgate.simulation.trace import InvalidTraceError, read_trace, trace_of_requests

    if wanted.trace is not None:
        try:
            return read_trace(wanted.trace, wanted.limit)
        except InvalidTraceError as error:
            raise CommandError(str(error)) from None
    if wanted.records is not None:
        found = wanted.records().pages("/requests", wanted.limit, **{"from": wanted.start, "to": wanted.end})
        return trace_of_requests(found, "records of the gateway")
    return synthetic_trace(wanted.seed, wanted.limit)


def _save(trace: "Trace", path: Path) -> None:
    from headgate.simulation.trace import write_trace

    try:
        if path.suffix == ".gz":
            # Without a time and a name inside, the same trace is the same bytes.
            with path.open("wb") as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as file:
                write_trace(trace, cast("IO[bytes]", file))
        else:
            with path.open("wb") as file:
                write_trace(trace, file)
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}") from error


class _Progress:
    """Says on standard error how far a long simulation is."""

    def __init__(self, whole: int) -> None:
        self._whole = whole
        self._next_s = time.monotonic() + _QUIET_S
        self._said = False

    def at(self, count: int) -> None:
        """So many have ended."""
        if count % 100 == 0 and time.monotonic() >= self._next_s:
            self._next_s = time.monotonic() + _QUIET_S
            self._said = True
            sys.stderr.write(f"{count} of {self._whole} requests replayed\n")

    def second(self, count: int) -> None:
        """So many of the second replay have ended."""
        self.at(self._whole // 2 + count)

    def end(self) -> None:
        """Everything has ended."""
        if self._said:
            sys.stderr.write(f"{self._whole} of {self._whole} requests replayed\n")


def _print(made: "Report") -> None:
    trace, changes = made.trace, made.changes
    kind = "SYNTHETIC traffic, nobody ever sent it" if trace.is_synthetic else "recorded traffic"
    print(f"{trace.name}: {trace.requests} requests ({kind}), seed {trace.seed}")
    if trace.left_out:
        print(f"left out: {trace.left_out} requests that never went as far as a deployment")
    if trace.recorded_cost_usd is not None:
        print(f"recorded cost: {trace.recorded_cost_usd} USD; `against` below is the model of the same traffic")
    print(f"against: {made.against.file}\npolicy:  {made.policy.file}\n")
    print_table(_rows(made), _FIGURE, empty="")
    print(f"\n{changes.requests} of {trace.requests} requests change")
    if changes.moved:
        moved = [
            {
                "before": each.before,
                "after": each.after,
                "requests": each.requests,
                "cost_usd": each.cost_usd,
                "ids": _named(each.ids),
            }
            for each in changes.moved
        ]
        print_table(moved, _MOVE, empty="")
    print("\nassumptions:")
    for line in made.assumptions:
        print(f"- {line}")


def _rows(made: "Report") -> list[dict[str, Any]]:
    against, policy, changes, gap = made.against, made.policy, made.changes, made.difference
    percent = "" if gap.cost_percent is None else f" ({gap.cost_percent:+.1f} %)"
    # Those that are new under the policy stand first.
    refused = (*changes.newly_refused.ids, *_ids_of(policy.refused))
    failed = (*changes.newly_failed.ids, *_ids_of(policy.failed))
    rows: list[dict[str, Any]] = [
        _row("answered", against.answered.requests, policy.answered.requests, policy.answered.ids),
        _row("refused", _sum(against.refused), _sum(policy.refused), refused),
        _row("failed", _sum(against.failed), _sum(policy.failed), failed),
        _row("more than one try", against.retried.requests, policy.retried.requests, policy.retried.ids),
        _row("unpriced", against.unpriced.requests, policy.unpriced.requests, policy.unpriced.ids),
        {
            "figure": "cost USD",
            "against": against.cost_usd,
            "policy": policy.cost_usd,
            "change": gap.cost_usd + percent,
            "ids": _named((*changes.cheaper.ids[:1], *changes.dearer.ids[:1])),
        },
        _times("p50 ms", against.latency_p50, policy.latency_p50, gap.latency_p50_ms),
        _times("p95 ms", against.latency_p95, policy.latency_p95, gap.latency_p95_ms),
        _times("first event p50 ms", against.first_event_p50, policy.first_event_p50, gap.first_event_p50_ms),
        _times("first event p95 ms", against.first_event_p95, policy.first_event_p95, gap.first_event_p95_ms),
    ]
    return rows + _parts(against, policy)


def _parts(against: "Figures", policy: "Figures") -> list[dict[str, Any]]:
    """Return cost and p95 of each model, and what each deployment answers."""
    rows: list[dict[str, Any]] = []
    was, now = ({each.name: each for each in figures.models} for figures in (against, policy))
    for name in sorted(was.keys() | now.keys()):
        before, after = was.get(name), now.get(name)
        ids = () if after is None else after.ids
        row = {"figure": f"{name}: cost USD", "change": "", "ids": _named(ids)}
        row |= {"against": before.cost_usd if before else "", "policy": after.cost_usd if after else ""}
        rows.append(row)
        p95 = before.latency_p95 if before else None, after.latency_p95 if after else None
        gap = p95[1].ms - p95[0].ms if p95[0] is not None and p95[1] is not None else None
        rows.append(_times(f"{name}: p95 ms", p95[0], p95[1], gap))
    was, now = ({each.name: each for each in figures.deployments} for figures in (against, policy))
    for name in sorted(was.keys() | now.keys()):
        before, after = was.get(name), now.get(name)
        counts = before.requests if before else 0, after.requests if after else 0
        rows.append(_row(f"{name}: requests", *counts, after.ids if after else ()))
    return rows


def _row(figure: str, against: int, policy: int, ids: Sequence[str]) -> dict[str, Any]:
    change = f"{policy - against:+d}" if policy != against else ""
    return {"figure": figure, "against": against, "policy": policy, "change": change, "ids": _named(ids)}


def _times(figure: str, against: "Measured | None", policy: "Measured | None", change: float | None) -> dict[str, Any]:
    return {
        "figure": figure,
        "against": "" if against is None else f"{against.ms:.0f}",
        "policy": "" if policy is None else f"{policy.ms:.0f}",
        "change": "" if change is None or not round(change) else f"{change:+.0f}",
        "ids": "" if policy is None else policy.request,
    }


def _named(ids: Sequence[str]) -> str:
    named = tuple(dict.fromkeys(ids))
    return " ".join(named[:_NAMED]) + (" …" if len(named) > _NAMED else "")


def _sum(reasons: Sequence[Any]) -> int:
    return sum(each.requests for each in reasons)


def _ids_of(reasons: Sequence[Any]) -> tuple[str, ...]:
    return tuple(each for reason in reasons for each in reason.ids)
