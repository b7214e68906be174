"""Budgets: set from above, changed with the version that was read, and how much of them is left."""

from typing import Final

from headgate.admin.endpoint import ROOT, Call, Endpoint, IfMatch
from headgate.control import budgets as use_cases
from headgate.control.budgets import Budget, BudgetCreate, BudgetPatch, BudgetQuery
from headgate.control.page import Page
from headgate.control.statuses import BudgetAccounts, get_budget_status
from headgate.domain.access import Permission
from headgate.domain.errors import ConflictError, LedgerUnavailableError, NotFoundError, ProvisionedReadOnlyError


def _list(call: Call[None, BudgetQuery]) -> Page[Budget]:
    return use_cases.list_budgets(call.site.plane, call.actor, call.query)


def _create(call: Call[BudgetCreate, None]) -> Budget:
    return use_cases.create_budget(call.site.plane, call.actor, call.body)


def _read(call: Call[None, None]) -> Budget:
    return use_cases.get_budget(call.site.plane, call.actor, call.path["id"])


def _patch(call: Call[BudgetPatch, None]) -> Budget:
    return use_cases.patch_budget(call.site.plane, call.actor, call.path["id"], call.body, call.if_match)


def _delete(call: Call[None, None]) -> None:
    use_cases.delete_budget(call.site.plane, call.actor, call.path["id"], call.if_match)


def _status(call: Call[None, None]) -> BudgetAccounts:
    return get_budget_status(call.site.plane, call.actor, call.path["id"])


ENDPOINTS: Final = (
    Endpoint(
        name="list_budgets",
        method="GET",
        path=f"{ROOT}/budgets",
        permission=Permission.BUDGETS_READ,
        handler=_list,
        summary="List budgets, newest first.",
        query=BudgetQuery,
        response=Page[Budget],
    ),
    Endpoint(
        name="create_budget",
        method="POST",
        path=f"{ROOT}/budgets",
        permission=Permission.BUDGETS_WRITE,
        handler=_create,
        summary="Set a budget on a scope or a key, or on an end user, a model or a tag of an organization.",
        body=BudgetCreate,
        response=Budget,
        status=201,
        errors=(NotFoundError, ConflictError),
    ),
    Endpoint(
        name="read_budget",
        method="GET",
        path=f"{ROOT}/budgets/{{id}}",
        permission=Permission.BUDGETS_READ,
        handler=_read,
        summary="Read one budget.",
        response=Budget,
    ),
    Endpoint(
        name="update_budget",
        method="PATCH",
        path=f"{ROOT}/budgets/{{id}}",
        permission=Permission.BUDGETS_WRITE,
        handler=_patch,
        summary="Change a budget's amount, mode or override.",
        body=BudgetPatch,
        response=Budget,
        if_match=IfMatch.REQUIRED,
        errors=(ConflictError, ProvisionedReadOnlyError),
    ),
    Endpoint(
        name="delete_budget",
        method="DELETE",
        path=f"{ROOT}/budgets/{{id}}",
        permission=Permission.BUDGETS_WRITE,
        handler=_delete,
        summary="Take a budget away.",
        status=204,
        if_match=IfMatch.HONOURED,
        errors=(ProvisionedReadOnlyError,),
    ),
    Endpoint(
        name="read_budget_status",
        method="GET",
        path=f"{ROOT}/budgets/{{id}}/status",
        permission=Permission.BUDGETS_READ,
        handler=_status,
        summary="Read what was spent of a budget in the present period, what is held, and what is free.",
        response=BudgetAccounts,
        errors=(LedgerUnavailableError,),
    ),
)
