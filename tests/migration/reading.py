"""Translates a text as ``headgate import litellm`` does, with a catalogue of three prices."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from textwrap import dedent
from typing import Any

import yaml

from headgate.domain.catalog import Price, Rates
from headgate.migration.finding import Finding
from headgate.migration.litellm import Migration, translate
from headgate.migration.litellm_export import Export
from headgate.settings.document import parse_document

HERE = Path(__file__).parent
CONFIGS = sorted((HERE / "configs").glob("*.yaml"))
EXPORTS = sorted((HERE / "keys").glob("*.json"))

KNOWN = {
    ("openai", "gpt-4o"): Price(rates=Rates(input=2_500_000_000, output=10_000_000_000), version="test"),
    ("azure", "gpt-4o"): Price(
        rates=Rates(input=2_500_000_000, output=10_000_000_000, cached_input=1_250_000_000), version="test"
    ),
    ("google", "gemini-2.5-pro"): Price(rates=Rates(input=1_250_000_000, output=10_000_000_000), version="test"),
}


class AnyEnvironment(Mapping[str, str]):
    """An environment in which every variable is set, those of addresses to an address."""

    def __getitem__(self, name: str) -> str:
        if name.endswith("_BASE"):
            return "https://upstream.example.com"
        return "eu-west-1" if "REGION" in name else f"{name}-".ljust(40, "x")

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0

    def __contains__(self, name: object) -> bool:
        return True


def migrate(text: str, export: Export | None = None, organization: str = "litellm") -> Migration:
    """Translate a configuration."""
    return translate(
        parse_document(dedent(text), "config.yaml"),
        "config.yaml",
        lambda provider, model: KNOWN.get((provider, model)),
        export=export,
        export_source="keys.json",
        organization=organization,
    )


def written(migration: Migration, name: str = "headgate.yaml") -> Any:
    """What a file of the migration says, as plain values."""
    return yaml.safe_load(next(file.text for file in migration.files if file.name == name))


def of(migration: Migration, option: str) -> Finding:
    """The one finding about an option."""
    (finding,) = (each for each in migration.findings if each.option == option)
    return finding


def params(text: str, **more: str) -> str:
    """A configuration of one model with these ``litellm_params``, written as they are."""
    lines = "\n".join(f"      {line}" for line in dedent(text).strip().splitlines())
    info = "".join(f"      {name}: {value}\n" for name, value in more.items())
    return f"model_list:\n  - model_name: it\n    litellm_params:\n{lines}\n" + (
        f"    model_info:\n{info}" if info else ""
    )
