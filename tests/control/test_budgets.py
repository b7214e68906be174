"""Budgets: who may set them, what they may say, and that the data plane sees each change at once."""

import pytest
from msgspec.structs import replace

from headgate.control import budgets
from headgate.control.budgets import (
    BudgetCreate,
    BudgetOverride,
    BudgetOverridePatch,
    BudgetPatch,
    BudgetQuery,
    create_budget,
    delete_budget,
    get_budget,
    list_budgets,
    patch_budget,
)
from headgate.control.keys import revoke_key
from headgate.control.organizations import OrganizationPatch, delete_organization, patch_organization
from headgate.control.plane import change
from headgate.control.publish import load_limits
from headgate.control.teams import delete_team
from headgate.domain.access import ManagedBy, Role
from headgate.domain.errors import (
    ConflictError,
    NotFoundError,
    PermissionDeniedError,
    PreconditionFailedError,
    ProvisionedReadOnlyError,
    ValidationFailedError,
)
from headgate.domain.limits import BudgetMode, LimitedKind, Override, Period
from headgate.ledger.limit_book import LimitBook
from headgate.storage.tables import budgets as table

LATER = "2026-12-31T00:00:00.000Z"
USD = 1_000_000_000


def make(world, operator, scope_id: str, amount: str = "10", period: Period = Period.MONTH, **fields):
    world.tick()
    body = BudgetCreate(scope_id=scope_id, amount_usd=amount, period=period, **fields)
    return create_budget(world.plane, operator, body)


def amounts(world, key, **named) -> list[tuple[str, int]]:
    """What the data plane holds of a key's path: kind and nano-USD."""
    found = world.lookup(key.secret)
    lines = world.snapshots.current.limits.path(found.path, found.id, **named).budgets
    return [(line.kind.value, line.budget.amount_nano_usd) for line in lines]


def same(one: LimitBook, other: LimitBook) -> bool:
    return (one._limits, one._zones, one._named) == (other._limits, other._zones, other._named)


@pytest.fixture
def acme(world):
    return world.organization("acme")


def test_a_budget_binds_from_the_moment_it_is_made_until_it_is_deleted(world, operator, acme):
    key = world.key(world.team(acme.id).id)
    made = make(world, operator, key.id, "0.000000001")
    assert (made.scope_id, made.amount_usd, made.period, made.mode) == (key.id, "0.000000001", "month", "enforce")
    assert (made.end_user, made.model, made.tag, made.override, made.version) == (None, None, None, None, 1)
    assert amounts(world, key) == [("key", 1)]
    changed = patch_budget(world.plane, operator, made.id, BudgetPatch(amount_usd="2.50"), if_match=1)
    assert (changed.amount_usd, changed.version) == ("2.5", 2)
    assert amounts(world, key) == [("key", 2_500_000_000)]
    assert get_budget(world.plane, operator, made.id) == changed
    delete_budget(world.plane, operator, made.id, if_match=2)
    assert amounts(world, key) == []
    with pytest.raises(NotFoundError):
        get_budget(world.plane, operator, made.id)


def test_every_level_and_every_name_has_budgets_of_its_own(world, operator, acme):
    team = world.team(acme.id)
    key = world.key(world.project(team.id).id)
    make(world, operator, acme.id, "5")
    make(world, operator, team.id, "4")
    make(world, operator, key.id, "3")
    make(world, operator, key.id, "3", Period.DAY)
    make(world, operator, acme.id, "2", model="gpt-4o")
    make(world, operator, acme.id, "1", end_user="*")
    make(world, operator, acme.id, "0", tag="env=prod")
    scopes = [("organization", 5 * USD), ("team", 4 * USD), ("key", 3 * USD), ("key", 3 * USD)]
    assert amounts(world, key) == scopes
    named = amounts(world, key, end_user="ada", model="gpt-4o", tags=[("env", "prod")])
    assert named == [*scopes, ("end_user", USD), ("model", 2 * USD), ("tag", 0)]


def test_a_restart_reads_exactly_what_the_changes_published(world, operator, acme):
    key = world.key(acme.id)
    for scope_id, fields in ((acme.id, {}), (key.id, {}), (acme.id, {"model": "*"}), (acme.id, {"tag": "a=b"})):
        make(world, operator, scope_id, **fields)
    doomed = make(world, operator, key.id, "1", Period.DAY)
    override = BudgetOverride(amount_usd="7", until=LATER)
    make(world, operator, key.id, "7", Period.TOTAL, override=override)
    delete_budget(world.plane, operator, doomed.id)
    patch_organization(world.plane, operator, acme.id, OrganizationPatch(time_zone="Asia/Tokyo"))
    world.organization("globex")
    assert same(load_limits(world.database), world.snapshots.current.limits)
    found = world.lookup(key.secret)
    assert world.snapshots.current.limits.path(found.path, found.id).time_zone == "Asia/Tokyo"


@pytest.mark.parametrize(
    "amount",
    ["", "NaN", "inf", "-1", "1e3", "1.0000000001", "9000000.000000001", "99999999", "1_0", " 1", "1\n", "١", "true"],
)
def test_an_amount_that_is_none_is_refused_by_name(world, operator, acme, amount):
    with pytest.raises(ValidationFailedError) as refused:
        make(world, operator, acme.id, amount)
    assert refused.value.param == "amount_usd"
    override = BudgetOverridePatch(amount_usd=amount, until=LATER)
    made = make(world, operator, acme.id)
    with pytest.raises(ValidationFailedError) as refused:
        patch_budget(world.plane, operator, made.id, BudgetPatch(override=override))
    assert refused.value.param == "override.amount_usd"


def test_the_largest_amount_is_kept_exactly(world, operator, acme):
    assert make(world, operator, acme.id, "9000000").amount_usd == "9000000"


def test_a_second_budget_of_a_period_and_mode_is_a_conflict(world, operator, acme):
    first = make(world, operator, acme.id)
    second = make(world, operator, acme.id, mode=BudgetMode.AUDIT)
    make(world, operator, acme.id, model="gpt-4o")
    for attempt in (
        lambda: make(world, operator, acme.id),
        lambda: patch_budget(world.plane, operator, second.id, BudgetPatch(mode=BudgetMode.ENFORCE)),
    ):
        with pytest.raises(ConflictError) as refused:
            attempt()
        assert refused.value.param == "period"
        assert first.id in refused.value.message


def test_an_override_is_merged_and_taken_out(world, operator, acme):
    made = make(world, operator, acme.id, override=BudgetOverride(amount_usd="20", until=LATER))
    patch = BudgetPatch(override=BudgetOverridePatch(amount_usd="30"))
    changed = patch_budget(world.plane, operator, made.id, patch)
    assert changed.override == BudgetOverride(amount_usd="30", until=LATER)
    with world.database.read() as connection:
        (row,) = budgets.find_budgets(connection, table.c.id == made.id)
    assert row.budget.override == Override(30 * USD, row.override_until_ms)
    assert patch_budget(world.plane, operator, made.id, BudgetPatch(override=None)).override is None
    for half, missing in (
        (BudgetOverridePatch(amount_usd="1"), "until"),
        (BudgetOverridePatch(until=LATER), "amount_usd"),
    ):
        with pytest.raises(ValidationFailedError) as refused:
            patch_budget(world.plane, operator, made.id, BudgetPatch(override=half))
        assert refused.value.param == f"override.{missing}"
    past = BudgetOverridePatch(amount_usd="1", until="2020-01-01T00:00:00Z")
    with pytest.raises(ValidationFailedError) as refused:
        patch_budget(world.plane, operator, made.id, BudgetPatch(override=past))
    assert refused.value.param == "override.until"


def test_a_patch_that_changes_nothing_leaves_version_and_log_alone(world, operator, acme):
    made = make(world, operator, acme.id)
    events, snapshot = world.event_count(), world.snapshots.current
    assert patch_budget(world.plane, operator, made.id, BudgetPatch(amount_usd="10.00")) == made
    assert (world.event_count(), world.snapshots.current) == (events, snapshot)
    with pytest.raises(PreconditionFailedError):
        patch_budget(world.plane, operator, made.id, BudgetPatch(amount_usd="1"), if_match=2)


def test_each_change_is_in_the_audit_log_of_its_tenant(world, operator, acme):
    made = make(world, operator, acme.id, end_user="ada")
    patch_budget(world.plane, operator, made.id, BudgetPatch(amount_usd="1"))
    delete_budget(world.plane, operator, made.id)
    deleted, updated, created = world.events(object_id=made.id)
    assert [event.action for event in (created, updated, deleted)] == [
        "budget.create",
        "budget.update",
        "budget.delete",
    ]
    assert {event.organization_id for event in (created, updated, deleted)} == {acme.id}
    assert (created.after["scope_id"], created.after["end_user"], created.after["amount_usd"]) == (acme.id, "ada", "10")
    assert (updated.before, updated.after) == ({"amount_usd": "10"}, {"amount_usd": "1"})


def test_nobody_raises_his_own_limit(world, operator, acme):
    team = world.team(acme.id)
    project, key = world.project(team.id), world.key(team.id)
    lead = world.person(acme.id, Role.ADMIN, "lead@example.com", scope_id=team.id)
    owner = world.person(acme.id, Role.OWNER)
    for scope_id, actor in ((acme.id, owner), (team.id, lead)):
        budget = make(world, operator, scope_id)
        with pytest.raises(PermissionDeniedError):
            make(world, actor, scope_id, "1", Period.DAY)
        with pytest.raises(PermissionDeniedError):
            patch_budget(world.plane, actor, budget.id, BudgetPatch(amount_usd="11"))
        with pytest.raises(PermissionDeniedError):
            delete_budget(world.plane, actor, budget.id)
        assert get_budget(world.plane, actor, budget.id) == budget
    (event, *_) = world.events(outcome="denied")
    assert (event.reason, event.actor_id) == ("permission_denied", lead.id)
    assert make(world, owner, team.id, "1", Period.DAY).period == "day"
    assert make(world, lead, project.id).scope_id == project.id
    assert make(world, lead, key.id).scope_id == key.id
    assert make(world, owner, acme.id, model="gpt-4o").model == "gpt-4o"
    with pytest.raises(NotFoundError):
        make(world, lead, acme.id, "1", Period.DAY, model="gpt-4o")


@pytest.mark.parametrize("role", [Role.VIEWER, Role.ANALYST, Role.EDITOR, Role.PUBLISHER])
def test_other_roles_read_and_set_none(world, operator, acme, role):
    key = world.key(acme.id)
    made = make(world, operator, key.id)
    actor = world.person(acme.id, role)
    assert list_budgets(world.plane, actor, BudgetQuery()).data == [made]
    with pytest.raises(PermissionDeniedError):
        make(world, actor, key.id, "1", Period.DAY)


def test_lists_hold_what_the_reader_may_see_and_asks_for(world, operator, acme):
    team, other = world.team(acme.id, "ml"), world.team(acme.id, "other")
    key = world.key(team.id)
    made = [
        make(world, operator, acme.id),
        make(world, operator, team.id),
        make(world, operator, key.id),
        make(world, operator, other.id),
        make(world, operator, acme.id, end_user="ada"),
    ]
    globex = make(world, operator, world.organization("globex").id)

    def ids(actor, **query):
        return [budget.id for budget in list_budgets(world.plane, actor, BudgetQuery(**query)).data]

    newest = [budget.id for budget in reversed(made)]
    assert ids(operator) == [globex.id, *newest]
    assert ids(operator, organization_id=acme.id) == newest
    assert ids(operator, scope_id=acme.id) == [made[4].id, made[0].id]
    assert ids(operator, scope_id=key.id) == [made[2].id]
    assert ids(world.person(acme.id, Role.VIEWER, scope_id=team.id)) == [made[2].id, made[1].id]
    first = list_budgets(world.plane, operator, BudgetQuery(limit=2))
    rest = list_budgets(world.plane, operator, BudgetQuery(cursor=first.next_cursor))
    assert [budget.id for budget in (*first.data, *rest.data)] == [globex.id, *newest]


def test_what_the_file_manages_is_changed_there(world, operator, acme):
    made = make(world, operator, acme.id)
    with change(world.plane, operator, "test", "test") as current:
        (row,) = budgets.find_budgets(current.connection, table.c.id == made.id)
        budgets.write_budget(current, row, replace(row, managed_by=ManagedBy.FILE))
    with pytest.raises(ProvisionedReadOnlyError):
        patch_budget(world.plane, operator, made.id, BudgetPatch(amount_usd="1"))
    with pytest.raises(ProvisionedReadOnlyError):
        delete_budget(world.plane, operator, made.id)


@pytest.mark.parametrize("names", [{"end_user": "a", "model": "b"}, {"model": "a", "tag": "b=c"}])
def test_a_limit_hangs_on_one_thing(world, operator, acme, names):
    with pytest.raises(ValidationFailedError) as refused:
        make(world, operator, acme.id, **names)
    assert refused.value.param == list(names)[1]


@pytest.mark.parametrize("tag", ["env", "=prod", "env=", "a\nb=c", "", "x" * 257])
def test_a_tag_is_a_name_and_a_value(world, operator, acme, tag):
    with pytest.raises(ValidationFailedError) as refused:
        make(world, operator, acme.id, tag=tag)
    assert refused.value.param == "tag"


def test_names_go_with_an_organization_only(world, operator, acme):
    team = world.team(acme.id)
    for scope_id in (team.id, world.key(team.id).id):
        with pytest.raises(ValidationFailedError) as refused:
            make(world, operator, scope_id, model="gpt-4o")
        assert refused.value.param == "model"


def test_a_revoked_key_gets_no_budget_and_its_own_stands_in_nobodys_way(world, operator, acme):
    key = world.key(acme.id)
    parent = make(world, operator, acme.id, "10")
    make(world, operator, key.id, "10")
    revoke_key(world.plane, operator, key.id)
    with pytest.raises(ConflictError):
        make(world, operator, key.id, "1", Period.DAY)
    assert patch_budget(world.plane, operator, parent.id, BudgetPatch(amount_usd="1")).amount_usd == "1"


def test_a_childs_budget_is_never_above_that_of_a_thing_above_it_for_the_same_period(world, operator, acme):
    team = world.team(acme.id)
    key = world.key(world.project(team.id).id)
    parent = make(world, operator, acme.id, "10")
    with pytest.raises(ValidationFailedError) as refused:
        make(world, operator, key.id, "10.000000001")
    assert (refused.value.param, parent.id in refused.value.message) == ("amount_usd", True)
    child = make(world, operator, key.id, "10")
    make(world, operator, team.id, "10")
    make(world, operator, world.key(team.id, "other").id, "10")
    with pytest.raises(ValidationFailedError) as refused:
        patch_budget(world.plane, operator, child.id, BudgetPatch(amount_usd="11"))
    assert parent.id in refused.value.message
    with pytest.raises(ValidationFailedError) as refused:
        patch_budget(world.plane, operator, parent.id, BudgetPatch(amount_usd="9"))
    assert refused.value.param == "amount_usd"
    assert get_budget(world.plane, operator, parent.id).amount_usd == "10"
    assert amounts(world, key)[0] == ("organization", 10 * USD)
    with pytest.raises(ValidationFailedError):
        make(world, operator, acme.id, "11", model="gpt-4o")


def test_other_periods_and_modes_are_not_compared(world, operator, acme):
    key = world.key(acme.id)
    make(world, operator, acme.id, "10")
    make(world, operator, key.id, "11", Period.DAY)
    assert make(world, operator, key.id, "11", mode=BudgetMode.AUDIT).mode == "audit"
    make(world, operator, acme.id, "1", Period.DAY, mode=BudgetMode.AUDIT)


def test_an_override_may_go_as_high_as_the_parents_goes(world, operator, acme):
    key = world.key(acme.id)
    override = BudgetOverride(amount_usd="20", until=LATER)
    parent = make(world, operator, acme.id, "10")
    with pytest.raises(ValidationFailedError) as refused:
        make(world, operator, key.id, "10", override=override)
    assert refused.value.param == "override.amount_usd"
    patch = BudgetPatch(override=BudgetOverridePatch(amount_usd="20", until=LATER))
    patch_budget(world.plane, operator, parent.id, patch)
    make(world, operator, key.id, "10", override=override)
    with pytest.raises(ValidationFailedError):
        patch_budget(world.plane, operator, parent.id, BudgetPatch(override=None))
    world.tick(86_400_000 * 365)
    assert patch_budget(world.plane, operator, parent.id, BudgetPatch(override=None)).override is None


def test_limits_go_with_their_scope(world, operator, acme):
    team = world.team(acme.id)
    kept = make(world, operator, acme.id)
    gone = make(world, operator, team.id)
    delete_team(world.plane, operator, team.id)
    assert list_budgets(world.plane, operator, BudgetQuery()).data == [kept]
    assert [event.action for event in world.events(object_id=gone.id)] == ["budget.delete", "budget.create"]
    assert len(world.snapshots.current.limits) == 1
    make(world, operator, acme.id, end_user="*")
    delete_organization(world.plane, operator, acme.id)
    assert len(world.snapshots.current.limits) == 0
    assert list_budgets(world.plane, operator, BudgetQuery()).data == []


def test_the_ledger_keeps_the_newest_amount_whatever_an_older_snapshot_says(world, operator, acme):
    key = world.key(acme.id)
    made = make(world, operator, key.id, "10")
    old = world.snapshots.current
    patch_budget(world.plane, operator, made.id, BudgetPatch(amount_usd="1"))
    found = world.lookup(key.secret)
    for snapshot in (world.snapshots.current, old):
        status = world.plane.ledger.status(snapshot.limits.path(found.path, found.id))
        assert [(line.kind, line.limit) for line in status.budgets] == [(LimitedKind.KEY, USD)]
