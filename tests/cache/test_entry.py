"""Tests of headgate.cache.entry."""

import pytest

from headgate.cache.entry import FUTURE_MS
from tests.cache.entries import HOUR_MS, NOW_MS, entry_of


@pytest.mark.parametrize(
    ("now_ms", "is_there"),
    [
        (NOW_MS, True),
        (NOW_MS + HOUR_MS, True),
        (NOW_MS + 24 * HOUR_MS - 1, True),
        (NOW_MS + 24 * HOUR_MS, False),
        (NOW_MS - FUTURE_MS, True),
        (NOW_MS - FUTURE_MS - 1, False),
    ],
)
def test_an_answer_is_there_until_it_is_too_stale_and_not_before_it_was_given(now_ms: int, is_there: bool) -> None:
    assert entry_of("a").is_there(now_ms) is is_there
