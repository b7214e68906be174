"""Moments in query parameters: RFC 3339 outside, milliseconds since the epoch inside."""

from datetime import datetime
from typing import Annotated, Final

from msgspec import Meta

from headgate.domain.errors import ValidationFailedError

Moment = Annotated[datetime, Meta(tz=True, description="A moment, RFC 3339 with its offset.")]

# Calendar arithmetic near the ends of `datetime` overflows, and no request was made there.
_YEARS: Final = range(2000, 2201)


def to_ms(moment: datetime, param: str) -> int:
    """Return ``moment`` as wall-clock ms.

    Raises:
        ValidationFailedError: it lies outside the years 2000 to 2200; ``param`` is the field to blame.
    """
    if moment.year not in _YEARS:
        raise ValidationFailedError("A moment lies in the years 2000 to 2200.", param=param)
    return round(moment.timestamp() * 1000)
