"""Bytes and header fields → typed values, strictly: what is not understood is refused and named, never ignored."""

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from typing import Final, TypeVar

import msgspec
from msgspec import Struct
from starlette.requests import Request

from headgate.admin.endpoint import JSON, IfMatch
from headgate.domain.errors import (
    BodyTooLargeError,
    InvalidRequestError,
    PreconditionFailedError,
    PreconditionRequiredError,
    UnsupportedMediaTypeError,
    ValidationFailedError,
)

MAX_BODY: Final = 1024 * 1024
"""Bytes of a management request's body."""
MERGE_PATCH: Final = "application/merge-patch+json"
"""RFC 7396."""

_SHOWN: Final = 100
_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~%!$&'()*+,;=-]+)(:[0-9]{1,5})?")
_VERSION_TAG: Final = re.compile(r'"v([0-9]{1,15})"')
_ENTITY_TAG: Final = re.compile(r'(?:W/)?("[\x21\x23-\x7e\x80-\xff]*")')
_FAULT: Final = re.compile(r"(?P<text>.*?)(?: - at (?:the key|a key)?[^`]*`\$\.?(?P<path>.*)`)?", re.DOTALL)
_FIELD: Final = re.compile(r"Object (?P<what>contains unknown|missing required) field `(?P<name>.*)`", re.DOTALL)

T = TypeVar("T", bound=Struct)


def check_host(values: Sequence[str]) -> None:
    """Refuse a request whose ``Host`` is missing, repeated or not ``host[:port]`` (RFC 9112, 3.2).

    Nothing here is decided by it; refusing keeps whatever reads it later from being misled.

    Raises:
        InvalidRequestError: as said.
    """
    if len(values) != 1 or _HOST.fullmatch(values[0]) is None:
        raise InvalidRequestError("The request must carry one Host header of the form host[:port].", param="host")


async def read_body(request: Request, *, patch: bool) -> bytes:
    """Return the JSON body, at most `MAX_BODY` bytes of it; an empty body stands for an empty object.

    Raises:
        BodyTooLargeError: it is longer, or says so.
        UnsupportedMediaTypeError: it is not JSON, or comes in a coding.
    """
    too_large = BodyTooLargeError(f"The body may have {MAX_BODY} bytes at most.")
    declared = request.headers.get("content-length", "")
    if declared.isascii() and declared.isdigit() and int(declared[:20]) > MAX_BODY:
        raise too_large
    pieces: list[bytes] = []
    size = 0
    async for piece in request.stream():
        size += len(piece)
        if size > MAX_BODY:
            raise too_large
        pieces.append(piece)
    if size == 0:
        return b"{}"
    _check_media_type(request, (JSON, MERGE_PATCH) if patch else (JSON,))
    return b"".join(pieces)


def _check_media_type(request: Request, accepted: tuple[str, ...]) -> None:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in accepted:
        raise UnsupportedMediaTypeError(f"Send the body as {' or '.join(accepted)}.", param="content-type")
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise UnsupportedMediaTypeError("Send the body without a content coding.", param="content-encoding")


def decode_body(body: bytes, shape: type[T]) -> T:
    """Decode a JSON object.

    Raises:
        InvalidRequestError: not JSON, nested too deep, or with a member twice.
        ValidationFailedError: a field is unknown, missing or of a wrong type; ``param`` names it.
    """
    try:
        json.loads(body, object_pairs_hook=_refuse_duplicates, parse_constant=_refuse_constant)
        return msgspec.json.decode(body, type=shape)
    except msgspec.ValidationError as error:
        raise validation_failed(error) from None
    except RecursionError:
        raise InvalidRequestError("The body is nested too deep.") from None
    except (msgspec.DecodeError, json.JSONDecodeError) as error:
        raise InvalidRequestError(f"The body is not JSON: {str(error)[:200]}.") from None
    except ValueError:
        # What is left: bytes that are not UTF-8, and integers of more digits than Python converts.
        raise InvalidRequestError("The body is not JSON: bad UTF-8, or a number without end.") from None


def _refuse_duplicates(pairs: list[tuple[str, object]]) -> None:
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            raise InvalidRequestError(f"The member `{name[:_SHOWN]}` appears twice.", param=name[:_SHOWN])
        seen.add(name)


def _refuse_constant(name: str) -> None:
    raise InvalidRequestError(f"The body is not JSON: {name} is not a value of it.")


def decode_query(items: Iterable[tuple[str, str]], shape: type[T] | None) -> T | None:
    """Decode query parameters; numbers and booleans are read from their text.

    Raises:
        ValidationFailedError: a parameter is unknown, repeated, missing or of a wrong type.
    """
    values: dict[str, str] = {}
    for name, value in items:
        if name in values:
            raise ValidationFailedError(f"The parameter `{name[:_SHOWN]}` appears twice.", param=name[:_SHOWN])
        values[name] = value
    if shape is None:
        for name in values:
            raise ValidationFailedError(f"There is no parameter `{name[:_SHOWN]}` here.", param=name[:_SHOWN])
        return None
    try:
        return msgspec.convert(values, type=shape, strict=False)
    except msgspec.ValidationError as error:
        raise validation_failed(error) from None


def validation_failed(error: msgspec.ValidationError) -> ValidationFailedError:
    """Turn msgspec's words into a field's path and a sentence."""
    fault = _FAULT.fullmatch(str(error))
    assert fault is not None, "the pattern takes any text"
    text, path = fault["text"], fault["path"] or ""
    field = _FIELD.fullmatch(text)
    if field is None:
        return ValidationFailedError(f"{text[:300]}.", param=path[:_SHOWN] or None)
    name = field["name"][:_SHOWN]
    param = f"{path}.{name}" if path else name
    words = f"There is no field `{name}` here." if "unknown" in field["what"] else f"The field `{name}` is missing."
    return ValidationFailedError(words, param=param)


def entity_tag(version: int) -> str:
    """Return the ETag of a resource's version, e.g. ``"v3"`` with its quotes."""
    return f'"v{version}"'


def entity_tag_of(representation: bytes) -> str:
    """Return the ETag of what has no version of its own: a digest of the answer's body."""
    return f'"{hashlib.sha256(representation).hexdigest()[:32]}"'


def is_known(values: Sequence[str], tag: str) -> bool:
    """Whether ``If-None-Match`` names ``tag`` (RFC 9110, 13.1.2): the caller has this answer already.

    What is no list of tags names none, so that the caller gets the whole answer.
    """
    listed = ",".join(values)
    return listed.strip() == "*" or tag in _ENTITY_TAG.findall(listed)


def expected_version(values: Sequence[str], policy: IfMatch) -> int | None:
    """Return the version that ``If-Match`` names; ``None`` where any will do.

    Raises:
        PreconditionRequiredError: it is absent where the endpoint demands it.
        PreconditionFailedError: it is a tag that no version of ours can have.
        InvalidRequestError: it is not one entity tag.
    """
    if policy is IfMatch.UNUSED:
        return None
    if not values:
        if policy is IfMatch.REQUIRED:
            raise PreconditionRequiredError(
                "Send the resource's ETag as If-Match: two writers must not undo each other.", param="if-match"
            )
        return None
    value = values[0].strip()
    if len(values) == 1 and value == "*":
        return None
    ours = _VERSION_TAG.fullmatch(value)
    if len(values) == 1 and ours is not None:
        return int(ours[1])
    if len(values) == 1 and _ENTITY_TAG.fullmatch(value) is not None:
        raise PreconditionFailedError("If-Match names a version this resource never had.", param="if-match")
    raise InvalidRequestError('If-Match must be one entity tag, such as "v3", or *.', param="if-match")
