"""Identifiers."""

import pytest

from headgate.domain.ids import mint


def test_ids_sort_by_time() -> None:
    ids = [mint("req", ms, bytes([255 - ms % 256] * 10)) for ms in range(1_763_899_200_000, 1_763_899_200_300)]
    assert ids == sorted(ids)


def test_an_id_holds_its_prefix_and_all_its_entropy() -> None:
    assert mint("key", 1, bytes(range(10))) == "key_00000000000100010203040506070809"


def test_short_entropy_is_refused() -> None:
    with pytest.raises(ValueError, match="10 random bytes"):
        mint("key", 1, b"short")
