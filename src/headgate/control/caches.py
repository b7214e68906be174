"""The response cache: what it saved those who may see it, and the purge of what an organization keeps."""

import re
from typing import Annotated, Final

from msgspec import Meta, Struct, field
from msgspec.structs import asdict, replace

from headgate.cache.desk import CacheDesk
from headgate.cache.exact import CacheStats
from headgate.cache.labels import LabelKind, label_of
from headgate.control import checks
from headgate.control.key_rows import find_key
from headgate.control.plane import Access, Plane, change, view
from headgate.control.reports import reach_of
from headgate.control.timestamps import format_time
from headgate.control.tree import find_scope, path_of
from headgate.domain.access import Permission
from headgate.domain.errors import ConflictError, ValidationFailedError
from headgate.domain.money import format_usd
from headgate.identity.actor import Actor, ActorKind
from headgate.records.cache_queries import CacheQuery, ReasonCount, cache_figures

P = Permission

_ENTRY: Final = r"^ce_[0-9a-f]{24}$"
_TAG: Final = r"^[^=\x00-\x1f\x7f]+=[^\x00-\x1f\x7f]+$"
_NO_CACHE: Final = "This gateway keeps no answers: its configuration has no `cache` block. There is nothing to purge."

Name = Annotated[str, Meta(min_length=1, max_length=256)]


class CacheReport(Struct, frozen=True, kw_only=True):
    """What the cache did for the requests of a time.

    Rates are shares from 0 to 1: hits and coalesced, of all requests or of the eligible ones.
    """

    start: str = field(name="from")
    end: str = field(name="to")
    organization: str | None
    """`None`: every one that the caller may see."""
    requests: int
    """All, those of models that are not cached and of the sandbox among them."""
    eligible: int
    """Those that were looked for: hits, coalesced and misses."""
    hits_exact: int
    stale: int
    """Hits that were past their time, given because every provider had failed."""
    coalesced: int
    """They shared the call of another request that was the same."""
    misses: int
    bypasses: int
    """Those of cached models that were not looked for."""
    stored: int
    """Requests whose answer was kept."""
    hit_rate: float
    hit_rate_eligible: float
    saved_usd: str
    saved_input_tokens: int
    saved_output_tokens: int
    bypass_reasons: tuple[ReasonCount, ...]
    """Why requests were not looked for, the most frequent first."""
    not_kept_reasons: tuple[ReasonCount, ...]
    """Why answers of misses were not kept, likewise."""
    store: CacheStats | None
    """What is kept at this moment, of all organizations: for the operator only, where a cache is configured."""


class CachePurge(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to purge: all that the organization keeps, or the part that one more field names."""

    organization: Annotated[Name, Meta(description="The organization's id.")]
    scope: Annotated[Name, Meta(description="The id of a team, project or person: what was asked below it.")] | None = (
        None
    )
    key: Annotated[Name, Meta(description="The id of a key: what was asked under it.")] | None = None
    model: Annotated[Name, Meta(description="The model's name, as callers send it.")] | None = None
    tag: Annotated[Name, Meta(pattern=_TAG, description="A tag of the requests, `name=value`.")] | None = None
    entry: (
        Annotated[str, Meta(pattern=_ENTRY, description="One answer: `cache.entry` of a request's record.")] | None
    ) = None
    dry_run: bool = False
    """Only count."""


class CachePurged(Struct, frozen=True, kw_only=True):
    """What was purged, or would be."""

    purged: str
    """The organization's id, and the kind and name of the part."""
    entries: int
    dry_run: bool


def report_cache(plane: Plane, actor: Actor, cache: CacheDesk | None, query: CacheQuery) -> CacheReport:
    """Return what the cache did where ``actor`` may see it."""
    figures = cache_figures(plane.database, replace(query, reach=reach_of(plane, actor, P.USAGE_READ)))
    answered = figures.hits_exact + figures.coalesced
    eligible = answered + figures.misses
    values = asdict(figures)
    return CacheReport(
        start=format_time(query.from_ms),
        end=format_time(query.to_ms),
        organization=query.organization_id,
        eligible=eligible,
        hit_rate=_rate(answered, figures.requests),
        hit_rate_eligible=_rate(answered, eligible),
        saved_usd=format_usd(values.pop("saved_nano_usd")),
        store=cache.stats() if cache is not None and actor.kind is ActorKind.OPERATOR else None,
        **values,
    )


def purge_cache(plane: Plane, actor: Actor, cache: CacheDesk | None, body: CachePurge) -> CachePurged:
    """Purge what an organization keeps, or a part of it; a dry run only counts.

    Raises:
        ValidationFailedError: more than one part is named.
        NotFoundError: there is no such organization, scope or key, or none that this actor may know of.
        ConflictError: no cache is configured.
    """
    part = _part_of(body)
    if body.dry_run:
        with view(plane, actor, "cache.purge", "cache", body.organization) as access:
            label = _allow(access, body.organization, part)
        return CachePurged(purged=label, entries=_desk(cache).count(label), dry_run=True)
    with change(plane, actor, "cache.purge", "cache", body.organization) as current:
        label = _allow(current, body.organization, part)
        entries = _desk(cache).purge(label)
        current.record(body.organization, body.organization, None, {"purged": label, "entries": entries})
    return CachePurged(purged=label, entries=entries, dry_run=False)


def _part_of(body: CachePurge) -> tuple[LabelKind, str] | None:
    named = [(kind, name) for kind in LabelKind if (name := getattr(body, kind)) is not None]
    if len(named) > 1:
        words = ", ".join(f"`{kind}`" for kind in LabelKind)
        raise ValidationFailedError(f"Name at most one of {words}.", param=named[1][0])
    if not named:
        return None
    kind, name = named[0]
    checks.check_line(name, kind)
    if kind is LabelKind.TAG and not re.match(_TAG, name):
        raise ValidationFailedError("`tag` must be NAME=VALUE.", param="tag")
    if kind is LabelKind.ENTRY and not re.match(_ENTRY, name):
        raise ValidationFailedError("`entry` must be an answer's name, `ce_` and 24 hexadecimal digits.", param="entry")
    return named[0]


def _allow(access: Access, organization_id: str, part: tuple[LabelKind, str] | None) -> str:
    """Let the purge go on, or refuse it; return the label of what it takes away."""
    kind, name = part or (None, "")
    scope_id, noun = organization_id, "organization"
    if kind is LabelKind.SCOPE:
        scope_id, noun = name, "scope"
    elif kind is LabelKind.KEY:
        key = find_key(access.connection, name)
        scope_id, noun = "" if key is None else key.scope_id, "key"
    path = path_of(access.connection, find_scope(access.connection, scope_id))
    if path is not None and path[0].id != organization_id:
        path = None  # Another organization's, or no organization at all: as if there were none.
    access.allow(P.CACHE_WRITE, path, noun=noun, seen_by=P.SCOPES_READ)
    if kind is LabelKind.SCOPE and name == organization_id:
        return label_of(organization_id)
    return label_of(organization_id, kind, name)


def _desk(cache: CacheDesk | None) -> CacheDesk:
    if cache is None:
        raise ConflictError(_NO_CACHE)
    return cache


def _rate(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
