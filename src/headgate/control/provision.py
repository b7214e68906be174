"""The configuration file's organizations: made at every start and reload, read-only elsewhere, blocked once dropped."""

from collections.abc import Sequence
from typing import Final

from msgspec.structs import asdict

from headgate.control.desired import (
    DesiredBudget,
    DesiredKey,
    DesiredNamedLimits,
    DesiredOrganization,
    DesiredProject,
    DesiredRateLimits,
    DesiredTeam,
    DesiredUser,
)
from headgate.control.plane import Change, Plane, change
from headgate.control.planned import PlannedChange
from headgate.control.reconcile import Absent, Reconciler
from headgate.control.residency import Residency, show_residency
from headgate.domain.access import ManagedBy, Role
from headgate.domain.errors import ValidationFailedError
from headgate.domain.money import format_usd
from headgate.domain.residency import ResidencyPolicy
from headgate.identity.actor import Actor, ActorKind
from headgate.settings.model import (
    ProvisionedBudget,
    ProvisionedKey,
    ProvisionedNamedLimits,
    ProvisionedOrganization,
    ProvisionedProject,
    ProvisionedRateLimits,
    ProvisionedTeam,
    ProvisionedUser,
)

FILE_ACTOR: Final = Actor(kind=ActorKind.SYSTEM, id="configuration")
"""Who acts where nobody asked through the admin API: a start, and a reload by signal."""


def provision(plane: Plane, organizations: Sequence[ProvisionedOrganization]) -> tuple[PlannedChange, ...]:
    """Make the rows what the file says, and return what that took: nothing the second time.

    Raises:
        HeadgateError: the file contradicts itself or the database, such as a secret that belongs to another key; the
            words begin with the place in the tree.
    """
    with change(plane, FILE_ACTOR, "provision", "installation") as current:
        return provision_within(current, organizations)


def provision_within(current: Change, organizations: Sequence[ProvisionedOrganization]) -> tuple[PlannedChange, ...]:
    """Do what `provision` does as a part of another change; raises what it raises."""
    reconciler = Reconciler(current, ManagedBy.FILE, Absent.BLOCK)
    return reconciler.run([_organization(organization) for organization in organizations])


def _organization(settings: ProvisionedOrganization) -> DesiredOrganization:
    return DesiredOrganization(
        slug=settings.slug,
        name=settings.name,
        time_zone=settings.time_zone,
        keys=_keys(settings.keys),
        teams=tuple(_team(team) for team in settings.teams),
        users=tuple(_user(user) for user in settings.users),
        # Only leaving the file blocks what the file made, so coming back lifts it.
        blocked=False,
        budgets=_budgets(settings.budgets),
        rate_limits=_rate_limits(settings.rate_limits),
        residency=_residency(settings.residency),
        end_users=_named(settings.end_users),
        models=_named(settings.models),
        tags=_named(settings.tags),
    )


def _team(settings: ProvisionedTeam) -> DesiredTeam:
    return DesiredTeam(
        slug=settings.slug,
        name=settings.name,
        keys=_keys(settings.keys),
        projects=tuple(_project(project) for project in settings.projects),
        blocked=False,
        budgets=_budgets(settings.budgets),
        rate_limits=_rate_limits(settings.rate_limits),
        residency=_residency(settings.residency),
    )


def _project(settings: ProvisionedProject) -> DesiredProject:
    return DesiredProject(
        slug=settings.slug,
        name=settings.name,
        keys=_keys(settings.keys),
        blocked=False,
        budgets=_budgets(settings.budgets),
        rate_limits=_rate_limits(settings.rate_limits),
        residency=_residency(settings.residency),
    )


def _keys(settings: Sequence[ProvisionedKey]) -> tuple[DesiredKey, ...]:
    return tuple(
        DesiredKey(
            name=key.name,
            models=key.models,
            sandbox=False,
            tags=dict(key.tags),
            expires_at=key.expires_at,
            secret=None if key.secret is None else key.secret.reveal(),
            secret_sha256=None if key.secret_sha256 is None else key.secret_sha256.reveal(),
            blocked=False,
            budgets=_budgets(key.budgets),
            rate_limits=_rate_limits(key.rate_limits),
            residency=_residency(key.residency),
        )
        for key in settings
    )


def _user(settings: ProvisionedUser) -> DesiredUser:
    try:
        roles = tuple(Role(role) for role in settings.roles)
    except ValueError as error:
        names = ", ".join(Role)
        raise ValidationFailedError(f"{settings.email}: a role is one of {names}.", param="roles") from error
    return DesiredUser(
        email=settings.email,
        name=settings.name,
        roles=roles,
        blocked=False,
        budgets=_budgets(settings.budgets),
        rate_limits=_rate_limits(settings.rate_limits),
        residency=_residency(settings.residency),
    )


def _budgets(settings: Sequence[ProvisionedBudget]) -> tuple[DesiredBudget, ...]:
    return tuple(
        DesiredBudget(amount_usd=format_usd(budget.amount_nano_usd), period=budget.period, mode=budget.mode)
        for budget in settings
    )


def _rate_limits(settings: ProvisionedRateLimits | None) -> DesiredRateLimits:
    # A block that left the file is one without limits: they go.
    return DesiredRateLimits() if settings is None else DesiredRateLimits(**asdict(settings))


def _residency(settings: ResidencyPolicy | None) -> Residency:
    # As for limits: what left the file is taken away.
    return show_residency(settings) or Residency()


def _named(settings: Sequence[ProvisionedNamedLimits]) -> tuple[DesiredNamedLimits, ...]:
    return tuple(
        DesiredNamedLimits(
            name=limits.name, budgets=_budgets(limits.budgets), rate_limits=_rate_limits(limits.rate_limits)
        )
        for limits in settings
    )
