"""The one record of what happened to a request. Everything that reports reads it; prompt text is not in it."""

from enum import StrEnum

from msgspec import Struct

from headgate.domain.caching import CacheNote
from headgate.domain.routing import FailureClass, RoutingNote
from headgate.domain.usage import TokenUsage, UsageQuality


class Outcome(StrEnum):
    """How a request ended."""

    OK = "ok"
    REFUSED = "refused"
    """By us, before anything was sent upstream."""
    UPSTREAM_ERROR = "upstream_error"
    """The provider failed before content reached the caller."""
    TRUNCATED = "truncated"
    """A stream was cut after content began; the caller saw an explicit error event."""
    CLIENT_CLOSED = "client_closed"
    """The client left before the answer was complete."""
    INTERNAL_ERROR = "internal_error"
    RECOVERED = "recovered"
    """The gateway died while the request ran. It may have been billed, so all that it held is its cost."""


class Attempt(Struct, frozen=True, gc=False, omit_defaults=True):
    """One upstream try."""

    provider: str
    deployment: str
    upstream_model: str
    status: int | None
    """HTTP status; ``None`` where no response head arrived."""
    error: str | None
    """What failed, as a short stable word such as ``connect_refused``."""
    duration_ms: float
    upstream_request_id: str | None = None
    failure: FailureClass | None = None
    """What it meant for the next try; ``None`` where nothing failed, or not by the provider's fault."""
    cost_nano_usd: int = 0
    """What a try that failed is billed for all the same; the last try's cost is the rest of the request's."""


class Spending(Struct, frozen=True, gc=False):
    """What limits decided about one request. Money is nano-USD."""

    held_nano_usd: int = 0
    """The most that it could cost, held while it ran."""
    input_bound: int | None = None
    """The most input tokens that it could be billed for; ``None`` where nothing bounds them."""
    bound_by: str | None = None
    """What the bound was taken from: ``bytes``, ``anchor`` (an earlier turn's bill), ``tokenizer`` or ``window``."""
    max_output_tokens: int | None = None
    """What the provider was told as the maximum, where the gateway chose it."""
    waited_ms: float = 0.0
    """How long the ledger took to hold it: standing in line for holds of others, and the disk."""
    overrun_nano_usd: int = 0
    """What was used beyond what was held: an overage."""
    refused_by: str | None = None
    """The limit that refused it, such as ``team/team_42/bud_7/2026-11`` or ``key/key_1/tpm``."""
    would_refuse: tuple[str, ...] = ()
    """Budgets in audit mode that would have refused it."""


class RequestMemo(Struct, frozen=True, gc=False, array_like=True):
    """What the ledger keeps of a request while it runs: if the process dies, its record is made of this.

    The fields are those of `RequestRecord`. New ones may only follow, with a default: a journal may be older.
    """

    id: str
    started_at_ms: int
    path: tuple[str, ...]
    key_id: str
    end_user: str | None
    session: str | None
    tags: tuple[tuple[str, str], ...]
    operation: str
    wire_format: str
    model: str
    provider: str
    deployment: str
    upstream_model: str
    stream: bool
    is_sandbox: bool


class RequestRecord(Struct, frozen=True, gc=False, array_like=True):
    """One row a request. Times are wall-clock ms since the epoch or durations in ms; money is nano-USD.

    New fields may only follow, with a default: a ledger's journal may be older.
    """

    id: str
    started_at_ms: int
    organization_id: str | None
    path: tuple[str, ...]
    """Scope ids, organization first; empty where the caller was not known."""
    key_id: str | None
    end_user: str | None
    session: str | None
    tags: tuple[tuple[str, str], ...]
    operation: str
    """``chat`` or ``embeddings``."""
    wire_format: str
    model: str | None
    """The alias the client sent."""
    provider: str | None
    deployment: str | None
    upstream_model: str | None
    stream: bool
    attempts: tuple[Attempt, ...]
    outcome: Outcome
    status: int
    """The HTTP status the caller got; 499 where it left."""
    error_code: str | None
    finish_reason: str | None
    """The provider's word; ``idempotent_replay`` where an earlier answer was given again and nothing was sent."""
    usage: TokenUsage
    usage_quality: UsageQuality
    cost_nano_usd: int
    priced: bool
    """False where no price was known: the cost is then not 0 but unknown."""
    price_version: str | None
    first_event_ms: float | None
    """From the request's arrival to the first byte of the answer's body (streams: the first event)."""
    duration_ms: float
    overhead_ms: float
    """Time spent in the gateway itself: the duration less the time waiting for the provider."""
    is_sandbox: bool = False
    """Reports leave it out."""
    spending: Spending | None = None
    """``None`` where no limit was on its path."""
    routing: RoutingNote | None = None
    """``None`` where nothing was to be decided."""
    cache: CacheNote | None = None
    """``None`` where answers to its model are not cached, or it was refused before they were looked for."""
