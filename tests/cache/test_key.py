"""Tests of headgate.cache.key."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import asdict, replace

from headgate.cache.key import KEY_BYTES, Partition, entry_id, key_of

SECRET = bytes(range(32))
PARTITION = Partition("org_1", "team_1", "chat", "gpt-4o", "openai/gpt-4o", "-")
FIELDS = Partition.__struct_fields__


@pytest.mark.parametrize("name", FIELDS)
def test_a_key_without_a_tenant_or_any_other_boundary_cannot_be_made(name: str) -> None:
    facts = asdict(PARTITION)
    with pytest.raises(ValueError, match=name):
        Partition(**{**facts, name: ""})
    del facts[name]
    with pytest.raises(TypeError, match=name):
        Partition(**facts)


def test_another_boundary_another_secret_or_another_question_is_another_key() -> None:
    keys = [
        key_of(SECRET, PARTITION, b"asked"),
        key_of(SECRET, PARTITION, b"else"),
        key_of(SECRET[::-1], PARTITION, b"asked"),
    ]
    keys += [key_of(SECRET, replace(PARTITION, **{name: "other"}), b"asked") for name in FIELDS]
    assert all(len(key) == KEY_BYTES for key in keys)
    assert all(one != other for one, other in combinations(keys, 2))
    assert key_of(SECRET, PARTITION, b"asked") == keys[0]


text = st.text(min_size=1, max_size=12)
partitions = st.builds(Partition, text, text, text, text, text, text)


@given(partitions, partitions, st.binary(max_size=20), st.binary(max_size=20))
def test_keys_are_equal_only_where_all_they_are_made_of_is(
    one: Partition, other: Partition, a: bytes, b: bytes
) -> None:
    assert (key_of(SECRET, one, a) == key_of(SECRET, other, b)) == ((one, a) == (other, b))


def test_a_short_secret_is_refused() -> None:
    with pytest.raises(ValueError, match="32"):
        key_of(b"short", PARTITION, b"asked")


def test_an_entrys_name_is_not_its_key() -> None:
    key = key_of(SECRET, PARTITION, b"asked")
    name = entry_id(key)
    assert name == entry_id(key)
    assert name.startswith("ce_")
    assert key.hex() not in name
    assert name[3:] not in key.hex()
