"""The organizations of the file."""

from collections.abc import Callable
from hashlib import sha256

import pytest

from headgate.settings.model import (
    ProvisionedKey,
    ProvisionedOrganization,
    ProvisionedProject,
    ProvisionedTeam,
    ProvisionedUser,
    Secret,
    Settings,
)

Read = Callable[[str], Settings]
Fail = Callable[[str], str]

SECRETS = tuple(letter * 32 for letter in "abc")


def test_a_whole_organization_is_read(read: Read) -> None:
    settings = read(f"""
        organizations:
          - slug: acme
            name: Acme, Inc.
            time_zone: Europe/Berlin
            keys:
              - name: shared
                models: [gpt-4o, "claude-*"]
                secret: {SECRETS[0]}
                tags: {{cost-center: 4711}}
                expires_at: 2027-01-31T00:00:00Z
            teams:
              - slug: ml
                keys: [{{name: prod, models: ["*"], secret: {SECRETS[1]}}}]
                projects:
                  - slug: search
                    name: Search
                    keys: [{{name: prod, models: ["*"], secret: {SECRETS[2]}}}]
            users:
              - {{email: Ada@Example.com, name: Ada, roles: [admin, admin, analyst]}}
              - {{email: bob@example.com}}
        """)

    assert settings.organizations == (
        ProvisionedOrganization(
            slug="acme",
            name="Acme, Inc.",
            time_zone="Europe/Berlin",
            keys=(
                ProvisionedKey(
                    name="shared",
                    models=("gpt-4o", "claude-*"),
                    secret=Secret(SECRETS[0]),
                    tags=(("cost-center", "4711"),),
                    expires_at="2027-01-31T00:00:00Z",
                ),
            ),
            teams=(
                ProvisionedTeam(
                    slug="ml",
                    name="ml",
                    keys=(ProvisionedKey(name="prod", models=("*",), secret=Secret(SECRETS[1])),),
                    projects=(
                        ProvisionedProject(
                            slug="search",
                            name="Search",
                            keys=(ProvisionedKey(name="prod", models=("*",), secret=Secret(SECRETS[2])),),
                        ),
                    ),
                ),
            ),
            users=(
                ProvisionedUser(email="ada@example.com", name="Ada", roles=("admin", "analyst")),
                ProvisionedUser(email="bob@example.com", name="bob@example.com"),
            ),
        ),
    )


def key(secret: str = SECRETS[0], name: str = "k", models: str = '["*"]', more: str = "") -> str:
    return f"{{name: {name}, models: {models}, secret: {secret}{more}}}"


@pytest.mark.parametrize(
    ("organization", "words"),
    [
        ("{name: Acme}", '1: organizations[0]: the key "slug" is missing'),
        ("{slug: Acme}", "1: organizations[0].slug: expected 1 to 63 of a-z"),
        ("{slug: acme, time_zone: Berlin}", "1: organizations[0].time_zone: is not in the time zone database"),
        ("{slug: acme, guardrails: []}", "1: organizations[0].guardrails: unknown key"),
        ("{slug: acme, teams: [{slug: a}, {slug: a}]}",
         '1: organizations[0].teams[1]: the slug "a" is given twice; it first stands on line 1'),
        ("{slug: acme, teams: [{slug: a, projects: [{slug: p}, {slug: p}]}]}",
         '1: organizations[0].teams[0].projects[1]: the slug "p" is given twice'),
        (f"{{slug: acme, keys: [{key()}, {key(SECRETS[1])}]}}", '1: organizations[0].keys[1]: the key name "k"'),
        (f"{{slug: acme, keys: [{key()}, {key(name='l')}]}}",
         "1: organizations[0].keys[1].secret: is the same secret as on line 1"),
        (f"{{slug: acme, keys: [{key('short')}]}}", "1: organizations[0].keys[0].secret: expected 32 to 256 of A-Z"),
        ("{slug: acme, keys: [{name: k, models: ['*']}]}", '1: organizations[0].keys[0]: the key "secret" is missing'),
        (f"{{slug: acme, keys: [{key(models='[]')}]}}", "1: organizations[0].keys[0].models: an empty list allows no"),
        (f"{{slug: acme, keys: [{key(models='gpt')}]}}", "1: organizations[0].keys[0].models: expected a list"),
        (f"{{slug: acme, keys: [{key(more=', expires_at: 2027-01-31')}]}}",
         "1: organizations[0].keys[0].expires_at: expected a point in time"),
        (f"{{slug: acme, keys: [{key(more=', prompts: [a]')}]}}",
         "1: organizations[0].keys[0].prompts: unknown key"),
        (f"{{slug: acme, keys: [{key(more=', tags: {a: [b]}')}]}}", "1: organizations[0].keys[0].tags.a: expected"),
        (f"{{slug: acme, keys: [{key(more=', tags: {headgate.priority: urgent}')}]}}",
         '1: organizations[0].keys[0].tags.headgate.priority: expected "critical" or "normal" or "low"'),
        ("{slug: acme, users: [{email: ada}]}", "1: organizations[0].users[0].email: expected an e-mail address"),
        ("{slug: acme, users: [{email: a@b}, {email: A@B}]}", '1: organizations[0].users[1]: the address "a@b"'),
        ("{slug: acme, users: [{email: a@b, roles: [adminn]}]}",
         '1: organizations[0].users[0].roles[0]: expected "owner" or "admin"'),
    ],
)  # fmt: skip
def test_an_organization_fails_at_its_line(fail: Fail, organization: str, words: str) -> None:
    answer = fail(f"organizations: [{organization}]")

    assert answer.startswith(words)
    assert "aaaa" not in answer


def test_the_same_name_may_stand_in_two_teams(read: Read) -> None:
    teams = ", ".join(f"{{slug: {slug}, keys: [{key(secret)}]}}" for slug, secret in zip("ab", SECRETS, strict=False))

    assert len(read(f"organizations: [{{slug: acme, teams: [{teams}]}}]").organizations[0].teams) == 2


DIGEST = "0123456789abcdef" * 4


def test_a_key_may_be_known_by_the_digest_of_its_secret(read: Read) -> None:
    (organization,) = read(f"""
        organizations:
          - slug: acme
            keys: [{{name: theirs, models: ["*"], secret_sha256: "{DIGEST.upper()}"}}]
        """).organizations

    assert organization.keys == (ProvisionedKey(name="theirs", models=("*",), secret_sha256=Secret(DIGEST)),)
    assert DIGEST not in repr(organization)


def test_a_digest_beside_a_secret_is_refused(fail: Fail) -> None:
    words = fail(f"""
        organizations:
          - slug: acme
            keys:
              - name: theirs
                models: ["*"]
                secret: {SECRETS[0]}
                secret_sha256: "{DIGEST}"
        """)
    assert words == "8: organizations[0].keys[0].secret_sha256: stands beside secret; give one of the two"


@pytest.mark.parametrize("wrong", [DIGEST[:-1], DIGEST + "0", "g" * 64, "sk-somebody-put-the-secret-here"])
def test_a_malformed_digest_names_its_key_and_is_not_shown(fail: Fail, wrong: str) -> None:
    words = fail(f"""
        organizations:
          - slug: acme
            keys: [{{name: theirs, models: ["*"], secret_sha256: "{wrong}"}}]
        """)
    assert "organizations[0].keys[0].secret_sha256: expected the SHA-256 of a secret as 64 hexadecimal digits" in words
    assert wrong not in words


def test_a_digest_of_another_keys_secret_is_the_same_secret(fail: Fail) -> None:
    words = fail(f"""
        organizations:
          - slug: acme
            keys:
              - {{name: one, models: ["*"], secret: {SECRETS[0]}}}
              - {{name: two, models: ["*"], secret_sha256: "{sha256(SECRETS[0].encode()).hexdigest()}"}}
        """)
    assert words == (
        "6: organizations[0].keys[1].secret_sha256: is the same secret as on line 5; each key needs its own"
    )
