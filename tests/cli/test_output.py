"""Tables and JSON as they reach the terminal."""

import json

import pytest

from headgate.cli.output import print_fields, print_json, print_table, shown


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
