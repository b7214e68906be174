"""Where the file says that data may go."""

from collections.abc import Callable

import pytest

from headgate.domain.residency import ResidencyPolicy
from headgate.settings.model import Settings

Read = Callable[[str], Settings]
Fail = Callable[[str], str]


def test_residency_is_read_at_every_level(read: Read) -> None:
    (acme,) = read(f"""
        organizations:
          - slug: acme
            residency: {{jurisdictions: [eu, ch, eu], regions: ["eu-*", westeurope], max_retention_days: 30}}
            users: [{{email: a@b, residency: {{no_training: true}}}}]
            keys: [{{name: k, models: ["*"], secret: {"a" * 32}, residency: {{max_retention_days: 0}}}}]
            teams:
              - slug: ml
                residency: {{regions: ["*"]}}
                projects:
                  - slug: search
                    residency: {{regions: [eu-central-1, us-east-1]}}
                    keys:
                      - {{name: k, models: ["*"], secret: {"b" * 32}, residency: {{jurisdictions: [eu, us]}}}}
        """).organizations

    assert acme.residency == ResidencyPolicy(
        jurisdictions=("eu", "ch"), regions=("eu-*", "westeurope"), max_retention_days=30
    )
    assert acme.users[0].residency == ResidencyPolicy(no_training=True)
    assert acme.keys[0].residency == ResidencyPolicy(max_retention_days=0)
    assert acme.teams[0].residency == ResidencyPolicy(regions=("*",))
    assert acme.teams[0].projects[0].residency == ResidencyPolicy(regions=("eu-central-1", "us-east-1"))
    assert acme.teams[0].projects[0].keys[0].residency == ResidencyPolicy(jurisdictions=("eu", "us"))


@pytest.mark.parametrize("block", ["", "residency:", "residency: {}", "residency: {no_training: false}"])
def test_a_block_that_restricts_nothing_is_no_policy(read: Read, block: str) -> None:
    (acme,) = read(f"""
        organizations:
          - slug: acme
            {block}
        """).organizations
    assert acme.residency is None


@pytest.mark.parametrize(
    ("block", "words"),
    [
        ("{jurisdictions: []}", "residency.jurisdictions: an empty list permits nothing"),
        ("{regions: }", "residency.regions: an empty list permits nothing"),
        ("{jurisdictions: eu}", 'residency.jurisdictions: expected a list of jurisdictions such as ["eu"], got "eu"'),
        ("{jurisdictions: [EU]}", "residency.jurisdictions[0]: expected a jurisdiction of 2 to 16 of a-z"),
        ("{jurisdictions: [eu-*]}", "residency.jurisdictions[0]: expected a jurisdiction"),
        ("{jurisdictions: [no]}", "residency.jurisdictions[0]: expected a jurisdiction"),
        ('{regions: ["eu-*", "*-west"]}', "residency.regions[1]: expected a region such as"),
        ("{max_retention_days: -1}", "residency.max_retention_days: expected a number of days"),
        ("{max_retention_days: 99999}", "residency.max_retention_days: must lie between 0 and 36500"),
        ("{no_training: 1}", "residency.no_training: expected true or false"),
        ("{region: [eu]}", 'residency.region: unknown key; did you mean "regions"?'),
        ("[eu]", "residency: expected a block of keys such as {jurisdictions: …}"),
    ],
)
def test_what_is_no_policy_is_refused_by_its_field(fail: Fail, block: str, words: str) -> None:
    message = fail(f"""
        organizations:
          - slug: acme
            residency: {block}
        """)
    assert message.startswith("4: organizations[0]." + words)


def test_a_block_that_lists_only_what_one_further_out_forbids_is_refused(fail: Fail) -> None:
    message = fail(f"""
        organizations:
          - slug: acme
            residency: {{regions: ["eu-*"]}}
            teams:
              - slug: ml
                keys:
                  - name: k
                    models: ["*"]
                    secret: {"a" * 32}
                    residency:
                      no_training: true
                      regions: ["us-*"]
        """)
    assert message == (
        "13: organizations[0].teams[0].keys[0].residency.regions: lists only what a residency block further out "
        "forbids, so nothing would be served"
    )
