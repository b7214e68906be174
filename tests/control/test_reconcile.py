"""A desired tree against the rows: what is updated, what is left alone, and who may do it."""

from hashlib import sha256

import msgspec
import pytest
from sqlalchemy import select

from headgate.control.apply import ApplyDocument, ApplyRequest, apply
from headgate.control.keys import KeyQuery, block_key, list_keys
from headgate.control.organizations import list_organizations
from headgate.control.page import ListQuery
from headgate.control.provision import provision
from headgate.control.teams import TeamQuery, block_team, list_teams
from headgate.domain.access import ManagedBy, Role
from headgate.domain.errors import (
    ConflictError,
    PermissionDeniedError,
    ProvisionedReadOnlyError,
    ValidationFailedError,
)
from headgate.domain.residency import ResidencyPolicy
from headgate.identity.keys import is_usable
from headgate.settings.model import ProvisionedOrganization
from headgate.storage.tables import virtual_keys

SECRET = "applied-secret-" + "s" * 30

FULL = {
    "organizations": [
        {
            "slug": "acme",
            "name": "Acme",
            "teams": [
                {
                    "slug": "ml",
                    "keys": [{"name": "prod", "models": ["gpt-*"]}, {"name": "old", "secret": SECRET}],
                    "projects": [{"slug": "search", "keys": [{"name": "idx"}]}],
                }
            ],
            "users": [{"email": "ada@example.com", "name": "Ada", "roles": ["editor"]}],
        }
    ]
}
EMPTY = {"organizations": []}


def request(document, **flags) -> ApplyRequest:
    return ApplyRequest(document=msgspec.convert(document, ApplyDocument), **flags)


def steps(result) -> list[tuple[str, str]]:
    return [(str(step.action), step.path) for step in result.changes]


def test_what_differs_is_updated_and_named(world, operator):
    apply(world.plane, operator, request(FULL))
    changed = msgspec.json.decode(msgspec.json.encode(FULL))
    team = changed["organizations"][0]["teams"][0]
    team["name"] = "Machine Learning"
    team["keys"][0]["models"] = ["*"]
    team["keys"][0]["tags"] = {"env": "prod"}
    changed["organizations"][0]["users"][0]["roles"] = ["viewer"]
    result = apply(world.plane, operator, request(changed))
    assert [(step.path, step.fields) for step in result.changes] == [
        ("acme/ada@example.com", ("roles",)),
        ("acme/ml", ("name",)),
        ("acme/ml/prod", ("models", "tags")),
    ]


def test_a_key_that_is_there_keeps_its_secret(world, operator):
    first = apply(world.plane, operator, request(FULL))
    secret = next(step.secret for step in first.changes if step.path == "acme/ml/prod")
    apply(world.plane, operator, request(FULL))
    assert world.lookup(secret).name == "prod"


def test_with_prune_keys_are_revoked_and_what_held_them_is_blocked(world, operator):
    apply(world.plane, operator, request(FULL))
    plan = apply(world.plane, operator, request(EMPTY, prune=True, plan=True))
    result = apply(world.plane, operator, request(EMPTY, prune=True))
    assert steps(plan) == steps(result)
    assert sorted(steps(result)) == [
        ("block", "acme"),
        ("block", "acme/ada@example.com"),
        ("block", "acme/ml"),
        ("block", "acme/ml/search"),
        ("prune", "acme/ml/old"),
        ("prune", "acme/ml/prod"),
        ("prune", "acme/ml/search/idx"),
    ]
    assert world.lookup(SECRET) is None
    assert apply(world.plane, operator, request(EMPTY, prune=True)).changes == ()


def test_with_prune_an_empty_branch_is_deleted_leaves_first(world, operator):
    branch = {"slug": "ml", "projects": [{"slug": "a"}, {"slug": "b"}]}
    apply(world.plane, operator, request({"organizations": [{"slug": "acme", "teams": [branch]}]}))
    result = apply(world.plane, operator, request(EMPTY, prune=True))
    assert {action for action, _ in steps(result)} == {"prune"}
    assert [path for _, path in steps(result)][-2:] == ["acme/ml", "acme"]
    assert list_organizations(world.plane, operator, ListQuery()).data == []


def test_prune_leaves_alone_what_apply_did_not_make(world, operator):
    globex = world.organization("globex")
    secret = world.key(globex.id).secret
    apply(world.plane, operator, request(FULL))
    apply(world.plane, operator, request(EMPTY, prune=True))
    assert is_usable(world.lookup(secret), world.now_ms)


def test_an_emergency_block_outlives_the_next_apply_unless_the_document_lifts_it(world, operator):
    apply(world.plane, operator, request(FULL))
    (key,) = list_keys(world.plane, operator, KeyQuery(name="old")).data
    (team,) = list_teams(world.plane, operator, TeamQuery()).data
    block_key(world.plane, operator, key.id)
    block_team(world.plane, operator, team.id)
    assert apply(world.plane, operator, request(FULL)).changes == ()
    assert world.lookup(SECRET).blocked
    lifted = msgspec.json.decode(msgspec.json.encode(FULL))
    lifted["organizations"][0]["teams"][0]["blocked"] = False
    lifted["organizations"][0]["teams"][0]["keys"][1]["blocked"] = False
    apply(world.plane, operator, request(lifted))
    assert not world.lookup(SECRET).blocked


def test_the_files_rows_may_be_named_as_they_are_and_not_changed(world, operator):
    provision(world.plane, [ProvisionedOrganization(slug="acme", name="Acme")])
    result = apply(world.plane, operator, request(FULL))
    assert ("update", "acme") not in steps(result)
    assert list_organizations(world.plane, operator, ListQuery()).data[0].managed_by is ManagedBy.FILE
    renamed = {"organizations": [{"slug": "acme", "name": "Other"}]}
    with pytest.raises(ProvisionedReadOnlyError, match="acme: "):
        apply(world.plane, operator, request(renamed))


def test_prune_by_an_admin_reaches_no_other_tenant(world, operator):
    apply(world.plane, operator, request(FULL))
    apply(world.plane, operator, request({"organizations": [{"slug": "globex", "keys": [{"name": "k"}]}]}))
    globex = next(one for one in list_organizations(world.plane, operator, ListQuery()).data if one.slug == "globex")
    admin = world.person(globex.id, Role.ADMIN)
    document = {"organizations": [{"slug": "globex"}]}
    result = apply(world.plane, admin, request(document, prune=True))
    assert steps(result) == [("prune", "globex/k")]
    assert is_usable(world.lookup(SECRET), world.now_ms)


def test_nobody_applies_a_role_above_his_own_or_changes_his_own(world):
    acme = world.organization("acme")
    admin = world.person(acme.id, Role.ADMIN)

    def grant(email: str, *roles: str) -> ApplyRequest:
        user = {"email": email, "name": "x", "roles": roles}
        return request({"organizations": [{"slug": "acme", "name": "Acme", "users": [user]}]})

    for attempt in (grant("new@example.com", "owner"), grant("admin@example.com"), grant("admin@example.com", "owner")):
        with pytest.raises(PermissionDeniedError):
            apply(world.plane, admin, attempt)
    apply(world.plane, admin, grant("new@example.com", "admin"))


def test_only_an_owner_renames_and_only_the_operator_blocks_an_organization(world):
    acme = world.organization("acme")
    admin, owner = world.person(acme.id, Role.ADMIN), world.person(acme.id, Role.OWNER)
    renamed = request({"organizations": [{"slug": "acme", "name": "Other"}]})
    with pytest.raises(PermissionDeniedError):
        apply(world.plane, admin, renamed)
    assert steps(apply(world.plane, owner, renamed)) == [("update", "acme")]
    blocked = request({"organizations": [{"slug": "acme", "name": "Other", "blocked": True}]})
    with pytest.raises(PermissionDeniedError):
        apply(world.plane, owner, blocked)


THEIRS = "sk-issued-elsewhere"
DIGEST = sha256(THEIRS.encode()).hexdigest()


def one_key(**fields) -> ApplyRequest:
    return request({"organizations": [{"slug": "acme", "keys": [{"name": "theirs", **fields}]}]})


def test_a_key_may_be_known_by_the_digest_of_its_secret(world, operator):
    made = apply(world.plane, operator, one_key(secret_sha256=DIGEST))
    assert [step.secret for step in made.changes] == [None, None]
    assert world.lookup(THEIRS).name == "theirs"
    assert apply(world.plane, operator, one_key(secret_sha256=DIGEST.upper())).changes == ()
    (shown,) = list_keys(world.plane, operator, KeyQuery()).data
    assert shown.hint == ""


def test_a_digest_takes_the_place_of_a_secret_and_back(world, operator):
    apply(world.plane, operator, one_key(secret=SECRET))
    changed = apply(world.plane, operator, one_key(secret_sha256=DIGEST))
    assert [step.fields for step in changed.changes] == [("secret",)]
    assert world.lookup(SECRET) is None
    assert world.lookup(THEIRS).name == "theirs"
    apply(world.plane, operator, one_key(secret=SECRET))
    assert world.lookup(THEIRS) is None


def test_a_digest_beside_a_secret_is_refused_by_name(world, operator):
    with pytest.raises(ValidationFailedError, match=r"acme/theirs: .*not both") as caught:
        apply(world.plane, operator, one_key(secret=SECRET, secret_sha256=DIGEST))
    assert caught.value.param == "secret_sha256"
    assert SECRET not in str(caught.value)


def test_a_digest_that_another_key_has_is_a_conflict(world, operator):
    apply(world.plane, operator, request(FULL))
    with pytest.raises(ConflictError, match="belongs or belonged to another key") as caught:
        apply(world.plane, operator, one_key(secret_sha256=sha256(SECRET.encode()).hexdigest()))
    assert caught.value.param == "secret_sha256"


def with_residency(organization=None, team=None, key=None, user=None):
    """The full document with policies."""
    changed = msgspec.json.decode(msgspec.json.encode(FULL))
    acme = changed["organizations"][0]
    places = (acme, acme["teams"][0], acme["teams"][0]["keys"][0], acme["users"][0])
    for place, residency in zip(places, (organization, team, key, user), strict=True):
        if residency is not None:
            place["residency"] = residency
    return changed


def test_policies_are_made_changed_left_alone_and_taken_away(world, operator):
    europe = {"jurisdictions": ["eu"]}
    wanted = with_residency(europe, {"no_training": True}, {"regions": ["eu-*"]}, {"max_retention_days": 0})
    apply(world.plane, operator, request(wanted))
    assert apply(world.plane, operator, request(wanted)).changes == ()
    assert apply(world.plane, operator, request(FULL)).changes == ()
    key = find_live_key_entry(world, "prod")
    assert key.residency == ResidencyPolicy(("eu",), ("eu-*",), no_training=True)

    result = apply(world.plane, operator, request(with_residency({}, {"no_training": False}, {"regions": None}, {})))
    assert [(step.path, step.fields) for step in result.changes] == [
        ("acme", ("residency",)),
        ("acme/ada@example.com", ("residency",)),
        ("acme/ml", ("residency",)),
        ("acme/ml/prod", ("residency",)),
    ]
    assert find_live_key_entry(world, "prod").residency is None


def find_live_key_entry(world, name):
    """The key of this name as the data plane knows it."""
    with world.database.read() as connection:
        digest = connection.execute(select(virtual_keys.c.digest).where(virtual_keys.c.name == name)).scalar_one()
    return world.snapshots.current.keys.lookup(digest)


def test_a_policy_that_contradicts_one_above_is_refused_with_its_place(world, operator):
    document = with_residency({"jurisdictions": ["eu"]}, None, {"jurisdictions": ["us"]})
    with pytest.raises(ValidationFailedError, match=r"^acme/ml/prod: ") as refused:
        apply(world.plane, operator, request(document))
    assert refused.value.param == "residency.jurisdictions"
    assert list_organizations(world.plane, operator, ListQuery()).data == []


def test_a_whole_tree_may_move_elsewhere_in_one_document(world, operator):
    for jurisdiction in ("eu", "us"):
        policy = {"jurisdictions": [jurisdiction]}
        apply(world.plane, operator, request(with_residency(policy, policy, policy, policy)))
        key = find_live_key_entry(world, "prod")
        assert key.residency == ResidencyPolicy((jurisdiction,))


def test_an_organizations_policy_takes_the_right_to_change_the_organization(world, operator):
    apply(world.plane, operator, request(with_residency({"jurisdictions": ["eu"]})))
    (acme,) = list_organizations(world.plane, operator, ListQuery()).data
    admin = world.person(acme.id, Role.ADMIN)
    with pytest.raises(PermissionDeniedError):
        apply(world.plane, admin, request(with_residency({})))
    apply(world.plane, admin, request(with_residency({"jurisdictions": ["eu"]}, {"no_training": True})))
