"""LiteLLM's budgets and rate limits of one key → ours. What would loosen a limit raises; it is never rounded up.

LiteLLM writes a period as a duration (docs.litellm.ai/docs/proxy/users, read in October 2026) and, where there is none,
never begins anew. Ours follow the calendar in the organization's time zone.
"""

import re
from collections.abc import Mapping
from decimal import ROUND_FLOOR, Decimal
from typing import Any, Final, cast

from headgate.domain.limits import MAX_TOKENS
from headgate.domain.money import MAX_NANO_USD, NANO_PER_USD
from headgate.migration.finding import Verdict, approximated, refused, translated
from headgate.migration.given import exact, plain

BUDGET: Final = "budget."
"""What the facts of a budget begin with; its period and mode follow."""
RATE: Final = "rate_limits."
"""What the facts of a rate limit begin with; its name here follows."""

_DURATION: Final = re.compile(r"([0-9]{1,9})(s|m|h|d|w|mo)")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_PERIODS: Final = {3600: "hour", 86_400: "day", 604_800: "week", 30 * 86_400: "month"}
_NANO: Final = Decimal("1e-9")
_CALENDAR: Final = {
    "hour": "it begins with each hour of the clock",
    "day": "it begins at midnight in the organization's time zone, UTC unless it is set",
    "week": "it begins on Mondays in the organization's time zone, UTC unless it is set",
    "month": (
        "it begins on the first of each month in the organization's time zone, UTC unless it is set; a month has 28 to "
        "31 days"
    ),
    "total": "it never begins anew, and what was spent before does not count",
}


class LimitError(ValueError):
    """A limit that cannot be read; the text says which, and shows nothing of its value."""


def period_of(duration: Any) -> str | None:
    """Return our period of a duration such as ``24h``, ``total`` where there is none, and ``None`` for any other."""
    if duration in (None, "", False):
        return "total"
    match = _DURATION.fullmatch(str(duration))
    if match is None:
        return None
    number, unit = int(match[1]), match[2]
    if unit == "mo":
        return "month" if number == 1 else None
    return _PERIODS.get(number * _SECONDS[unit])


def budget(field: str, amount: Any, duration: Any, mode: str) -> Verdict:
    """Return what becomes of an amount of money and its duration; the fact is the amount as our files write it.

    Raises:
        LimitError: the amount is none.
    """
    period = period_of(duration)
    if period is None:
        return refused("there is no such period here (hour, day, week, month, total): the key is not held to it")
    number = exact(str(amount)) if isinstance(amount, str | int | Decimal) and not isinstance(amount, bool) else None
    if number is None:
        raise LimitError(f"its {field} is no amount of money, and a limit must not be lost")
    if number > MAX_NANO_USD // NANO_PER_USD:
        return refused(f"above {MAX_NANO_USD // NANO_PER_USD} USD, the most that a budget can be: none is written")
    # Whatever is finer than a nano-USD is cut off: a limit never grows on its way.
    kept = plain(number.quantize(_NANO, rounding=ROUND_FLOOR))
    became = f"becomes a budget of {kept} USD ({period})"
    if mode == "audit":
        became += " in audit mode: it refuses nothing, and records say where it would have; nobody is told yet"
    return approximated(f"{became}; {_CALENDAR[period]}", (f"{BUDGET}{period}.{mode}", kept))


def duration_of(row: Mapping[str, Any]) -> Verdict:
    """Return what becomes of ``budget_duration``, which says something only beside an amount."""
    if not any(row.get(field) not in (None, "") for field in ("max_budget", "soft_budget")):
        return translated("no amount stands beside it, so it limits nothing")
    period = period_of(row.get("budget_duration"))
    if period is None:
        return refused("there is no such period here (hour, day, week, month, total): see max_budget")
    return approximated(f"becomes the period {period}: {_CALENDAR[period]}")


def windows(field: str, value: Any) -> Verdict:
    """Return what becomes of ``budget_limits``: several amounts, each with its duration.

    Raises:
        LimitError: it is no such list.
    """
    entries = cast("list[Any]", value) if isinstance(value, list) else []
    puts: dict[str, Any] = {}
    reasons: list[str] = []
    for entry in entries:
        if not isinstance(entry, dict) or "max_budget" not in entry:
            raise LimitError(f"its {field} are no amounts with durations, and a limit must not be lost")
        given = cast("dict[str, Any]", entry)
        verdict = budget(field, given["max_budget"], given.get("budget_duration"), "enforce")
        if not verdict.puts:
            return verdict
        if verdict.puts[0][0] in puts:
            raise LimitError(f"its {field} have one period twice")
        puts |= dict(verdict.puts)
        reasons.append(verdict.reason)
    if not puts:
        raise LimitError(f"its {field} are no amounts with durations, and a limit must not be lost")
    return approximated("; ".join(dict.fromkeys(reasons)), *puts.items())


def rate(field: str, value: Any, name: str) -> Verdict:
    """Return what becomes of a count of requests or tokens; the fact is the number.

    Raises:
        LimitError: it is no whole number.
    """
    text = str(value)
    if isinstance(value, bool) or not re.fullmatch(r"[0-9]{1,16}(?:\.0+)?", text):
        raise LimitError(f"its {field} is no whole number, and a limit must not be lost")
    number = int(text.partition(".")[0])
    if number > MAX_TOKENS:
        return refused(f"above {MAX_TOKENS}, the most that a limit can be: none is written")
    slides = "" if name == "concurrency" else "; the window slides: it has no edge at which to begin anew"
    return translated(f"becomes rate_limits.{name}{slides}", (f"{RATE}{name}", number))


def written(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``budgets`` and ``rate_limits`` as our files write them; what is not limited is left out."""
    budgets = [
        {"amount_usd": amount, "period": period, "mode": mode}
        for (period, mode), amount in (
            (tuple(name.removeprefix(BUDGET).split(".")), amount)
            for name, amount in facts.items()
            if name.startswith(BUDGET)
        )
    ]
    rates = {name.removeprefix(RATE): count for name, count in facts.items() if name.startswith(RATE)}
    return ({"budgets": budgets} if budgets else {}) | ({"rate_limits": rates} if rates else {})


def tighter(facts: Mapping[str, Any], verdict: Verdict) -> dict[str, Any]:
    """Return what ``verdict`` puts, where a budget of the same period and mode is there already the lesser of both."""
    puts = dict(verdict.puts)
    for name, amount in puts.items():
        if name.startswith(BUDGET) and name in facts:
            puts[name] = min(amount, facts[name], key=Decimal)
    return puts
