"""Twelve configurations as people have them: every line is accounted for, what is written loads, no secret comes along.

The expected findings lie beside each configuration. After a change that is meant to change them:
``python -m tests.migration.test_litellm_configs``, then read the difference.
"""

import re
from pathlib import Path

import pytest

from headgate.catalog.book import load_price_book
from headgate.migration.litellm import Migration, translate
from headgate.migration.litellm_export import read_export
from headgate.providers.build import build_provider
from headgate.settings.document import parse_document
from headgate.settings.load import Loaded, parse_settings
from tests.migration.reading import CONFIGS, EXPORTS, AnyEnvironment

# Lines that only open a block whose options are accounted for one by one.
HEADS = re.compile(
    r"\s*(- )?(model_list|litellm_params|model_info|credential_list|credential_values|general_settings"
    r"|litellm_settings|router_settings|environment_variables):\s*"
)
SECRETS = re.compile(r"never-print|literal|pg-secret-pw|private-8811|secret-itself")


def migration_of(path: Path, export: Path | None = None) -> Migration:
    """Translate a file with the real catalogue."""
    return translate(
        parse_document(path.read_text("utf-8"), path.name),
        path.name,
        load_price_book().price,
        export=None if export is None else read_export(export.read_text("utf-8")),
        export_source="" if export is None else export.name,
    )


def load(migration: Migration, directory: Path) -> Loaded:
    """Read the written configuration as a gateway does."""
    text = migration.files[0].text
    return parse_settings(text, source="headgate.yaml", environ=AnyEnvironment(), directory=directory)


def listed(migration: Migration) -> str:
    """The findings as they are kept beside a configuration."""
    return "".join(
        f"{each.source}:{each.line}-{each.end_line} {each.outcome} {each.option}: {each.reason}\n"
        for each in migration.findings
    )


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_the_findings_are_the_expected_ones(path: Path) -> None:
    assert listed(migration_of(path)) == path.with_suffix(".findings.txt").read_text("utf-8")


@pytest.mark.parametrize("path", EXPORTS, ids=lambda path: path.stem)
def test_the_findings_about_keys_are_the_expected_ones(path: Path) -> None:
    migration = migration_of(CONFIGS[0].with_name("budgets_and_teams.yaml"), path)
    of_keys = "".join(line + "\n" for line in listed(migration).splitlines() if line.startswith(path.name))
    assert of_keys == path.with_suffix(".findings.txt").read_text("utf-8")


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_line_of_the_source_is_accounted_for(path: Path) -> None:
    told = {line for each in migration_of(path).findings for line in range(each.line, each.end_line + 1)}
    silent = [
        f"{number}: {line}"
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if line.strip() and not line.lstrip().startswith("#") and number not in told and not HEADS.fullmatch(line)
    ]
    assert silent == []


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_finding_gives_a_reason(path: Path) -> None:
    assert [each for each in migration_of(path).findings if not each.reason or "{provider}" in each.reason] == []


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_what_is_written_loads_and_its_providers_can_be_built(path: Path, tmp_path: Path) -> None:
    settings = load(migration_of(path), tmp_path).settings
    assert settings.models
    for provider in settings.providers:
        assert build_provider(provider, settings.timeouts, {}).name == provider.name


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_no_literal_secret_is_written_or_said(path: Path) -> None:
    migration = migration_of(path, EXPORTS[0])
    everything = listed(migration) + "".join(file.text for file in migration.files)
    # The findings name the option, `the secret itself is not written`, and never its value.
    assert SECRETS.findall(everything.replace("secret itself", "")) == []


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_the_variables_named_are_those_without_which_it_does_not_load(path: Path) -> None:
    migration = migration_of(path)
    assert set(migration.variables) == set(re.findall(r"\$\{([A-Z0-9_]+)\}", migration.files[0].text))


def _write_expectations() -> None:
    for path in CONFIGS:
        path.with_suffix(".findings.txt").write_text(listed(migration_of(path)), "utf-8")
    for path in EXPORTS:
        lines = listed(migration_of(CONFIGS[0].with_name("budgets_and_teams.yaml"), path)).splitlines()
        text = "".join(line + "\n" for line in lines if line.startswith(path.name))
        path.with_suffix(".findings.txt").write_text(text, "utf-8")


if __name__ == "__main__":
    _write_expectations()
