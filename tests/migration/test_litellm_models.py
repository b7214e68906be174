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


def test_entries_with_one_name_are_deployments_of_one_alias() -> None:
    migration = migrate(entries(("a", "{model: vertex_ai/x}"), ("a", MINI), ("a", "{model: gpt-4o}"), ("a", MINI)))
    (model,) = written(migration)["models"]
    assert model == {
        "alias": "a",
        "strategy": "weighted",
        "deployments": [{"provider": "openai", "model": "gpt-4o-mini"}, {"provider": "openai", "model": "gpt-4o"}],
    }
    assert "# from lines 4 and 6\n" in migration.files[0].text
    assert of(migration, "model_list[0]").outcome is Outcome.REFUSED
    assert of(migration, "model_list[3]").reason.startswith("line 4 is the same model of the same provider")


def test_one_model_under_several_keys_is_several_deployments() -> None:
    document = written(migrate(entries(("a", MINI), ("a", "{model: gpt-4o-mini, api_key: os.environ/SECOND}"))))
    assert [each["credential"] for each in document["providers"].values()] == ["${OPENAI_API_KEY}", "${SECOND}"]
    assert [each["provider"] for each in document["models"][0]["deployments"]] == ["openai", "openai_2"]


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


def test_a_glob_that_can_fail_over_gives_no_provider_its_name() -> None:
    # Else `openai/gpt-4o` would reach the provider of that name and nothing beside it.
    glob = ("openai/*", "{model: openai/*}")
    second = ("openai/*", "{model: openai/*, api_key: os.environ/SECOND}")
    spare = ("spare", "{model: gemini/gemini-2.5-pro}")
    both = written(migrate(entries(glob, second)))
    backed = written(migrate(entries(glob, spare) + "litellm_settings: {default_fallbacks: [spare]}\n"))
    assert "openai" not in both["providers"]
    assert "openai" not in backed["providers"]
    assert backed["models"][0]["fallbacks"] == {"error": ["spare"]}
    assert "openai" in written(migrate(entries(glob, spare)))["providers"]


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
    assert document["models"][1:] == [{"alias": "b", "use": "a"}, {"alias": "c", "use": "a"}]
    assert of(migration, "router_settings.model_group_alias").reason.endswith("stand in for itself: a, d")


def test_a_model_list_that_is_none_is_said_to_be() -> None:
    assert of(migrate("model_list: {a: b}"), "model_list").outcome is Outcome.REFUSED
    assert of(migrate("model_list: [text]"), "model_list[0]").outcome is Outcome.REFUSED
