"""``headgate check-config``."""

import os
from collections.abc import Collection, Iterator
from itertools import groupby
from pathlib import Path

from headgate.cli.configuration import load
from headgate.cli.failure import CommandError
from headgate.cli.output import print_json, print_table
from headgate.settings.load import ConfigurationError, Loaded
from headgate.settings.model import DeploymentSettings, ModelSettings, ProviderSettings, Settings


def check_config(file: Path, *, as_json: bool) -> None:
    """Read ``file`` as `headgate serve` would, build its providers, and say what they are and where names lead.

    Raises:
        CommandError: the file cannot be used; the text names the line.
    """
    from headgate.providers.build import is_switched_off

    loaded = load(file)
    settings = loaded.settings
    for provider in settings.providers:
        problem = judge_provider(provider, loaded)
        if problem is not None:
            raise CommandError(str(problem))
    off = [provider.name for provider in settings.providers if is_switched_off(provider)]
    nouns = {
        "provider": [provider.name for provider in settings.providers],
        "model": [model.alias for model in settings.models],
        "organization": [organization.slug for organization in settings.organizations],
    }
    if as_json:
        names = {f"{noun}s": names for noun, names in nouns.items()}
        print_json({"file": str(file), **names, "providers_off": off, "routes": list(routes(settings))})
        return
    counts = ", ".join(f"{len(names)} {noun}{'' if len(names) == 1 else 's'}" for noun, names in nouns.items())
    print(f"{file} can be used: {counts}")
    if off:
        print(f"Off, because the credential is empty: {', '.join(off)}")
    if settings.models:
        print()
        rows = [
            {"alias": model.alias, "strategy": _strategy(model), "leads_to": leads_to(model, settings.providers, off)}
            for model in settings.models
        ]
        print_table(rows, {"alias": "model", "strategy": "strategy", "leads_to": "leads to"}, empty="")


def routes(settings: Settings) -> Iterator[dict[str, object]]:
    """Yield what each alias leads to, as `--json` prints it."""
    for model in settings.models:
        yield {
            "alias": model.alias,
            "strategy": _strategy(model),
            "use": model.use,
            "deployments": [name for each in model.deployments for name in _names(each, settings.providers)],
            "rules": [rule.use for rule in model.rules],
            "fallbacks": model.fallbacks,
        }


def leads_to(model: ModelSettings, providers: tuple[ProviderSettings, ...], off: Collection[str]) -> str:
    """Return where an alias leads in one line; what is tried first stands first."""
    parts: list[str] = [] if model.use is None else [model.use]
    for _, group in groupby(sorted(model.deployments, key=_priority), key=_priority):
        names = [
            f"{name} (off)" if each.provider in off else name for each in group for name in _names(each, providers)
        ]
        parts.append(", ".join(names))
    line = ", then ".join(parts)
    if model.rules:
        line += f"; by rule: {', '.join(dict.fromkeys(rule.use for rule in model.rules))}"
    fallbacks = model.fallbacks
    for kind, names in (
        ("error", fallbacks.error),
        ("context_length", fallbacks.context_length),
        ("content_filter", fallbacks.content_filter),
    ):
        if names:
            line += f"; on {kind}: {', '.join(names)}"
    return line


def _strategy(model: ModelSettings) -> str | None:
    return model.strategy if model.deployments else None


def _priority(deployment: DeploymentSettings) -> int:
    return deployment.priority


def _names(deployment: DeploymentSettings, providers: tuple[ProviderSettings, ...]) -> list[str]:
    """Return how records and headers call a deployment: it is one for each credential of its provider."""
    name = f"{deployment.provider}/{deployment.model}"
    credentials = next(each.credentials for each in providers if each.name == deployment.provider)
    return [f"{name}#{credential.name}" for credential in credentials] or [name]


def judge_provider(provider: ProviderSettings, loaded: Loaded) -> ConfigurationError | None:
    """Build a provider and throw it away; return what is wrong with it. One that is switched off is not built."""
    from headgate.providers.build import InvalidProviderError, build_provider, is_switched_off

    try:
        if not is_switched_off(provider):
            build_provider(provider, loaded.settings.timeouts, os.environ)
    except InvalidProviderError as error:
        return loaded.error(f"providers.{error.provider}.{error.field}", error.message)
    return None
