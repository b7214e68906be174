"""What is written is read back as what it was."""

from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

from headgate.migration.rendering import Noted, render, scalar
from headgate.settings.document import parse_document

TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
VALUES = st.recursive(
    st.one_of(TEXTS, st.booleans(), st.integers(0, 10**6)),
    lambda inner: st.one_of(
        st.dictionaries(TEXTS, inner, min_size=1, max_size=3),
        st.lists(TEXTS, min_size=1, max_size=3),
        st.lists(st.dictionaries(TEXTS, inner, min_size=1, max_size=3), min_size=1, max_size=3),
    ),
    max_leaves=10,
)


@given(st.dictionaries(TEXTS, VALUES, min_size=1, max_size=4))
def test_any_document_comes_back(document: dict[str, Any]) -> None:
    text = render(document, ["a comment\nthat tries to break out"])
    assert yaml.safe_load(text) == document
    assert parse_document(text, "x").entries.keys() == document.keys()


def test_words_that_yaml_takes_for_something_else_are_quoted() -> None:
    assert [scalar(word) for word in ("no", "On", "1e5", "12:30", "~", "gpt-4o", "a/b.c", "${X}", "*")] == [
        *('"no"', '"On"', '"1e5"', '"12:30"', '"~"', "gpt-4o", "a/b.c", '"${X}"', '"*"')
    ]


def test_notes_stand_above_what_they_are_about_and_empty_blocks_are_left_out() -> None:
    text = render(
        {"server": {}, "models": [Noted("from line 3", {"alias": "x"})], "p": {"a": Noted("n", {"b": 1})}}, ["h"]
    )
    assert text == "# h\n\nmodels:\n  # from line 3\n  - alias: x\n\np:\n  # n\n  a:\n    b: 1\n"
