"""LiteLLM's router → ``strategy``, ``priority``, ``weight``, ``limits``, ``fallbacks`` and ``use``.

Rows of the tables of options are here, and what they mean together: how the deployments of one name share its requests,
and which names stand in for it. LiteLLM's ways are those of docs.litellm.ai/docs/routing and /docs/proxy/reliability
(read in October 2026).
"""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import partial
from math import gcd, lcm
from typing import Any, Final

from msgspec import Struct

from headgate.domain.limits import MAX_TOKENS
from headgate.migration.finding import Verdict, absent, approximated, not_built, refused, translated
from headgate.migration.given import Given, exact, is_off, items, literal, members
from headgate.settings import values
from headgate.settings.models import LAST_PRIORITY

STRATEGY: Final = "routing.strategy"
DEFAULT: Final = "routing.default"
ALIASES: Final = "routing.aliases"
FALLBACKS: Final = {
    "error": "routing.error",
    "context_length": "routing.context_length",
    "content_filter": "routing.content_filter",
}
"""Our class of failure → where its lists are put."""
WEIGHTED: Final = "weighted"
"""What ``simple-shuffle`` is here, LiteLLM's strategy where none is named."""
HEAVIEST: Final = 1000
EVERY: Final = "*"
"""As a model of fallbacks: every one that has none of its own."""

ATTEMPTS: Final = approximated("attempts are Headgate's own: at most 2 at one deployment and 4 for one request")
BREAKER: Final = approximated(
    "the breaker is Headgate's own: after 5 failures in a row, or half of at least 20 within 30 seconds, a deployment "
    "rests for 5 to 10 seconds"
)

_LEFT_OUT: Final = "left out, because no such model is written or it would stand in for itself"
_WAYS: Final[dict[str, Verdict]] = {
    "simple-shuffle": translated("several deployments get strategy: weighted", (STRATEGY, WEIGHTED)),
    "cost-based-routing": translated("several deployments get strategy: cheapest", (STRATEGY, "cheapest")),
    "latency-based-routing": approximated(
        "several deployments get strategy: fastest, by Headgate's own estimate of when the answer is complete",
        (STRATEGY, "fastest"),
    ),
    "usage-based-routing": approximated(
        "several deployments get strategy: headroom, by what is left of the provider's limits, not by what was used",
        (STRATEGY, "headroom"),
    ),
    "usage-based-routing-v2": approximated(
        "several deployments get strategy: headroom, by what is left of the provider's limits, not by what was used",
        (STRATEGY, "headroom"),
    ),
    "least-busy": approximated(
        "several deployments get strategy: headroom, by what is left of the provider's limits: nothing here chooses by "
        "the number of open requests; strategy: fastest may serve you better",
        (STRATEGY, "headroom"),
    ),
    "provider-budget-routing": refused("a provider has no budget of its own here; strategy: weighted holds"),
}


class Routing(Struct, frozen=True):
    """What the router's options say about all models."""

    strategy: str = WEIGHTED
    fallbacks: Mapping[str, tuple[tuple[str, tuple[str, ...]], ...]] = {}
    """Place of `FALLBACKS` → model and what stands in for it."""
    default: tuple[str, ...] = ()
    aliases: tuple[tuple[str, str], ...] = ()


class Share(Struct, frozen=True):
    """How one of the deployments of a name takes part."""

    settings: dict[str, Any]
    """``priority``, ``weight`` and ``limits``, as far as they differ from our defaults."""
    verdicts: dict[str, Verdict]
    """By fact: what became of the options that contributed them."""


# ── rows of the tables ─────────────────────────────────────────────────────────────────────────────────────────────


def routing_strategy(given: Given) -> Verdict:
    """How the router chooses."""
    text = given.text
    if not text:
        return absent("there is none; several deployments get strategy: weighted")
    unknown = not_built(f"the strategy {text[:80]}", "several deployments get strategy: weighted")
    return _WAYS.get(text, unknown)


def _fallbacks(failure: str, given: Given) -> Verdict:
    """Models that stand in for others, as a list of ``{MODEL: [MODEL, …]}`` or one such block."""
    pairs: list[tuple[str, tuple[str, ...]]] = []
    for block in (given, *items(given)):
        for each in members(block.node, ""):
            names = each.texts
            if names is None:
                return refused(f"what stands in for {each.option[:80]} is no list of models")
            pairs.append((each.option, names))
    if not pairs:
        return absent("there is none") if is_off(given.node) else refused("expected [{MODEL: [MODEL, …]}]")
    became = f"becomes fallbacks.{failure}"
    place = (FALLBACKS[failure], tuple(pairs))
    if failure != "error":
        return translated(became, place)
    return approximated(f"{became}; a prompt that is too long and refused content have lists of their own here", place)


error_fallbacks: Final = partial(_fallbacks, "error")
context_fallbacks: Final = partial(_fallbacks, "context_length")
content_fallbacks: Final = partial(_fallbacks, "content_filter")


def default_fallbacks(given: Given) -> Verdict:
    """Models that stand in for every one that names no others."""
    names = given.texts
    if not names:
        return absent("there is none") if is_off(given.node) else refused("expected a list of models")
    return approximated("becomes fallbacks.error of every alias that has none of its own", (DEFAULT, names))


def model_group_alias(given: Given) -> Verdict:
    """Further names of models: a name, or ``{model: NAME, hidden: true}``."""
    pairs: list[tuple[str, str]] = []
    exactly = True
    for each in given.members():
        target = each.text
        if target is None:
            inner = {below.key: below for below in members(each.node, "")}
            target = inner["model"].text if "model" in inner else None
            exactly = False
        if target is None:
            return refused("expected one value here; it is left out")
        pairs.append((each.option.removeprefix(given.option + "."), target))
    if not pairs:
        return absent("there is none")
    verdict = translated if exactly else approximated
    detail = "" if exactly else "; none of them is hidden from GET /v1/models"
    return verdict(f"each name becomes an alias of its own{detail}", (ALIASES, tuple(pairs)))


def put_number(fact: str, given: Given) -> Verdict:
    """``weight`` or ``order`` of a deployment."""
    number = exact(given.text or "")
    return refused("expected a number of at least 0") if number is None else translated("", (fact, number))


def put_count(fact: str, given: Given) -> Verdict:
    """``rpm`` or ``tpm`` of a deployment."""
    number = exact(given.text or "")
    if number is None or number != number.to_integral_value() or not 1 <= number <= MAX_TOKENS:
        return absent(f"limits.{fact} is a whole number of at least 1")
    return translated("", (fact, number))


# ── the deployments of one name ────────────────────────────────────────────────────────────────────────────────────


def share(group: Sequence[Mapping[str, Any]], strategy: str) -> list[Share]:
    """Return how the deployments of one name, given by their facts, share its requests."""
    if len(group) == 1:
        return [_alone(group[0])]
    # LiteLLM shuffles by what its first deployment has, gives those without it no share at all, and those without an
    # order a turn after all others.
    by = next((fact for fact in ("weight", "rpm", "tpm") if fact in group[0]), None) if strategy == WEIGHTED else None
    given = [Fraction(facts.get(by or "", 0)) for facts in group]
    weighs = any(given)
    idle = [weighs and not weight for weight in given]
    places = [
        (facts.get("order") is None, facts.get("order", 0), last) for facts, last in zip(group, idle, strict=True)
    ]
    priorities = [min(sorted(set(places)).index(place), LAST_PRIORITY) for place in places]
    weights, exactly = _whole(given) if weighs else ([1] * len(group), True)
    return [
        _share(facts, by if weighs else None, priority, weight if not last else 1, exactly=exactly, idle=last)
        for facts, priority, weight, last in zip(group, priorities, weights, idle, strict=True)
    ]


def _share(facts: Mapping[str, Any], by: str | None, priority: int, weight: int, *, exactly: bool, idle: bool) -> Share:
    settings: dict[str, Any] = {}
    verdicts: dict[str, Verdict] = {}
    if priority:
        settings["priority"] = priority
    if weight != 1:
        settings["weight"] = weight
    verdicts["order"] = translated(f"becomes priority: {priority}; 0 is tried first")
    rounded = "" if exactly else ", rounded to whole numbers up to 1000"
    if idle and by == "weight":
        verdicts["weight"] = approximated(f"a deployment without a share is tried last: priority: {priority}")
    elif by == "weight":
        verdicts["weight"] = (translated if exactly else approximated)(f"becomes weight: {weight}{rounded}")
    else:
        verdicts["weight"] = translated(
            "it decides nothing, there as here: only strategy: weighted goes by weights, and only where the first "
            "deployment has one"
        )
    _limit(facts, settings, verdicts, f", and weight: {weight} by its share{rounded}", by)
    return Share(settings, verdicts)


def _alone(facts: Mapping[str, Any]) -> Share:
    settings: dict[str, Any] = {}
    nothing = translated("its alias has no other deployment to choose")
    verdicts = {"weight": nothing, "order": nothing}
    _limit(facts, settings, verdicts, "", None)
    return Share(settings, verdicts)


def _limit(
    facts: Mapping[str, Any], settings: dict[str, Any], verdicts: dict[str, Verdict], weighs: str, by: str | None
) -> None:
    limits = {fact: int(facts[fact]) for fact in ("rpm", "tpm") if fact in facts}
    for fact in limits:
        also = weighs if fact == by else ""
        verdicts[fact] = approximated(
            f"becomes limits.{fact}{also}: once used up, others answer while they can; what refuses is `headgate "
            "limits set --model`"
        )
    if limits:
        settings["limits"] = limits


def _whole(weights: Sequence[Fraction]) -> tuple[list[int], bool]:
    """Return whole numbers up to `HEAVIEST` in the same proportions, and whether they are exactly the same."""
    together = lcm(*(weight.denominator for weight in weights))
    whole = [int(weight * together) for weight in weights]
    if max(whole) <= HEAVIEST and weights == [Fraction(number) for number in whole]:
        return whole, True
    shared = gcd(*whole)
    whole = [number // shared for number in whole]
    if max(whole) <= HEAVIEST:
        return whole, True
    return [max(1, round(Fraction(number * HEAVIEST, max(whole)))) for number in whole], False


# ── names that lead to others ──────────────────────────────────────────────────────────────────────────────────────


class Leads(Struct, frozen=True):
    """Where the names of a configuration lead, once it is known which models are written."""

    fallbacks: dict[str, dict[str, list[str]]]
    """Alias → class of failure → the names to try."""
    further: dict[str, str]
    """Further alias → the name that it stands for."""
    lost: dict[str, tuple[str, ...]]
    """Place of an option's value → the names in it that are left out."""
    kept: frozenset[str]
    """Places of which something is written."""


def leads_of(routing: Routing, aliases: Sequence[str]) -> Leads:
    """Return what of the router's names can be written beside ``aliases``, those of the models that are."""
    pairs = dict(routing.aliases)
    further = {
        name: target
        for name, target in pairs.items()
        if _is_alias(name)
        and name not in aliases
        and _owner(target, aliases) is not None
        # What a glob answers to may be the name of another pair, and that would be a chain.
        and (target in aliases or target not in pairs)
    }
    ends = _Ends(aliases, further)
    lost: dict[str, list[str]] = {ALIASES: sorted(pairs.keys() - further.keys())}
    fallbacks: dict[str, dict[str, list[str]]] = {}
    kept = {ALIASES} if further else set[str]()
    for failure, place in (*FALLBACKS.items(), ("error", DEFAULT)):
        given: dict[str, list[str]] = {} if place != DEFAULT else {EVERY: list(routing.default)}
        for model, targets in routing.fallbacks.get(place, ()):
            given.setdefault(model, []).extend(targets)
        lost[place] = [model for model in given if model not in (*aliases, EVERY)]
        for alias in aliases:
            named = given.get(alias)
            if failure in fallbacks.get(alias, {}):
                continue
            found = {target: ends.of(target) for target in named or given.get(EVERY, ())}
            good = [target for target, end in found.items() if end not in (None, alias)]
            lost[place] += [target for target, end in found.items() if end is None or (end == alias and named)]
            if good:
                fallbacks.setdefault(alias, {})[failure] = good
                kept.add(place)
    return Leads(
        fallbacks=fallbacks,
        further=further,
        lost={place: tuple(dict.fromkeys(names)) for place, names in lost.items()},
        kept=frozenset(kept),
    )


class _Ends:
    """Which of ``aliases``, those that have deployments, answers to a name in the end."""

    def __init__(self, aliases: Sequence[str], further: Mapping[str, str]) -> None:
        self._aliases = aliases
        self._further = further
        self._names = (*aliases, *further)

    def of(self, name: str) -> str | None:
        """Return the alias; ``None`` where there is none."""
        owner = _owner(name, self._names)
        if owner is None or owner in self._aliases:
            return owner
        return _owner(self._further[owner], self._aliases)


def with_losses(verdict: Verdict, leads: Leads) -> Verdict:
    """Return the verdict on an option of names, with those named that lead nowhere."""
    for place, _ in verdict.puts:
        if leads.lost.get(place):
            said = f"{_LEFT_OUT}: {', '.join(name[:80] for name in leads.lost[place])}"
            return approximated(f"{verdict.reason}; {said}", *verdict.puts) if place in leads.kept else refused(said)
    return verdict


def written(name: str, target: str) -> dict[str, Any]:
    """Return a further alias as the file has it."""
    return {"alias": literal(name), "use": literal(target)}


def _is_alias(name: str) -> bool:
    try:
        values.parse_alias(name)
    except ValueError:
        return False
    return True


def _owner(name: str, aliases: Sequence[str]) -> str | None:
    """Return the alias that answers to ``name``; ``None`` where none does, or no alias may lead there."""
    try:
        values.parse_model_name(name)
    except ValueError:
        return None
    if name in aliases:
        return name
    return next((alias for alias in aliases if alias.endswith("*") and name.startswith(alias[:-1])), None)
