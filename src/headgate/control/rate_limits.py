"""Rate limits: requests and tokens per window, and requests at once, on whatever a budget may hang on."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import asdict, replace

from headgate.audit.event import Facts
from headgate.control import checks
from headgate.control.checks import LimitedName
from headgate.control.limit_rows import (
    RateRow,
    delete_row,
    find_all_rates,
    find_rates,
    insert_row,
    rates_on,
    update_rates,
)
from headgate.control.limit_targets import (
    LimitsQuery,
    Place,
    Target,
    allow_limiting,
    conditions_of,
    find_target,
    find_target_of,
    place_of,
    publish_limits,
)
from headgate.control.page import Page, check_limit, page_of
from headgate.control.plane import Change, Plane, change, view
from headgate.control.timestamps import format_time
from headgate.domain import ids
from headgate.domain.access import ManagedBy, Permission
from headgate.domain.errors import ValidationFailedError
from headgate.domain.limits import MAX_TOKENS, InvalidLimitError, WindowMode, check_rate_limits
from headgate.identity.actor import Actor
from headgate.storage.tables import rate_limits

P = Permission

Count = Annotated[int, Meta(ge=0, le=MAX_TOKENS)]


class RateFields(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may be limited: requests and tokens a minute, tokens an hour and a day, requests at once; null: no limit."""

    rpm: Count | None = None
    tpm: Count | None = None
    tph: Count | None = None
    tpd: Count | None = None
    concurrency: Count | None = None
    tpm_mode: WindowMode = WindowMode.SMOOTH
    tph_mode: WindowMode = WindowMode.STRICT
    tpd_mode: WindowMode = WindowMode.STRICT


class RateLimits(Struct, frozen=True, kw_only=True):
    """All rate limits of one thing."""

    id: str
    organization_id: str
    scope_id: str
    """As a budget's; likewise the next three."""
    end_user: str | None
    model: str | None
    tag: str | None
    rpm: int | None
    tpm: int | None
    tph: int | None
    tpd: int | None
    concurrency: int | None
    tpm_mode: WindowMode
    tph_mode: WindowMode
    tpd_mode: WindowMode
    managed_by: ManagedBy
    created_at: str
    updated_at: str
    version: int


class RateLimitsCreate(RateFields, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """New rate limits."""

    scope_id: Annotated[str, Meta(description="The id of a scope or of a key.")]
    end_user: LimitedName | None = None
    model: LimitedName | None = None
    tag: LimitedName | None = None


class RateLimitsPatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may change; what is absent stays, and null takes a limit out."""

    rpm: Count | UnsetType | None = UNSET
    tpm: Count | UnsetType | None = UNSET
    tph: Count | UnsetType | None = UNSET
    tpd: Count | UnsetType | None = UNSET
    concurrency: Count | UnsetType | None = UNSET
    tpm_mode: WindowMode | UnsetType = UNSET
    tph_mode: WindowMode | UnsetType = UNSET
    tpd_mode: WindowMode | UnsetType = UNSET


class RateLimitsQuery(LimitsQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which rate limits to list."""


def create_rate_limits(plane: Plane, actor: Actor, body: RateLimitsCreate) -> RateLimits:
    """Set rate limits on a scope, a key, an end user, a model or a tag."""
    with change(plane, actor, "rate_limit.create", "rate_limit") as current:
        place = Place(scope_id=body.scope_id, end_user=body.end_user, model=body.model, tag=body.tag)
        target = find_target(current, place)
        allow_limiting(current, target)
        fields = RateFields(**{name: getattr(body, name) for name in RateFields.__struct_fields__})
        return show_rates(add_rates(current, target, fields))


def get_rate_limits(plane: Plane, actor: Actor, rates_id: str) -> RateLimits:
    """Return the rate limits of one thing by their id."""
    with view(plane, actor, "rate_limit.read", "rate_limit", rates_id) as access:
        row = find_rates(access.connection, rates_id)
        find_target_of(access, row, "rate limit")
        assert row is not None, "without a row nothing is allowed"
        return show_rates(row)


def list_rate_limits(plane: Plane, actor: Actor, query: RateLimitsQuery) -> Page[RateLimits]:
    """Return the rate limits that ``actor`` may read, newest first."""
    limit = check_limit(query.limit)
    conditions = conditions_of(actor, rate_limits, query)
    with view(plane, actor, "rate_limit.list", "rate_limit") as access:
        rows = find_all_rates(access.connection, *conditions, newest=limit + 1)
    return page_of(rows, limit, lambda row: row.id, show_rates)


def patch_rate_limits(
    plane: Plane, actor: Actor, rates_id: str, body: RateLimitsPatch, if_match: int | None = None
) -> RateLimits:
    """Change some rate limits of one thing; what its windows have counted stays counted."""
    with change(plane, actor, "rate_limit.update", "rate_limit", rates_id) as current:
        row = _find_for_change(current, rates_id, if_match)
        given = {name: value for name, value in asdict(body).items() if value is not UNSET}
        return show_rates(write_rates(current, row, replace(row, **given)))


def delete_rate_limits(plane: Plane, actor: Actor, rates_id: str, if_match: int | None = None) -> None:
    """Take all rate limits of one thing away."""
    with change(plane, actor, "rate_limit.delete", "rate_limit", rates_id) as current:
        remove_rates(current, _find_for_change(current, rates_id, if_match))


def add_rates(current: Change, target: Target, fields: RateFields, managed_by: ManagedBy = ManagedBy.API) -> RateRow:
    """Write, audit and publish rate limits; the caller has checked the right to.

    Raises:
        ValidationFailedError: a figure is none, or nothing is limited.
        ConflictError: the thing has rate limits already.
    """
    taken = rates_on(current.connection, target.kind, target.id)
    words = "" if taken is None else f"There are rate limits here already: {taken.id}."
    checks.refuse_conflict(taken is not None, words, "scope_id")
    row = RateRow(
        id=current.mint_id(ids.RATE_LIMITS),
        organization_id=target.organization_id,
        scope_id=target.scope_id,
        kind=target.kind,
        target=target.id,
        **asdict(fields),
        managed_by=managed_by,
        created_at_ms=current.now_ms,
        updated_at_ms=current.now_ms,
    )
    _check(row)
    insert_row(current.connection, row)
    publish_limits(current, row.kind, row.target)
    facts = facts_of(row)
    current.record(row.id, row.organization_id, None, facts, action="rate_limit.create", object_kind="rate_limit")
    return row


def write_rates(current: Change, before: RateRow, after: RateRow) -> RateRow:
    """Write, audit and publish changed rate limits. Raises `ValidationFailedError` as `add_rates` does."""
    if before == after:
        return before
    _check(after)
    newer = update_rates(current.connection, after, current.now_ms)
    publish_limits(current, newer.kind, newer.target)
    facts = (facts_of(before), facts_of(newer))
    current.record(newer.id, newer.organization_id, *facts, action="rate_limit.update", object_kind="rate_limit")
    return newer


def remove_rates(current: Change, row: RateRow) -> None:
    """Delete rate limits, audit it and let the data plane know."""
    delete_row(current.connection, row)
    publish_limits(current, row.kind, row.target)
    facts = facts_of(row)
    current.record(row.id, row.organization_id, facts, None, action="rate_limit.delete", object_kind="rate_limit")


def remove_rates_of(current: Change, scope_id: str) -> None:
    """Delete the rate limits of a scope that goes, with those of what an organization's requests name."""
    for row in find_all_rates(current.connection, rate_limits.c.scope_id == scope_id):
        remove_rates(current, row)


def facts_of(row: RateRow) -> Facts:
    """What the audit log keeps of rate limits."""
    place = place_of(row)
    named = {"end_user": place.end_user, "model": place.model, "tag": place.tag}
    return {
        "scope_id": place.scope_id,
        **{name: value for name, value in named.items() if value is not None},
        **{name: getattr(row, name) for name in RateFields.__struct_fields__},
        "managed_by": row.managed_by.value,
    }


def show_rates(row: RateRow) -> RateLimits:
    """The rate limits as the outside sees them."""
    return RateLimits(
        id=row.id,
        organization_id=row.organization_id,
        **asdict(place_of(row)),
        **{name: getattr(row, name) for name in RateFields.__struct_fields__},
        managed_by=row.managed_by,
        created_at=format_time(row.created_at_ms),
        updated_at=format_time(row.updated_at_ms),
        version=row.version,
    )


def _find_for_change(current: Change, rates_id: str, if_match: int | None) -> RateRow:
    row = find_rates(current.connection, rates_id)
    target = find_target_of(current, row, "rate limit")
    assert row is not None, "without a row nothing is allowed"
    allow_limiting(current, target)
    checks.refuse_file_managed(row.managed_by)
    checks.check_version(if_match, row.version)
    return row


def _check(row: RateRow) -> None:
    try:
        check_rate_limits(row.rates)
    except InvalidLimitError as error:
        raise ValidationFailedError(f"`{error.field}` cannot be kept: {error}.", param=error.field) from error
    if row.is_empty:
        raise ValidationFailedError("Give at least one limit; to have none, delete them.", param="rpm")
