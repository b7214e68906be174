"""Rows of LiteLLM's keys → what ``headgate apply`` takes."""

import json
from hashlib import sha256
from typing import Any

import msgspec
import pytest

from headgate.control.apply import ApplyDocument
from headgate.migration.finding import Outcome
from headgate.migration.litellm import Migration
from headgate.migration.litellm_export import read_export
from headgate.migration.litellm_keys import FIELDS
from tests.migration.reading import EXPORTS, migrate, of, written

CONFIG = """
model_list:
  - model_name: gpt-4o
    litellm_params: {model: gpt-4o}
    model_info: {access_groups: [large]}
"""


def row(number: int = 1, **fields: Any) -> dict[str, Any]:
    return {"token": f"{number:x}" * 64, "models": ["gpt-4o"], "key_alias": f"key {number}"} | fields


def keys_of(*rows: Any, organization: str = "litellm") -> Migration:
    return migrate(CONFIG, read_export(json.dumps(rows, indent=1)), organization)


def only_key(migration: Migration) -> dict[str, Any]:
    (organization,) = written(migration, "apply.yaml")["organizations"]
    scopes = [organization, *organization.get("teams", [])]
    (key,) = (key for scope in scopes for key in scope.get("keys", []))
    return key


@pytest.mark.parametrize("path", EXPORTS, ids=lambda path: path.stem)
def test_what_is_written_is_a_document_that_apply_takes(path: Any) -> None:
    migration = migrate(CONFIG, read_export(path.read_text("utf-8")))
    document = msgspec.convert(written(migration, "apply.yaml"), ApplyDocument)
    assert document.organizations


def test_a_key_comes_with_its_digest_its_name_and_its_models() -> None:
    assert only_key(keys_of(row())) == {"name": "key 1", "models": ["gpt-4o"], "secret_sha256": "1" * 64}


def test_a_secret_in_an_old_row_is_hashed_and_not_written() -> None:
    migration = keys_of(row(token="sk-never-print-this"))
    assert only_key(migration)["secret_sha256"] == sha256(b"sk-never-print-this").hexdigest()
    assert "never-print" not in str(migration)


@pytest.mark.parametrize(
    ("models", "became", "outcome"),
    [
        (["gpt-4o", "openai/*"], ["gpt-4o", "openai/*"], Outcome.TRANSLATED),
        ([], ["*"], Outcome.APPROXIMATED),
        (None, ["*"], Outcome.APPROXIMATED),
        (["all-team-models"], ["*"], Outcome.APPROXIMATED),
        (["large", "gpt-4o", "x"], ["gpt-4o", "x"], Outcome.APPROXIMATED),
    ],
)
def test_models(models: Any, became: list[str], outcome: Outcome) -> None:
    migration = keys_of(row(models=models))
    assert only_key(migration)["models"] == became
    assert of(migration, "keys[0].models").outcome is outcome


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"token": ""}, "no token"),
        ({"token": "abc"}, "neither a SHA-256"),
        ({"models": ["no-default-models"]}, "no model of its own"),
        ({"models": [f"m{number}" for number in range(65)]}, "use globs"),
        ({"models": "{gpt-4o}"}, "are no list"),
        ({"models": {}}, "are no list"),
        ({"models": ["gpt-4o", ""]}, "is no name"),
        ({"models": ["x" * 201]}, "is no name"),
        ({"expires": "soon"}, "is no time"),
        ({"team_id": "litellm-dashboard"}, "login session"),
        ({"allowed_routes": ["/key/info"]}, "less than inference"),
        ({"key_type": "management"}, "personal access token"),
        ({"key_type": "read_only"}, "personal access token"),
        ({"max_budget": "much"}, "its max_budget is no amount of money"),
        ({"max_budget": -1}, "its max_budget is no amount of money"),
        ({"soft_budget": {}, "max_budget": True}, "its max_budget is no amount of money"),
        ({"budget_limits": ["5"]}, "its budget_limits are no amounts"),
        ({"rpm_limit": 1.5}, "its rpm_limit is no whole number"),
        ({"max_parallel_requests": -1}, "its max_parallel_requests is no whole number"),
    ],
)
def test_a_key_that_would_be_allowed_more_here_is_left_out(fields: dict[str, Any], words: str) -> None:
    migration = keys_of(row(**fields))
    assert [file.name for file in migration.files] == ["headgate.yaml"]
    finding = of(migration, "keys[0]")
    assert finding.outcome is Outcome.REFUSED
    assert words in finding.reason


def test_rows_that_do_not_say_enough_are_left_out() -> None:
    migration = keys_of("a" * 64, [1], {"token": "b" * 64, "key_alias": "x"}, row(), row())
    words = ("return_full_object", "expected an object", "does not say which models")
    for number, expected in enumerate(words):
        assert expected in of(migration, f"keys[{number}]").reason
    assert "the same token" in of(migration, "keys[4]").reason


@pytest.mark.parametrize(
    ("expires", "became"),
    [
        ("2027-01-31T12:00:00Z", "2027-01-31T12:00:00.000Z"),
        ("2027-01-31 12:00:00.999999", "2027-01-31T12:00:00.999Z"),
        ("2027-01-31T12:00:00+02:00", "2027-01-31T10:00:00.000Z"),
    ],
)
def test_a_key_ends_when_it_ended(expires: str, became: str) -> None:
    assert only_key(keys_of(row(expires=expires)))["expires_at"] == became


def test_owners_and_texts_become_tags_and_secrets_do_not() -> None:
    metadata = {"env": "prod", "api_key": "never-print", "list": [1], "bad name": "x", "user_id": "mallory"}
    migration = keys_of(row(user_id="ada", metadata=metadata))
    assert only_key(migration)["tags"] == {"user_id": "ada", "env": "prod"}
    assert of(migration, "keys[0].metadata").reason.endswith("left out: api_key, bad name, list, user_id")
    assert "never-print" not in str(migration)


def test_no_more_tags_than_a_key_holds() -> None:
    migration = keys_of(row(user_id="ada", metadata={f"t{number}": "x" for number in range(16)}))
    assert only_key(migration)["tags"] == {"user_id": "ada"}
    assert of(migration, "keys[0].metadata").outcome is Outcome.REFUSED


def test_what_says_nothing_is_not_listed_and_a_budget_of_nothing_is() -> None:
    silent = {"spend": 0.0, "aliases": {}, "tpm_limit": None, "blocked": False, "rotation_count": 0, "user_id": ""}
    migration = keys_of(row(**silent, max_budget=0))
    told = {finding.option for finding in migration.findings if finding.source == "keys.json"}
    assert told == {"keys[0].token", "keys[0].models", "keys[0].key_alias", "keys[0].max_budget"}


def test_limits_of_a_key_become_its_budgets_and_rate_limits() -> None:
    fields = {"max_budget": 50.5, "soft_budget": 40, "budget_duration": "30d", "tpm_limit": 100000, "rpm_limit": 60}
    migration = keys_of(row(**fields, max_parallel_requests=5, tpd_limit=0))
    key = only_key(migration)
    assert key["budgets"] == [
        {"amount_usd": "50.5", "period": "month", "mode": "enforce"},
        {"amount_usd": "40", "period": "month", "mode": "audit"},
    ]
    assert key["rate_limits"] == {"tpm": 100000, "rpm": 60, "concurrency": 5, "tpd": 0}
    finding = of(migration, "keys[0].max_budget")
    assert finding.outcome is Outcome.APPROXIMATED
    assert "the first of each month in the organization's time zone" in finding.reason


def test_of_two_budgets_of_one_period_the_lesser_is_written() -> None:
    windows = [{"budget_duration": "24h", "max_budget": 10}, {"budget_duration": "7d", "max_budget": 40}]
    for amount, least in ((9, "9"), (11, "10")):
        key = only_key(keys_of(row(max_budget=amount, budget_duration="1d", budget_limits=windows)))
        assert {each["period"]: each["amount_usd"] for each in key["budgets"]} == {"day": least, "week": "40"}


def test_a_budget_without_a_period_of_ours_stays_a_finding() -> None:
    migration = keys_of(row(max_budget=50, budget_duration="15d"))
    assert "budgets" not in only_key(migration)
    for field in ("max_budget", "budget_duration"):
        assert of(migration, f"keys[0].{field}").outcome is Outcome.REFUSED


def test_teams_and_organizations_keep_apart_what_was_apart() -> None:
    migration = keys_of(
        row(1, team_id="t1", team_alias="Search"),
        row(2, team_id="t2", team_alias="search"),
        row(3, team_id="t1", team_alias="Search", key_alias="key 1"),
        row(4, org_id="Acme"),
        row(5, org_id="o-2", team_id="t1", team_alias="Search"),
        row(6, team_id="日本"),
        organization="acme",
    )
    tree = written(migration, "apply.yaml")["organizations"]
    found = {
        (scope["slug"], team["slug"], key["name"])
        for scope in tree
        for team in [{"slug": "", **scope}, *scope.get("teams", [])]
        for key in team.get("keys", [])
        if team is not scope
    }
    assert {(org, team, name) for org, team, name in found if team != org} == {
        ("acme", "search", "key 1"),
        ("acme", "search-2", "key 2"),
        ("acme", "search", "key 1 (2)"),
        ("o-2", "search", "key 5"),
        ("acme", "imported", "key 6"),
    }
    # An organization of theirs never falls together with the one for keys that name none.
    assert ("acme-2", "acme-2", "key 4") in found


def test_many_keys_come_in_files_that_one_request_can_carry() -> None:
    rows = [row(0, token=f"{number:064x}", key_alias=f"key {number}", user_id="u" * 200) for number in range(3000)]
    migration = keys_of(*rows)
    names = [file.name for file in migration.files]
    assert names[:3] == ["headgate.yaml", "apply.yaml", "apply-2.yaml"]
    documents = [written(migration, name)["organizations"] for name in names[1:]]
    assert sum(len(organization["keys"]) for (organization,) in documents) == 3000
    for name, document in zip(names[1:], documents, strict=True):
        assert len(json.dumps({"document": {"organizations": document}})) < 1024 * 1024
        assert "none with --prune" in next(file.text for file in migration.files if file.name == name)


@pytest.mark.parametrize("field", sorted(FIELDS))
def test_every_field_has_a_verdict(field: str) -> None:
    migration = keys_of(row() | {field: FIELDS_THAT_NEED.get(field, "some-value")})
    assert of(migration, f"keys[0].{field}").reason
    assert "not known" not in of(migration, f"keys[0].{field}").reason


FIELDS_THAT_NEED: dict[str, Any] = {
    "token": "9" * 64,
    "models": ["x"],
    "expires": "2027-01-01T00:00:00Z",
    "allowed_routes": ["llm_api_routes"],
    "key_type": "llm_api",
    "metadata": {"a": "b"},
    "max_budget": "5",
    "soft_budget": "5",
    "budget_limits": [{"max_budget": "5", "budget_duration": "1d"}],
    **dict.fromkeys(("tpm_limit", "rpm_limit", "tpd_limit", "max_parallel_requests"), 5),
}
