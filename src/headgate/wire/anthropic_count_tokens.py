"""Anthropic's token counting: ``POST /v1/messages/count_tokens``.

Source: platform.claude.com, "Count tokens in a Message": the body of a message request without what concerns the
answer, the answer ``{"input_tokens": N}``, and no charge. So a count uses nothing.
"""

from typing import Final

import msgspec
from msgspec import Raw, Struct

from headgate.domain.usage import TokenUsage
from headgate.wire import anthropic_errors, json_body
from headgate.wire.anthropic_messages import (
    FORWARDED_HEADERS,
    check_messages,
    input_text,
    meter_stream,
)
from headgate.wire.format import Envelope, MalformedAnswerError, Metered, UpstreamBody, WireFormat
from headgate.wire.rate_headers import anthropic_rate_headers

_ENCODE: Final = msgspec.json.Encoder().encode
_NOTHING: Final = Metered(TokenUsage())


class _Count(Struct, frozen=True):
    input_tokens: int


_COUNT: Final = msgspec.json.Decoder(_Count)


def parse_envelope(body: bytes) -> Envelope:
    """Check the envelope of a request to count.

    Raises:
        InvalidRequestError: malformed; ``param`` names the field.
        UnsupportedParameterError: a routing field in the body.
    """
    fields = json_body.read_request(body)
    model = json_body.read_model(fields)
    check_messages(fields)
    return Envelope(model, fields, end_user=json_body.read_user_id(fields))


def render_upstream(envelope: Envelope, upstream: UpstreamBody) -> bytes:
    """Return the body to send: the caller's members in their order, only ``model`` replaced."""
    fields: dict[str, Raw | str] = {**envelope.fields, "model": upstream.model}
    return _ENCODE(fields)


def meter_body(body: bytes) -> Metered:
    """Check that the answer is a count; nothing was used.

    Raises:
        MalformedAnswerError: it is something else.
    """
    try:
        _COUNT.decode(body)
    except (ValueError, RecursionError) as error:
        raise MalformedAnswerError("the provider sent no count of tokens") from error
    return _NOTHING


def render_count(tokens: int) -> bytes:
    """Write a count of our own."""
    return _ENCODE(_Count(tokens))


ANTHROPIC_COUNT_TOKENS: Final = WireFormat(
    name="anthropic_count_tokens",
    operation="count_tokens",
    upstream_path="/messages/count_tokens",
    parse_envelope=parse_envelope,
    render_upstream=render_upstream,
    meter_body=meter_body,
    meter_stream=meter_stream,
    input_text=input_text,
    parse_fault=anthropic_errors.parse_fault,
    render_error=anthropic_errors.render_error,
    render_stream_error=anthropic_errors.render_stream_error,
    forwarded_headers=FORWARDED_HEADERS,
    render_rates=anthropic_rate_headers,
    id_headers=anthropic_errors.ID_HEADERS,
    render_count=render_count,
)
