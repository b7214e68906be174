"""What the head of an inference request says: who asks, on whose behalf, and how long it may take."""

import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import unquote

from msgspec import Struct

from headgate.domain.caching import CacheControl
from headgate.domain.errors import InvalidApiKeyError, InvalidRequestError
from headgate.domain.routing import Strategy

_KEY_HEADERS: Final = frozenset({b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key"})
_OWN: Final = frozenset(
    {
        b"x-headgate-user",
        b"x-headgate-session",
        b"x-claude-code-session-id",
        b"x-headgate-tags",
        b"x-headgate-timeout",
        b"x-headgate-on-budget",
        b"idempotency-key",
        b"x-headgate-strategy",
        b"x-headgate-providers",
        b"cache-control",
    }
)
_LISTS: Final = frozenset({b"anthropic-beta", b"cache-control"})
"""Fields that are lists: given twice they are one longer list (RFC 9110 §5.3)."""
ACTED_ON: Final = (
    _KEY_HEADERS
    | _OWN
    | _LISTS
    | {b"x-headgate-api-key", b"content-type", b"content-encoding", b"content-length", b"host", b"expect"}
    | {b"anthropic-version"}
)
"""The fields of a request that the gateway reads; all others are nobody's concern."""
CONTRADICTED: Final = b""
"""Stands where a field's name would: its value names one that was given twice, with different values or as a Host."""
_DURATION: Final = re.compile(r"([0-9]{1,7}(?:\.[0-9]{1,3})?)(ms|s|m|h)")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_LONGEST_KEY: Final = 512
_LONGEST_TEXT: Final = 512
_IDEMPOTENCY_KEY: Final = re.compile(rb"[ -~]{1,255}")
_MOST_TAGS: Final = 16
_MOST_PROVIDERS: Final = 16
_PROVIDER: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_LONGEST_TAG: Final = 64
_MOST_SECONDS: Final = 2**31
"""Longer than any time that is meant (RFC 9111 §1.2.2)."""
_MOST_DIGITS: Final = 20


class Head(Struct, frozen=True, gc=False):
    """The header fields that Headgate acts on, checked."""

    presented_key: bytes | None
    content_type: bytes | None = None
    content_encoding: bytes | None = None
    content_length: int | None = None
    end_user: str | None = None
    session: str | None = None
    tags: tuple[tuple[str, str], ...] = ()
    timeout_s: float | None = None
    may_clamp: bool = False
    """``x-headgate-on-budget: clamp``."""
    idempotency_key: str | None = None
    strategy: Strategy | None = None
    providers: tuple[str, ...] | None = None
    cache_control: CacheControl | None = None


def find_fields(fields: Sequence[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Return those of a head's fields (names in lower case) that are `ACTED_ON`, and what is `CONTRADICTED`."""
    found: dict[bytes, bytes] = {}
    for name, value in fields:
        if name in ACTED_ON:
            if name not in found:
                found[name] = value
            elif name in _LISTS:
                found[name] += b"," + value
            elif name == b"host":
                found[CONTRADICTED] = name
            elif found[name] != value:
                found.setdefault(CONTRADICTED, name)
    return found


def read_head(found: dict[bytes, bytes]) -> Head:
    """Read what `find_fields` found.

    Raises:
        InvalidRequestError: credentials that contradict each other, or a field of ours that is malformed.
        InvalidApiKeyError: a key longer than any that exists.
    """
    contradicted = found.get(CONTRADICTED)
    if contradicted is not None and not (contradicted in _KEY_HEADERS and b"x-headgate-api-key" in found):
        raise InvalidRequestError(f"The header `{contradicted.decode()}` is given twice, with different values.")
    key = _presented_key(found)
    length = found.get(b"content-length")
    content_length = int(length) if length is not None else None
    if not _OWN.isdisjoint(found):
        return _with_own_fields(found, key, content_length)
    return Head(key, found.get(b"content-type"), found.get(b"content-encoding"), content_length)


def _with_own_fields(found: dict[bytes, bytes], key: bytes | None, content_length: int | None) -> Head:
    session = found.get(b"x-headgate-session", found.get(b"x-claude-code-session-id"))
    return Head(
        presented_key=key,
        content_type=found.get(b"content-type"),
        content_encoding=found.get(b"content-encoding"),
        content_length=content_length,
        end_user=_text(found.get(b"x-headgate-user"), "x-headgate-user"),
        session=_text(session, "x-headgate-session"),
        tags=_tags(found.get(b"x-headgate-tags")),
        timeout_s=_timeout(found.get(b"x-headgate-timeout")),
        may_clamp=_may_clamp(found.get(b"x-headgate-on-budget")),
        idempotency_key=_idempotency_key(found.get(b"idempotency-key")),
        strategy=_strategy(found.get(b"x-headgate-strategy")),
        providers=_providers(found.get(b"x-headgate-providers")),
        cache_control=_cache_control(found.get(b"cache-control")),
    )


def _presented_key(found: dict[bytes, bytes]) -> bytes | None:
    """The caller's key. ``x-headgate-api-key`` wins and leaves the others free for the provider's own use."""
    own = found.get(b"x-headgate-api-key")
    if own is not None:
        return _checked(own)
    presented: bytes | None = None
    for name, value in found.items():
        if name not in _KEY_HEADERS:
            continue
        key = value
        if name == b"authorization":
            scheme, _, key = value.partition(b" ")
            if scheme.lower() != b"bearer":
                raise InvalidRequestError("The Authorization header is not of the form `Bearer KEY`.")
        key = key.strip()
        if not key:
            continue
        if presented is not None and presented != key:
            raise InvalidRequestError("The request carries two different API keys.")
        presented = key
    return _checked(presented) if presented is not None else None


def _checked(key: bytes) -> bytes | None:
    if len(key) > _LONGEST_KEY:
        # No key is this long; hashing it would be work for nothing.
        raise InvalidApiKeyError("Incorrect API key provided.")
    return key or None


def _text(value: bytes | None, header: str) -> str | None:
    if not value:
        return None
    try:
        text = value.decode()
    except UnicodeDecodeError:
        text = value.decode("latin-1")
    if len(text) > _LONGEST_TEXT or not text.isprintable():
        raise InvalidRequestError(f"`{header}` is printable text of at most {_LONGEST_TEXT} characters.")
    return text


def _tags(value: bytes | None) -> tuple[tuple[str, str], ...]:
    """Parse W3C baggage (w3.org/TR/baggage §3.2): ``team=search,job=nightly;property``; properties are ignored."""
    if not value:
        return ()
    tags: list[tuple[str, str]] = []
    for member in value.decode("latin-1").split(","):
        pair = member.partition(";")[0]
        name, equals, text = pair.partition("=")
        name, text = name.strip(), unquote(text.strip())
        if not equals or not name or not name.isprintable() or not text.isprintable():
            raise InvalidRequestError("`x-headgate-tags` is a list such as `team=search,job=nightly` (W3C baggage).")
        if len(name) > _LONGEST_TAG or len(text) > _LONGEST_TEXT:
            raise InvalidRequestError(
                f"A tag in `x-headgate-tags` has a name of at most {_LONGEST_TAG} and a value of at most"
                f" {_LONGEST_TEXT} characters."
            )
        tags.append((name, text))
    if len(tags) > _MOST_TAGS:
        raise InvalidRequestError(f"`x-headgate-tags` holds at most {_MOST_TAGS} tags.")
    return tuple(tags)


def _timeout(value: bytes | None) -> float | None:
    if not value:
        return None
    match = _DURATION.fullmatch(value.decode("latin-1"))
    seconds = float(match[1]) * _SECONDS[match[2]] if match else 0.0
    if not seconds > 0:
        raise InvalidRequestError("`x-headgate-timeout` is a duration such as `500ms`, `30s` or `2m`.")
    return seconds


def _may_clamp(value: bytes | None) -> bool:
    if value in (None, b"refuse"):
        return False
    if value != b"clamp":
        raise InvalidRequestError("`x-headgate-on-budget` is `refuse` or `clamp`.")
    return True


def _idempotency_key(value: bytes | None) -> str | None:
    """The key as it was sent: in quotes (a structured field) it is another one than without."""
    if not value:
        return None
    if _IDEMPOTENCY_KEY.fullmatch(value) is None:
        raise InvalidRequestError("`idempotency-key` is printable ASCII of at most 255 characters.")
    return value.decode()


def _strategy(value: bytes | None) -> Strategy | None:
    if not value:
        return None
    try:
        return Strategy(value.decode("latin-1"))
    except ValueError:
        known = ", ".join(f"`{each}`" for each in Strategy)
        raise InvalidRequestError(f"`x-headgate-strategy` is one of {known}.") from None


def _providers(value: bytes | None) -> tuple[str, ...] | None:
    if not value:
        return None
    names = tuple(name.strip() for name in value.decode("latin-1").split(","))
    if len(names) > _MOST_PROVIDERS or not all(map(_PROVIDER.fullmatch, names)):
        raise InvalidRequestError(f"`x-headgate-providers` is a list of at most {_MOST_PROVIDERS} names of providers.")
    return names


def _cache_control(value: bytes | None) -> CacheControl | None:
    """Parse the directives of RFC 9111 §5.2.1; those that are unknown mean nothing (§5.2.3).

    A number of seconds that cannot be read is 0, which takes the least from the cache (§4.2.1).
    """
    if not value:
        return None
    given: dict[str, int | None] = {}
    for directive in value.decode("latin-1").split(","):
        name, equals, argument = directive.partition("=")
        given[name.strip().lower()] = _seconds(argument) if equals else None
    return CacheControl(
        no_cache="no-cache" in given,
        no_store="no-store" in given,
        only_if_cached="only-if-cached" in given,
        max_age_s=given.get("max-age", 0) or 0 if "max-age" in given else None,
        min_fresh_s=given.get("min-fresh"),
        stale_if_error_s=given.get("stale-if-error"),
    )


def _seconds(text: str) -> int:
    text = text.strip().strip('"')
    return min(int(text), _MOST_SECONDS) if text.isascii() and text.isdigit() and len(text) < _MOST_DIGITS else 0
