"""The tree as somebody wants it: what `headgate apply` sends, and what the configuration file's block becomes."""

from typing import Annotated

from msgspec import Meta, Struct

from headgate.control.checks import (
    Email,
    Globs,
    LimitedName,
    Name,
    SecretDigest,
    Slug,
    TagKey,
    TagValue,
    Timestamp,
    TimeZone,
    Usd,
)
from headgate.control.rate_limits import RateFields
from headgate.control.residency import Residency
from headgate.domain.access import Role
from headgate.domain.limits import BudgetMode, Period


class DesiredBudget(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A budget, known by its period and mode on its thing."""

    amount_usd: Usd
    period: Period
    mode: BudgetMode = BudgetMode.ENFORCE


class DesiredRateLimits(RateFields, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All rate limits of a thing; with none of them given it shall have none."""


Budgets = Annotated[
    tuple[DesiredBudget, ...],
    Meta(max_length=10, description="All budgets that are wanted here; null leaves what others set."),
]


class DesiredNamedLimits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits of an end user, a model or a tag (`name=value`); `*`: each one for itself."""

    name: LimitedName
    budgets: Budgets | None = None
    rate_limits: DesiredRateLimits | None = None


class DesiredKey(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key, known by its name on its scope."""

    name: Name
    models: Globs = ("*",)
    sandbox: bool = False
    tags: dict[TagKey, TagValue] = {}
    expires_at: Timestamp | None = None
    secret: str | None = None
    """32 to 256 of `[A-Za-z0-9_-]`. Without it a new key gets a minted one, and a present key keeps its own."""
    secret_sha256: SecretDigest | None = None
    """In the place of `secret`: a key that another gateway issued and keeps by its SHA-256 goes on working."""
    blocked: bool | None = None
    """`None` leaves it as it is: nobody lifts an emergency block by applying a file again."""
    budgets: Budgets | None = None
    """All that this manager wants here; `None` leaves them as they are, likewise everywhere below."""
    rate_limits: DesiredRateLimits | None = None
    residency: Residency | None = None
    """`None` leaves it as it is, here and everywhere; one that restricts nothing takes it away."""

    def __repr__(self) -> str:
        return f"DesiredKey(name={self.name!r})"


class DesiredProject(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A project, known by its slug in its team."""

    slug: Slug
    name: Name | None = None
    """`None`: the slug."""
    keys: tuple[DesiredKey, ...] = ()
    blocked: bool | None = None
    budgets: Budgets | None = None
    rate_limits: DesiredRateLimits | None = None
    residency: Residency | None = None


class DesiredTeam(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A team, known by its slug in its organization."""

    slug: Slug
    name: Name | None = None
    keys: tuple[DesiredKey, ...] = ()
    projects: tuple[DesiredProject, ...] = ()
    blocked: bool | None = None
    budgets: Budgets | None = None
    rate_limits: DesiredRateLimits | None = None
    residency: Residency | None = None


class DesiredUser(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A person, known by the e-mail address."""

    email: Email
    name: Name
    roles: tuple[Role, ...] = ()
    """All roles on the organization; roles on other scopes stay as they are."""
    blocked: bool | None = None
    budgets: Budgets | None = None
    rate_limits: DesiredRateLimits | None = None
    residency: Residency | None = None


class DesiredOrganization(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An organization, known by its slug."""

    slug: Slug
    name: Name | None = None
    time_zone: TimeZone = "UTC"
    keys: tuple[DesiredKey, ...] = ()
    teams: tuple[DesiredTeam, ...] = ()
    users: tuple[DesiredUser, ...] = ()
    blocked: bool | None = None
    budgets: Budgets | None = None
    rate_limits: DesiredRateLimits | None = None
    residency: Residency | None = None
    end_users: tuple[DesiredNamedLimits, ...] | None = None
    models: tuple[DesiredNamedLimits, ...] | None = None
    tags: tuple[DesiredNamedLimits, ...] | None = None
