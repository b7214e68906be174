"""What a wire format is: a frozen table of plain functions, none of which does I/O.

On the hot path the caller and the provider usually speak the same format. Then bytes pass through: `parse_envelope`
checks and reads the few members Headgate acts on, `render_upstream` replaces only those it must, and a meter reads the
usage off the answer while its bytes go by. Translation across formats goes through the hub (`domain.chat`).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from msgspec import Raw, Struct

from headgate.domain.chat import ChatRequest, ChatResponse, StreamEvent
from headgate.domain.errors import HeadgateError
from headgate.domain.usage import TokenUsage
from headgate.wire.rate_headers import Field, RateState, openai_rate_headers


class Envelope(Struct, frozen=True, gc=False):
    """The members of a request body that the gateway acts on. All others stay the caller's bytes in ``fields``."""

    model: str
    fields: dict[str, Raw]
    """Every top-level member, values untouched, keys decoded; of duplicate keys the last one only."""
    stream: bool = False
    wants_usage: bool = False
    """The caller asked for the usage event itself (``stream_options.include_usage``)."""
    max_output_tokens: int | None = None
    max_output_field: str | None = None
    """The field the caller used for it, where the format has several names."""
    end_user: str | None = None
    tags: tuple[tuple[str, str], ...] = ()


ID_HEADERS: Final = (b"x-request-id", b"x-headgate-request-id")
"""Under these names every answer tells its request's id."""
DEFAULT_MAX_OUTPUT_TOKENS: Final = 4096
"""What every chat model of today can write at least, where nobody knows the model's own maximum."""


class UpstreamBody(Struct, frozen=True, gc=False):
    """What may differ in the body sent upstream; nothing else does."""

    model: str
    max_output_field: str | None = None
    """The vendor's name for the maximum of output tokens; ``None`` keeps the caller's."""
    include_usage: bool = False
    """Ask the provider for a usage event at the end of a stream."""
    default_max_output_tokens: int = DEFAULT_MAX_OUTPUT_TOKENS
    """The maximum to state where the caller gave none and the format demands one (Anthropic's does)."""


class Rendered(Struct, frozen=True):
    """A translated request body."""

    body: bytes
    ignored: tuple[str, ...] = ()
    """The caller's names of the hints that the target format cannot carry: the header ``x-headgate-ignored``.

    A hint never changes what is asked for. What does is refused by name instead.
    """


class Metered(Struct, frozen=True, gc=False):
    """What a finished answer says about itself."""

    usage: TokenUsage | None
    """``None`` where the provider reported none, or nothing usable (negative, null)."""
    finish_reason: str | None = None
    output_text: tuple[str, ...] = ()
    """The produced text, only where ``usage`` is ``None`` or not final: to count it. Never recorded."""
    is_final: bool = True
    """False where ``usage`` was reported before the last content: no side of it is less than that."""


class UpstreamFault(Struct, frozen=True):
    """A provider's error body, understood as far as it goes."""

    message: str
    type: str | None = None
    code: str | None = None
    param: str | None = None


class MalformedAnswerError(Exception):
    """The provider's bytes are not this wire format (HTML, cut JSON, a stream without its end)."""

    passed: bytes = b""
    """Whole events of the same read that came before the unreadable one and may still be passed on."""


class FaultyAnswerError(MalformedAnswerError):
    """The provider sent an error object under a good status. Its words are in ``fault`` alone: they need redaction."""

    def __init__(self, fault: UpstreamFault) -> None:
        """Carry what the provider said."""
        super().__init__("the provider sent an error under a good status")
        self.fault = fault


class StreamMeter(Protocol):
    """Reads a stream while it goes by, event by event.

    The caller sees whole events only, so a stream that breaks in mid-event can still be ended by a proper error event.
    """

    @property
    def content_started(self) -> bool:
        """An event with content (text, reasoning, tool call, refusal) has been passed on."""
        ...

    @property
    def finished(self) -> bool:
        """The end marker has been seen."""
        ...

    @property
    def fault(self) -> UpstreamFault | None:
        """An error the provider sent inside the stream; the event is withheld from what `feed` returns."""
        ...

    def feed(self, data: bytes) -> bytes:
        """Take bytes as they arrive, return the bytes to pass on: whole events, minus hidden ones; may be empty.

        Raises:
            MalformedAnswerError: an event is unreadable or longer than the bound. Its ``passed`` holds what would have
                been returned of the events before an unreadable one.
        """
        ...

    def close(self) -> bytes:
        """Say that the provider's body ended; return what may still be passed on.

        Raises:
            MalformedAnswerError: the end marker is missing, or bytes of an unfinished event are left.
        """
        ...

    def metered(self) -> Metered:
        """What is known now; called at every end, good or bad."""
        ...


class StreamDecoder(Protocol):
    """Reads one stream of a dialect into the hub."""

    def feed(self, data: bytes) -> list[StreamEvent]:
        """Take bytes, return the events that they complete; raises `MalformedAnswerError`."""
        ...

    def close(self) -> list[StreamEvent]:
        """Say that the body ended; raises `MalformedAnswerError` where the stream is not complete."""
        ...


class StreamEncoder(Protocol):
    """Writes hub events as one stream of a dialect."""

    def encode(self, event: StreamEvent) -> bytes:
        """Return the bytes for one event; empty where the format says it later or by other means."""
        ...


class Dialect(Struct, frozen=True):
    """How a chat format reads and writes the hub: what translation across formats needs of it."""

    parse_request: Callable[[bytes | Mapping[str, Raw]], ChatRequest]
    """Read a body, or its members as an `Envelope` has them; raises `InvalidRequestError` with ``param``."""
    render_request: Callable[[ChatRequest, UpstreamBody], Rendered]
    """Write a request of any dialect; raises `UnsupportedFeatureError` for what this one cannot carry."""
    parse_response: Callable[[bytes], ChatResponse]
    """Read a whole answer; raises `MalformedAnswerError`."""
    render_response: Callable[[ChatResponse, int], bytes]
    """Write a whole answer of any dialect; the number is the time to state where it has none (s since the epoch)."""
    decode_stream: Callable[[], StreamDecoder]
    encode_stream: Callable[[int, bool], StreamEncoder]
    """A new encoder; the arguments are the time, as for `render_response`, and whether to write a usage event."""


class WireFormat(Struct, frozen=True):
    """One JSON dialect on one kind of endpoint."""

    name: str
    operation: str
    """``chat`` or ``embeddings``."""
    upstream_path: str
    """Appended to the provider's base URL."""
    parse_envelope: Callable[[bytes], Envelope]
    """Check the envelope of a request body; raises `InvalidRequestError` and its kin with ``param`` set."""
    render_upstream: Callable[[Envelope, UpstreamBody], bytes]
    """The body to send to a provider that speaks this same format."""
    meter_body: Callable[[bytes], Metered]
    """Read usage off a whole answer; raises `MalformedAnswerError`, and `FaultyAnswerError` for an error object."""
    meter_stream: Callable[[bool], StreamMeter]
    """A new meter; the argument says whether the usage event is to be hidden from the caller."""
    input_text: Callable[[Envelope], tuple[str, ...]]
    """All text of the request that a tokenizer would see; used only where usage must be counted."""
    parse_fault: Callable[[bytes], UpstreamFault | None]
    """Understand a provider's error body; ``None`` where it is not this format's."""
    render_error: Callable[[HeadgateError, str], bytes]
    """An error body for the caller; the second argument is the request id."""
    render_stream_error: Callable[[HeadgateError, str], bytes]
    """The event that ends a stream which failed after content began."""
    dialect: Dialect | None = None
    """Its way to the hub; ``None`` for a format that nothing translates to."""
    forwarded_headers: tuple[bytes, ...] = ()
    """Header fields that are part of the format: a caller's go on to a provider that speaks it too."""
    id_headers: tuple[bytes, ...] = ID_HEADERS
    """Where this format's SDKs look for the request's id, beside our own names."""
    render_rates: Callable[[Sequence[RateState], int], list[Field]] = openai_rate_headers
    """Header fields that say what is left of the caller's rate limits; the number is now, ms since the epoch."""
    answer_id_prefix: str = ""
    """What the ids of this format's answers begin with."""
    ping: bytes = b": ping\n\n"
    """Shows that a stream lives while there is nothing to say: a comment (WHATWG HTML §9.2.5) or an event for that."""
    render_count: Callable[[int], bytes] | None = None
    """Where the operation is to count tokens: write a count of our own, for providers that do not count."""
