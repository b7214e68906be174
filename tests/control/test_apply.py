"""``headgate apply``: a document, its plan, and what becomes of rows that it does not name."""

import msgspec
import pytest

from headgate.control.apply import ApplyDocument, ApplyRequest, apply
from headgate.control.keys import KeyCreate, KeyQuery, create_key, list_keys
from headgate.control.users import UserQuery, list_users
from headgate.domain.access import ManagedBy, Role
from headgate.domain.errors import PermissionDeniedError
from headgate.identity.keys import is_usable
from headgate.identity.secrets import looks_minted

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


def everything(world) -> bytes:
    world.database.read()
    with world.database.read() as connection:
        driver = connection.connection.driver_connection
        return "\n".join(driver.iterdump()).encode()


def test_applying_makes_what_is_missing_and_shows_minted_secrets_once(world, operator):
    result = apply(world.plane, operator, request(FULL))
    assert result.applied
    assert steps(result) == [
        ("create", "acme"),
        ("create", "acme/ada@example.com"),
        ("update", "acme/ada@example.com"),
        ("create", "acme/ml"),
        ("create", "acme/ml/prod"),
        ("create", "acme/ml/old"),
        ("create", "acme/ml/search"),
        ("create", "acme/ml/search/idx"),
    ]
    minted = {step.path: step.secret for step in result.changes if step.kind == "key"}
    assert minted["acme/ml/old"] is None
    assert looks_minted(minted["acme/ml/prod"], "hg_")
    assert world.lookup(minted["acme/ml/prod"]).models == ("gpt-*",)
    assert world.lookup(SECRET).name == "old"
    assert {key.managed_by for key in list_keys(world.plane, operator, KeyQuery()).data} == {ManagedBy.APPLY}


def test_applying_again_changes_nothing(world, operator):
    apply(world.plane, operator, request(FULL))
    before = everything(world)
    assert apply(world.plane, operator, request(FULL, prune=True)).changes == ()
    assert everything(world) == before


def test_a_plan_lists_exactly_what_applying_does_and_does_none_of_it(world, operator):
    world.team(world.organization("acme").id, "web")
    before, snapshot = everything(world), world.snapshots.current
    plan = apply(world.plane, operator, request(FULL, plan=True))
    assert not plan.applied
    assert everything(world) == before
    assert world.snapshots.current is snapshot
    created = [step for step in plan.changes if step.action == "create"]
    assert created
    assert all(step.id is None and step.secret is None for step in created)
    assert steps(plan) == steps(apply(world.plane, operator, request(FULL)))


def test_without_prune_what_the_document_drops_stays(world, operator):
    apply(world.plane, operator, request(FULL))
    assert apply(world.plane, operator, request(EMPTY)).changes == ()
    assert is_usable(world.lookup(SECRET), world.now_ms)


def test_an_admin_applies_within_his_organization_alone(world, operator):
    acme, globex = world.organization("acme"), world.organization("globex")
    admin = world.person(acme.id, Role.ADMIN)
    admin_document = {"organizations": [{"slug": "acme", "name": "Acme", "teams": [{"slug": "ml"}]}]}
    assert steps(apply(world.plane, admin, request(admin_document))) == [("update", "acme"), ("create", "acme/ml")]
    before = everything(world)
    messages = set()
    for slug in ("globex", "nobody"):
        foreign = {"organizations": [{"slug": slug, "teams": [{"slug": "mine"}]}]}
        with pytest.raises(PermissionDeniedError) as refused:
            apply(world.plane, admin, request(foreign))
        messages.add(refused.value.message.replace(slug, "…"))
    assert len(messages) == 1, "another tenant's slug is refused like one that nobody has"
    assert [event.outcome for event in world.events(action="apply")] == ["denied", "denied"]
    assert everything(world).count(b'INSERT INTO "scopes"') == before.count(b'INSERT INTO "scopes"')
    assert globex.id in everything(world).decode()


def test_roles_below_admin_apply_nothing(world):
    acme = world.organization("acme")
    for role in (Role.PUBLISHER, Role.EDITOR, Role.ANALYST, Role.VIEWER):
        with pytest.raises(PermissionDeniedError):
            apply(world.plane, world.person(acme.id, role), request({"organizations": [{"slug": "acme"}]}))
    team = world.team(acme.id)
    boss = world.person(acme.id, Role.OWNER, "boss@example.com", scope_id=team.id)
    with pytest.raises(PermissionDeniedError):
        apply(world.plane, boss, request({"organizations": [{"slug": "acme"}]}))


def test_a_document_that_fails_in_its_middle_changes_nothing(world, operator):
    create_key(world.plane, operator, KeyCreate(scope_id=world.organization("globex").id, name="k"))
    before = len(world.snapshots.current.keys)
    broken = msgspec.json.decode(msgspec.json.encode(FULL))
    broken["organizations"][0]["teams"][0]["projects"][0]["keys"].append({"name": "twin", "secret": SECRET})
    with pytest.raises(Exception, match="acme/ml/search/twin: "):
        apply(world.plane, operator, request(broken))
    assert len(world.snapshots.current.keys) == before
    assert list_users(world.plane, operator, UserQuery()).data == []
