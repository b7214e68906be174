"""Every endpoint of the REST API on one screen; `headgate.identity.policy.ROUTES` must say the same."""

from typing import Final

from headgate.admin import (
    apply,
    audit,
    budget_events,
    budgets,
    cache,
    configuration,
    documents,
    keys,
    ledger,
    me,
    models,
    organizations,
    projects,
    rate_limits,
    requests,
    teams,
    tokens,
    usage,
    users,
)
from headgate.admin.endpoint import AnyEndpoint

ENDPOINTS: Final[tuple[AnyEndpoint, ...]] = (
    *me.ENDPOINTS,
    *organizations.ENDPOINTS,
    *teams.ENDPOINTS,
    *projects.ENDPOINTS,
    *users.ENDPOINTS,
    *keys.ENDPOINTS,
    *budgets.ENDPOINTS,
    *rate_limits.ENDPOINTS,
    *ledger.ENDPOINTS,
    *tokens.ENDPOINTS,
    *models.ENDPOINTS,
    *configuration.ENDPOINTS,
    *requests.ENDPOINTS,
    *usage.ENDPOINTS,
    *cache.ENDPOINTS,
    *budget_events.ENDPOINTS,
    *audit.ENDPOINTS,
    *apply.ENDPOINTS,
    *documents.ENDPOINTS,
)
