"""Every endpoint of the REST API on one screen; `headgate.identity.policy.ROUTES` must say the same."""

from typing import Final

from headgate.admin import (
    apply,
    audit,
    budget_events,
    documents,
    keys,
    me,
    models,
    organizations,
    projects,
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
    *tokens.ENDPOINTS,
    *models.ENDPOINTS,
    *requests.ENDPOINTS,
    *usage.ENDPOINTS,
    *budget_events.ENDPOINTS,
    *audit.ENDPOINTS,
    *apply.ENDPOINTS,
    *documents.ENDPOINTS,
)
