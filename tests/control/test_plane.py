"""A change is one transaction: rows, audit event and publication happen together or not at all."""

import threading

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from headgate.control.keys import KeyCreate, KeyPatch, KeyRotate, create_key, patch_key, revoke_key
from headgate.control.keys import rotate_key as rotate
from headgate.control.organizations import OrganizationCreate, create_organization, list_organizations
from headgate.control.page import ListQuery
from headgate.control.plane import change, record_refusal
from headgate.control.teams import TeamQuery, block_team, delete_team, list_teams
from headgate.control.users import RoleBinding, UserCreate, create_user, grant_role
from headgate.domain.access import Permission, Role
from headgate.domain.errors import NotFoundError, PermissionDeniedError
from headgate.identity.secrets import hash_secret


def break_the_log(world) -> None:
    with world.database.write() as connection:
        connection.execute(
            text(
                "CREATE TRIGGER broken BEFORE INSERT ON audit_events BEGIN SELECT RAISE(ABORT, 'the log is full'); END"
            )
        )


def everything(world) -> dict[str, list[tuple]]:
    with world.database.read() as connection:
        return {
            table: [tuple(row) for row in connection.execute(text(f"SELECT * FROM {table}"))]
            for table in ("scopes", "users", "role_bindings", "virtual_keys", "access_tokens", "audit_events")
        }


def test_a_change_whose_audit_event_cannot_be_written_does_not_happen(world, operator):
    acme = world.organization("acme")
    team, empty = world.team(acme.id, "ml"), world.team(acme.id, "empty")
    key = world.key(team.id)
    user = world.user(acme.id, "ada@example.com")
    break_the_log(world)
    rows, snapshot = everything(world), world.snapshots.current
    plane = world.plane
    for attempt in (
        lambda: create_organization(plane, operator, OrganizationCreate(slug="globex", name="x")),
        lambda: create_key(plane, operator, KeyCreate(scope_id=team.id, name="second")),
        lambda: patch_key(plane, operator, key.id, KeyPatch(models=("none",))),
        lambda: rotate(plane, operator, key.id, KeyRotate()),
        lambda: revoke_key(plane, operator, key.id),
        lambda: block_team(plane, operator, team.id),
        lambda: delete_team(plane, operator, empty.id),
        lambda: create_user(plane, operator, UserCreate(organization_id=acme.id, email="bob@example.com", name="x")),
        lambda: grant_role(plane, operator, user.id, RoleBinding(scope_id=acme.id, role=Role.OWNER)),
    ):
        with pytest.raises(IntegrityError, match="the log is full"):
            attempt()
        assert everything(world) == rows
        assert world.snapshots.current is snapshot
    assert world.lookup(key.secret).models == ("*",)


def test_a_change_that_raises_after_its_rows_publishes_nothing(world, operator):
    acme = world.organization("acme")
    before = everything(world)
    snapshot = world.snapshots.current

    def fail() -> None:
        with change(world.plane, operator, "test", "team") as current:
            current.connection.execute(text("UPDATE scopes SET name = 'changed'"))
            current.keys = current.keys.without_scope(acme.id)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert everything(world) == before
    assert world.snapshots.current is snapshot


def test_concurrent_changes_are_all_kept_and_published(world, operator):
    team = world.team(world.organization("acme").id)
    live: set[str] = set()
    revoked: set[str] = set()
    failures: list[BaseException] = []

    def make(worker: int) -> None:
        try:
            for number in range(15):
                key = create_key(world.plane, operator, KeyCreate(scope_id=team.id, name=f"{worker}-{number}"))
                if number % 3 == 0:
                    revoke_key(world.plane, operator, key.id)
                    revoked.add(key.secret)
                else:
                    live.add(key.secret)
        except BaseException as error:
            failures.append(error)

    workers = [threading.Thread(target=make, args=(number,)) for number in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert failures == []
    assert (len(live), len(revoked)) == (60, 30)
    for directory in (world.snapshots.current.keys, world.reload()):
        assert len(directory) == 60
        assert all(directory.lookup(hash_secret(secret)) is not None for secret in live)
        assert all(directory.lookup(hash_secret(secret)) is None for secret in revoked)


def test_the_right_is_asked_on_the_path_and_what_cannot_be_seen_is_not_found(world):
    acme, globex = world.organization("acme"), world.organization("globex")
    viewer = world.person(acme.id, Role.VIEWER)
    seen = world.lookup(world.key(acme.id).secret).path
    unseen = world.lookup(world.key(globex.id).secret).path

    def ask(path):
        with change(world.plane, viewer, "test", "key") as current:
            current.allow(Permission.KEYS_WRITE, path, noun="key", seen_by=Permission.KEYS_READ)

    for path, error in ((seen, PermissionDeniedError), (unseen, NotFoundError), (None, NotFoundError)):
        with pytest.raises(error):
            ask(path)
    with pytest.raises(PermissionDeniedError):
        ask(())


def test_a_refusal_can_be_recorded_on_its_own(world):
    viewer = world.person(world.organization("acme").id, Role.VIEWER)
    error = PermissionDeniedError("no")
    record_refusal(world.plane, viewer, "models.list", error, object_kind="model")
    (event,) = world.events(outcome="denied")
    assert (event.action, event.object_kind, event.actor_id) == ("models.list", "model", viewer.id)
    assert event.organization_id == viewer.organization_id


def test_a_hostile_filter_finds_nothing_and_harms_nothing(world, operator):
    acme = world.organization("acme")
    world.team(acme.id)
    for hostile in ("' OR 1=1--", '"; DROP TABLE scopes; --', "%", "_", "\x00"):
        assert list_teams(world.plane, operator, TeamQuery(organization_id=hostile)).data == []
    assert len(list_organizations(world.plane, operator, ListQuery()).data) == 1
