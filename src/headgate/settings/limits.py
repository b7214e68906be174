"""Budgets and rate limits of the file: those of scopes, people and keys, and of the names that a request brings.

A budget above the one that binds it from further out would never be reached, so it is refused where it stands.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from msgspec import Struct

from headgate.domain.limits import MAX_TOKENS, BudgetMode, Period, WindowMode
from headgate.domain.money import format_usd
from headgate.settings import document, values
from headgate.settings.keys import KEYS
from headgate.settings.model import ProvisionedBudget, ProvisionedNamedLimits, ProvisionedRateLimits
from headgate.settings.reader import Block, Place

EACH: Final = "*"
"""As a name: every end user, model or tag, each for itself."""

_AMOUNT: Final = 'an amount in USD in quotes such as "5000" or "0.25"'
_COUNT: Final = "a whole number such as 100000, without quotes or units"
_MODES: Final = (("tpm", "tpm_mode"), ("tph", "tph_mode"), ("tpd", "tpd_mode"))


class Ceiling(Struct, frozen=True):
    """The budget that binds from further out, and where it stands."""

    amount_nano_usd: int
    path: str
    line: int | None


Ceilings = Mapping[Period, Ceiling]
"""What binds whatever stands below, by period."""

UNBOUND: Final[Ceilings] = {}
"""No budget stands further out."""


def budgets(block: Block, above: Ceilings = UNBOUND) -> tuple[tuple[ProvisionedBudget, ...], Ceilings]:
    """Read the ``budgets`` of a block, and return with them what binds everything below it."""
    place = block.values.get("budgets")
    if place is None:
        return (), above
    found: list[ProvisionedBudget] = []
    lines: dict[str, int | None] = {}
    below = dict(above)
    for item in place.items('a list of budgets such as [{amount_usd: "5000", period: month}]'):
        budget = _budget(item, above)
        item.once(lines, f"{budget.period} {budget.mode}", "budget")
        if budget.mode is BudgetMode.ENFORCE:
            below[budget.period] = Ceiling(budget.amount_nano_usd, item.path, item.line)
        found.append(budget)
    return tuple(found), below


def _budget(place: Place, above: Ceilings) -> ProvisionedBudget:
    block = place.block(KEYS["organizations[].budgets[]"])
    amount_place = block.require("amount_usd", 'such as "5000"')
    amount = _amount(amount_place)
    period = Period(block.require("period", "such as month").choice(*Period))
    mode = BudgetMode(block.read("mode", lambda given: given.choice(*BudgetMode), BudgetMode.ENFORCE))
    ceiling = above.get(period)
    if mode is BudgetMode.ENFORCE and ceiling is not None and amount > ceiling.amount_nano_usd:
        amount_place.fail(
            f"{format_usd(amount)} USD is above the {format_usd(ceiling.amount_nano_usd)} USD that {ceiling.path} on "
            f"line {ceiling.line} allows for the same period ({period}) further out, so it would never be reached"
        )
    return ProvisionedBudget(amount_nano_usd=amount, period=period, mode=mode)


def _amount(place: Place) -> int:
    node = place.node
    # What YAML calls a number it may have read as octal or in base 60 elsewhere: an amount is what its text says.
    if isinstance(node, document.Scalar) and node.kind in ("int", "float"):
        place.fail(f'an amount of money stands in quotes: "{node.text[:60]}"')
    return place.convert(values.parse_amount, _AMOUNT)


def rate_limits(place: Place) -> ProvisionedRateLimits | None:
    """Read a ``rate_limits`` block; ``None`` where it limits nothing."""
    block = place.block(KEYS["organizations[].rate_limits"])
    for limit, mode in _MODES:
        if mode in block.values and limit not in block.values:
            block.values[mode].fail(f"says how {limit} is counted, and there is no {limit} beside it")
    if not block.values:
        return None
    default = ProvisionedRateLimits()
    return ProvisionedRateLimits(
        rpm=block.read("rpm", _count, None),
        tpm=block.read("tpm", _count, None),
        tph=block.read("tph", _count, None),
        tpd=block.read("tpd", _count, None),
        concurrency=block.read("concurrency", _count, None),
        tpm_mode=block.read("tpm_mode", _mode, default.tpm_mode),
        tph_mode=block.read("tph_mode", _mode, default.tph_mode),
        tpd_mode=block.read("tpd_mode", _mode, default.tpd_mode),
    )


def _count(place: Place) -> int:
    return place.convert(partial(values.parse_count, lowest=0, highest=MAX_TOKENS), _COUNT)


def _mode(place: Place) -> WindowMode:
    return WindowMode(place.choice(*WindowMode))


def end_users(place: Place) -> tuple[ProvisionedNamedLimits, ...]:
    """Read the limits of end users."""
    return _named(place, "end user", values.parse_line, '1 to 200 printable characters, or "*" for each of them')


def models(place: Place) -> tuple[ProvisionedNamedLimits, ...]:
    """Read the limits of models."""
    return _named(place, "model", _parse_model, 'a model as clients name it such as "gpt-4o", or "*" for each of them')


def tags(place: Place) -> tuple[ProvisionedNamedLimits, ...]:
    """Read the limits of tags."""
    return _named(place, "tag", _parse_tag, 'a tag such as "cost-center=4711", or "*" for each of them')


def _named(place: Place, noun: str, parse: Callable[[str], str], expected: str) -> tuple[ProvisionedNamedLimits, ...]:
    lines: dict[str, int | None] = {}
    found: list[ProvisionedNamedLimits] = []
    for item in place.items(f'a list of {noun}s such as [{{name: "*", rate_limits: {{rpm: 60}}}}]'):
        block = item.block(KEYS["organizations[].end_users[]"])
        name = block.require("name", expected).convert(parse, expected)
        item.once(lines, name, noun)
        limits = ProvisionedNamedLimits(
            name=name, budgets=budgets(block)[0], rate_limits=block.read("rate_limits", rate_limits, None)
        )
        if not limits.budgets and limits.rate_limits is None:
            item.fail("limits nothing: give budgets or rate_limits")
        found.append(limits)
    return tuple(found)


def _parse_model(text: str) -> str:
    if text != EACH and "*" in text:
        raise ValueError('"*" stands alone here, for each model; a limit of several models together is not known')
    return values.parse_alias(text)


def _parse_tag(text: str) -> str:
    name, equals, value = text.partition("=")
    if text != EACH and not (name and equals and value):
        raise ValueError
    return values.parse_line(text)
