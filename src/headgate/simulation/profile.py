"""How a deployment behaves in a simulation: how fast it is, what it grants, when it fails.

Learned from what was observed where that is enough, else as the trace says, else by the defaults, which the report
names as assumptions.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from math import log
from statistics import fmean, median, pstdev
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from headgate.routing.table import Deployment
from headgate.simulation.trace import Profile, TraceRow

FEWEST_ANSWERS: Final = 20
"""So many observed answers make a profile."""
FEWEST_TOKENS: Final = 8
"""A shorter answer says nothing about the tokens per second."""
DEFAULT_PROFILE: Final = Profile()


class Known(Struct, frozen=True):
    """A profile and where it is from."""

    profile: Profile
    source: str
    """A sentence for the report."""
    is_assumed: bool = False
    """Nothing was observed and nobody stated it."""


class ProfileBook:
    """The profiles of all deployments, by name."""

    def __init__(self, stated: Mapping[str, Profile], rows: Sequence[TraceRow] = ()) -> None:
        """Learn from ``rows`` what they tell; ``stated`` is what the trace says of deployments."""
        self._stated: Final = dict(stated)
        self._observed: Final = observe(rows)
        self._known: Final[dict[str, Known]] = {}

    @property
    def consulted(self) -> Mapping[str, Known]:
        """What was asked for until now."""
        return self._known

    def of(self, deployment: Deployment) -> Known:
        """Return the profile of a deployment; what is said of it without its credential's name holds for each."""
        name = deployment.name
        known = self._known.get(name)
        if known is None:
            known = self._known[name] = self._find(name, f"{deployment.provider}/{deployment.upstream_model}")
        return known

    def _find(self, name: str, plain: str) -> Known:
        stated = self._stated.get(name) or self._stated.get(plain)
        observed = self._observed.get(name) or self._observed.get(plain)
        if observed is not None:
            source = f"observed, {observed.answers} answers"
            if stated is None:
                return Known(observed.profile, source)
            seen = observed.profile
            times = (seen.first_event_ms, seen.tokens_per_s, seen.spread)
            profile = replace(stated, first_event_ms=times[0], tokens_per_s=times[1], spread=times[2])
            return Known(profile, f"times {source}; limits and failures as the trace states")
        if stated is not None:
            return Known(stated, "as the trace states")
        return Known(DEFAULT_PROFILE, "nothing is known of it: the defaults", is_assumed=True)


class Observed(Struct, frozen=True):
    """What a trace shows of one deployment."""

    profile: Profile
    answers: int


def observe(rows: Iterable[TraceRow]) -> dict[str, Observed]:
    """Return the profiles of those deployments that answered at least `FEWEST_ANSWERS` of the requests."""
    answers: defaultdict[str, list[TraceRow]] = defaultdict(list)
    failures: defaultdict[str, int] = defaultdict(int)
    for row in rows:
        for name in row.failed_on:
            failures[name] += 1
        # A request that was tried elsewhere before has a duration of all its tries.
        if row.deployment and row.duration_ms and not row.failed_on and row.outcome in (None, "ok"):
            answers[row.deployment].append(row)
    found: dict[str, Observed] = {}
    for name, served in answers.items():
        profile = _learn(served) if len(served) >= FEWEST_ANSWERS else None
        if profile is not None:
            share = failures[name] / (failures[name] + len(served))
            found[name] = Observed(replace(profile, failures=share), len(served))
    return found


def _learn(rows: Sequence[TraceRow]) -> Profile | None:
    streams = [
        (row.first_event_ms, (row.duration_ms - row.first_event_ms) / row.output_tokens)
        for row in rows
        if row.stream and row.first_event_ms and row.duration_ms and row.output_tokens >= FEWEST_TOKENS
    ]
    if len(streams) >= FEWEST_ANSWERS:
        first_event_ms = median(first for first, _ in streams)
        token_ms = median(token for _, token in streams)
        spread = pstdev(log(first) for first, _ in streams)
    else:
        # Whole answers: the line through durations over output tokens (least squares) parts the two.
        durations = [row.duration_ms or 0.0 for row in rows]
        tokens = [row.output_tokens for row in rows]
        mean_ms, mean_tokens = fmean(durations), fmean(tokens)
        variance = sum((each - mean_tokens) ** 2 for each in tokens)
        slope = sum((t - mean_tokens) * (d - mean_ms) for t, d in zip(tokens, durations, strict=True))
        token_ms = max(0.0, slope / variance) if variance else 0.0
        first_event_ms = max(1.0, mean_ms - token_ms * mean_tokens)
        spread = pstdev(log(each) for each in durations if each > 0)
    return Profile(
        first_event_ms=max(1.0, first_event_ms),
        tokens_per_s=min(100_000.0, 1000 / token_ms if token_ms > 0 else 100_000.0),
        spread=min(spread, 3.0),
    )
