"""LiteLLM's ``model_list`` → our ``providers`` and ``models``, with a verdict on every option of every entry."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from headgate.migration.finding import (
    UNKNOWN,
    Finding,
    Verdict,
    absent,
    approximated,
    found,
    judge,
    refused,
    translated,
)
from headgate.migration.given import Given, is_off, items, literal
from headgate.migration.litellm_deployments import INFO, PARAMS
from headgate.migration.litellm_routing import Leads, Routing, leads_of, share
from headgate.migration.litellm_targets import NAME, PriceOf, Target, UnfitError, target_of
from headgate.migration.rendering import Noted
from headgate.settings import values

_TWICE: Final = (
    "line {line} is the same model of the same provider, which stands once in an alias: give that one more weight"
)
_NO_BLOCK: Final = refused("expected a block of options")
_WINS: Final = refused("another option of the entry says it too, and wins")


class Entry(Struct, frozen=True):
    """One entry of ``model_list`` as it was read."""

    given: Given
    alias: str
    facts: dict[str, Any]
    judged: tuple[tuple[Given, Verdict], ...]


class Chosen(Struct, frozen=True):
    """An entry that is written."""

    entry: Entry
    target: Target


class Models(Struct, frozen=True):
    """What ``model_list`` becomes."""

    providers: dict[str, Any]
    models: tuple[Noted, ...]
    findings: tuple[Finding, ...]
    groups: dict[str, tuple[str, ...]]
    """Access group → the aliases in it."""
    aliases: tuple[str, ...]
    leads: Leads


def translate_models(
    source: str, model_list: Given | None, credential_list: Given | None, price_of: PriceOf, routing: Routing
) -> Models:
    """Return what the entries become. Those with one name are deployments of one alias, as far as Headgate has them."""
    credentials = _credentials(credential_list)
    findings: list[Finding] = []
    chosen: list[Chosen] = []
    for item in () if model_list is None else items(model_list):
        entry = _read(item, credentials)
        try:
            _check_alias(entry)
            chosen.append(Chosen(entry, target_of(entry.facts, price_of)))
        except UnfitError as error:
            findings.append(found(source, item, refused(str(error))))
    groups: dict[str, list[Chosen]] = {}
    for each in (replace(each, target=_as_named(each.target, chosen)) for each in chosen):
        group = groups.setdefault(each.entry.alias, [])
        first = next((other for other in group if _is_same(each.target, other.target)), None)
        if first is None:
            group.append(each)
            continue
        findings.append(found(source, each.entry.given, refused(_TWICE.format(line=first.entry.given.line))))
    leads = leads_of(routing, tuple(groups))
    names = _names(groups, leads)
    providers: dict[str, Any] = {}
    models: list[Noted] = []
    for alias, group in groups.items():
        deployments: list[dict[str, Any]] = []
        shares = share([each.entry.facts for each in group], routing.strategy)
        for each, part in zip(group, shares, strict=True):
            name = names[each.target.provider]
            providers.setdefault(name, Noted(_from([each]), _plain(each.target.provider)))
            deployments.append(_deployment(name, each.target, part.settings))
            findings += _findings(source, each, {**each.target.verdicts, **part.verdicts}, name)
        model: dict[str, Any] = {"alias": literal(alias)}
        if len(group) > 1:
            model["strategy"] = routing.strategy
        model["deployments"] = deployments
        if alias in leads.fallbacks:
            model["fallbacks"] = {
                failure: [literal(target) for target in targets] for failure, targets in leads.fallbacks[alias].items()
            }
        models.append(Noted(_from(group), model))
    written = [each for group in groups.values() for each in group]
    findings += _credential_findings(source, credential_list, written, {each.option for each in findings})
    for given in (model_list, credential_list):
        if given is not None and not items(given):
            verdict = absent("it is empty") if is_off(given.node) else refused("expected a list")
            findings.append(found(source, given, judge(given, verdict)))
    return Models(providers, tuple(models), tuple(_once(findings)), _groups(groups), tuple(groups), leads)


def _is_same(one: Target, other: Target) -> bool:
    return (one.provider, one.model) == (other.provider, other.model)


def _from(group: Sequence[Chosen]) -> str:
    """Say where a thing comes from."""
    lines = [str(each.entry.given.line) for each in group]
    return f"from line {lines[0]}" if len(lines) == 1 else f"from lines {', '.join(lines[:-1])} and {lines[-1]}"


def _read(item: Given, credentials: Mapping[str, tuple[Given, ...]]) -> Entry:
    """Collect what an entry's options contribute, its own before those of a credential that it names."""
    judged: list[tuple[Given, Verdict]] = []
    facts: dict[str, Any] = {}
    alias = ""
    for member in item.members():
        if member.key == "model_name":
            alias = member.text or ""
            judged.append((member, translated("becomes the alias")))
        elif member.key == "litellm_params":
            _collect(member.members(), PARAMS, facts, judged)
        elif member.key != "model_info":
            judged.append((member, UNKNOWN))
    name: str | None = facts.get("credential_name")
    if name is not None and name in credentials:
        inherited = [each for each in credentials[name] if each.key not in _keys(item)]
        _collect(inherited, PARAMS, facts, judged)
    elif name is not None:
        facts.setdefault("missing_credential", name)
    for member in item.members():
        if member.key == "model_info":
            _collect(member.members(), INFO, facts, judged)
        if member.key in ("litellm_params", "model_info") and not member.members():
            judged.append((member, absent("it is empty") if is_off(member.node) else _NO_BLOCK))
    return Entry(item, alias, facts, tuple(judged))


def _collect(
    options: Iterable[Given], table: Mapping[str, Any], facts: dict[str, Any], judged: list[tuple[Given, Verdict]]
) -> None:
    for option in options:
        verdict = judge(option, table.get(option.key, UNKNOWN))
        if any(name in facts for name, _ in verdict.puts):
            verdict = _WINS
        facts |= dict(verdict.puts)
        judged.append((option, verdict))


def _keys(item: Given) -> set[str]:
    return {below.key for member in item.members() if member.key == "litellm_params" for below in member.members()}


def _check_alias(entry: Entry) -> None:
    alias, model = entry.alias, entry.facts.get("model", "")
    try:
        values.parse_alias(alias)
    except ValueError as error:
        raise UnfitError(
            f'model_name: {str(error) or "an alias has 1 to 200 characters, no blanks"}; "{alias[:80]}" is left out'
        ) from None
    if "mock" in entry.facts:
        raise UnfitError("its answers are made up (mock_response): use the provider of kind sandbox for that")
    if "missing_credential" in entry.facts:
        raise UnfitError(f'credential_list has no "{entry.facts["missing_credential"]}"')
    if model.endswith("*") and not alias.endswith("*"):
        raise UnfitError(f'"{model}" ends in "*" and the model_name does not, so nothing says what it stands for')


def _as_named(target: Target, chosen: Iterable[Chosen]) -> Target:
    """Return the target with the variable that LiteLLM reads by itself as others name it: they share a provider then.

    By itself a variable that is not set turns the provider off; where the source names it, it has to be set.
    """
    settings = dict(target.provider)
    named = str(settings.get("credential", "")).replace(":-}", "}")
    if not any(dict(each.target.provider).get("credential") == named for each in chosen):
        return target
    return replace(target, provider=tuple({**settings, "credential": named}.items()))


def _names(groups: Mapping[str, Sequence[Chosen]], leads: Leads) -> dict[tuple[Any, ...], str]:
    """Allot names to providers: the vendor's kind, counted up where there are several.

    Clients may send ``name/model`` for any provider, and that wins over a glob. So the name before a glob's slash goes
    to the glob's own provider where they mean the same, and to no other.
    """
    names: dict[tuple[Any, ...], str] = {}
    chosen = [each for group in groups.values() for each in group]
    reserved: set[str] = set()
    for alias, group in groups.items():
        prefix, slash, rest = alias.partition("/")
        if not slash or "*" not in rest:
            continue
        reserved.add(prefix)
        target = group[0].target
        same = rest == "*" == target.model and target.price is None and len(group) == 1 and alias not in leads.fallbacks
        if same and target.provider not in names and prefix not in names.values() and _is_name(prefix):
            names[target.provider] = prefix
    for each in chosen:
        if each.target.provider in names:
            continue
        kind, number = each.target.kind, 1
        name = kind
        while name in reserved or name in names.values():
            number += 1
            name = f"{kind}_{number}"
        names[each.target.provider] = name
    return names


def _is_name(text: str) -> bool:
    try:
        values.parse_provider_name(text)
    except ValueError:
        return False
    return text != "sandbox"


def _plain(settings: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    return {name: dict(value) if name in ("timeouts", "headers") else value for name, value in settings}


def _deployment(name: str, target: Target, share: Mapping[str, Any]) -> dict[str, Any]:
    deployment: dict[str, Any] = {"provider": name, "model": literal(target.model), **share}
    if target.region is not None:
        deployment["region"] = target.region
    if target.price is not None:
        deployment["price"] = target.price
    return deployment


def _findings(source: str, chosen: Chosen, verdicts: Mapping[str, Verdict], name: str) -> list[Finding]:
    findings: list[Finding] = []
    for given, own in chosen.entry.judged:
        verdict = next((verdicts[fact] for fact, _ in own.puts if fact in verdicts), own)
        findings.append(
            found(source, given, replace(verdict, reason=verdict.reason.replace(NAME, f"providers.{name}")))
        )
    return findings


def _credentials(credential_list: Given | None) -> dict[str, tuple[Given, ...]]:
    """Return the options of each named credential."""
    credentials: dict[str, tuple[Given, ...]] = {}
    for item in () if credential_list is None else items(credential_list):
        below = {member.key: member for member in item.members()}
        if "credential_name" in below and "credential_values" in below:
            credentials[below["credential_name"].text or ""] = below["credential_values"].members()
    return credentials


def _credential_findings(
    source: str, credential_list: Given | None, chosen: Iterable[Chosen], told: set[str]
) -> list[Finding]:
    """Say of each credential whether a deployment names it, and of its values what is not ``told`` yet."""
    used = {each.entry.facts.get("credential_name") for each in chosen}
    findings: list[Finding] = []
    for item in () if credential_list is None else items(credential_list):
        below = {member.key: member for member in item.members()}
        name = below["credential_name"].text if "credential_name" in below else None
        if name is None or name not in used:
            findings.append(found(source, item, refused("no deployment that is written names it")))
            continue
        findings.append(found(source, below["credential_name"], translated("its values stand where it is named")))
        for key, member in below.items():
            if key == "credential_info":
                findings.append(
                    found(source, member, approximated("notes are not kept; the model's prefix says the kind"))
                )
            elif key == "credential_values":
                if not member.members():
                    findings.append(found(source, member, _NO_BLOCK))
                own = refused("every deployment that names the credential has one of its own")
                findings += [found(source, each, own) for each in member.members() if each.option not in told]
            elif key != "credential_name":
                findings.append(found(source, member, UNKNOWN))
    return findings


def _groups(chosen: Mapping[str, Sequence[Chosen]]) -> dict[str, tuple[str, ...]]:
    groups: dict[str, dict[str, None]] = {}
    for alias, each in ((alias, each) for alias, group in chosen.items() for each in group):
        for group in each.entry.facts.get("groups", ()):
            groups.setdefault(group, {})[alias] = None
    return {group: tuple(aliases) for group, aliases in groups.items()}


def _once(findings: Iterable[Finding]) -> Iterable[Finding]:
    """Leave out repetitions: a credential that several deployments name is judged for each of them."""
    return dict.fromkeys(findings)
