"""Lists, newest first, in pages whose cursor means nothing to the client."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import Callable, Sequence
from typing import Annotated, Generic, TypeVar

from msgspec import Meta, Struct

from headgate.domain.errors import ValidationFailedError

T = TypeVar("T")
R = TypeVar("R")

Limit = Annotated[int, Meta(ge=1, le=200, description="How many to return at most.")]


class ListQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every list takes."""

    limit: Limit = 50
    cursor: Annotated[str, Meta(max_length=200, description="`next_cursor` of the page before.")] | None = None


class Page(Struct, Generic[T], frozen=True):
    """Part of a list."""

    data: list[T]
    next_cursor: str | None = None
    """Where the next page begins; `None` on the last one."""


def check_limit(limit: int) -> int:
    """Return ``limit``, or raise `ValidationFailedError`."""
    if not 1 <= limit <= 200:
        raise ValidationFailedError("`limit` must be 1 to 200.", param="limit")
    return limit


def encode_cursor(place: str) -> str:
    """Make a cursor of the last item's place in the order."""
    return urlsafe_b64encode(place.encode()).decode().rstrip("=")


def decode_cursor(cursor: str | None) -> str | None:
    """Return the place that `encode_cursor` was given.

    Raises:
        ValidationFailedError: not a cursor of ours.
    """
    if cursor is None:
        return None
    try:
        place = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
    except (Base64Error, ValueError) as error:
        raise ValidationFailedError("`cursor` must be the `next_cursor` of the page before.", param="cursor") from error
    if encode_cursor(place) != cursor:
        raise ValidationFailedError("`cursor` must be the `next_cursor` of the page before.", param="cursor")
    return place


def page_of(found: Sequence[R], limit: int, place_of: Callable[[R], str], show: Callable[[R], T]) -> Page[T]:
    """Make a page of rows that were read with ``limit + 1``: the one too many says that there is a next page."""
    rows = found[:limit]
    more = len(found) > limit
    return Page([show(row) for row in rows], encode_cursor(place_of(rows[-1])) if more else None)
