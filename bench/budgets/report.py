"""What each proof demands, and its table: the tests and the long run judge by the same lines."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from bench.budgets.accuracy import Accuracy
from bench.budgets.agents import Agents
from bench.budgets.crowd import Crowd
from bench.budgets.kills import Kills
from bench.report import header, markdown

NANO = 1_000_000_000
LEAST_USED = 0.99
LEAST_USED_BY_AGENTS = 0.97
MOST_ERROR = 0.001
MOST_READY_S = 2.0


class Check(NamedTuple):
    """One demand, with the figures, and whether it is met."""

    words: str
    holds: bool


class Part(NamedTuple):
    """One proof: its tables and its demands."""

    title: str
    tables: tuple[str, ...]
    checks: tuple[Check, ...]


def missed(part: Part) -> list[str]:
    """The demands that are not met."""
    return [check.words for check in part.checks if not check.holds]


def of_crowd(found: Crowd, callers: int) -> Part:
    """A3."""
    rows = [["account", "limit USD", "posted USD", "held", "meter USD", "most metered at a sample", "used"]]
    for level in found.levels:
        amounts = [_usd(each) for each in (level.limit, level.posted, level.held, level.meter, level.most_meter)]
        rows.append([level.name, *amounts, f"{level.posted / level.limit:.3%}"])
    facts = _facts(
        ("clients", callers),
        ("requests", f"{found.asked:,}, {found.asked / found.seconds:,.0f} a second"),
        ("answers", ", ".join(f"{name}: {count:,}" for name, count in found.answers.items())),
        ("left by the client in mid-stream", f"{found.aborted:,}"),
        ("asked again after 502 and 503", f"{found.retried:,}"),
        ("samples of meter and every account", f"{found.samples:,}"),
    )
    checks = (
        Check(f"overage at {found.samples:,} samples of every level: {len(found.over)} {found.over}", not found.over),
        Check(f"requests that cost more than was held: {found.overruns}", found.overruns == 0),
        Check(
            "meter <= posted <= limit at every level in the end, nothing held",
            all(level.meter <= level.posted <= level.limit and level.held == 0 for level in found.levels),
        ),
        Check(f"of the organization's budget used: {found.used:.3%} (at least 99 %)", found.used >= LEAST_USED),
        _sums(found.recorded_cost, found.root.posted, found.problems),
        Check(f"records {found.recorded:,} of {found.asked:,} requests", found.recorded == found.asked),
        Check(
            "no request met anything but an answer, a refusal or the provider's fault",
            not {name for name in found.answers if name.split()[0] in ("0", "400", "401", "403", "404", "500")},
        ),
    )
    return Part("A3: many clients at the last cents of three levels", (markdown(rows), facts), checks)


def of_agents(found: Agents) -> Part:
    """Agents, and what is stranded."""
    shape, limit = found.shape, found.limit
    earliest = limit - found.first_refusal_needs
    total = sum(found.bounds.values())
    facts = _facts(
        (
            "budget, price",
            f"{shape.budget} USD, {shape.price.input / 1000:g}/{shape.price.output / 1000:g} USD per Mtok",
        ),
        ("contexts", f"{shape.begins_at:,} to {shape.most_tokens:,} tokens, up to {found.largest_body / 1000:,.0f} kB"),
        ("output", f"{shape.max_tokens:,} tokens asked for, about {shape.answer_tokens} used"),
        ("requests", f"{found.asked:,} in {found.seconds:.0f} s"),
        ("bound by", ", ".join(f"{name}: {count / total:.1%}" for name, count in found.bounds.items())),
        ("held at once: mean, most", f"{found.held_mean / limit:.2%}, {found.held_most / limit:.2%} of the budget"),
        (
            "stranded (held - posted) for a request: mean, most",
            f"{_usd(int(found.stranded_mean))}, {_usd(found.stranded_most)} USD",
        ),
        ("first refusal at", f"{found.first_refusal_used / limit:.2%} spent"),
        ("the last moment at which no strict gateway need refuse it", f"{earliest / limit:.2%} spent"),
        ("refusals", ", ".join(f"{name}: {count}" for name, count in found.refusals.items())),
        ("spent in the end", f"{_usd(found.posted)} USD, {found.posted / limit:.2%}"),
    )
    checks = (
        Check(f"meter <= posted + held <= limit at every sample: {len(found.over)} exceptions", not found.over),
        Check(f"meter {found.meter:,} <= posted {found.posted:,} nano-USD", found.meter <= found.posted <= limit),
        Check(
            f"first refusal at {found.first_refusal_used / limit:.2%} (at least {LEAST_USED_BY_AGENTS:.0%}, or half a "
            f"per cent before the {earliest / limit:.2%} from which its own input and maximum no longer fit)",
            found.first_refusal_used >= min(limit * LEAST_USED_BY_AGENTS, earliest - limit // 200),
        ),
        Check("most requests are bound by an earlier turn", found.bounds.get("anchor", 0) > total / 2),
    )
    return Part("Agents on one budget", (facts,), checks)


def of_accuracy(found: Accuracy, title: str, *, is_own_tokenizer: bool) -> Part:
    """A5, with the sandbox's tokens or with OpenAI's."""
    rows = [["requests", "count", "provider's usage", "tokens", "metered", "cost USD", "billed USD", "error"]]
    for row in found.rows:
        tokens = [f"{each:,}" for each in (row.requests, row.exact, row.tokens, row.metered_tokens)]
        rows.append([row.name, *tokens, _usd(row.cost), _usd(row.metered), f"{row.error:+.4%}"])
    answered = found.rows[0]
    checks = [
        Check(
            f"rows with the provider's usage: {found.exact_tokens:,} tokens, the meter says {found.exact_metered:,}",
            found.exact_tokens == found.exact_metered and answered.exact == answered.requests,
        ),
        Check(f"answers that were not expected: {found.unexpected}", not found.unexpected),
        Check("nothing is held in the end", found.held == 0),
        _sums(found.recorded_cost, found.posted, found.problems),
    ]
    if is_own_tokenizer:
        checks.append(
            Check(
                f"error over all rows but those that broke off: {found.error:+.4%} (at most 0.1 %)",
                abs(found.error) <= MOST_ERROR,
            )
        )
    else:
        checks.append(Check(f"kinds of requests whose meter is above the ledger: {found.below}", not found.below))
    facts = [(name, f"{count:,}") for name, count in found.outcomes.items()]
    if is_own_tokenizer and found.below:
        # A token may be on its way to us when the client leaves: nobody here has seen it, and no count can hold it.
        count, missing = len(found.below), sum(found.below)
        words = f"{count:,} records, {missing / count:.1f} tokens each, {max(found.below)} at most"
        facts.append(("below the bill, mostly by what had not arrived when the client left", words))
    return Part(title, (markdown(rows), _facts(*facts)), tuple(checks))


def of_kills(found: Kills) -> Part:
    """A6."""
    facts = _facts(
        ("kills", found.cycles),
        ("requests sent to the provider", f"{found.sent:,}"),
        ("answered", f"{found.answered:,}"),
        ("records owed", f"{found.owed:,}"),
        ("recovered", f"{found.recovered:,}"),
        (
            "start to ready: p50, p99, most",
            f"{found.ready_median:.2f}, {found.ready(0.99):.2f}, {max(found.ready_s):.2f} s",
        ),
        ("billed, posted", f"{_usd(found.metered)}, {_usd(found.posted)} USD"),
    )
    checks = (
        Check(f"lost: {len(found.lost)} {found.lost[:3]}", not found.lost),
        Check(f"doubled: {len(found.doubled)} {found.doubled[:3]}", not found.doubled),
        Check(f"records below the provider's bill: {len(found.below)} {found.below[:3]}", not found.below),
        Check(
            f"meter {found.metered:,} <= posted {found.posted:,} <= limit, nothing held",
            found.metered <= found.posted <= found.limit and found.held == 0,
        ),
        Check(f"recovered requests are in the records: {found.recovered}", found.recovered > 0),
        _sums(found.recorded_cost, found.posted, found.problems),
    )
    return Part("A6: kill -9 of the gateway under load", (facts,), checks)


def of_ready(found: Kills) -> Check:
    """The one demand of A6 that a busy machine may miss, and a test must not make."""
    p99 = found.ready(0.99)
    return Check(f"ready again: p99 {p99:.2f} s (at most {MOST_READY_S:g} s)", p99 <= MOST_READY_S)


NOTES = """## Read with this in mind

- **Used** is what was posted. The meter is below it: an answer that broke off under way is posted at all that it held
  (A3 breaks off three in a hundred), and what is counted by a tokenizer is above the sandbox's own tokens.
- Agents: the bar was 97 % spent at the first refusal. At 3/15 USD it is **missed**, and a strict gateway cannot meet it
  there: the input and the 32,000 tokens of output that one such request asks for are over 4 % of 20 USD. What is
  checked in its stead is how near the first refusal comes to that.
- A5: the bar was that no aborted stream is booked below its bill. It holds beside the sandbox, which makes nothing that
  we do not see. It is **missed** beside a provider across a socket: what was produced and had not arrived when the
  client left is billed and in no count of ours. The table says how much that is.
- A5: the bar of 0.1 % over all rows leaves out answers that broke off. They were put into the mix to see that they are
  never booked too low; booked at their hold, they are far too high, and with them the error is above the bar.
- The sandbox's tokens are its own, so counted rows beside it show its rule, not an error of the count.
- One process decides: A3 has no several workers here.
"""


def text_of(parts: Iterable[Part], seed: int) -> str:
    """The whole as Markdown."""
    lines = [
        "# The budgets, proven through the whole gateway",
        "",
        "Written by `python -m bench.budgets --write`. The judge is the provider's own meter, never the ledger's word.",
        "",
        "```text",
        header(),
        f"seed     {seed}",
        "```",
    ]
    for part in parts:
        lines += ["", f"## {part.title}", ""]
        for table in part.tables:
            lines += [table, ""]
        lines += [f"- {'met' if check.holds else '**missed**'}: {check.words}" for check in part.checks]
    return "\n".join([*lines, "", NOTES])


def _sums(recorded: int, posted: int, problems: Sequence[str]) -> Check:
    return Check(
        f"costs of all records {recorded:,} = posted {posted:,} nano-USD, ledger verify: {list(problems[:3])}",
        recorded == posted and not problems,
    )


def _facts(*facts: tuple[str, object]) -> str:
    return markdown([["", ""], *([name, str(value)] for name, value in facts)])


def _usd(nano: int) -> str:
    return f"{nano / NANO:.6f}"
