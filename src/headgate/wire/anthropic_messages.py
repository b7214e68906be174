"""Anthropic's Messages format: the envelope, the body sent upstream, and the `WireFormat` row.

Source: platform.claude.com, "Messages" (``POST /v1/messages``). Answers are metered in `anthropic_messages_meter`;
translation through the hub is in `anthropic_messages_hub`, `anthropic_messages_render`, `anthropic_messages_answer` and
`anthropic_messages_stream`, which the hot path never needs.
"""

from typing import Annotated, Any, Final, Literal, cast

import msgspec
from msgspec import Meta, Raw, Struct

from headgate.domain.errors import InvalidRequestError
from headgate.wire import anthropic_errors, json_body
from headgate.wire.anthropic_messages_answer import parse_response, render_response
from headgate.wire.anthropic_messages_encoder import StreamEncoder
from headgate.wire.anthropic_messages_hub import parse_request
from headgate.wire.anthropic_messages_meter import AnthropicMessagesMeter, meter_body
from headgate.wire.anthropic_messages_render import render_request
from headgate.wire.anthropic_messages_stream import StreamDecoder
from headgate.wire.format import Dialect, Envelope, StreamMeter, UpstreamBody, WireFormat
from headgate.wire.json_body import is_null, read_text_value, read_value
from headgate.wire.rate_headers import anthropic_rate_headers

MAX_OUTPUT_FIELD: Final = "max_tokens"
MIN_OUTPUT_TOKENS: Final = 0
"""Nothing is written then, and the prompt cache is filled (platform.claude.com, "Prompt caching", "Pre-warming")."""
MAX_OUTPUT_TOKENS: Final = 2**31


FORWARDED_HEADERS: Final = (b"anthropic-version", b"anthropic-beta")
"""Which version of the format a caller speaks, and which of its betas (platform.claude.com, "Beta headers")."""


class _Message(Struct, frozen=True, gc=False):
    # ``system`` among the messages: platform.claude.com, "Mid-conversation system messages".
    role: Literal["user", "assistant", "system"]


class _Turn(Struct, frozen=True, gc=False):
    # The same, but the error does not repeat a role of thirty megabytes.
    role: Annotated[str, Meta(pattern="^(user|assistant|system)$")]


class _Plain(Struct, frozen=True, gc=False):
    """The members that are acted on, in a request without faults; nearly all are."""

    model: Annotated[str, Meta(min_length=1, max_length=json_body.MAX_MODEL_CHARS)]
    messages: Annotated[list[_Message], Meta(min_length=1)]
    max_tokens: Annotated[int, Meta(ge=MIN_OUTPUT_TOKENS, le=MAX_OUTPUT_TOKENS)]
    stream: bool | None = None


_PLAIN: Final = msgspec.json.Decoder(_Plain)
_MESSAGES: Final = msgspec.json.Decoder(list[_Turn])
# Millions of messages fit into a body: equal ones in a set take no memory.
_MANY_MESSAGES: Final = msgspec.json.Decoder(frozenset[_Turn])
_MANY: Final = 16_384
_LONGEST_PLAIN: Final = 256 * 1024
_BOOL: Final = msgspec.json.Decoder(bool | None)
_INT: Final = msgspec.json.Decoder(int)
_ENCODE: Final = msgspec.json.Encoder().encode


def parse_envelope(body: bytes) -> Envelope:
    """Check the envelope of a request and keep everything else as it came.

    Raises:
        InvalidRequestError: malformed; ``param`` names the field, e.g. ``messages[2].role``.
        UnsupportedParameterError: a routing field in the body.
    """
    fields = json_body.read_request(body)
    return _parse_plain(body, fields) or _parse_carefully(fields)


def _parse_plain(body: bytes, fields: dict[str, Raw]) -> Envelope | None:
    """Check everything in one decoding; ``None`` where that finds a fault, which the careful way then names."""
    if len(body) > _LONGEST_PLAIN:
        return None
    try:
        plain = _PLAIN.decode(body)
    except (ValueError, RecursionError):
        return None
    if not plain.model.isprintable() or plain.model.isspace():
        return None
    return Envelope(
        plain.model,
        fields,
        plain.stream is True,
        max_output_tokens=plain.max_tokens,
        max_output_field=MAX_OUTPUT_FIELD,
        end_user=json_body.read_user_id(fields) if "metadata" in fields else None,
    )


def _parse_carefully(fields: dict[str, Raw]) -> Envelope:
    """Check field by field, so that the error names the one that is wrong."""
    model = json_body.read_model(fields)
    check_messages(fields)
    return Envelope(
        model,
        fields,
        "stream" in fields and read_value(_BOOL, fields["stream"], "stream") is True,
        max_output_tokens=_read_max_tokens(fields),
        max_output_field=MAX_OUTPUT_FIELD,
        end_user=json_body.read_user_id(fields),
    )


def check_messages(fields: dict[str, Raw]) -> None:
    """Check that ``messages`` is a list of messages. Raises `InvalidRequestError`, which names the field."""
    value = fields.get("messages")
    if value is None:
        raise InvalidRequestError("`messages` is required", param="messages")
    few = len(value) <= _MANY or bytes(value).count(b"{") <= _MANY
    decoder: msgspec.json.Decoder[Any] = _MESSAGES if few else _MANY_MESSAGES
    if not read_text_value(decoder, value, "messages"):
        raise InvalidRequestError("`messages` must not be empty", param="messages")


def _read_max_tokens(fields: dict[str, Raw]) -> int:
    value = fields.get(MAX_OUTPUT_FIELD)
    if value is None or is_null(value):
        raise InvalidRequestError(f"`{MAX_OUTPUT_FIELD}` is required", param=MAX_OUTPUT_FIELD)
    number = read_value(_INT, value, MAX_OUTPUT_FIELD)
    if not MIN_OUTPUT_TOKENS <= number <= MAX_OUTPUT_TOKENS:
        limits = f"between {MIN_OUTPUT_TOKENS} and {MAX_OUTPUT_TOKENS}"
        raise InvalidRequestError(f"`{MAX_OUTPUT_FIELD}` must be {limits}", param=MAX_OUTPUT_FIELD)
    return number


def render_upstream(envelope: Envelope, upstream: UpstreamBody) -> bytes:
    """Return the body to send: the caller's members in their order, only ``model`` and ``max_tokens`` replaced.

    Every provider of this format knows the maximum by this one name, and reports usage unasked.
    """
    fields = cast("dict[str, Raw | str | int]", envelope.fields.copy())
    fields["model"] = upstream.model
    if envelope.max_output_tokens is not None:
        fields[MAX_OUTPUT_FIELD] = envelope.max_output_tokens
    return _ENCODE(fields)


def input_text(envelope: Envelope) -> tuple[str, ...]:
    """Return all text of the request that a tokenizer would see: system, messages, tool definitions, answer schema.

    Media, signatures and what the format does not describe are left out; a caller counts those by other means.
    """
    texts: list[str] = []
    for name in ("system", "messages", "tools", "output_config", "output_format"):
        value = envelope.fields.get(name)
        if value is not None:
            try:
                _collect_text(json_body.read_any(value), texts)
            except (ValueError, RecursionError):
                texts.append(bytes(value).decode("utf-8", "replace"))  # Too odd to read: an upper bound then.
    return tuple(texts)


_NOT_TEXT: Final = frozenset(
    {
        "cache_control",
        "citations",
        "data",
        "effort",
        "encrypted_content",
        "file_id",
        "id",
        "media_type",
        "role",
        "signature",
        "tool_use_id",
        "type",
        "url",
    }
)
# Vendors put a schema and a tool's input into the prompt as JSON, keys and all.
_AS_JSON: Final = frozenset({"input_schema", "schema", "input", "input_examples"})


def _collect_text(value: Any, into: list[str]) -> None:
    if isinstance(value, str):
        if value:
            into.append(value)
    elif isinstance(value, list):
        for item in cast("list[Any]", value):
            _collect_text(item, into)
    elif isinstance(value, dict):
        members = cast("dict[str, Any]", value)
        is_text_document = members.get("type") == "text" and "media_type" in members
        for key, item in members.items():
            if key in _AS_JSON:
                into.append(_ENCODE(item).decode())
            elif key not in _NOT_TEXT or (key == "data" and is_text_document):
                _collect_text(item, into)


def meter_stream(hide_usage: bool) -> StreamMeter:
    """Return a new meter for one stream. Its usage is part of every stream, so nothing of it is ever hidden."""
    del hide_usage
    return AnthropicMessagesMeter()


ANTHROPIC_MESSAGES: Final = WireFormat(
    name="anthropic_messages",
    operation="chat",
    answer_id_prefix="msg_",
    upstream_path="/messages",
    ping=b'event: ping\ndata: {"type": "ping"}\n\n',
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
    dialect=Dialect(
        parse_request=parse_request,
        render_request=render_request,
        parse_response=parse_response,
        render_response=render_response,
        decode_stream=StreamDecoder,
        encode_stream=StreamEncoder,
    ),
)
