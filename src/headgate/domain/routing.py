"""Where a request may go and why it went there: strategies, classes of failure, what a target does with data."""

from enum import StrEnum

from msgspec import Struct


class Strategy(StrEnum):
    """How an alias chooses among its deployments. Within one priority; a lower number always comes first."""

    PRIORITY = "priority"
    """In the order of the file."""
    WEIGHTED = "weighted"
    """By chance, in proportion to the weights."""
    CHEAPEST = "cheapest"
    """By what this request is expected to cost there."""
    FASTEST = "fastest"
    """By the time until the answer is expected to be complete."""
    HEADROOM = "headroom"
    """By what is left of the provider's own rate limits."""
    BALANCED = "balanced"
    """By one objective over cost, latency, capacity and prefix affinity."""


class FailureClass(StrEnum):
    """What the failure of an attempt means for the next one; the provider's status alone does not say it."""

    RATE = "rate"
    """A rate limit of the provider: it will take requests again in a moment."""
    QUOTA = "quota"
    """The account has no money or quota left: waiting does not mend it."""
    OVERLOAD = "overload"
    """The provider has no capacity, or fails inside (500, 502, 503, 504, 529)."""
    AUTH = "auth"
    """The credential is refused."""
    CONTEXT_LENGTH = "context_length"
    """The prompt does not fit into this model."""
    CONTENT_FILTER = "content_filter"
    """The provider refuses the content."""
    BAD_REQUEST = "bad_request"
    """The request is at fault: it would fail elsewhere too."""
    NOT_FOUND = "not_found"
    """The provider does not know the model: this target is set up wrongly."""
    TRANSPORT = "transport"
    """No connection, or it broke."""
    MALFORMED = "malformed"
    """An answer that cannot be read."""
    STALL = "stall"
    """Silence until a time-out."""
    DEADLINE = "deadline"
    """The caller's own time ran out."""


class DataHandling(Struct, frozen=True):
    """What a target does with what it is sent. ``None``: nobody has said, which no policy takes for a yes."""

    region: str | None = None
    """The provider's word for the place, such as ``eu-central-1``."""
    jurisdiction: str | None = None
    """Whose law holds there, such as ``eu`` or ``us``."""
    retention_days: int | None = None
    """How long the provider keeps it; 0 is zero data retention."""
    trains: bool | None = None
    """Whether the provider may train models on it."""


class Considered(Struct, frozen=True, gc=False, array_like=True):
    """One deployment that a decision looked at. New fields may only follow, with a default."""

    deployment: str
    score: float | None = None
    """What the strategy ranked it by, lower first; ``None`` where it was not ranked."""
    why_not: str | None = None
    """Why it could not be chosen, as a short stable word such as ``breaker_open``; ``None`` where it could."""
    parts: tuple[float, float, float, float] | None = None
    """Of ``balanced``: what cost, latency, capacity and affinity add to the score, already weighed."""


class RoutingNote(Struct, frozen=True, gc=False, array_like=True):
    """Why a request went where it went. New fields may only follow, with a default."""

    strategy: str
    considered: tuple[Considered, ...]
    """In the order in which they would be tried; those that could not be chosen stand last."""
    rules: tuple[str, ...] = ()
    """The aliases that a rule or another alias led to, in order."""
