"""``headgate check-config``."""

import os
from pathlib import Path

from headgate.cli.configuration import load
from headgate.cli.failure import CommandError
from headgate.cli.output import print_json
from headgate.settings.load import ConfigurationError, Loaded
from headgate.settings.model import ProviderSettings


def check_config(file: Path, *, as_json: bool) -> None:
    """Read ``file`` as `headgate serve` would, build its providers, and say what they are.

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
        print_json({"file": str(file), **{f"{noun}s": names for noun, names in nouns.items()}, "providers_off": off})
        return
    counts = ", ".join(f"{len(names)} {noun}{'' if len(names) == 1 else 's'}" for noun, names in nouns.items())
    print(f"{file} can be used: {counts}")
    if off:
        print(f"Off, because the credential is empty: {', '.join(off)}")


def judge_provider(provider: ProviderSettings, loaded: Loaded) -> ConfigurationError | None:
    """Build a provider and throw it away; return what is wrong with it. One that is switched off is not built."""
    from headgate.providers.build import InvalidProviderError, build_provider, is_switched_off

    try:
        if not is_switched_off(provider):
            build_provider(provider, loaded.settings.timeouts, os.environ)
    except InvalidProviderError as error:
        return loaded.error(f"providers.{error.provider}.{error.field}", error.message)
    return None
