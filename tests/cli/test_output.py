"""Tables and JSON as they reach the terminal."""

import json

import pytest

from headgate.cli.output import fitted, lay_out, print_fields, print_json, print_table, short_id, short_time, shown

KEY = "key_01a20971af94f51718125969a0e92862"
COLUMNS = {"id": "id", "name": "name", "cost": "cost USD", "ended": "ended", "at": "at"}
CELLS = {"id": [KEY], "name": ["a" * 40], "cost": ["0.000014"], "ended": [""], "at": ["2026-11-23T17:26:42.559Z"]}


def test_a_table_has_its_headings_and_values(capsys: pytest.CaptureFixture[str]):
    print_table([{"id": "key_1", "cost": "0.25"}], {"id": "id", "cost": "cost USD"}, empty="none")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["id", "cost", "USD"]
    assert lines[1].split() == ["key_1", "0.25"]


def test_an_empty_table_says_so(capsys: pytest.CaptureFixture[str]):
    print_table([], {"id": "id"}, empty="there are no keys")
    assert capsys.readouterr().out == "there are no keys\n"


def test_names_are_shown_as_they_are_and_never_steer_the_terminal(capsys: pytest.CaptureFixture[str]):
    print_table([{"name": "[red]x[/red]\x1b[2J\r\n"}], {"name": "name"}, empty="")
    out = capsys.readouterr().out
    assert "[red]x[/red]" in out
    assert "\x1b" not in out
    assert "\r" not in out


def test_json_is_json(capsys: pytest.CaptureFixture[str]):
    print_json({"data": [{"a": None}]})
    assert json.loads(capsys.readouterr().out) == {"data": [{"a": None}]}


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), (True, "yes"), (0, "0"), (["a", "b"], "a b"), ({"a": 1}, '{"a":1}'), ([{"a": 1}], '[{"a":1}]')],
)
def test_values_become_one_line(value: object, text: str):
    assert shown(value) == text


def test_fields_line_up(capsys: pytest.CaptureFixture[str]):
    print_fields({"id": "x", "name": "y"})
    assert capsys.readouterr().out == "id    x\nname  y\n"


def test_empty_fields_are_left_out_and_parts_are_shown_by_name(capsys: pytest.CaptureFixture[str]):
    print_fields(
        {"id": "x", "none": None, "tags": {}, "usage": {"input": 4}, "tries": [{"status": 503}, {"status": 200}]}
    )
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines == [["id", "x"], ["usage.input", "4"], ["tries.1.status", "503"], ["tries.2.status", "200"]]


def test_in_a_pipe_a_row_is_one_line_with_every_id_whole(capsys: pytest.CaptureFixture[str]):
    print_table([{"id": KEY, "name": "a" * 300}], {"id": "id", "name": "name"}, empty="", optional=("id",))
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == f"{KEY}  {'a' * 300}"
    assert lines[0] == lines[0].rstrip()


def test_on_a_wide_terminal_only_todays_date_and_empty_columns_go():
    kept = fitted(CELLS, COLUMNS, ("name",), 120, "2026-11-23")
    assert kept == {"id": [KEY], "name": ["a" * 40], "cost": ["0.000014"], "at": ["17:26:42Z"]}


def test_on_a_narrow_one_ids_lose_their_middle_and_what_is_optional_goes():
    assert fitted(CELLS, COLUMNS, ("name",), 90, "2026-11-24") == {
        "id": ["key_…a0e92862"], "name": ["a" * 40], "cost": ["0.000014"], "at": ["2026-11-23 17:26:42Z"],
    }  # fmt: skip
    assert "name" not in fitted(CELLS, COLUMNS, ("name",), 80, "2026-11-24")


@pytest.mark.parametrize("width", [60, 80, 90])
def test_no_line_is_wider_than_the_terminal_and_no_figure_is_cut(width: int):
    lines = list(lay_out(fitted(CELLS, COLUMNS, (), width, "2026-11-23"), COLUMNS, {"cost"}, width))
    assert max(map(len, lines)) <= width
    assert len(lines) == 2
    assert "0.000014" in lines[1]
    assert "key_…a0e92862" in lines[1]


def test_sentences_in_the_last_column_are_wrapped_below_each_other():
    cells = {"check": ["disk", "clock"], "finding": ["one two three four five six", "fine"]}
    lines = list(lay_out(cells, {"check": "check", "finding": "finding"}, set(), 24))
    assert lines == ["check  finding", "disk   one two three", "       four five six", "clock  fine"]


def test_wide_letters_count_for_two_columns():
    lines = list(lay_out({"name": ["漢字", "abcd"], "id": ["1", "2"]}, {"name": "name", "id": "id"}, set(), None))
    assert lines == ["name  id", "漢字  1", "abcd  2"]


@pytest.mark.parametrize("text", ["sandbox/echo", "key_1", f"{KEY}0", "", "17:26"])
def test_what_is_neither_id_nor_time_stays(text: str):
    assert short_id(text) == text
    assert short_time(text, "2026-11-23") == text


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("2026-11-23T17:26:42.559Z", "17:26:42Z"),
        ("2026-11-22T17:26:42Z", "2026-11-22 17:26:42Z"),
        ("2026-11-23T00:00:00+01:00", "2026-11-23"),
        ("2026-11-23T05:00:00+00:00", "05:00"),
        ("2026-11-22T05:00:00-03:30", "2026-11-22 05:00"),
    ],
)
def test_times_are_as_short_as_they_can_be(text: str, short: str):
    assert short_time(text, "2026-11-23") == short
