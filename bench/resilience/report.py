"""What each proof demands, and its table: the tests and the long run judge by the same lines."""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from bench.report import header, markdown
from bench.resilience.drain import DRAIN_S, GRACE_S, STREAMS, Restarts
from bench.resilience.gate import Gated
from bench.resilience.load import Outcome, percentile
from bench.resilience.outage import FIRST_FAILURES, TIMEOUTS, Outage
from bench.resilience.residency import Kept

LEAST_SUCCESS = 0.999
LEAST_BROWN = 0.99
MOST_ATTEMPTS = 1.2
MOST_OPENED_S = 2.0
MOST_RECOVERED_S = 10.0
MOST_ERROR_S = 1.0
MOST_ADDED_MS = 3.0
FIRST_EVENT_S = 1.0
RETRIES_FLOOR_PER_S = 3.0
"""For each deployment, whatever the load; see `headgate.routing.retry`."""


class Check(NamedTuple):
    """One demand, with the figures, and whether it is met."""

    words: str
    holds: bool
    is_of_time: bool = False
    """A busy machine may miss it; a test must not demand it."""


class Met(NamedTuple):
    """Faults before content, and how many of them no caller saw."""

    faults: int = 0
    saved: int = 0

    @property
    def share(self) -> float:
        """The success of failover, ``f``."""
        return self.saved / self.faults if self.faults else 1.0


class Part(NamedTuple):
    """One proof: its tables and its demands."""

    title: str
    tables: tuple[str, ...]
    checks: tuple[Check, ...]
    met: Met = Met()


def missed(part: Part, *, with_time: bool = True) -> list[str]:
    """The demands that are not met."""
    return [check.words for check in part.checks if not check.holds and (with_time or not check.is_of_time)]


def _met(outcomes: Iterable[Outcome]) -> Met:
    met = list(outcomes)
    return Met(len(met), sum(each.is_whole for each in met))


def _said(unsaid: list[str]) -> Check:
    return Check(f"requests that ended neither whole nor in an explicit error: {len(unsaid)} {unsaid[:3]}", not unsaid)


def _facts(*facts: tuple[str, object]) -> str:
    return markdown([["", ""], *([name, str(value)] for name, value in facts)])


def _spread(outcomes: Iterable[Outcome]) -> str:
    found = Counter((each.status, each.provider, each.attempts) for each in outcomes)
    return ", ".join(
        f"{status} {provider or 'nobody'} after {attempts}: {count:,}"
        for (status, provider, attempts), count in found.most_common(6)
    )


def _seconds(value: float | None) -> str:
    return "none" if value is None else f"{value:.1f} s"


def _recovery(seconds: float | None) -> Check:
    words = "not at all" if seconds is None else f"{seconds:.1f} s"
    holds = seconds is not None and seconds <= MOST_RECOVERED_S
    return Check(f"as before after the heal: {words} (at most {MOST_RECOVERED_S:g} s)", holds, is_of_time=True)


def of_outage(found: Outage) -> Part:
    """F2."""
    facts = _facts(
        ("requests a second", f"{found.rate:g}"),
        ("down for", f"{found.healed_at - found.down_at:g} s, {len(found.during):,} requests"),
        ("answers meanwhile", _spread(found.during)),
        ("met the primary while it was down", f"{sum(each.attempts > 1 for each in found.during):,}"),
        (
            "the last request after the heal that the primary did not answer",
            _seconds(found.last_elsewhere_s("primary")),
        ),
    )
    checks = (
        Check(
            f"answered whole after the first {FIRST_FAILURES} failures: {found.success:.3%} (at least "
            f"{LEAST_SUCCESS:.1%}); failures in all: {sum(not each.is_whole for each in found.during)}",
            found.success >= LEAST_SUCCESS,
        ),
        Check(
            f"attempts for each request: {found.attempts:.3f} (at most {MOST_ATTEMPTS})",
            found.attempts <= MOST_ATTEMPTS,
        ),
        Check(
            f"passed over after {found.opened_s:.2f} s (at most {MOST_OPENED_S:g} s)",
            found.opened_s <= MOST_OPENED_S,
            is_of_time=True,
        ),
        _recovery(found.recovered_s("primary")),
        _said(found.unsaid),
    )
    return Part(f"F2: the primary is down: {found.kind}", (facts,), checks, _met(found.met))


def of_blackout(found: Outage) -> Part:
    """F3."""
    floor = 2 * RETRIES_FLOOR_PER_S / found.rate
    # The budget begins full, with ten seconds' worth: nothing in a long outage, much in a short one.
    full = 2 * RETRIES_FLOOR_PER_S * 10 / max(1, len(found.during))
    most = MOST_ATTEMPTS + floor + full
    facts = _facts(
        ("requests a second", f"{found.rate:g}"),
        ("down for", f"{found.healed_at - found.down_at:g} s, {len(found.during):,} requests"),
        ("answers meanwhile", _spread(found.during)),
    )
    checks = (
        Check(
            f"attempts for each request: {found.attempts:.3f} (at most {MOST_ATTEMPTS}, the floor of {floor:.2f} and "
            f"{full:.2f} that was kept before)",
            found.attempts <= most,
        ),
        Check(
            f"p99 of the error once open: {found.error_p99_s * 1000:.0f} ms (at most {MOST_ERROR_S:g} s)",
            found.error_p99_s <= MOST_ERROR_S,
            is_of_time=True,
        ),
        _recovery(found.recovered_s()),
        _said(found.unsaid),
    )
    return Part(f"F3: both are down: {found.kind}", (facts,), checks)


def of_brown_out(found: Outage) -> Part:
    """F4."""
    usual = percentile([each.seconds for each in found.outcomes if each.at < found.down_at], 0.99)
    brown = percentile([each.seconds for each in found.during], 0.99)
    success = sum(each.is_whole for each in found.during) / len(found.during)
    facts = _facts(
        ("requests a second", f"{found.rate:g}"),
        ("half down for", f"{found.healed_at - found.down_at:g} s, {len(found.during):,} requests"),
        ("answers meanwhile", _spread(found.during)),
    )
    checks = (
        Check(f"answered whole: {success:.3%} (at least {LEAST_BROWN:.0%})", success >= LEAST_BROWN),
        Check(f"attempts for each request: {found.attempts:.3f}", holds=True),
        Check(
            f"added at p99: {(brown - usual) * 1000:.0f} ms (at most the time-out of the first event, "
            f"{TIMEOUTS['first_event']})",
            brown - usual <= FIRST_EVENT_S,
            is_of_time=True,
        ),
        _said(found.unsaid),
    )
    return Part("F4: the primary fails in 30 % and is five times as slow", (facts,), checks, _met(found.met))


def of_gate(found: Gated) -> Part:
    """F6."""
    facts = _facts(
        ("median to the first content, direct", f"{found.direct_s * 1000:.2f} ms"),
        ("through the gateway", f"{found.through_s * 1000:.2f} ms, {found.pairs:,} pairs in turns"),
        ("streams", f"{len(found.streams):,}, of which {found.cut:,} were cut behind their opening by the primary"),
        ("answers", _spread(found.streams)),
    )
    checks = (
        Check(
            f"added to the first content: {found.added_ms:.2f} ms (at most {MOST_ADDED_MS:g} ms, the hop in it)",
            found.added_ms <= MOST_ADDED_MS,
            is_of_time=True,
        ),
        Check(f"streams with a byte too many or too few: {len(found.wrong)} {found.wrong[:3]}", not found.wrong),
    )
    return Part("F6: the gate before the first content", (facts,), checks, Met(found.cut, found.cut - len(found.wrong)))


def of_restarts(found: Restarts) -> Part:
    """O1."""
    streams = len(found.short) + len(found.long)
    facts = _facts(
        ("restarts", f"{found.restarts}, with {STREAMS} live streams each, {streams:,} in all"),
        ("could end within the drain", f"{len(found.short):,}"),
        ("could not", f"{len(found.long):,}"),
        ("other requests meanwhile", f"{len(found.meanwhile):,}"),
        ("SIGTERM to exit: median, most", f"{percentile(found.exits_s, 0.5):.2f}, {max(found.exits_s):.2f} s"),
    )
    checks = (
        Check(f"failed that could be answered: {len(found.failed)} {found.failed[:3]}", not found.failed),
        Check(f"given up without an error event: {len(found.unsaid)} {found.unsaid[:3]}", not found.unsaid),
        Check(f"without the record that is owed: {len(found.unrecorded)} {found.unrecorded[:3]}", not found.unrecorded),
        Check(f"exit codes: {sorted(set(found.codes))}", set(found.codes) == {0}),
        Check(
            f"gone within {DRAIN_S:g} s of drain and {GRACE_S:g} s: {max(found.exits_s):.2f} s",
            max(found.exits_s) <= DRAIN_S + GRACE_S,
            is_of_time=True,
        ),
    )
    return Part("O1: restarts under live streams", (facts,), checks)


def of_residency(found: Kept) -> Part:
    """C3."""
    rows = [["both inside", "requests", "answered", "attempts"]]
    for kind, outcomes in found.outcomes.items():
        answered = sum(each.is_whole for each in outcomes)
        rows.append([kind, f"{len(outcomes):,}", f"{answered:,}", f"{sum(each.attempts for each in outcomes):,}"])
    every = [each for outcomes in found.outcomes.values() for each in outcomes]
    unsaid = [each.name for each in every if not (each.is_whole or each.is_said)]
    went = sum(each.provider == "outside" for each in found.unbound)
    checks = (
        Check(f"connections outside: {found.outside.connections}", found.outside.connections == 0),
        Check(f"without the restriction {went} of {len(found.unbound)} requests are answered outside", went > 0),
        _said(unsaid),
    )
    return Part("C3: nothing leaves the region, whatever fails in it", (markdown(rows),), checks)


NOTES = f"""## Read with this in mind

- The providers are processes of their own on the same two cores as the gateway and the load. Their time-outs are
  scaled: first event {TIMEOUTS["first_event"]}, connect {TIMEOUTS["connect"]}.
- **Passed over** is counted from the moment the primary goes down until no more than a probe a second meets it. Where
  it stalls, nobody can know before the time-out of the first event.
- Where every deployment is down, the one that is nearest to being well is tried all the same, so that no breaker closes
  a route. Where they are known to stall, one caller in five seconds waits at each for the time-out of the first event,
  and the others get 503 at once ("nobody after 0"). At 100 requests a second that is less than the hundredth that the
  p99 leaves out; at ten a second it is not.
- **As before** is the first whole second of requests that are all answered as before. The line above it says when the
  last stray one was.
- F6 compares with a direct call, so the hop through the gateway is in it. The gate itself waits for nothing: what it
  holds leaves with the first content.
- O1's load is moved by a client that knows which gateway is ready, as a balancer with a readiness probe does.
"""


def text_of(parts: Iterable[Part], seed: int) -> str:
    """The whole as Markdown."""
    found = list(parts)
    lines = [
        "# Resilience, proven through the whole gateway",
        "",
        "Written by `python -m bench.resilience --write`. Callers and providers count; the gateway is not asked.",
        "",
        "```text",
        header(),
        f"seed     {seed}",
        "```",
    ]
    for part in found:
        lines += ["", f"## {part.title}", ""]
        for table in part.tables:
            lines += [table, ""]
        lines += [f"- {'met' if check.holds else '**missed**'}: {check.words}" for check in part.checks]
    total = Met(sum(part.met.faults for part in found), sum(part.met.saved for part in found))
    words = f"{total.share:.4%} of {total.faults:,} faults before content reached no caller"
    lines += ["", "## The success of failover", "", f"f = {total.share:.5f}: {words}."]
    return "\n".join([*lines, "", NOTES])
