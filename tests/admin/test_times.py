"""Moments of query parameters."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from headgate.admin.times import to_ms
from headgate.domain.errors import ValidationFailedError


def test_a_moment_is_the_same_in_every_offset():
    utc = datetime(2026, 11, 18, 12, tzinfo=UTC)
    assert to_ms(utc, "from") == to_ms(utc.astimezone(timezone(timedelta(hours=14))), "from") == 1_795_003_200_000


@pytest.mark.parametrize("year", [1, 1999, 2201, 9999])
def test_a_moment_outside_two_centuries_is_refused_with_its_field(year: int):
    with pytest.raises(ValidationFailedError) as caught:
        to_ms(datetime(year, 1, 1, tzinfo=timezone(timedelta(hours=14))), "from")
    assert caught.value.param == "from"
