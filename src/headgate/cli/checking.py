"""``headgate check-config``."""

import os
from pathlib import Path

from msgspec import Struct

from headgate.cli.configuration import load
from headgate.cli.failure import CommandError
from headgate.cli.output import print_json
from headgate.settings.model import ProviderSettings, TimeoutSettings


class Problem(Struct, frozen=True):
    """What is wrong with a provider."""

    field: str
    words: str


def check_config(file: Path, *, as_json: bool) -> None:
    """Read ``file`` as `headgate serve` would, build its providers, and say what they are.

    Raises:
        CommandError: the file cannot be used; the text names the line.
    """
    loaded = load(file)
    settings = loaded.settings
    for provider in settings.providers:
        problem = judge_provider(provider, settings.timeouts)
        if problem is not None:
            raise CommandError(str(loaded.error(f"providers.{provider.name}.{problem.field}", problem.words)))
    summary = {
        "file": str(file),
        "providers": [provider.name for provider in settings.providers],
        "models": [model.alias for model in settings.models],
        "organizations": [organization.slug for organization in settings.organizations],
    }
    if as_json:
        print_json(summary)
        return
    counts = ", ".join(f"{len(summary[noun])} {noun}" for noun in ("providers", "models", "organizations"))
    print(f"{file} can be used: {counts}")


def judge_provider(provider: ProviderSettings, timeouts: TimeoutSettings) -> Problem | None:
    """Build a provider and throw it away; return what is wrong with it."""
    from headgate.providers.build import InvalidProviderError, build_provider

    try:
        build_provider(provider, timeouts, os.environ)
    except InvalidProviderError as error:
        return Problem(error.field, str(error))
    return None
