"""Budgets that passed a share of their limit."""

from typing import Final

from headgate.admin.endpoint import ROOT, Call, Endpoint
from headgate.control.budget_events import BudgetEventEntry, BudgetEventQuery, list_budget_events
from headgate.control.page import Page
from headgate.domain.access import Permission


def _list(call: Call[None, BudgetEventQuery]) -> Page[BudgetEventEntry]:
    return list_budget_events(call.site.plane, call.actor, call.query)


ENDPOINTS: Final = (
    Endpoint(
        name="list_budget_events",
        method="GET",
        path=f"{ROOT}/budget-events",
        permission=Permission.BUDGETS_READ,
        handler=_list,
        summary="Budgets that passed 50, 80 or 100 % of their limit, newest first.",
        query=BudgetEventQuery,
        response=Page[BudgetEventEntry],
    ),
)
