"""Tests of headgate.cache.memory."""

from hypothesis import given
from hypothesis import strategies as st

from headgate.cache.memory import ENTRY_BYTES, Kept, Memory
from tests.cache.entries import entry_of


def kept(name: str, size: int = 0) -> Kept:
    return Kept(entry_of(name, payload=b"x" * size), 1, 100.0)


def key(name: str) -> bytes:
    return entry_of(name).key


def memory_of(*names: str, room: int) -> Memory:
    memory = Memory(room * ENTRY_BYTES)
    for name in names:
        memory.put(kept(name))
    return memory


def test_what_was_not_asked_for_goes_before_what_was() -> None:
    memory = memory_of("a", "b", "c", room=3)
    assert memory.find(key("a")) is not None
    memory.put(kept("d"))
    assert [memory.find(key(name)) is not None for name in "abcd"] == [True, False, True, True]
    assert (len(memory), memory.evictions) == (3, 1)


def test_a_new_answer_is_not_evicted_for_itself() -> None:
    memory = memory_of("a", "b", room=2)
    for name in "ab":
        memory.find(key(name))
    memory.put(kept("c"))
    assert memory.find(key("c")) is not None


def test_an_answer_larger_than_all_of_it_is_not_kept_and_evicts_nobody() -> None:
    memory = memory_of("a", room=3)
    memory.put(kept("large", 3 * ENTRY_BYTES))
    assert (memory.find(key("large")), memory.find(key("a")) is not None) == (None, True)


def test_another_answer_of_a_key_takes_its_place() -> None:
    memory = memory_of("a", room=3)
    newer = kept("a", 10)
    memory.put(newer)
    assert memory.find(key("a")) is newer
    assert (len(memory), memory.size) == (1, ENTRY_BYTES + 10)


def test_what_is_made_of_an_answer_is_counted() -> None:
    memory = memory_of("a", "b", room=3)
    memory.charge(key("b"), ENTRY_BYTES)
    assert memory.size == 3 * ENTRY_BYTES
    memory.charge(key("b"), 1)
    assert (memory.find(key("a")), memory.find(key("b")) is not None) == (None, True)
    memory.charge(key("b"), ENTRY_BYTES)
    assert (len(memory), memory.size) == (0, 0)
    memory.charge(key("gone"), 5)
    assert memory.size == 0


names = st.sampled_from("abcdefgh")
steps = st.lists(
    st.one_of(
        st.tuples(st.just("put"), names, st.integers(0, 3 * ENTRY_BYTES)),
        st.tuples(st.just("find"), names, st.just(0)),
        st.tuples(st.just("drop"), names, st.just(0)),
        st.tuples(st.just("charge"), names, st.integers(0, 2 * ENTRY_BYTES)),
    ),
    max_size=60,
)


@given(steps)
def test_it_never_holds_more_than_it_may_and_finds_only_what_was_put_last(asked: list[tuple[str, str, int]]) -> None:
    memory, last = Memory(5 * ENTRY_BYTES), dict[str, Kept]()
    for step, name, size in asked:
        if step == "put":
            last[name] = kept(name, size)
            memory.put(last[name])
        elif step == "charge":
            memory.charge(key(name), size)
        elif step == "drop":
            memory.drop(key(name))
            last.pop(name, None)
        else:
            found = memory.find(key(name))
            assert found is None or found is last[name]
        there = list(memory.all())
        assert memory.size == sum(each.weight for each in there) <= 5 * ENTRY_BYTES
        assert len(memory) == len(there)


def test_a_wall_clock_that_is_set_back_makes_nothing_fresh_again() -> None:
    answer = Kept(entry_of("a", created_at_ms=0, expires_at_ms=10_000), 1, fresh_until=110.0)
    assert answer.left_ms(4_000, 104.0) == 6_000
    assert answer.left_ms(12_000, 104.0) == -2_000
    assert answer.left_ms(0, 112.0) == -2_000
