"""RFC 3339 outside, milliseconds inside."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.control.timestamps import format_optional_time, format_time, parse_time
from headgate.domain.errors import ValidationFailedError


@given(st.integers(0, 253_402_300_799_999))
def test_a_time_survives_being_written_and_read(at_ms):
    assert parse_time(format_time(at_ms), "at") == at_ms


@pytest.mark.parametrize(
    ("at_ms", "text"),
    [(0, "1970-01-01T00:00:00.000Z"), (1_795_449_600_250, "2026-11-23T16:00:00.250Z")],
)
def test_a_time_is_written_in_utc_with_milliseconds(at_ms, text):
    assert format_time(at_ms) == text


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("2026-11-23T17:00:00+01:00", "2026-11-23T16:00:00.000Z"),
        ("2026-11-23T16:00:00Z", "2026-11-23T16:00:00.000Z"),
        ("2026-11-23T16:00:00.1239Z", "2026-11-23T16:00:00.123Z"),
    ],
)
def test_offsets_and_fractions_are_read(text, same):
    assert format_time(parse_time(text, "at")) == same


@pytest.mark.parametrize(
    "text",
    ["", "now", "2026-11-23", "2026-11-23T16:00:00", "2026-13-01T00:00:00Z", "1795449600", "2026-11-23 16:00:00Z"],
)
def test_what_is_no_rfc_3339_time_is_refused_by_name(text):
    with pytest.raises(ValidationFailedError) as refused:
        parse_time(text, "expires_at")
    assert refused.value.param == "expires_at"


def test_a_missing_time_stays_missing():
    assert format_optional_time(None) is None
    assert format_optional_time(0) == format_time(0)
