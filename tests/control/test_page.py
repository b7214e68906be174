"""Pages and their cursors."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.control.page import check_limit, decode_cursor, encode_cursor, page_of
from headgate.domain.errors import ValidationFailedError


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=60))
def test_a_cursor_gives_back_its_place(place):
    cursor = encode_cursor(place)
    assert decode_cursor(cursor) == place
    assert cursor.isascii()
    assert "=" not in cursor


@given(st.text(max_size=60))
def test_any_text_is_a_place_or_refused_by_name(cursor):
    try:
        place = decode_cursor(cursor)
    except ValidationFailedError as error:
        param = error.param
    else:
        param = "cursor"
        assert place is not None
        assert encode_cursor(place) == cursor
    assert param == "cursor"


def test_no_cursor_is_the_first_page():
    assert decode_cursor(None) is None


@pytest.mark.parametrize(("count", "more"), [(0, False), (1, False), (3, False), (4, True)])
def test_one_row_too_many_says_that_there_is_a_next_page(count, more):
    page = page_of(list(range(count)), 3, str, lambda row: row * 10)
    assert page.data == [row * 10 for row in range(min(count, 3))]
    assert page.next_cursor == (encode_cursor("2") if more else None)


@pytest.mark.parametrize("limit", [1, 200])
def test_limits_within_bounds_are_kept(limit):
    assert check_limit(limit) == limit
