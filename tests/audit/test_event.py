"""What an audit event keeps of a change."""

from hypothesis import given
from hypothesis import strategies as st

from headgate.audit.event import difference

facts = st.dictionaries(st.sampled_from("abcd"), st.integers(0, 2), max_size=4)


@given(facts, facts)
def test_a_difference_is_all_that_differs_and_nothing_else(before, after):
    old, new = difference(before, after)
    assert old.keys() == new.keys()
    assert {**after, **old} == {**after, **{name: before.get(name) for name in old}}
    for name in {*before, *after}:
        assert (name in old) == (before.get(name) != after.get(name))
        if name in old:
            assert (old[name], new[name]) == (before.get(name), after.get(name))
