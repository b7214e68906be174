"""The two tables of authorisation: what each role may do, and what each route demands.

A route that is not here does not exist: `headgate.admin` refuses to build where its endpoints and `ROUTES` differ, and
a request that matches no row is refused at run time.
"""

from enum import StrEnum
from typing import Final

from msgspec import Struct

from headgate.domain.access import Permission, Role

P = Permission

_READ: Final = frozenset(
    {P.ME_READ, P.SCOPES_READ, P.KEYS_READ, P.BUDGETS_READ, P.MODELS_READ, P.USAGE_READ, P.REQUESTS_READ}
)
# A token carries no more than its owner's own rights, so everybody may have one.
_OWN_TOKENS: Final = frozenset({P.TOKENS_READ, P.TOKENS_WRITE})
_ADMINISTER: Final = frozenset(
    {P.SCOPES_WRITE, P.USERS_READ, P.USERS_WRITE, P.KEYS_WRITE, P.BUDGETS_WRITE, P.CACHE_WRITE, P.AUDIT_READ, P.APPLY},
)

ROLE_PERMISSIONS: Final[dict[Role, frozenset[Permission]]] = {
    Role.OWNER: _READ | _OWN_TOKENS | _ADMINISTER | {P.ORGANIZATIONS_WRITE},
    Role.ADMIN: _READ | _OWN_TOKENS | _ADMINISTER,
    Role.PUBLISHER: _READ | _OWN_TOKENS | {P.USERS_READ},
    Role.EDITOR: _READ | _OWN_TOKENS | {P.USERS_READ},
    Role.ANALYST: _READ | _OWN_TOKENS,
    Role.VIEWER: _READ | _OWN_TOKENS,
}
"""No role holds `INFER` (only virtual keys do) or `OPERATE` (only the admin token does)."""

ROLE_RANK: Final[dict[Role, int]] = {
    Role.OWNER: 6,
    Role.ADMIN: 5,
    Role.PUBLISHER: 4,
    Role.EDITOR: 3,
    Role.ANALYST: 2,
    Role.VIEWER: 1,
}
"""Nobody grants a role that ranks above his own."""


class Plane(StrEnum):
    """Which part of the server answers a route."""

    DATA = "data"
    OPERATIONS = "operations"
    ADMIN = "admin"


class Row(Struct, frozen=True):
    """One route and what it demands. ``path`` is a template such as ``/v1/models/{id}``."""

    method: str
    path: str
    permission: Permission
    plane: Plane = Plane.ADMIN


ROUTES: Final[tuple[Row, ...]] = (
    # Data plane: virtual keys.
    Row("POST", "/v1/chat/completions", P.INFER, Plane.DATA),
    Row("POST", "/chat/completions", P.INFER, Plane.DATA),
    Row("POST", "/v1/embeddings", P.INFER, Plane.DATA),
    Row("POST", "/embeddings", P.INFER, Plane.DATA),
    Row("POST", "/openai/deployments/{model}/chat/completions", P.INFER, Plane.DATA),
    Row("POST", "/openai/deployments/{model}/embeddings", P.INFER, Plane.DATA),
    Row("POST", "/v1/messages", P.INFER, Plane.DATA),
    Row("POST", "/v1/messages/count_tokens", P.INFER, Plane.DATA),
    Row("GET", "/v1/models", P.INFER, Plane.DATA),
    Row("GET", "/models", P.INFER, Plane.DATA),
    Row("GET", "/v1/models/{id}", P.INFER, Plane.DATA),
    Row("GET", "/models/{id}", P.INFER, Plane.DATA),
    # Operations: probes for anybody, the sandbox's meter for the operator.
    Row("GET", "/healthz", P.PUBLIC, Plane.OPERATIONS),
    Row("GET", "/readyz", P.PUBLIC, Plane.OPERATIONS),
    Row("GET", "/sandbox/meter", P.OPERATE, Plane.OPERATIONS),
    # Admin: people and the operator.
    Row("GET", "/admin/v1/openapi.json", P.ME_READ),
    Row("GET", "/admin/v1/docs", P.ME_READ),
    Row("GET", "/admin/v1/me", P.ME_READ),
    Row("GET", "/admin/v1/organizations", P.SCOPES_READ),
    Row("POST", "/admin/v1/organizations", P.ORGANIZATIONS_WRITE),
    Row("GET", "/admin/v1/organizations/{id}", P.SCOPES_READ),
    Row("PATCH", "/admin/v1/organizations/{id}", P.ORGANIZATIONS_WRITE),
    Row("DELETE", "/admin/v1/organizations/{id}", P.ORGANIZATIONS_WRITE),
    Row("POST", "/admin/v1/organizations/{id}/block", P.ORGANIZATIONS_WRITE),
    Row("POST", "/admin/v1/organizations/{id}/unblock", P.ORGANIZATIONS_WRITE),
    Row("GET", "/admin/v1/teams", P.SCOPES_READ),
    Row("POST", "/admin/v1/teams", P.SCOPES_WRITE),
    Row("GET", "/admin/v1/teams/{id}", P.SCOPES_READ),
    Row("PATCH", "/admin/v1/teams/{id}", P.SCOPES_WRITE),
    Row("DELETE", "/admin/v1/teams/{id}", P.SCOPES_WRITE),
    Row("POST", "/admin/v1/teams/{id}/block", P.SCOPES_WRITE),
    Row("POST", "/admin/v1/teams/{id}/unblock", P.SCOPES_WRITE),
    Row("GET", "/admin/v1/projects", P.SCOPES_READ),
    Row("POST", "/admin/v1/projects", P.SCOPES_WRITE),
    Row("GET", "/admin/v1/projects/{id}", P.SCOPES_READ),
    Row("PATCH", "/admin/v1/projects/{id}", P.SCOPES_WRITE),
    Row("DELETE", "/admin/v1/projects/{id}", P.SCOPES_WRITE),
    Row("POST", "/admin/v1/projects/{id}/block", P.SCOPES_WRITE),
    Row("POST", "/admin/v1/projects/{id}/unblock", P.SCOPES_WRITE),
    Row("GET", "/admin/v1/users", P.USERS_READ),
    Row("POST", "/admin/v1/users", P.USERS_WRITE),
    Row("GET", "/admin/v1/users/{id}", P.USERS_READ),
    Row("PATCH", "/admin/v1/users/{id}", P.USERS_WRITE),
    Row("DELETE", "/admin/v1/users/{id}", P.USERS_WRITE),
    Row("POST", "/admin/v1/users/{id}/block", P.USERS_WRITE),
    Row("POST", "/admin/v1/users/{id}/unblock", P.USERS_WRITE),
    Row("POST", "/admin/v1/users/{id}/roles", P.USERS_WRITE),
    Row("DELETE", "/admin/v1/users/{id}/roles/{scope_id}/{role}", P.USERS_WRITE),
    Row("GET", "/admin/v1/keys", P.KEYS_READ),
    Row("POST", "/admin/v1/keys", P.KEYS_WRITE),
    Row("GET", "/admin/v1/keys/{id}", P.KEYS_READ),
    Row("PATCH", "/admin/v1/keys/{id}", P.KEYS_WRITE),
    Row("DELETE", "/admin/v1/keys/{id}", P.KEYS_WRITE),
    Row("POST", "/admin/v1/keys/{id}/rotate", P.KEYS_WRITE),
    Row("POST", "/admin/v1/keys/{id}/block", P.KEYS_WRITE),
    Row("POST", "/admin/v1/keys/{id}/unblock", P.KEYS_WRITE),
    Row("GET", "/admin/v1/keys/{id}/status", P.KEYS_READ),
    Row("POST", "/admin/v1/keys/{id}/adjustments", P.BUDGETS_WRITE),
    Row("GET", "/admin/v1/budgets", P.BUDGETS_READ),
    Row("POST", "/admin/v1/budgets", P.BUDGETS_WRITE),
    Row("GET", "/admin/v1/budgets/{id}", P.BUDGETS_READ),
    Row("PATCH", "/admin/v1/budgets/{id}", P.BUDGETS_WRITE),
    Row("DELETE", "/admin/v1/budgets/{id}", P.BUDGETS_WRITE),
    Row("GET", "/admin/v1/budgets/{id}/status", P.BUDGETS_READ),
    Row("GET", "/admin/v1/rate-limits", P.BUDGETS_READ),
    Row("POST", "/admin/v1/rate-limits", P.BUDGETS_WRITE),
    Row("GET", "/admin/v1/rate-limits/{id}", P.BUDGETS_READ),
    Row("PATCH", "/admin/v1/rate-limits/{id}", P.BUDGETS_WRITE),
    Row("DELETE", "/admin/v1/rate-limits/{id}", P.BUDGETS_WRITE),
    Row("POST", "/admin/v1/ledger/verify", P.OPERATE),
    Row("GET", "/admin/v1/tokens", P.TOKENS_READ),
    Row("POST", "/admin/v1/tokens", P.TOKENS_WRITE),
    Row("GET", "/admin/v1/tokens/{id}", P.TOKENS_READ),
    Row("DELETE", "/admin/v1/tokens/{id}", P.TOKENS_WRITE),
    Row("GET", "/admin/v1/models", P.MODELS_READ),
    Row("GET", "/admin/v1/configuration", P.OPERATE),
    Row("POST", "/admin/v1/configuration/reload", P.OPERATE),
    Row("GET", "/admin/v1/requests", P.REQUESTS_READ),
    Row("GET", "/admin/v1/requests/{id}", P.REQUESTS_READ),
    Row("GET", "/admin/v1/usage", P.USAGE_READ),
    Row("GET", "/admin/v1/cache", P.USAGE_READ),
    Row("POST", "/admin/v1/cache/purge", P.CACHE_WRITE),
    Row("GET", "/admin/v1/budget-events", P.BUDGETS_READ),
    Row("GET", "/admin/v1/audit", P.AUDIT_READ),
    Row("POST", "/admin/v1/apply", P.APPLY),
)
