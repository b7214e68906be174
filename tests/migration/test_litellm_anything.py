"""Whatever a source says, the importer says something about it, and what it writes loads."""

import json
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.control.apply import ApplyDocument
from headgate.migration.litellm_deployments import INFO, PARAMS
from headgate.migration.litellm_export import read_export
from headgate.migration.litellm_keys import FIELDS
from headgate.migration.litellm_settings import OPTIONS, SECTIONS
from headgate.migration.litellm_vendors import ROUTES
from headgate.providers.build import build_provider
from headgate.settings.load import parse_settings
from tests.migration.reading import AnyEnvironment, migrate, written

# JSON writes what lies beyond as two escapes, which YAML takes for two wrong characters.
LETTERS = st.characters(max_codepoint=0xFFFF, exclude_categories=("Cs",))
SCALARS = st.one_of(
    st.sampled_from(
        ["os.environ/X", "os.environ/1", "os.environ/", "${X}", "$${X}", "*", "a*", "https://a.example/v1", "http://[::1]/",
         "https://u:p@h/", "1e-6", "0", "-1", "true", "", "a b", "é\n", "x" * 300, "openai/*", "us-east-1", "EU West"]
    ),
    st.text(LETTERS, max_size=6),
    st.booleans(),
    st.none(),
    st.integers(-2, 10**7),
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(LETTERS, max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)
MODELS = st.one_of(
    SCALARS,
    st.builds(
        "{}/{}".format, st.sampled_from(sorted(ROUTES)), st.sampled_from(["m", "*", "m-*", "openai.m", "a/b/c", ""])
    ),
)
NAMES = st.sampled_from(["a", "b", "*", "a/*", "a/1", "openai/*", "openai/1", "c", "d*", "d1"])
SHARES = st.dictionaries(
    st.sampled_from(["weight", "order", "rpm", "tpm"]), st.one_of(st.integers(-1, 9), st.floats(0, 1e4)), max_size=3
)
PARAMETERS = st.builds(
    lambda given, shares: {**given, **shares},
    st.dictionaries(st.sampled_from(sorted(PARAMS.keys() - {"model"})), VALUES, max_size=6),
    SHARES,
)
ROUTER = st.fixed_dictionaries(
    {},
    optional={
        "routing_strategy": st.sampled_from(["simple-shuffle", "least-busy", "cost-based-routing", "x"]),
        "model_group_alias": st.dictionaries(NAMES, NAMES, max_size=4),
        "default_fallbacks": st.lists(NAMES, max_size=3),
        "fallbacks": st.lists(st.dictionaries(NAMES, st.lists(NAMES, max_size=3), max_size=2), max_size=3),
        "context_window_fallbacks": st.dictionaries(NAMES, st.lists(NAMES, max_size=3), max_size=3),
    },
)
ENTRIES = st.one_of(
    VALUES,
    st.fixed_dictionaries(
        {
            "model_name": st.one_of(NAMES, SCALARS),
            "litellm_params": st.builds(
                lambda given, model: {**given, "model": model},
                PARAMETERS,
                MODELS,
            ),
        },
        optional={"model_info": st.one_of(VALUES, st.dictionaries(st.sampled_from(sorted(INFO)), VALUES, max_size=4))},
    ),
)
SETTINGS = {
    section: st.one_of(
        VALUES,
        st.dictionaries(
            st.sampled_from(sorted(path.partition(".")[2] for path in OPTIONS if path.startswith(section))),
            VALUES,
            max_size=4,
        ),
    )
    for section in ("general_settings", "litellm_settings", "router_settings", "environment_variables")
}
CREDENTIALS = st.lists(
    st.one_of(
        VALUES,
        st.fixed_dictionaries({"credential_name": SCALARS, "credential_values": st.one_of(VALUES, PARAMETERS)}),
    ),
    max_size=2,
)
DOCUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "model_list": st.one_of(VALUES, st.lists(ENTRIES, max_size=4)),
        "credential_list": st.one_of(VALUES, CREDENTIALS),
        **SETTINGS,
        "router_settings": st.one_of(SETTINGS["router_settings"], ROUTER),
        **dict.fromkeys(sorted(SECTIONS)[:3], VALUES),
        "unheard_of": VALUES,
    },
)


@settings(max_examples=300, deadline=None)
@given(DOCUMENTS)
def test_what_is_written_loads_whatever_was_there(document: dict[str, Any]) -> None:
    migration = migrate(json.dumps(document))
    loaded = parse_settings(
        migration.files[0].text, source="headgate.yaml", environ=AnyEnvironment(), directory=Path("/nowhere")
    ).settings
    for provider in loaded.providers:
        assert build_provider(provider, loaded.timeouts, {})
    assert all(finding.reason and "{provider}" not in finding.reason for finding in migration.findings)
    for name, value in document.items():
        if isinstance(value, dict) and name != "model_list":
            told = {finding.option for finding in migration.findings}
            assert not value or any(option.startswith(name) for option in told), name


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.one_of(
            VALUES,
            st.builds(
                lambda number, given: {"token": f"{number:064x}", "models": []} | given,
                st.integers(1, 20),
                st.dictionaries(st.sampled_from(sorted(FIELDS)), VALUES, max_size=6),
            ),
        ),
        max_size=5,
    )
)
def test_the_keys_that_are_written_are_a_document_that_apply_takes(rows: list[Any]) -> None:
    migration = migrate("{}", read_export(json.dumps(rows)))
    told = {finding.option.partition(".")[0] for finding in migration.findings}
    assert told == {f"keys[{number}]" for number in range(len(rows))}
    for file in migration.files[1:]:
        assert msgspec.convert(written(migration, file.name), ApplyDocument).organizations
