"""What happened to each request: search, and one of them in full."""

from typing import Annotated, Final

from msgspec import Meta, Struct, field

from headgate.admin.endpoint import ROOT, Call, Endpoint
from headgate.admin.times import Moment, to_ms
from headgate.control.reports import get_request, search_requests
from headgate.control.timestamps import format_time
from headgate.domain.access import Permission
from headgate.domain.caching import CacheNote, CacheStatus
from headgate.domain.money import format_usd
from headgate.domain.record import Attempt, Outcome, RequestRecord, Spending
from headgate.domain.routing import FailureClass, RoutingNote
from headgate.domain.usage import TokenUsage, UsageQuality
from headgate.records import queries


class RequestSearch(Struct, frozen=True, forbid_unknown_fields=True):
    """Filters; every one given must hold."""

    key: Annotated[str, Meta(description="A key's id.")] | None = None
    user: Annotated[str, Meta(description="The end user that the application named.")] | None = None
    session: str | None = None
    model: Annotated[str, Meta(description="What the client sent as `model`.")] | None = None
    provider: str | None = None
    outcome: Outcome | None = None
    start: Moment | None = field(default=None, name="from")
    end: Moment | None = field(default=None, name="to")
    limit: Annotated[int, Meta(ge=1, le=queries.MAX_LIMIT)] = 50
    cursor: Annotated[str, Meta(max_length=200)] | None = None


class SpendingView(Struct, frozen=True):
    """What limits decided about a request."""

    held_usd: str
    """The most that it could cost, held while it ran."""
    input_bound: int | None
    """The most input tokens that it could be billed for; null where nothing bounds them."""
    bound_by: str | None
    """What the bound was taken from: `bytes`, `anchor` (an earlier turn's bill), `tokenizer` or `window`."""
    max_output_tokens: int | None
    """What the provider was told as the maximum, where the gateway chose it."""
    waited_ms: float
    """How long the request waited to be let through."""
    overrun_usd: str
    """What was used beyond what was held: an overage."""
    refused_by: str | None
    """The limit that refused it, such as `team/team_42/bud_7/2026-11` or `key/key_1/tpm`."""
    would_refuse: tuple[str, ...]
    """Budgets in audit mode that would have refused it."""


class AttemptView(Struct, frozen=True):
    """One upstream try."""

    provider: str
    deployment: str
    upstream_model: str
    status: int | None
    """Null where no response head arrived."""
    error: str | None
    """What failed, as a short stable word such as `connect_failed`."""
    failure: FailureClass | None
    """What that meant for the next try."""
    duration_ms: float
    upstream_request_id: str | None
    cost_usd: str
    """What a try that failed is billed for all the same; the last try's cost is the rest of the request's."""


class PartsView(Struct, frozen=True):
    """What a score of the strategy `balanced` is the sum of: each a figure from 0 (best) to 1, times its weight."""

    cost: float
    latency: float
    capacity: float
    affinity: float


class ConsideredView(Struct, frozen=True):
    """A deployment that was looked at."""

    deployment: str
    score: float | None
    """What the strategy ranked it by, lower first; null where it was not ranked."""
    why_not: str | None
    """Why it could not be chosen; null where it could."""
    parts: PartsView | None
    """Null but for `balanced`."""


class RoutingView(Struct, frozen=True):
    """Why a request went where it went."""

    strategy: str
    considered: tuple[ConsideredView, ...]
    """In the order in which they would be tried; those that could not be chosen stand last."""
    rules: tuple[str, ...]
    """The aliases that a rule or another alias led to, in order."""


class CacheView(Struct, frozen=True):
    """What the response cache did for one request."""

    status: CacheStatus
    reason: str | None
    """Of a bypass, why; of a miss, why its answer was not kept."""
    entry: str | None
    """The answer's name in the cache, by which it can be purged."""
    age_s: int | None
    """How old the answer was that was given."""
    stale: bool
    """It was past its time, and every provider had failed."""
    stored: bool
    """The provider's answer was kept."""
    saved_usd: str
    saved_input_tokens: int
    saved_output_tokens: int


class RequestView(Struct, frozen=True):
    """One request. ``cost_usd`` is null where no price was known: the cost is then unknown, not zero."""

    id: str
    started_at: str
    organization: str | None
    path: tuple[str, ...]
    key: str | None
    user: str | None
    session: str | None
    tags: dict[str, str]
    operation: str
    wire_format: str
    model: str | None
    provider: str | None
    deployment: str | None
    upstream_model: str | None
    stream: bool
    outcome: Outcome
    status: int
    error_code: str | None
    finish_reason: str | None
    usage: TokenUsage
    usage_quality: UsageQuality
    cost_usd: str | None
    price_version: str | None
    first_event_ms: float | None
    duration_ms: float
    overhead_ms: float
    sandbox: bool
    attempts: tuple[AttemptView, ...]
    spending: SpendingView | None
    """Null where no limit was on the request's path."""
    routing: RoutingView | None
    """Null where nothing was to be decided."""
    cache: CacheView | None
    """Null where answers to its model are not cached, or it was refused before they were looked for."""


class RequestList(Struct, frozen=True):
    """Requests, newest first."""

    data: tuple[RequestView, ...]
    next_cursor: str | None


def view(record: RequestRecord) -> RequestView:
    """Return ``record`` as the API shows it."""
    return RequestView(
        id=record.id,
        started_at=format_time(record.started_at_ms),
        organization=record.organization_id,
        path=record.path,
        key=record.key_id,
        user=record.end_user,
        session=record.session,
        tags=dict(record.tags),
        operation=record.operation,
        wire_format=record.wire_format,
        model=record.model,
        provider=record.provider,
        deployment=record.deployment,
        upstream_model=record.upstream_model,
        stream=record.stream,
        outcome=record.outcome,
        status=record.status,
        error_code=record.error_code,
        finish_reason=record.finish_reason,
        usage=record.usage,
        usage_quality=record.usage_quality,
        cost_usd=format_usd(record.cost_nano_usd) if record.priced else None,
        price_version=record.price_version,
        first_event_ms=record.first_event_ms,
        duration_ms=record.duration_ms,
        overhead_ms=record.overhead_ms,
        sandbox=record.is_sandbox,
        attempts=tuple(map(_attempt, record.attempts)),
        spending=_spending(record.spending) if record.spending is not None else None,
        routing=_routing(record.routing) if record.routing is not None else None,
        cache=_cache(record.cache) if record.cache is not None else None,
    )


def _attempt(attempt: Attempt) -> AttemptView:
    return AttemptView(
        provider=attempt.provider,
        deployment=attempt.deployment,
        upstream_model=attempt.upstream_model,
        status=attempt.status,
        error=attempt.error,
        failure=attempt.failure,
        duration_ms=attempt.duration_ms,
        upstream_request_id=attempt.upstream_request_id,
        cost_usd=format_usd(attempt.cost_nano_usd),
    )


def _routing(note: RoutingNote) -> RoutingView:
    considered = [
        ConsideredView(
            each.deployment, each.score, each.why_not, None if each.parts is None else PartsView(*each.parts)
        )
        for each in note.considered
    ]
    return RoutingView(note.strategy, tuple(considered), note.rules)


def _cache(note: CacheNote) -> CacheView:
    return CacheView(
        status=note.status,
        reason=note.reason,
        entry=note.entry,
        age_s=note.age_s,
        stale=note.is_stale,
        stored=note.is_stored,
        saved_usd=format_usd(note.saved_nano_usd),
        saved_input_tokens=note.saved_input_tokens,
        saved_output_tokens=note.saved_output_tokens,
    )


def _spending(spending: Spending) -> SpendingView:
    return SpendingView(
        held_usd=format_usd(spending.held_nano_usd),
        input_bound=spending.input_bound,
        bound_by=spending.bound_by,
        max_output_tokens=spending.max_output_tokens,
        waited_ms=spending.waited_ms,
        overrun_usd=format_usd(spending.overrun_nano_usd),
        refused_by=spending.refused_by,
        would_refuse=spending.would_refuse,
    )


def _search(call: Call[None, RequestSearch]) -> RequestList:
    wanted = call.query
    filters = queries.RequestFilters(
        key_id=wanted.key,
        end_user=wanted.user,
        session=wanted.session,
        model=wanted.model,
        provider=wanted.provider,
        outcome=wanted.outcome,
        from_ms=to_ms(wanted.start, "from") if wanted.start else None,
        to_ms=to_ms(wanted.end, "to") if wanted.end else None,
        limit=wanted.limit,
        cursor=wanted.cursor,
    )
    page = search_requests(call.site.plane, call.actor, filters)
    return RequestList(tuple(view(record) for record in page.data), page.next_cursor)


def _read(call: Call[None, None]) -> RequestView:
    return view(get_request(call.site.plane, call.actor, call.path["id"]))


ENDPOINTS: Final = (
    Endpoint(
        name="list_requests",
        method="GET",
        path=f"{ROOT}/requests",
        permission=Permission.REQUESTS_READ,
        handler=_search,
        summary="Search requests, newest first.",
        query=RequestSearch,
        response=RequestList,
    ),
    Endpoint(
        name="read_request",
        method="GET",
        path=f"{ROOT}/requests/{{id}}",
        permission=Permission.REQUESTS_READ,
        handler=_read,
        summary="Everything that is known of one request.",
        response=RequestView,
    ),
)
