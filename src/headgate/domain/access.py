"""Who may do what: scopes, principals, virtual keys, roles and permissions.

Scopes form one tree (organization > team > project > user). A principal's *path* is its ancestors, outermost first;
everything that decides by scope takes a path and knows nothing of kinds.
"""

from enum import StrEnum
from typing import Final

from msgspec import Struct

from headgate.domain.residency import ResidencyPolicy


class ScopeKind(StrEnum):
    """The four levels of the tree."""

    ORGANIZATION = "organization"
    TEAM = "team"
    PROJECT = "project"
    USER = "user"


class ManagedBy(StrEnum):
    """Who owns a row: rows of the file are read-only elsewhere."""

    FILE = "file"
    APPLY = "apply"
    API = "api"


class ScopeRef(Struct, frozen=True):
    """One step of a path."""

    kind: ScopeKind
    id: str
    slug: str


Path = tuple[ScopeRef, ...]
"""Ancestors of a principal, organization first."""


class Priority(StrEnum):
    """Who comes first where the gateway is overloaded: a key's own tag `PRIORITY_TAG` says it."""

    CRITICAL = "critical"
    NORMAL = "normal"
    LOW = "low"


PRIORITY_TAG: Final = "headgate.priority"
"""Under a name of ours: other gateways' keys have a `priority` among their metadata, which means other things."""


class VirtualKey(Struct, frozen=True):
    """What we issue. The secret is not here: only its SHA-256 is kept, and that is the directory's index."""

    id: str
    name: str
    path: Path
    """The scope the key hangs on, with its ancestors; ``path[0]`` is the organization (tenant)."""
    models: tuple[str, ...]
    """Globs of the model names it may send; ``"*"`` never grants the sandbox (see ``sandbox``)."""
    sandbox: bool = False
    """Whether ``"*"`` grants ``sandbox/*`` too (keys made by ``make run`` and ``demo``)."""
    tags: tuple[tuple[str, str], ...] = ()
    expires_at_ms: int | None = None
    blocked: bool = False
    """The key or a scope on its path is blocked."""
    residency: ResidencyPolicy | None = None
    """What the policies of the key and of all its path permit together; ``None`` where there are none."""


class Role(StrEnum):
    """Roles on a scope; each includes the rights on everything below that scope."""

    OWNER = "owner"
    ADMIN = "admin"
    PUBLISHER = "publisher"
    EDITOR = "editor"
    ANALYST = "analyst"
    VIEWER = "viewer"


class Permission(StrEnum):
    """What a route demands. `PUBLIC` routes still pass the table: no route exists without a row."""

    PUBLIC = "public"
    INFER = "infer"
    """Held by virtual keys only; no administrator has it."""
    OPERATE = "operate"
    """The operator of the installation: the admin token, and nobody else."""
    ME_READ = "me:read"
    SCOPES_READ = "scopes:read"
    SCOPES_WRITE = "scopes:write"
    ORGANIZATIONS_WRITE = "organizations:write"
    USERS_READ = "users:read"
    USERS_WRITE = "users:write"
    KEYS_READ = "keys:read"
    KEYS_WRITE = "keys:write"
    BUDGETS_READ = "budgets:read"
    BUDGETS_WRITE = "budgets:write"
    TOKENS_READ = "tokens:read"
    TOKENS_WRITE = "tokens:write"
    REQUESTS_READ = "requests:read"
    USAGE_READ = "usage:read"
    MODELS_READ = "models:read"
    CACHE_WRITE = "cache:write"
    AUDIT_READ = "audit:read"
    APPLY = "apply"
