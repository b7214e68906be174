"""Two replays of one trace, as figures that name the requests they are made of."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from math import ceil

from msgspec import Struct

from headgate.domain.money import format_usd
from headgate.simulation.policy import Policy
from headgate.simulation.profile import ProfileBook
from headgate.simulation.replay import Fate, Served
from headgate.simulation.trace import Trace


class Group(Struct, frozen=True):
    """Requests of one kind."""

    requests: int
    ids: tuple[str, ...]


class Reason(Struct, frozen=True):
    """Requests that were refused or failed for one reason."""

    reason: str
    requests: int
    ids: tuple[str, ...]


class Measured(Struct, frozen=True):
    """A quantile by nearest rank: the time of one request, which is named."""

    ms: float
    request: str


class Portion(Struct, frozen=True):
    """What a model or a deployment has of the whole."""

    name: str
    requests: int
    cost_usd: str
    latency_p50: Measured | None
    latency_p95: Measured | None
    ids: tuple[str, ...]


class Figures(Struct, frozen=True):
    """What one policy makes of the trace. Times are of answered requests."""

    file: str
    requests: int
    answered: Group
    refused: tuple[Reason, ...]
    failed: tuple[Reason, ...]
    retried: Group
    """Requests that took more than one try."""
    unpriced: Group
    """Answered, at an unknown cost that is not in ``cost_usd``."""
    cost_usd: str
    latency_p50: Measured | None
    latency_p95: Measured | None
    first_event_p50: Measured | None
    first_event_p95: Measured | None
    models: tuple[Portion, ...]
    deployments: tuple[Portion, ...]


class Move(Struct, frozen=True):
    """Requests that another deployment answers."""

    before: str
    after: str
    requests: int
    cost_usd: str
    """By how much their cost changes."""
    ids: tuple[str, ...]


class Shift(Struct, frozen=True):
    """Requests whose cost changes in one direction."""

    requests: int
    cost_usd: str
    ids: tuple[str, ...]


class Changes(Struct, frozen=True):
    """What is different under the policy; ``before`` is the one that it is compared with."""

    requests: int
    """That end differently, or elsewhere."""
    moved: tuple[Move, ...]
    newly_refused: Group
    no_longer_refused: Group
    newly_failed: Group
    no_longer_failed: Group
    cheaper: Shift
    dearer: Shift


class Difference(Struct, frozen=True):
    """The policy less the one that it is compared with; percentages are of the latter."""

    cost_usd: str
    cost_percent: float | None
    latency_p50_ms: float | None
    latency_p95_ms: float | None
    first_event_p50_ms: float | None
    first_event_p95_ms: float | None


class Traffic(Struct, frozen=True):
    """What was replayed."""

    name: str
    is_synthetic: bool
    requests: int
    left_out: int
    from_ms: int
    to_ms: int
    seed: int
    recorded_cost_usd: str | None
    """What the trace says that its requests cost; null where it does not say so of every one."""


class Report(Struct, frozen=True):
    """The whole outcome."""

    trace: Traffic
    assumptions: tuple[str, ...]
    against: Figures
    policy: Figures
    changes: Changes
    difference: Difference


def report(
    trace: Trace,
    seed: int,
    profiles: ProfileBook,
    against: tuple[Policy, Sequence[Served]],
    policy: tuple[Policy, Sequence[Served]],
) -> Report:
    """Compare what became of the same requests under two policies."""
    before, after = _figures(*against), _figures(*policy)
    return Report(
        trace=_traffic(trace, seed),
        assumptions=(*trace.assumptions, *_assumptions(profiles, against[0], policy[0])),
        against=before,
        policy=after,
        changes=_changes(against[1], policy[1]),
        difference=_difference(before, after, _cost(policy[1]), _cost(against[1])),
    )


def quantile(values: Sequence[tuple[float, str]], share: float) -> Measured | None:
    """Return the smallest time that at least ``share`` of the requests do not exceed, and whose it is."""
    if not values:
        return None
    ms, request = sorted(values)[max(0, ceil(share * len(values)) - 1)]
    return Measured(round(ms, 1), request)


def _figures(policy: Policy, served: Sequence[Served]) -> Figures:
    answered = [each for each in served if each.fate is Fate.ANSWERED]
    times = [(each.latency_ms, each.row.id) for each in answered]
    firsts = [(each.first_event_ms, each.row.id) for each in answered if each.first_event_ms is not None]
    return Figures(
        file=policy.name,
        requests=len(served),
        answered=_group(answered),
        refused=_reasons(served, Fate.REFUSED),
        failed=_reasons(served, Fate.FAILED),
        retried=_group(each for each in served if each.attempts > 1),
        unpriced=_group(each for each in answered if each.cost_nano_usd is None),
        cost_usd=format_usd(_cost(served)),
        latency_p50=quantile(times, 0.5),
        latency_p95=quantile(times, 0.95),
        first_event_p50=quantile(firsts, 0.5),
        first_event_p95=quantile(firsts, 0.95),
        models=_portions(answered, lambda each: each.row.model),
        deployments=_portions(answered, lambda each: each.deployment or ""),
    )


def _portions(answered: Iterable[Served], name_of: Callable[[Served], str]) -> tuple[Portion, ...]:
    parts: defaultdict[str, list[Served]] = defaultdict(list)
    for each in answered:
        parts[name_of(each)].append(each)
    found: list[Portion] = []
    for name, part in sorted(parts.items()):
        times = [(each.latency_ms, each.row.id) for each in part]
        cost = format_usd(_cost(part))
        p50, p95 = quantile(times, 0.5), quantile(times, 0.95)
        found.append(Portion(name, len(part), cost, p50, p95, _ids(part)))
    return tuple(found)


def _reasons(served: Iterable[Served], fate: Fate) -> tuple[Reason, ...]:
    parts: defaultdict[str, list[Served]] = defaultdict(list)
    for each in served:
        if each.fate is fate:
            parts[each.reason or ""].append(each)
    return tuple(Reason(reason, len(part), _ids(part)) for reason, part in sorted(parts.items()))


def _changes(before: Sequence[Served], after: Sequence[Served]) -> Changes:
    pairs = list(zip(before, after, strict=True))
    changed = [(was, now) for was, now in pairs if (was.fate, was.deployment) != (now.fate, now.deployment)]
    moves: defaultdict[tuple[str, str], list[tuple[Served, Served]]] = defaultdict(list)
    for was, now in changed:
        if was.fate is Fate.ANSWERED and now.fate is Fate.ANSWERED:
            moves[was.deployment or "", now.deployment or ""].append((was, now))
    moved = [
        Move(*names, len(each), format_usd(sum(map(_gap, each))), _ids(now for _, now in each))
        for names, each in sorted(moves.items(), key=lambda item: (-len(item[1]), item[0]))
    ]
    return Changes(
        requests=len(changed),
        moved=tuple(moved),
        newly_refused=_turned(changed, Fate.REFUSED),
        no_longer_refused=_turned([(now, was) for was, now in changed], Fate.REFUSED),
        newly_failed=_turned(changed, Fate.FAILED),
        no_longer_failed=_turned([(now, was) for was, now in changed], Fate.FAILED),
        cheaper=_shift([pair for pair in pairs if _gap(pair) < 0]),
        dearer=_shift([pair for pair in pairs if _gap(pair) > 0]),
    )


def _turned(pairs: Iterable[tuple[Served, Served]], fate: Fate) -> Group:
    """Return the requests that became ``fate`` and were not."""
    return _group(now for was, now in pairs if now.fate is fate and was.fate is not fate)


def _gap(pair: tuple[Served, Served]) -> int:
    """Return by how much the cost changes; 0 where either is not known, or where only one was answered."""
    was, now = pair
    if was.fate is not now.fate or was.cost_nano_usd is None or now.cost_nano_usd is None:
        return 0
    return now.cost_nano_usd - was.cost_nano_usd


def _shift(pairs: Sequence[tuple[Served, Served]]) -> Shift:
    return Shift(len(pairs), format_usd(sum(map(_gap, pairs))), _ids(now for _, now in pairs))


def _difference(before: Figures, after: Figures, cost: int, cost_before: int) -> Difference:
    percent = round(100 * (cost - cost_before) / cost_before, 2) if cost_before else None
    return Difference(
        cost_usd=format_usd(cost - cost_before),
        cost_percent=percent,
        latency_p50_ms=_less(after.latency_p50, before.latency_p50),
        latency_p95_ms=_less(after.latency_p95, before.latency_p95),
        first_event_p50_ms=_less(after.first_event_p50, before.first_event_p50),
        first_event_p95_ms=_less(after.first_event_p95, before.first_event_p95),
    )


def _less(after: Measured | None, before: Measured | None) -> float | None:
    return None if after is None or before is None else round(after.ms - before.ms, 1)


def _traffic(trace: Trace, seed: int) -> Traffic:
    rows = trace.rows
    return Traffic(
        name=trace.name,
        is_synthetic=trace.is_synthetic,
        requests=len(rows),
        left_out=trace.left_out,
        from_ms=rows[0].at_ms if rows else 0,
        to_ms=rows[-1].at_ms if rows else 0,
        seed=seed,
        recorded_cost_usd=_recorded(trace),
    )


def _recorded(trace: Trace) -> str | None:
    total = 0
    for row in trace.rows:
        if row.cost_nano_usd is None:
            return None
        total += row.cost_nano_usd
    return format_usd(total)


def _assumptions(profiles: ProfileBook, *policies: Policy) -> Iterable[str]:
    for name, known in sorted(profiles.consulted.items()):
        figures = known.profile
        pace = f"first event {figures.first_event_ms:.0f} ms, {figures.tokens_per_s:.0f} tokens/s"
        yield f"{name}: {pace} ({known.source})."
    absent = sorted({name for policy in policies for name in policy.without_credential})
    if absent:
        yield f"Providers without a credential count as on: {', '.join(absent)}."
    yield "Every deployment answers a request with as many tokens as the trace has; a try that fails costs nothing."
    yield "Keys, budgets, our own rate limits, caches of ours and time-outs are not simulated."


def _cost(served: Iterable[Served]) -> int:
    return sum(each.cost_nano_usd or 0 for each in served)


def _group(served: Iterable[Served]) -> Group:
    ids = _ids(served)
    return Group(len(ids), ids)


def _ids(served: Iterable[Served]) -> tuple[str, ...]:
    return tuple(each.row.id for each in served)
