"""The YAML tree: lines, and what is refused."""

import time

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from headgate.settings.document import (
    MAX_DEPTH,
    ConfigurationError,
    Entry,
    Mapping,
    Node,
    Scalar,
    Sequence,
    parse_document,
)


def test_values_know_their_lines_and_keep_their_text() -> None:
    tree = parse_document("a: 2.50\nb:\n  - x\n  - {c: on}\n", "f")

    assert tree == Mapping(
        line=1,
        entries={
            "a": Entry(line=1, value=Scalar(line=1, text="2.50", kind="float")),
            "b": Entry(
                line=2,
                value=Sequence(
                    line=3,
                    items=(
                        Scalar(line=3, text="x", kind="str"),
                        Mapping(line=4, entries={"c": Entry(line=4, value=Scalar(line=4, text="on", kind="bool"))}),
                    ),
                ),
            ),
        },
    )


def test_a_quoted_word_is_text_whatever_it_spells() -> None:
    assert parse_document("a: 'no'", "f").entries["a"].value == Scalar(line=1, text="no", kind="str")


@pytest.mark.parametrize("text", ["", "# nothing\n", "~", "---\n...\n"])
def test_an_empty_document_is_an_empty_block(text: str) -> None:
    assert parse_document(text, "f").entries == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: !!str 2", "f:2: tags (tag:yaml.org,2002:str) are not used here"),
        ("a: !!python/object/apply:os.system [ls]", "f:1: tags (tag:yaml.org,2002:python/object/apply:os.system)"),
        ("a: &x 1", "f:1: anchors (&x) are not used here"),
        ("a: *x", "f:1: aliases (*x) are not used here"),
        ("a:\n  <<: {b: 1}", "f:2: merge keys (<<) are not used here"),
        ("a: 1\nb: 2\na: 3", 'f:3: the key "a" is given twice; it first stands on line 1'),
        ("a: 1\n---\nb: 2", "f:2: a second document"),
        ("- a", "f:1: expected keys"),
        ("just words", "f:1: expected keys"),
        ("? [a]\n: b", "f:1: a key is one word"),
        ("a: [", "f:2: not valid YAML"),
        ("a: '\x00'", "f: not valid YAML"),
        ('a: "\\uD800"', "f:1: not valid YAML"),
        ('a: "\\UFFFFFFFF"', "f:1: not valid YAML"),
        ("a: " + "[" * MAX_DEPTH, f"f:1: nested deeper than {MAX_DEPTH} levels"),
    ],
)
def test_what_a_configuration_has_no_use_for_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_document(text, "f")

    assert str(caught.value).startswith(message)


def test_the_pure_parser_refuses_the_same_escapes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headgate.settings.document._LOADER", yaml.SafeLoader)

    for text in ('a: "\\uD800"', 'a: "\\UFFFFFFFF"', "a: [", "a: *b"):
        with pytest.raises(ConfigurationError):
            parse_document(text, "f")


def test_an_alias_bomb_ends_at_its_first_anchor() -> None:
    bomb = "a: &a [x, x]\n" + "".join(
        f"{name}: &{name} [{', '.join([f'*{below}'] * 9)}]\n"
        for below, name in zip("abcdefgh", "bcdefghi", strict=True)
    )
    started = time.perf_counter()

    with pytest.raises(ConfigurationError, match="anchors"):
        parse_document(bomb, "f")

    assert time.perf_counter() - started < 1


def test_a_hundred_thousand_brackets_do_not_exhaust_the_stack() -> None:
    with pytest.raises(ConfigurationError, match="nested deeper"):
        parse_document("a: " + "[" * 100_000, "f")


_TREES = st.recursive(
    st.text(max_size=8),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=8), below, max_size=3),
    max_leaves=10,
)


def _plain(node: Node) -> object:
    match node:
        case Scalar():
            return node.text
        case Sequence():
            return [_plain(item) for item in node.items]
        case Mapping():
            return {key: _plain(entry.value) for key, entry in node.entries.items()}


@given(st.dictionaries(st.text(max_size=8), _TREES, max_size=4))
def test_what_a_yaml_writer_wrote_is_read_back(tree: dict[str, object]) -> None:
    text = yaml.safe_dump(tree, allow_unicode=True, default_style='"')
    # The writer marks what it shares; strings of a tree are shared in no other way.
    if "&id" not in text and "!!" not in text:
        assert _plain(parse_document(text, "f")) == tree


@given(st.text(max_size=200) | st.text(alphabet="ab:-[]{}&*!|>%@'\"#?, \n\t<~0", max_size=60))
def test_random_text_raises_nothing_but_configuration_errors(text: str) -> None:
    try:
        tree = parse_document(text, "f")
    except ConfigurationError:
        return
    assert isinstance(tree, Mapping)
