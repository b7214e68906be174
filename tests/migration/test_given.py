"""Values of the source as they were written."""

from decimal import Decimal

import pytest

from headgate.migration.given import Given, as_written, exact, is_off, items, literal, members, plain, reference
from headgate.settings.document import parse_document


def given(value: str) -> Given:
    (only,) = members(parse_document(f"a: {value}\n", "x"), "section")
    return only


def test_an_option_knows_its_path_line_and_texts() -> None:
    option = given("[x, 'y', 3]")
    assert (option.option, option.key, option.line) == ("section.a", "a", 1)
    assert option.texts == ("x", "y", "3")
    assert [each.option for each in items(option)] == ["section.a[0]", "section.a[1]", "section.a[2]"]
    assert given("x").texts == ("x",)
    assert given("[x, {b: c}]").texts is None
    assert given("null").text is None
    assert given("{b: {c: 1}}").members()[0].option == "section.a.b"


@pytest.mark.parametrize("value", ["null", "false", "No", "off", "''", "[]", "{}"])
def test_off(value: str) -> None:
    assert is_off(given(value).node)


@pytest.mark.parametrize("value", ["true", "0", "'no'", "[0]", "x"])
def test_not_off(value: str) -> None:
    assert not is_off(given(value).node)


def test_variables_become_ours_and_other_text_stays_itself() -> None:
    assert reference("os.environ/OPENAI_API_KEY") == "${OPENAI_API_KEY}"
    assert reference("os.environ/not-a-name") is None
    assert reference("OPENAI_API_KEY") is None
    assert as_written("os.environ/not-a-name") is None
    assert as_written("plain") == "plain"
    assert literal("a ${b} c") == "a $${b} c"


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("2.5e-06", "0.0000025"),
        ("1E-7", "0.0000001"),
        (".5", "0.5"),
        ("10", "10"),
        ("1_000.50", "1000.5"),
        ("0.0", "0"),
    ],
)
def test_numbers_are_exact_and_written_without_exponent(text: str, number: str) -> None:
    parsed = exact(text)
    assert parsed is not None
    assert plain(parsed) == number
    assert Decimal(number) == parsed


@pytest.mark.parametrize("text", ["", "cheap", "-1", "nan", "inf", "1e999999", "1e-999999", "1e9"])
def test_what_is_no_number_of_use(text: str) -> None:
    assert exact(text) is None
