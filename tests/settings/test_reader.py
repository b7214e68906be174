"""Places: what each way of reading takes, and what its failure says."""

from collections.abc import Callable
from pathlib import Path

import pytest

from headgate.settings import values
from headgate.settings.document import ConfigurationError, parse_document
from headgate.settings.reader import Origin, Place

ENVIRON = {"WORD": "hello", "SECRET": "s3cret", "EMPTY": "", "YES": "true"}


def place(text: str, directory: Path | None = None) -> Place:
    """Return the place of the value of ``key`` in a file ``f`` that says ``key: text`` on its third line."""
    tree = parse_document(f"\n\nkey: {text}\n", "f")
    return Place(Origin("f", ENVIRON, directory), "", 1, tree).entries()["key"]


def failure(read: Callable[[], object]) -> str:
    with pytest.raises(ConfigurationError) as caught:
        read()
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [("word", "word"), ("2.50", "2.50"), ("007", "007"), ("2026-01-01", "2026-01-01"), ('""', ""), ('"no"', "no"),
     ('"${WORD} world"', "hello world"), ('"$${WORD}"', "${WORD}")],
)  # fmt: skip
def test_text_is_the_text_as_written(text: str, value: str) -> None:
    assert place(text).text("text") == value


@pytest.mark.parametrize(
    ("text", "got"),
    [("[a]", "a list"), ("{a: 1}", "a block of keys"), ("", "nothing"), ("null", "nothing"),
     ("no", "no (a truth value; quote it if it is text)")],
)  # fmt: skip
def test_what_is_no_text_fails_with_what_was_expected(text: str, got: str) -> None:
    assert failure(lambda: place(text).text('text such as "x"')) == f'f:3: key: expected text such as "x", got {got}'


def test_a_conversion_fails_with_an_example_and_the_value_as_the_file_has_it() -> None:
    expected = 'a duration such as "30s"'

    assert failure(lambda: place("30").convert(values.parse_duration, expected)) == (
        'f:3: key: expected a duration such as "30s", got "30"'
    )
    assert failure(lambda: place('"${SECRET}"').convert(values.parse_duration, expected)) == (
        'f:3: key: expected a duration such as "30s", got "${SECRET}"'
    )
    assert failure(lambda: place("25h").convert(values.parse_duration, expected)) == "f:3: key: longer than 24h"


def test_an_unset_variable_fails_with_its_name() -> None:
    assert failure(lambda: place('"${NOBODY}"').text("text")) == (
        "f:3: key: the environment variable NOBODY is not set, and ${NOBODY} has no default"
    )


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("False", False), ('"${YES}"', True), ('"${NO:-false}"', False)]
)
def test_truth_is_read(text: str, value: bool) -> None:
    assert place(text).truth() is value


@pytest.mark.parametrize("text", ["1", '"true"', "yes", "on", "[true]", '"${WORD}"'])
def test_truth_is_not_guessed(text: str) -> None:
    assert failure(lambda: place(text).truth()).startswith("f:3: key: expected true or false, got ")


def test_a_choice_names_the_nearest_word() -> None:
    assert place("lean").choice("lean", "aiohttp") == "lean"
    assert failure(lambda: place("laen").choice("lean", "aiohttp")) == (
        'f:3: key: expected "lean" or "aiohttp", got "laen"; did you mean "lean"?'
    )


def test_an_unknown_name_is_shown_as_written_with_the_nearest_one() -> None:
    spot = place('"${A}"')
    known = tuple(f"model-{number:02}" for number in range(25))

    assert failure(lambda: spot.unknown("alias", "modle-07", known)) == (
        'f:3: key: there is no alias "${A}"; did you mean "model-07"?'
    )
    assert failure(lambda: spot.unknown("alias", "?", known)).endswith("model-18, model-19 and 5 more")
    assert failure(lambda: spot.unknown("alias", "?", ())) == 'f:3: key: there is no alias "${A}"'


def test_what_is_written_shows_nothing_of_the_environment() -> None:
    assert place('"a ${SECRET}"').written() == "a ${SECRET}"
    assert place("[a]").written() == ""


def test_an_unknown_key_names_the_nearest_one_and_its_own_line() -> None:
    spot = place("\n  first: 1\n  secnod: 2")

    assert failure(lambda: spot.block(("first", "second"))) == ('f:5: key.secnod: unknown key; did you mean "second"?')
    assert failure(lambda: spot.block(("first", "zebra"))) == "f:5: key.secnod: unknown key; known here: first, zebra"


def test_a_missing_key_fails_at_its_block() -> None:
    block = place("{a: 1}").block(("a", "b"))

    assert failure(lambda: block.require("b", "such as 1")) == 'f:3: key: the key "b" is missing: such as 1'
    assert block.read("b", Place.truth, True) is True


def test_an_empty_value_is_an_empty_block_or_list() -> None:
    assert place("").block(("a",)).values == {}
    assert place("").items("a list") == ()
    assert place("").entries() == {}


@pytest.mark.parametrize("text", ["3", "[a]", "words"])
def test_what_is_no_block_fails(text: str) -> None:
    assert "expected a block of keys such as {a: …}" in failure(lambda: place(text).block(("a",)))
    assert "expected a block of names" in failure(lambda: place(text).entries())


def test_items_know_their_number_and_line() -> None:
    first, second = place("\n  - a\n  - b").items("a list")

    assert (first.path, first.line, second.path, second.line) == ("key[0]", 4, "key[1]", 5)
    assert failure(lambda: place("a").items("a list of words")) == 'f:3: key: expected a list of words, got "a"'


def test_a_secret_is_read_from_text_variable_or_file(tmp_path: Path) -> None:
    (tmp_path / "dos").write_bytes(b"from-file\r\n")
    (tmp_path / "two").write_bytes(b"from-file\n\n")

    assert place("word").secret(values.parse_credential, "x").reveal() == "word"
    assert place('"${SECRET}"').secret(values.parse_credential, "x").reveal() == "s3cret"
    assert place('"${EMPTY}"').secret(values.parse_credential, "x").reveal() == ""
    assert place("{file: dos}", tmp_path).secret(values.parse_credential, "x").reveal() == "from-file"
    assert place(f"{{file: {tmp_path}/dos}}", Path("/")).secret(values.parse_credential, "x").reveal() == "from-file"
    assert "visible" in failure(lambda: place("{file: two}", tmp_path).secret(values.parse_credential, "visible"))


def test_a_bad_secret_is_never_shown(tmp_path: Path) -> None:
    (tmp_path / "bad").write_text("canary in a file")

    for text in ('"canary with spaces"', "{file: bad}"):
        words = failure(lambda text=text: place(text, tmp_path).secret(values.parse_credential, "no spaces"))
        assert "expected no spaces" in words
        assert "canary" not in words


def test_a_secret_file_must_be_a_small_regular_file_and_may_be_forbidden(tmp_path: Path) -> None:
    (tmp_path / "large").write_text("x" * 65537)

    def read(text: str, directory: Path | None = tmp_path) -> str:
        return failure(lambda: place(text, directory).secret(values.parse_credential, "x"))

    assert "No such file" in read("{file: absent}")
    assert "not a regular file" in read("{file: .}")
    assert "larger than 64 KiB" in read("{file: large}")
    assert "expected a path" in read('{file: ""}')
    assert 'unknown key; did you mean "file"?' in read("{flie: x}")
    assert "files cannot be named here" in read("{file: /etc/hostname}", None)


def test_a_file_is_found_beside_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("x")

    assert place("ca.pem", tmp_path).file() == str(tmp_path / "ca.pem")
    assert "No such file" in failure(lambda: place("cb.pem", tmp_path).file())
    assert "Is a directory" in failure(lambda: place(".", tmp_path).file())
