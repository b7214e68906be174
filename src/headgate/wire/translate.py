"""Translation across wire formats: a caller speaks one, the provider another, and the hub stands between them.

Plain functions for bodies, and a meter for streams that is a `StreamMeter` like any other: whoever passes a stream on
need not know that it is being translated. What is billed comes from the provider's own format and its own meter, so a
translated request is accounted for exactly like one that passes through.
"""

from msgspec.structs import replace

from headgate.wire.format import (
    Dialect,
    Envelope,
    MalformedAnswerError,
    Metered,
    Rendered,
    UpstreamBody,
    UpstreamFault,
    WireFormat,
)


def can_translate(caller: WireFormat, provider: WireFormat) -> bool:
    """Say whether requests of one format can be sent to a provider that speaks another."""
    return caller.operation == provider.operation and caller.dialect is not None and provider.dialect is not None


def _dialect(form: WireFormat) -> Dialect:
    assert form.dialect is not None, f"{form.name} has no way to the hub"
    return form.dialect


def translate_request(caller: WireFormat, provider: WireFormat, envelope: Envelope, upstream: UpstreamBody) -> Rendered:
    """Return the body to send, and the names of the hints that the provider's format cannot carry.

    The envelope's maximum of output tokens counts, where the gateway has lowered it.

    Raises:
        InvalidRequestError: a field of the caller's has a wrong type; ``param`` names it.
        UnsupportedFeatureError: the provider's format cannot carry what was asked; ``param`` names it.
    """
    request = _dialect(caller).parse_request(envelope.fields)
    if request.max_output_tokens != envelope.max_output_tokens:
        request = replace(request, max_output_tokens=envelope.max_output_tokens)
    return _dialect(provider).render_request(request, upstream)


def translate_answer(caller: WireFormat, provider: WireFormat, body: bytes, created_s: int) -> bytes:
    """Return a provider's whole answer in the caller's format; ``created_s`` is now, for where it states no time.

    Raises:
        MalformedAnswerError: it is no answer of the provider's format.
    """
    return _dialect(caller).render_response(_dialect(provider).parse_response(body), created_s)


class TranslatingMeter:
    """The `StreamMeter` of a stream that is translated on its way. One per stream."""

    __slots__ = ("_decoder", "_encoder", "_meter")

    def __init__(self, caller: WireFormat, provider: WireFormat, wants_usage: bool, created_s: int) -> None:
        """Start a stream; ``wants_usage`` says whether the caller asked for an event with the usage.

        ``created_s`` is now, seconds since the epoch, for where the provider states no time.
        """
        # The usage event is not hidden from the decoder: a format may tell the usage in every stream, asked or not.
        self._meter = provider.meter_stream(False)
        self._decoder = _dialect(provider).decode_stream()
        self._encoder = _dialect(caller).encode_stream(created_s, wants_usage)

    @property
    def content_started(self) -> bool:
        """See `StreamMeter`."""
        return self._meter.content_started

    @property
    def finished(self) -> bool:
        """See `StreamMeter`."""
        return self._meter.finished

    @property
    def fault(self) -> UpstreamFault | None:
        """See `StreamMeter`."""
        return self._meter.fault

    def feed(self, data: bytes) -> bytes:
        """Take the provider's bytes, return the caller's. See `StreamMeter.feed`."""
        try:
            passed = self._meter.feed(data)
        except MalformedAnswerError as error:
            error.passed = self._translate(error.passed)
            raise
        return self._translate(passed) if passed else b""

    def close(self) -> bytes:
        """Say that the provider's body ended. See `StreamMeter.close`."""
        rest = self._translate(self._meter.close())
        if self._meter.fault is not None:
            return rest
        return rest + b"".join(map(self._encoder.encode, self._decoder.close()))

    def metered(self) -> Metered:
        """See `StreamMeter.metered`."""
        return self._meter.metered()

    def _translate(self, data: bytes) -> bytes:
        events = self._decoder.feed(data)
        encode = self._encoder.encode
        if len(events) == 1:
            return encode(events[0])
        return b"".join(map(encode, events))
