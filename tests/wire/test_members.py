"""Reading member by member: what nobody read is left, wherever it stood."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from headgate.domain.errors import InvalidRequestError
from headgate.wire.members import Members, add_extras, to_json

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab/~.", max_size=3), inner, max_size=3),
    max_leaves=6,
)


def test_a_member_that_was_read_is_not_left() -> None:
    members = Members(b'{"a":"x","b":2,"c":{"d":true,"e":[1, 2]},"f":null}')

    inner = members.object("c")
    assert inner is not None
    assert (members.text("a"), inner.boolean("d"), members.text("f"), members.text("g")) == ("x", True, None, None)
    assert members.rest() == {"b": Raw(b"2"), "c/e": Raw(b"[1, 2]")}


def test_a_whole_number_stays_whole() -> None:
    members = Members(b'{"a":1,"b":1.0}')

    assert [repr(members.number("a")), repr(members.number("b"))] == ["1", "1.0"]


@pytest.mark.parametrize(
    ("read", "param"),
    [
        (lambda m: m.text("n"), "top.n"),
        (lambda m: m.integer("f"), "top.f"),
        (lambda m: m.texts("list"), "top.list[1]"),
        (lambda m: m.object("n"), "top.n"),
        (lambda m: m.required_text("missing"), "top.missing"),
        (lambda m: m.required_object("null"), "top.null"),
    ],
)
def test_a_wrong_type_names_the_exact_field(read: object, param: str) -> None:
    members = Members(b'{"n":1,"f":1.5,"list":["a",2],"null":null}', "top")

    with pytest.raises(InvalidRequestError) as caught:
        read(members)  # pyright: ignore[reportCallIssue]
    assert caught.value.param == param


@given(st.dictionaries(st.text("ab/~.", max_size=3), JSON, max_size=4))
def test_what_is_left_goes_back_where_it_stood(value: dict[str, object]) -> None:
    members = Members(to_json(value))
    target: dict[str, object] = {}
    for name, inner in value.items():
        if isinstance(inner, dict):
            assert members.object(name) is not None
            target[name] = {}

    add_extras(target, members.rest())

    assert json.loads(to_json(target)) == value


def test_members_that_are_read_already_are_taken_without_reading_them_again() -> None:
    given = {"a": Raw(b"1"), "b": Raw(b"null"), "c": Raw(b'{"d":2}')}
    members = Members(given)

    assert members.integer("a") == 1
    assert members.text("b") is None
    assert members.required_object("c").integer("d") == 2
    assert members.rest() == {}
    assert list(given) == ["a", "b", "c"]


def test_bytes_that_are_no_text_are_refused_like_any_other_fault() -> None:
    with pytest.raises(InvalidRequestError):
        Members(b'{"a\xff":1}')
    with pytest.raises(InvalidRequestError):
        Members(b'{"a":"\xff"}').text("a")
