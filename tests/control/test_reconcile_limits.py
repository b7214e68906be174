"""Limits in what `apply` sends: what it owns, what it leaves, and what its caller may not raise."""

from typing import Any

import msgspec
import pytest

from headgate.control.apply import ApplyDocument, ApplyRequest, apply
from headgate.control.budgets import (
    BudgetCreate,
    BudgetOverridePatch,
    BudgetPatch,
    BudgetQuery,
    create_budget,
    list_budgets,
    patch_budget,
)
from headgate.control.provision import provision
from headgate.control.rate_limits import RateLimitsQuery, list_rate_limits
from headgate.control.teams import TeamQuery, list_teams
from headgate.domain.access import Role
from headgate.domain.errors import PermissionDeniedError, ProvisionedReadOnlyError, ValidationFailedError
from headgate.domain.limits import Period
from headgate.settings.model import ProvisionedBudget, ProvisionedOrganization

MONTH = {"amount_usd": "10", "period": "month"}
DAY = {"amount_usd": "2", "period": "day"}


def document(team: dict[str, Any], **organization: Any) -> dict[str, Any]:
    return {"organizations": [{"slug": "acme", "teams": [{"slug": "ml", **team}], **organization}]}


def run(world, actor, team: dict[str, Any], *, plan: bool = False, prune: bool = False, **organization: Any):
    body = msgspec.convert(document(team, **organization), ApplyDocument)
    result = apply(world.plane, actor, ApplyRequest(document=body, plan=plan, prune=prune))
    return [(str(step.action), step.path) for step in result.changes]


def amounts(world, operator) -> list[str]:
    return sorted(budget.amount_usd for budget in list_budgets(world.plane, operator, BudgetQuery()).data)


def test_a_list_is_all_that_is_wanted_and_no_list_wants_nothing(world, operator):
    run(world, operator, {"budgets": [MONTH, DAY], "rate_limits": {"rpm": 60}})
    assert run(world, operator, {"budgets": [DAY]}) == [("prune", "acme/ml/month")]
    assert run(world, operator, {}) == []
    assert run(world, operator, {}, prune=True) == []
    assert run(world, operator, {"budgets": [], "rate_limits": {}}) == [
        ("prune", "acme/ml/day"),
        ("prune", "acme/ml"),
    ]
    assert len(world.snapshots.current.limits) == 0


def test_what_others_set_stays_or_is_taken_over_where_it_is_named(world, operator):
    run(world, operator, {"budgets": []})
    team = list_teams(world.plane, operator, TeamQuery()).data[0].id
    for amount, period in (("7", Period.WEEK), ("8", Period.DAY)):
        create_budget(world.plane, operator, BudgetCreate(scope_id=team, amount_usd=amount, period=period))
    assert run(world, operator, {"budgets": [DAY]}) == [("update", "acme/ml/day")]
    assert amounts(world, operator) == ["2", "7"]
    assert run(world, operator, {"budgets": []}) == [("prune", "acme/ml/day")]
    assert amounts(world, operator) == ["7"]


def test_an_override_outlives_the_same_document(world, operator):
    run(world, operator, {"budgets": [DAY]})
    (made,) = list_budgets(world.plane, operator, BudgetQuery()).data
    override = BudgetOverridePatch(amount_usd="5", until="2199-01-01T00:00:00Z")
    changed = patch_budget(world.plane, operator, made.id, BudgetPatch(override=override))
    assert run(world, operator, {"budgets": [DAY]}) == []
    assert list_budgets(world.plane, operator, BudgetQuery()).data == [changed]


def test_rate_limits_are_written_over_as_a_whole(world, operator):
    run(world, operator, {"rate_limits": {"rpm": 60, "tpm": 5}})
    assert run(world, operator, {"rate_limits": {"tpm": 5, "tpm_mode": "strict"}}) == [("update", "acme/ml")]
    (made,) = list_rate_limits(world.plane, operator, RateLimitsQuery()).data
    assert (made.rpm, made.tpm, made.tpm_mode, made.managed_by) == (None, 5, "strict", "apply")


def test_a_name_that_the_list_drops_loses_its_limits(world, operator):
    named = [{"name": "*", "budgets": [DAY]}, {"name": "gpt-4o", "budgets": [MONTH], "rate_limits": {"tpm": 1}}]
    run(world, operator, {}, models=named)
    assert run(world, operator, {}, models=named[:1]) == [
        ("prune", "acme/models/gpt-4o/month"),
        ("prune", "acme/models/gpt-4o"),
    ]
    assert run(world, operator, {}) == []
    assert run(world, operator, {}, models=[]) == [("prune", "acme/models/*/day")]


def test_a_plan_says_all_and_does_nothing(world, operator):
    run(world, operator, {})
    before = world.snapshots.current
    assert run(world, operator, {"budgets": [DAY]}, plan=True) == [("create", "acme/ml/day")]
    assert world.snapshots.current is before
    assert amounts(world, operator) == []


def test_pruning_ends_a_keys_limits_with_it(world, operator):
    run(world, operator, {"keys": [{"name": "prod", "budgets": [DAY], "rate_limits": {"rpm": 1}}]})
    assert run(world, operator, {"keys": []}) == []
    assert run(world, operator, {"keys": []}, prune=True) == [
        ("prune", "acme/ml/prod"),
        ("prune", "acme/ml/prod/day"),
        ("prune", "acme/ml/prod"),
    ]
    assert len(world.snapshots.current.limits) == 0


def test_what_pruning_can_only_block_keeps_its_limits(world, operator):
    team = {"budgets": [DAY], "keys": [{"name": "prod", "budgets": [DAY]}]}
    run(world, operator, team)
    empty = ApplyRequest(document=ApplyDocument(organizations=()), prune=True)
    done = apply(world.plane, operator, empty)
    assert [(str(step.action), step.path) for step in done.changes][1:] == [
        ("block", "acme/ml"),
        ("block", "acme"),
        ("prune", "acme/ml/prod/day"),
    ]
    (kept,) = list_budgets(world.plane, operator, BudgetQuery()).data
    assert kept.scope_id == list_teams(world.plane, operator, TeamQuery()).data[0].id


def test_nobody_raises_his_own_limit_by_a_document(world, operator):
    run(world, operator, {"budgets": [DAY]}, budgets=[MONTH])
    acme = list_teams(world.plane, operator, TeamQuery()).data[0].organization_id
    owner = world.person(acme, Role.OWNER)
    assert run(world, owner, {"budgets": [{**DAY, "amount_usd": "3"}]}) == [("update", "acme/ml/day")]
    for budgets in ([], [{**MONTH, "amount_usd": "11"}], [MONTH, DAY]):
        with pytest.raises(PermissionDeniedError, match=r"^acme"):
            run(world, owner, {}, budgets=budgets)
    with pytest.raises(PermissionDeniedError, match=r"^acme"):
        run(world, owner, {}, rate_limits={"rpm": 1})
    assert run(world, owner, {}, budgets=[MONTH]) == []


def test_a_branch_may_be_lowered_together_and_not_turned_upside_down(world, operator):
    run(world, operator, {"budgets": [MONTH]}, budgets=[MONTH])
    half = {"amount_usd": "5", "period": "month"}
    assert len(run(world, operator, {"budgets": [half]}, budgets=[half])) == 2
    with pytest.raises(ValidationFailedError, match=r"^acme/ml/month"):
        run(world, operator, {"budgets": [MONTH]}, budgets=[half])
    with pytest.raises(ValidationFailedError, match=r"^acme/month"):
        run(world, operator, {}, budgets=[{**half, "amount_usd": "4"}])
    assert amounts(world, operator) == ["5", "5"]


def test_what_the_file_limits_is_nobody_elses(world, operator):
    file = ProvisionedOrganization(slug="acme", name="acme", budgets=(ProvisionedBudget(10_000_000_000, Period.MONTH),))
    provision(world.plane, [file])
    assert ("create", "acme/month") not in run(world, operator, {}, budgets=[MONTH])
    with pytest.raises(ProvisionedReadOnlyError, match=r"^acme/month"):
        run(world, operator, {}, budgets=[{**MONTH, "amount_usd": "9"}])
    assert run(world, operator, {}, budgets=[]) == []
    assert amounts(world, operator) == ["10"]
