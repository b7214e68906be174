import msgspec
import pytest

from headgate.catalog.table import (
    InvalidPriceTableError,
    Match,
    ModelRow,
    check_table,
    dearest,
    decode_provider,
    parse_table,
)
from headgate.domain.catalog import Rates

GOOD = {
    "source": "acme",
    "package_version": "7",
    "as_of": "2026-11-01",
    "providers": {"openai": {"models": [{"id": "gpt-x", "rates": {"input": 1, "output": 2}}]}},
}


def table_with(row):
    return msgspec.json.encode(GOOD | {"providers": {"openai": {"models": [row]}}})


@pytest.mark.parametrize(
    ("rule", "yes", "no"),
    [
        (Match(equals="a"), "a", "ab"),
        (Match(starts_with="a"), "ab", "ba"),
        (Match(ends_with="a"), "ba", "ab"),
        (Match(contains="bc"), "abcd", "acbd"),
        (Match(regex=r"^a\d+$"), "a12", "a12b"),
        (Match(any_of=(Match(equals="a"), Match(equals="b"))), "b", "c"),
        (Match(all_of=(Match(starts_with="a"), Match(ends_with="b"))), "a-b", "a-c"),
        (Match(all_of=(Match(contains="x"), Match(any_of=(Match(equals="x1"), Match(equals="x2"))))), "x2", "x3"),
    ],
)
def test_a_rule_matches_what_it_says(rule, yes, no):
    assert rule.matches(yes)
    assert not rule.matches(no)


def test_an_empty_rule_matches_nothing():
    assert not Match().matches("gpt")


def test_a_row_without_a_rule_matches_its_id_in_any_case_of_the_id():
    row = ModelRow(id="Qwen/Qwen3")
    assert row.matches("qwen/qwen3")
    assert not row.matches("qwen/qwen3-8b")


def test_rules_are_written_as_or_and_and():
    encoded = msgspec.json.encode(Match(any_of=(Match(equals="a"),)))
    assert encoded == b'{"or":[{"equals":"a"}]}'
    assert msgspec.json.decode(encoded, type=Match) == Match(any_of=(Match(equals="a"),))


def test_providers_are_decoded_one_at_a_time():
    table = parse_table(msgspec.json.encode(GOOD | {"providers": {"a": GOOD["providers"]["openai"], "b": {"bad": 1}}}))
    rows = decode_provider(table, "a")
    assert rows is not None
    assert rows.models[0].rates == Rates(input=1, output=2)
    assert decode_provider(table, "nobody") is None
    with pytest.raises(InvalidPriceTableError, match=r"providers\.b"):
        decode_provider(table, "b")


@pytest.mark.parametrize(
    "row",
    [
        {"id": "m"},
        {"id": "m", "rates": {"input": 1, "output": 1}, "unpriced": "both"},
        {"id": "m", "rates": {"input": -1, "output": 1}},
        {"id": "m", "rates": {"input": 1.5, "output": 1}},
        {"id": "m", "rates": {"input": "1", "output": 1}},
        {"id": "m", "rates": {"input": 1}},
        {"id": "m", "rates": {"input": 1, "output": 1}, "surprise": 1},
        {"id": "m", "rates": {"input": 1, "output": 1}, "match": {}},
        {"id": "m", "rates": {"input": 1, "output": 1}, "match": {"equals": "Upper"}},
        {"id": "m", "rates": {"input": 1, "output": 1}, "match": {"equals": "a", "contains": "b"}},
        {"id": "m", "rates": {"input": 1, "output": 1}, "match": {"or": [{"regex": "("}]}},
        {"id": "m", "unpriced": "why", "tiers": [{"above_input_tokens": 1, "rates": {"input": 1, "output": 1}}]},
        {
            "id": "m",
            "rates": {"input": 1, "output": 1},
            "tiers": [{"above_input_tokens": n, "rates": {"input": 1, "output": 1}} for n in (5, 5)],
        },
        {"id": "m", "rates": {"input": 1, "output": 1}, "variants": [{"when": {}, "unpriced": "x"}]},
        {"id": "m", "rates": {"input": 1, "output": 1}, "variants": [{"when": {"service_tier": "flex"}}]},
    ],
)
def test_a_wrong_row_is_refused_with_its_provider(row):
    with pytest.raises(InvalidPriceTableError, match="openai"):
        check_table(table_with(row))


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b"\xff", b"<html>", msgspec.json.encode(GOOD | {"source": " "})])
def test_what_is_no_table_is_refused(data):
    with pytest.raises(InvalidPriceTableError):
        check_table(data)


def test_a_good_table_passes_and_says_its_version():
    assert check_table(msgspec.json.encode(GOOD)).version == "acme 7 (2026-11-01)"


def test_the_dearest_rates_are_an_upper_bound_of_every_kind():
    top = dearest([Rates(input=5, output=1, cached_input=9), Rates(input=1, output=7, input_audio=3)])
    assert top == Rates(input=5, output=7, cached_input=9, cache_write=5, input_audio=5, output_audio=7)
    assert dearest([]) is None
