"""What became of one option of the source: translated, approximated or refused, with the line and the reason."""

from collections.abc import Callable
from enum import StrEnum
from typing import Any, Final

from msgspec import Struct

from headgate.migration.given import Given, is_off


class Outcome(StrEnum):
    """How much of an option's meaning came through."""

    TRANSLATED = "translated"
    """All of it."""
    APPROXIMATED = "approximated"
    """The purpose, not every detail; the reason says which detail differs."""
    REFUSED = "refused"
    """None of it; the reason says what is lost and, where there is one, what to do."""


class Finding(Struct, frozen=True, kw_only=True):
    """One line of the list."""

    source: str
    """The file's name as the operator gave it."""
    line: int
    end_line: int
    """The last line of the option's value."""
    option: str
    """Such as ``model_list[0].litellm_params.rpm``."""
    outcome: Outcome
    reason: str


class Verdict(Struct, frozen=True):
    """How an option is handled, before it is known where it stands."""

    outcome: Outcome
    reason: str
    puts: tuple[tuple[str, Any], ...] = ()
    """What it contributes: a place in what is being put together, and the value there."""
    unless_off: bool = False
    """Whether an option that is switched off loses nothing, because Headgate has nothing to switch on."""


Handling = Verdict | Callable[[Given], Verdict]
"""A row of a table of options: the verdict itself, or a function that judges the value."""

UNKNOWN: Final = Verdict(Outcome.REFUSED, "not known: this importer has no row for the option")
_OFF: Final = Verdict(Outcome.TRANSLATED, "it is off or empty, as it is here")


def translated(reason: str, *puts: tuple[str, Any]) -> Verdict:
    """The whole meaning came through."""
    return Verdict(Outcome.TRANSLATED, reason, puts)


def approximated(reason: str, *puts: tuple[str, Any]) -> Verdict:
    """The purpose came through; ``reason`` says what differs."""
    return Verdict(Outcome.APPROXIMATED, reason, puts)


def refused(reason: str) -> Verdict:
    """Nothing came through, also where the option is switched off."""
    return Verdict(Outcome.REFUSED, reason)


def absent(reason: str) -> Verdict:
    """Headgate has no such thing; a source that switches it off loses nothing."""
    return Verdict(Outcome.REFUSED, reason, unless_off=True)


def not_built(feature: str, lost: str) -> Verdict:
    """Headgate will have it and has it not yet; ``lost`` says what the source did with it."""
    return absent(f"not built yet: {feature}; {lost}")


def judge(given: Given, handling: Handling) -> Verdict:
    """Return the verdict on an option that is there."""
    if not isinstance(handling, Verdict):
        return handling(given)
    return _OFF if handling.unless_off and is_off(given.node) else handling


def found(source: str, given: Given, verdict: Verdict) -> Finding:
    """Return the line of the list that says ``verdict`` of ``given``."""
    return Finding(
        source=source,
        line=given.line,
        end_line=given.end_line,
        option=given.option,
        outcome=verdict.outcome,
        reason=verdict.reason,
    )
