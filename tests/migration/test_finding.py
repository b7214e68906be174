"""How a row of a table becomes a line of the list."""

from headgate.migration.finding import Outcome, absent, found, judge, not_built, refused, translated
from headgate.migration.given import Given, members
from headgate.settings.document import parse_document


def given(text: str) -> Given:
    (only,) = members(parse_document(text, "x"), "")
    return only


def test_what_is_switched_off_loses_nothing_where_there_is_nothing_to_switch_on() -> None:
    row = not_built("budgets", "nothing is held to it")
    assert judge(given("a: false"), row).outcome is Outcome.TRANSLATED
    assert judge(given("a: []"), absent("no such thing")).outcome is Outcome.TRANSLATED
    on = judge(given("a: true"), row)
    assert (on.outcome, on.reason) == (Outcome.REFUSED, "not built yet: budgets; nothing is held to it")
    assert judge(given("a: false"), refused("never")).outcome is Outcome.REFUSED


def test_a_row_that_is_a_function_judges_the_value() -> None:
    verdict = judge(given("a: 7"), lambda each: translated(f"got {each.text}"))
    assert verdict.reason == "got 7"


def test_a_finding_covers_all_lines_of_its_option() -> None:
    finding = found("config.yaml", given("\na:\n  b: 1\n  c: [1,\n      2]\n"), refused("no"))
    assert (finding.source, finding.line, finding.end_line, finding.option) == ("config.yaml", 2, 5, "a")
