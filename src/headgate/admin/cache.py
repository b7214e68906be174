"""The response cache: what it did, and purging it."""

from typing import Annotated, Final

from msgspec import Meta, Struct, field

from headgate.admin.endpoint import ROOT, Call, Endpoint
from headgate.admin.times import Moment, to_ms
from headgate.control.caches import CachePurge, CachePurged, CacheReport, purge_cache, report_cache
from headgate.domain.access import Permission
from headgate.domain.errors import ConflictError, NotFoundError, OverloadedError
from headgate.records.cache_queries import CacheQuery

DEFAULT_SPAN_MS: Final = 24 * 3600 * 1000


class CacheSearch(Struct, frozen=True, forbid_unknown_fields=True):
    """What to report: without ``from`` and ``to``, the last 24 hours."""

    start: Moment | None = field(default=None, name="from")
    end: Moment | None = field(default=None, name="to")
    organization: Annotated[str, Meta(min_length=1, max_length=64, description="An organization's id.")] | None = None


def _report(call: Call[None, CacheSearch]) -> CacheReport:
    wanted = call.query
    to = to_ms(wanted.end, "to") if wanted.end else call.site.plane.clock_ms()
    query = CacheQuery(
        from_ms=to_ms(wanted.start, "from") if wanted.start else to - DEFAULT_SPAN_MS,
        to_ms=to,
        organization_id=wanted.organization,
    )
    return report_cache(call.site.plane, call.actor, call.site.cache, query)


def _purge(call: Call[CachePurge, None]) -> CachePurged:
    return purge_cache(call.site.plane, call.actor, call.site.cache, call.body)


ENDPOINTS: Final = (
    Endpoint(
        name="report_cache",
        method="GET",
        path=f"{ROOT}/cache",
        permission=Permission.USAGE_READ,
        handler=_report,
        summary="Report what the response cache did for requests, and what it saved.",
        query=CacheSearch,
        response=CacheReport,
        errors=(OverloadedError,),
    ),
    Endpoint(
        name="purge_cache",
        method="POST",
        path=f"{ROOT}/cache/purge",
        permission=Permission.CACHE_WRITE,
        handler=_purge,
        summary="Forget the answers that an organization keeps, or a part of them; a dry run only counts.",
        body=CachePurge,
        response=CachePurged,
        errors=(NotFoundError, ConflictError, OverloadedError),
    ),
)
