"""LiteLLM's configuration and keys → ``headgate.yaml``, a document for ``headgate apply``, and the list of findings."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from headgate.migration.finding import (
    UNKNOWN,
    Finding,
    Outcome,
    Verdict,
    found,
    judge,
    refused,
)
from headgate.migration.given import Given, is_off, members
from headgate.migration.litellm_export import Export
from headgate.migration.litellm_keys import Key, Known, translate_keys
from headgate.migration.litellm_models import Models, translate_models
from headgate.migration.litellm_routing import ALIASES, DEFAULT, FALLBACKS, STRATEGY, Routing, with_losses, written
from headgate.migration.litellm_settings import OPTIONS, SECTIONS
from headgate.migration.litellm_targets import PriceOf
from headgate.migration.rendering import Noted, render
from headgate.settings import document

CONFIGURATION: Final = "headgate.yaml"
DESIRED: Final = "apply.yaml"
ORGANIZATION: Final = "litellm"
"""The organization of keys that name none."""

_READ_BY_OPTION: Final = ("litellm_settings", "general_settings", "environment_variables", "router_settings")
"""In this order: of two that say the same, LiteLLM's router settings win."""
_VARIABLE: Final = re.compile(r"(?<!\$)\$\{([A-Za-z_][A-Za-z0-9_]*)(:-)?")
# Half of what the admin API takes in one request; the document is smaller there than it is as YAML.
_MAX_DESIRED_BYTES: Final = 512 * 1024


class File(Struct, frozen=True):
    """A file to be written."""

    name: str
    text: str


class Migration(Struct, frozen=True):
    """What a configuration becomes."""

    files: tuple[File, ...]
    findings: tuple[Finding, ...]
    """By source and line."""
    variables: tuple[str, ...]
    """What must be set in the environment before the configuration loads."""

    def count(self, outcome: Outcome) -> int:
        """How many findings have this outcome."""
        return sum(finding.outcome is outcome for finding in self.findings)


def translate(
    root: document.Mapping,
    source: str,
    price_of: PriceOf,
    *,
    export: Export | None = None,
    export_source: str = "",
    organization: str = ORGANIZATION,
) -> Migration:
    """Translate a configuration, and keys where there are any.

    Args:
        root: the configuration's tree.
        source: how findings and comments call the configuration.
        price_of: the catalogue.
        export: LiteLLM's keys.
        export_source: how findings call the export.
        organization: the slug for keys that name no organization.
    """
    sections = {given.option: given for given in members(root, "")}
    settings, judged = _settings(sections)
    routing = _routing(settings)
    models = translate_models(source, sections.get("model_list"), sections.get("credential_list"), price_of, routing)
    findings = list(models.findings)
    findings += [found(source, given, with_losses(verdict, models.leads)) for given, verdict in judged]
    text = render(_configuration(settings, models), _head(source))
    variables = _VARIABLE.findall(text)
    files = [File(CONFIGURATION, text)]
    if export is not None:
        names = (*models.aliases, *models.leads.further)
        keys, of_keys = translate_keys(export_source, export, Known(models.groups, names), organization)
        findings += of_keys
        files += _desired(keys, export_source)
    return Migration(
        files=tuple(files),
        findings=tuple(sorted(findings, key=lambda each: (each.source != source, each.line, each.end_line))),
        variables=tuple(dict.fromkeys(name for name, default in variables if not default)),
    )


def _settings(sections: Mapping[str, Given]) -> tuple[dict[str, Any], list[tuple[Given, Verdict]]]:
    """Return what all sections but the models contribute, by our place for it, and a verdict on each option."""
    judged: list[tuple[Given, Verdict]] = []
    puts: dict[str, tuple[Any, int]] = {}
    ordered = [sections[name] for name in _READ_BY_OPTION if name in sections]
    ordered += [given for name, given in sections.items() if name not in _READ_BY_OPTION]
    for section in ordered:
        if section.option in ("model_list", "credential_list"):
            continue
        for given, verdict in _judged(section):
            for place, value in verdict.puts:
                if place in puts and puts[place][0] != value:
                    earlier, _ = judged[puts[place][1]]
                    judged[puts[place][1]] = (earlier, refused(f"{given.option} says it too, and wins"))
                puts[place] = (value, len(judged))
            judged.append((given, verdict))
    return {place: value for place, (value, _) in puts.items()}, judged


def _judged(section: Given) -> Iterable[tuple[Given, Verdict]]:
    if section.option not in _READ_BY_OPTION:
        yield section, judge(section, SECTIONS.get(section.option, UNKNOWN))
        return
    options = section.members()
    if not options and not is_off(section.node):
        yield section, refused("expected a block of options")
    for option in options:
        name = option.option if option.option in OPTIONS else f"{section.option}.*"
        yield option, judge(option, OPTIONS.get(name, UNKNOWN))


def _routing(settings: dict[str, Any]) -> Routing:
    """Take out of ``settings`` what says how models are chosen."""
    default = Routing()
    return Routing(
        strategy=settings.pop(STRATEGY, default.strategy),
        fallbacks={place: settings.pop(place, ()) for place in FALLBACKS.values()},
        default=settings.pop(DEFAULT, ()),
        aliases=settings.pop(ALIASES, ()),
    )


def _configuration(settings: Mapping[str, Any], models: Models) -> dict[str, Any]:
    blocks: dict[str, dict[str, Any]] = {"server": {}, "timeouts": {}}
    for place, value in settings.items():
        block, _, key = place.partition(".")
        blocks[block][key] = value
    further = [
        Noted("from router_settings.model_group_alias", written(name, target))
        for name, target in models.leads.further.items()
    ]
    return {**blocks, "providers": models.providers, "models": [*models.models, *further]}


def _head(source: str) -> list[str]:
    return [
        f"Written by `headgate import litellm` from {source}; lines are that file's.",
        "Check it with `headgate check-config headgate.yaml`. Beside these models, clients may ask for any model of a",
        "provider as provider/model where their key allows it.",
    ]


def _desired(keys: Sequence[Key], source: str) -> list[File]:
    """Return documents for ``headgate apply`` that one request can carry each, every one whole in itself."""
    head = [
        f"Written by `headgate import litellm` from {source}. Look with `headgate apply FILE --plan`, then apply it.",
        "Each key is known by the SHA-256 of its secret: what its application sends goes on working.",
    ]
    parts: list[list[Key]] = [[]]
    size = 0
    for key in keys:
        length = len(render({"key": key.settings}, ()).encode()) + 200
        if size + length > _MAX_DESIRED_BYTES and parts[-1]:
            parts.append([])
            size = 0
        parts[-1].append(key)
        size += length
    if len(parts) > 1:
        head.append("There are several such files, so apply each of them, and none with --prune.")
    return [
        File(DESIRED if not number else DESIRED.replace(".", f"-{number + 1}."), render(_tree(part), head))
        for number, part in enumerate(parts)
        if part
    ]


def _tree(keys: Sequence[Key]) -> dict[str, Any]:
    organizations: dict[str, dict[str, Any]] = {}
    teams: dict[tuple[str, str], dict[str, Any]] = {}
    for key in keys:
        organization = organizations.setdefault(key.organization, {"slug": key.organization, "keys": [], "teams": []})
        if key.team is None:
            organization["keys"].append(key.settings)
            continue
        slug, name = key.team
        team = teams.get((key.organization, slug))
        if team is None:
            team = teams[key.organization, slug] = {"slug": slug, "name": name, "keys": []}
            organization["teams"].append(team)
        team["keys"].append(key.settings)
    filled = [{name: value for name, value in each.items() if value != []} for each in organizations.values()]
    return {"organizations": filled}
