"""OpenAI's embeddings format. Source: OpenAI's API description, ``POST /embeddings``. It has no streams."""

from typing import Any, Final, NoReturn, cast

import msgspec
from msgspec import Raw, Struct

from headgate.domain.errors import InvalidRequestError, UnsupportedFeatureError
from headgate.domain.usage import TokenUsage
from headgate.wire import json_body, openai_errors
from headgate.wire.format import (
    Envelope,
    FaultyAnswerError,
    MalformedAnswerError,
    Metered,
    StreamMeter,
    UpstreamBody,
    UpstreamFault,
    WireFormat,
)
from headgate.wire.json_body import is_null, member_of, read_text_value, read_value
from headgate.wire.openai_usage import read_count

MAX_INPUTS: Final = 2048
"""OpenAI's own limit on a batch."""
MAX_DIMENSIONS: Final = 2**20

_ENCODING_FORMATS: Final = ("float", "base64")


class _Nothing(Struct, frozen=True, gc=False):
    """Skips whatever the answer's items hold."""


class _Answer(Struct, frozen=True, gc=False):
    data: frozenset[_Nothing]
    usage: Any = None


_ANSWER: Final = msgspec.json.Decoder(_Answer)
_INT: Final = msgspec.json.Decoder(int | None)
_BOOL: Final = msgspec.json.Decoder(bool | None)
_STR: Final = msgspec.json.Decoder(str)
_TEXTS: Final = msgspec.json.Decoder(list[str])
_WHITE: Final = b" \t\r\n"
_ENCODE: Final = msgspec.json.Encoder().encode


def parse_envelope(body: bytes) -> Envelope:
    """Check the envelope of an embeddings request and keep everything else as it came.

    Raises:
        InvalidRequestError: malformed; ``param`` names the field.
        UnsupportedFeatureError: ``stream`` is asked for.
        UnsupportedParameterError: a routing field in the body.
    """
    fields = json_body.read_request(body)
    model = json_body.read_model(fields)
    _check_input(fields.get("input"))
    if "encoding_format" in fields and not is_null(fields["encoding_format"]):
        wanted = read_value(_STR, fields["encoding_format"], "encoding_format")
        if wanted not in _ENCODING_FORMATS:
            raise InvalidRequestError("`encoding_format` must be `float` or `base64`", param="encoding_format")
    if "dimensions" in fields:
        dimensions = read_value(_INT, fields["dimensions"], "dimensions")
        if dimensions is not None and not 1 <= dimensions <= MAX_DIMENSIONS:
            raise InvalidRequestError(f"`dimensions` must be between 1 and {MAX_DIMENSIONS}", param="dimensions")
    if "stream" in fields and read_value(_BOOL, fields["stream"], "stream"):
        raise UnsupportedFeatureError("embeddings cannot be streamed", param="stream")
    return Envelope(model, fields, end_user=json_body.read_end_user(fields), tags=json_body.read_tags(fields))


def _check_input(value: Raw | None) -> None:
    """Check that the input is a string, strings, tokens, or lists of tokens, and none of it is empty."""
    if value is None:
        raise InvalidRequestError("`input` is required", param="input")
    data = bytes(value)
    if data.startswith(b'"'):
        empty = not read_text_value(_STR, value, "input")
    elif not data.startswith(b"["):
        raise InvalidRequestError("`input` must be a string or an array", param="input")
    elif b'"' in data:
        empty = not all(_read_texts(data))
    else:
        empty = _check_tokens(data.translate(None, _WHITE))
    if empty:
        raise InvalidRequestError("`input` must not be empty", param="input")


def _refuse_many() -> NoReturn:
    raise InvalidRequestError(f"`input` has more than {MAX_INPUTS} entries", param="input")


def _read_texts(data: bytes) -> list[str]:
    # Every string has two quotes that are not escaped, so this bounds their number before any is made.
    if data.count(b'"') - data.count(b'\\"') > 2 * MAX_INPUTS:
        _refuse_many()
    texts = read_text_value(_TEXTS, Raw(data), "input")
    if len(texts) > MAX_INPUTS:
        _refuse_many()
    return texts


def _check_tokens(data: bytes) -> bool:
    """Check an array of token ids, or of such arrays, on its bytes alone: valid JSON without white space.

    Decoded, the ids of a full body would take ten times its size. Returns whether something in it is empty.
    """
    if data.translate(None, b"0123456789,[]"):
        raise InvalidRequestError("`input` must hold strings, or token ids as integers of zero or more", param="input")
    if b"[]" in data:
        return True
    arrays = data.count(b"[") - 1
    if arrays:
        joints = data.count(b"],[")
        if not (data.startswith(b"[[") and data.endswith(b"]]") and joints == arrays - 1):
            raise InvalidRequestError("`input` must hold token ids or arrays of token ids, not both", param="input")
        if arrays > MAX_INPUTS:
            _refuse_many()
    return False


def render_upstream(envelope: Envelope, upstream: UpstreamBody) -> bytes:
    """Return the body to send: the caller's members in their order, with only ``model`` replaced."""
    fields = cast("dict[str, Raw | str]", envelope.fields.copy())
    fields["model"] = upstream.model
    return _ENCODE(fields)


def meter_body(body: bytes) -> Metered:
    """Read the usage off an answer; embeddings have input tokens alone.

    Raises:
        MalformedAnswerError: not JSON, or not an object with ``data``.
        FaultyAnswerError: an error object under a good status.
    """
    try:
        answer = _ANSWER.decode(body)
    except (ValueError, RecursionError) as error:
        fault = _fault_of(body)
        if fault is not None:
            raise FaultyAnswerError(fault) from error
        raise MalformedAnswerError(f"the provider sent no embeddings: {error}") from error
    tokens = read_count(member_of(answer.usage, "prompt_tokens"))
    if tokens is None:
        tokens = read_count(member_of(answer.usage, "total_tokens"))
    return Metered(None if tokens is None else TokenUsage(input_tokens=tokens))


def _fault_of(body: bytes) -> UpstreamFault | None:
    try:
        answer = json_body.read_any(body)
    except (ValueError, RecursionError):
        return None
    return openai_errors.read_fault(answer) if member_of(answer, "error") else None


def meter_stream(hide_usage: bool) -> StreamMeter:
    """Refuse: the envelope lets no stream through.

    Raises:
        UnsupportedFeatureError: always.
    """
    raise UnsupportedFeatureError("embeddings cannot be streamed", param="stream")


def input_text(envelope: Envelope) -> tuple[str, ...]:
    """Return the texts to embed. Token ids come as a text of as many short words: one token each."""
    value = envelope.fields.get("input")
    if value is None:
        return ()
    data = bytes(value)
    if b'"' not in data:
        return (" a" * (data.count(b",") + 1),)
    found = json_body.read_any(data)
    return (found,) if isinstance(found, str) else tuple(found)


OPENAI_EMBEDDINGS: Final = WireFormat(
    name="openai_embeddings",
    operation="embeddings",
    upstream_path="/embeddings",
    parse_envelope=parse_envelope,
    render_upstream=render_upstream,
    meter_body=meter_body,
    meter_stream=meter_stream,
    input_text=input_text,
    parse_fault=openai_errors.parse_fault,
    render_error=openai_errors.render_error,
    render_stream_error=openai_errors.render_stream_error,
)
