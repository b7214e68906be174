"""OpenAI's chat completions format: the envelope, the body sent upstream, and the `WireFormat` row.

Source: OpenAI's API description, ``POST /chat/completions``. Answers are metered in `openai_chat_meter`; translation
through the hub is in `openai_chat_hub`, `openai_chat_answer` and `openai_chat_stream`, which the hot path never needs.
"""

from typing import Annotated, Any, Final, Literal, cast

import msgspec
from msgspec import Meta, Raw, Struct

from headgate.domain.errors import InvalidRequestError
from headgate.wire import json_body, openai_errors
from headgate.wire.format import Dialect, Envelope, StreamMeter, UpstreamBody, WireFormat
from headgate.wire.json_body import is_null, read_text_value, read_value
from headgate.wire.openai_chat_answer import parse_response, render_response
from headgate.wire.openai_chat_hub import parse_request, render_request
from headgate.wire.openai_chat_meter import OpenAIChatMeter, meter_body
from headgate.wire.openai_chat_stream import StreamDecoder, StreamEncoder

MAX_OUTPUT_FIELDS: Final = ("max_completion_tokens", "max_tokens")
MAX_OUTPUT_TOKENS: Final = 2**31
MAX_CHOICES: Final = 128


class _Message(Struct, frozen=True, gc=False):
    role: str


class _KnownMessage(Struct, frozen=True, gc=False):
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]


class _StreamOptions(Struct, frozen=True, gc=False):
    include_usage: bool | None = None


_MESSAGES: Final = msgspec.json.Decoder(list[_Message])
# Two million messages fit into a body: equal ones in a set, with roles that need no string, take no memory.
_MANY_MESSAGES: Final = msgspec.json.Decoder(frozenset[_KnownMessage])
_MANY: Final = 16_384
_BOOL: Final = msgspec.json.Decoder(bool | None)
_INT: Final = msgspec.json.Decoder(int | None)
_STREAM_OPTIONS: Final = msgspec.json.Decoder(_StreamOptions | None)
_MEMBERS: Final = msgspec.json.Decoder(dict[str, Raw])
_ENCODE: Final = msgspec.json.Encoder().encode
_TRUE: Final = Raw(b"true")


class _Plain(Struct, frozen=True, gc=False):
    """The members that are acted on, in a request without faults; nearly all are."""

    model: Annotated[str, Meta(min_length=1, max_length=json_body.MAX_MODEL_CHARS)]
    messages: Annotated[list[_Message], Meta(min_length=1)]
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    max_completion_tokens: Annotated[int, Meta(ge=1, le=MAX_OUTPUT_TOKENS)] | None = None
    max_tokens: Annotated[int, Meta(ge=1, le=MAX_OUTPUT_TOKENS)] | None = None
    n: Annotated[int, Meta(ge=1, le=MAX_CHOICES)] | None = None


_PLAIN: Final = msgspec.json.Decoder(_Plain)
_LONGEST_PLAIN: Final = 256 * 1024


def parse_envelope(body: bytes) -> Envelope:
    """Check the envelope of a chat request and keep everything else as it came.

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
    model, max_field, max_tokens = plain.model, None, None
    if not model.isprintable() or model.isspace():
        return None
    if plain.max_completion_tokens is not None:
        if plain.max_tokens is not None:
            return None
        max_field, max_tokens = "max_completion_tokens", plain.max_completion_tokens
    elif plain.max_tokens is not None:
        max_field, max_tokens = "max_tokens", plain.max_tokens
    options = plain.stream_options
    return Envelope(
        model,
        fields,
        plain.stream is True,
        options is not None and options.include_usage is True,
        max_tokens,
        max_field,
        json_body.read_end_user(fields) if "user" in fields or "safety_identifier" in fields else None,
        json_body.read_tags(fields) if "metadata" in fields else (),
    )


def _parse_carefully(fields: dict[str, Raw]) -> Envelope:
    """Check field by field, so that the error names the one that is wrong."""
    model = json_body.read_model(fields)
    _check_messages(fields)
    stream = "stream" in fields and read_value(_BOOL, fields["stream"], "stream") is True
    wants_usage = False
    if "stream_options" in fields:
        options = read_value(_STREAM_OPTIONS, fields["stream_options"], "stream_options")
        wants_usage = options is not None and options.include_usage is True
    max_field, max_tokens = _read_max_output(fields)
    if "n" in fields:
        _read_int(fields["n"], "n", MAX_CHOICES)
    return Envelope(
        model,
        fields,
        stream,
        wants_usage,
        max_tokens,
        max_field,
        json_body.read_end_user(fields),
        json_body.read_tags(fields),
    )


def _check_messages(fields: dict[str, Raw]) -> None:
    value = fields.get("messages")
    if value is None:
        raise InvalidRequestError("`messages` is required", param="messages")
    few = len(value) <= _MANY or bytes(value).count(b"{") <= _MANY
    decoder: msgspec.json.Decoder[Any] = _MESSAGES if few else _MANY_MESSAGES
    messages = read_text_value(decoder, value, "messages")
    if not messages:
        raise InvalidRequestError("`messages` must not be empty", param="messages")


def _read_int(value: Raw, param: str, limit: int) -> int | None:
    number = read_value(_INT, value, param)
    if number is not None and not 1 <= number <= limit:
        raise InvalidRequestError(f"`{param}` must be between 1 and {limit}", param=param)
    return number


def _read_max_output(fields: dict[str, Raw]) -> tuple[str | None, int | None]:
    field, tokens = None, None
    for name in MAX_OUTPUT_FIELDS:
        if name in fields:
            number = _read_int(fields[name], name, MAX_OUTPUT_TOKENS)
            if number is None:
                continue
            if field is not None:
                raise InvalidRequestError(f"`{field}` and `{name}` cannot be set at the same time", param=name)
            field, tokens = name, number
    return field, tokens


def render_upstream(envelope: Envelope, upstream: UpstreamBody) -> bytes:
    """Return the body to send: the caller's members in their order, with only these replaced.

    ``model``; the maximum of output tokens (from the envelope, under the vendor's name); and ``stream_options``, where
    usage is wanted of a stream, keeping its other members.
    """
    fields = cast("dict[str, Raw | str | int]", envelope.fields.copy())
    fields["model"] = upstream.model
    tokens = envelope.max_output_tokens
    if tokens is not None:
        mine = envelope.max_output_field
        name = upstream.max_output_field or mine or MAX_OUTPUT_FIELDS[0]
        if mine is not None and name != mine:
            # The vendor's name takes the caller's place, and a null under that name must not come again.
            fields = {name if key == mine else key: value for key, value in fields.items() if key != name}
        fields[name] = tokens
    if upstream.include_usage and envelope.stream and not envelope.wants_usage:
        fields["stream_options"] = _with_usage(envelope.fields.get("stream_options"))
    return _ENCODE(fields)


def _with_usage(options: Raw | None) -> Raw:
    if options is None or is_null(options):
        return Raw(b'{"include_usage":true}')
    members = _MEMBERS.decode(options)
    members["include_usage"] = _TRUE
    return Raw(_ENCODE(members))


def input_text(envelope: Envelope) -> tuple[str, ...]:
    """Return all text of the request that a tokenizer would see: messages, tool definitions, answer schema.

    Media and what the format does not describe are left out; a caller counts those by other means.
    """
    texts: list[str] = []
    for name in ("messages", "tools", "functions", "response_format", "prediction"):
        value = envelope.fields.get(name)
        if value is not None:
            try:
                _collect_text(json_body.read_any(value), texts)
            except (ValueError, RecursionError):
                texts.append(bytes(value).decode("utf-8", "replace"))  # Too odd to read: an upper bound then.
    return tuple(texts)


_NOT_TEXT: Final = frozenset({"image_url", "input_audio", "file", "audio", "video_url", "type", "id", "tool_call_id"})


def _collect_text(value: Any, into: list[str]) -> None:
    if isinstance(value, str):
        if value:
            into.append(value)
    elif isinstance(value, list):
        for item in cast("list[Any]", value):
            _collect_text(item, into)
    elif isinstance(value, dict):
        for key, item in cast("dict[str, Any]", value).items():
            if key in ("parameters", "schema"):
                into.append(_ENCODE(item).decode())  # Vendors put the schema into the prompt, keys and all.
            elif key not in _NOT_TEXT:
                _collect_text(item, into)


def meter_stream(hide_usage: bool) -> StreamMeter:
    """Return a new meter for one stream."""
    return OpenAIChatMeter(hide_usage)


OPENAI_CHAT: Final = WireFormat(
    name="openai_chat",
    operation="chat",
    answer_id_prefix="chatcmpl-",
    upstream_path="/chat/completions",
    parse_envelope=parse_envelope,
    render_upstream=render_upstream,
    meter_body=meter_body,
    meter_stream=meter_stream,
    input_text=input_text,
    parse_fault=openai_errors.parse_fault,
    render_error=openai_errors.render_error,
    render_stream_error=openai_errors.render_stream_error,
    dialect=Dialect(
        parse_request=parse_request,
        render_request=render_request,
        parse_response=parse_response,
        render_response=render_response,
        decode_stream=StreamDecoder,
        encode_stream=StreamEncoder,
    ),
)
