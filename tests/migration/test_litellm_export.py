"""Exports of keys: their shapes, their lines, and what is no export."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.migration.litellm_export import Export, ExportError, as_row, read_export


def test_rows_know_their_lines_and_numbers_stay_text() -> None:
    export = read_export('\n[\n  {"token": "a",\n   "spend": 1e-7},\n  "hash"\n]\n')
    assert [(row.number, row.line, row.end_line) for row in export.rows] == [(0, 3, 4), (1, 5, 5)]
    assert export.rows[0].value == {"token": "a", "spend": "1e-7"}
    assert export.missing is None


def test_a_page_of_a_list_says_that_others_are_missing() -> None:
    export = read_export('{"keys": [{"token": "a"}], "total_count": 2, "current_page": 1}')
    assert [row.value for row in export.rows] == [{"token": "a"}]
    assert export.missing is not None
    assert "1 of 2" in export.missing
    assert read_export('{"total_count": 1, "keys": [{"token": "a"}]}').missing is None


def test_one_key_may_come_by_itself() -> None:
    (row,) = read_export('{"key": "sk-x",\n "info": {"key_alias": "a", "models": [], "token": null}}').rows
    assert (row.line, row.end_line) == (1, 2)
    assert as_row(row.value) == {"token": "sk-x", "key_alias": "a", "models": []}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "expected a list"),
        ("7", "expected a list"),
        ("{}", "expected a list"),
        ('{"keys": {}}', "expected a list"),
        ("[\n{,}]", "line 2: not valid JSON"),
        ('[{"token": 1}', "not valid JSON"),
        ('{"keys": []', "not valid JSON"),
        ('{"keys": []} x', "not valid JSON"),
        ('[{"token": "a", "token": "b"}]', "stands twice"),
        ('{"a": 1 "keys": []}', "not valid JSON"),
        ("[" * 100_000, "too deep"),
    ],
)
def test_what_is_no_export(text: str, words: str) -> None:
    with pytest.raises(ExportError, match=words):
        read_export(text)


@given(st.lists(st.dictionaries(st.text(max_size=5), st.one_of(st.none(), st.text(), st.booleans()), max_size=4)))
def test_any_list_is_read_as_json_reads_it(rows: list[dict[str, object]]) -> None:
    for text in (json.dumps(rows), json.dumps(rows, indent=1), json.dumps({"x": [1], "keys": rows, "y": {}}, indent=2)):
        export = read_export(text)
        assert [row.value for row in export.rows] == rows
        assert all(1 <= row.line <= row.end_line <= text.count("\n") + 1 for row in export.rows)


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(ExportError):
        assert isinstance(read_export(text), Export)
