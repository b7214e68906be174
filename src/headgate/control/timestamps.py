"""RFC 3339 outside, milliseconds since the epoch inside."""

from datetime import UTC, datetime, timedelta
from typing import Final

from headgate.domain.errors import ValidationFailedError

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


def format_time(at_ms: int) -> str:
    """Return UTC with milliseconds, e.g. ``2026-11-23T16:05:00.250Z``."""
    return (_EPOCH + at_ms * _MILLISECOND).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def format_optional_time(at_ms: int | None) -> str | None:
    """`format_time` of a time that may be missing."""
    return None if at_ms is None else format_time(at_ms)


def parse_time(text: str, param: str) -> int:
    """Return the milliseconds of an RFC 3339 time with its offset.

    Raises:
        ValidationFailedError: it is none; ``param`` is named.
    """
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None or "T" not in text.upper():
            raise ValueError(text)
        return (moment - _EPOCH) // _MILLISECOND
    except (ValueError, OverflowError) as error:
        raise ValidationFailedError(
            f"`{param}` must be a time as RFC 3339 has it, such as 2027-01-31T12:00:00Z.", param=param
        ) from error
