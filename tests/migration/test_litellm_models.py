"""``model_list`` as a whole: what shares a provider, what a provider is called, which of several entries is taken."""

from headgate.migration.finding import Outcome
from tests.migration.reading import migrate, of, written

MINI = "{model: openai/gpt-4o-mini, api_key: os.environ/OPENAI_API_KEY}"


def entries(*pairs: tuple[str, str]) -> str:
    return "model_list:\n" + "".join(
        f'  - model_name: "{name}"\n    litellm_params: {params}\n' for name, params in pairs
    )


def test_deployments_with_the_same_settings_share_a_provider() -> None:
    document = written(
        migrate(
            entries(
                ("a", MINI),
                ("b", "{model: gpt-4o}"),
                ("c", "{model: openai/gpt-4o, api_key: os.environ/OTHER}"),
                ("d", "{model: openai/gpt-4o, api_key: os.environ/OPENAI_API_KEY, timeout: 5}"),
            )
        )
    )
    assert list(document["providers"]) == ["openai", "openai_2", "openai_3"]
    assert [model["deployments"][0]["provider"] for model in document["models"]] == [
        *("openai", "openai", "openai_2", "openai_3")
    ]
    assert document["providers"]["openai"]["credential"] == "${OPENAI_API_KEY}"


def test_of_several_entries_with_one_name_the_first_that_can_be_had_is_taken() -> None:
    migration = migrate(entries(("a", "{model: vertex_ai/x}"), ("a", MINI), ("a", "{model: gpt-4o}")))
    (model,) = written(migration)["models"]
    assert model["deployments"] == [{"provider": "openai", "model": "gpt-4o-mini"}]
    assert of(migration, "model_list[2]").reason.endswith("an alias has one, and line 4 is it")
    assert of(migration, "model_list[0]").outcome is Outcome.REFUSED


def test_a_providers_name_never_takes_a_globs_requests_away() -> None:
    # `provider/model` wins over a glob, so `openai` must not be what `openai/*` does not lead to.
    document = written(
        migrate(
            entries(
                ("plain", MINI),
                ("openai/*", "{model: azure/*, api_base: https://r.openai.azure.com}"),
                ("anthropic/*", "{model: anthropic/*}"),
                ("groq/*", "{model: groq/*, input_cost_per_token: 0, output_cost_per_token: 0}"),
            )
        )
    )
    leads = {model["alias"]: model["deployments"][0]["provider"] for model in document["models"]}
    assert document["providers"][leads["plain"]]["kind"] == "openai"
    # Azure answers `openai/…`, so the name may be its own; a stated price would be lost on `groq/…`.
    assert document["providers"][leads["openai/*"]]["kind"] == "azure"
    assert leads["plain"] != "openai"
    assert leads["anthropic/*"] == "anthropic"
    assert leads["groq/*"] != "groq"


def test_names_that_no_alias_can_have_are_refused() -> None:
    migration = migrate(
        entries(("with blanks", MINI), ("*-mini", MINI), ("fixed", "{model: openai/*}"), ("", MINI), ("a?*", MINI))
    )
    assert written(migration) is None
    assert {finding.option for finding in migration.findings} == {f"model_list[{number}]" for number in range(5)}


def test_a_credential_is_taken_in_where_it_is_named_and_what_stands_there_wins() -> None:
    text = (
        entries(
            ("a", "{model: gpt-4o, litellm_credential_name: shared}"),
            ("b", "{model: gpt-4o, litellm_credential_name: shared, api_key: os.environ/OWN}"),
        )
        + "credential_list:\n"
        + "  - credential_name: shared\n    credential_values: {api_key: os.environ/SHARED}\n"
        + "  - credential_name: unused\n    credential_values: {api_key: sk-never-print}\n"
    )
    migration = migrate(text)
    assert [each["credential"] for each in written(migration)["providers"].values()] == ["${SHARED}", "${OWN}"]
    assert of(migration, "credential_list[0].credential_values.api_key").reason == "becomes providers.openai.credential"
    assert of(migration, "credential_list[1]").outcome is Outcome.REFUSED
    assert "never-print" not in str(migration)


def test_further_aliases_lead_where_their_model_leads() -> None:
    migration = migrate(
        entries(("a", MINI)) + "router_settings:\n  model_group_alias: {b: a, c: {model: a}, d: none-such, a: a}\n"
    )
    document = written(migration)
    assert [model["alias"] for model in document["models"]] == ["a", "b", "c"]
    assert document["models"][1]["deployments"] == document["models"][0]["deployments"]
    assert "is not written: a, d" in of(migration, "router_settings.model_group_alias").reason


def test_a_model_list_that_is_none_is_said_to_be() -> None:
    assert of(migrate("model_list: {a: b}"), "model_list").outcome is Outcome.REFUSED
    assert of(migrate("model_list: [text]"), "model_list[0]").outcome is Outcome.REFUSED
