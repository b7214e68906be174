import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.providers.sandbox_script import Script, count, count_message, parse_script, pieces, text_of


@pytest.mark.parametrize(
    ("model", "script"),
    [
        ("echo", Script("echo")),
        ("tool-call", Script("tool-call")),
        ("thinking", Script("thinking")),
        ("json", Script("json")),
        ("lorem-0", Script("lorem")),
        ("lorem-500", Script("lorem", 500)),
        ("embed-8", Script("embed", 8)),
        ("echo+slow-200", Script("echo", slow_ms=200)),
        ("lorem-9+pace-10+slow-5", Script("lorem", 9, slow_ms=5, pace_ms=10)),
        ("echo+stall", Script("echo", stall=True)),
        ("echo+cut-after-0", Script("echo", cut_after=0)),
        ("echo+status-429", Script("echo", status=429)),
        ("status-503", Script("echo", status=503)),
        ("echo+flaky-30", Script("echo", flaky_percent=30)),
        ("echo+malformed+no-usage", Script("echo", malformed=True, usage=False)),
    ],
)
def test_a_name_is_an_answer_and_behaviours(model, script):
    assert parse_script(model) == script


@pytest.mark.parametrize(
    "model",
    [
        "",
        "+",
        "gpt-4o",
        "lorem",
        "lorem-",
        "lorem--1",
        "lorem-1.5",
        "lorem-100001",
        "lorem-99999999999999999999",
        "lorem-٣",
        "embed-0",
        "embed-4097",
        "echo+",
        "echo+echo",
        "echo+slow",
        "echo+slow-x",
        "echo+status-200",
        "echo+status-600",
        "echo+flaky-101",
        "echo+slow-1+slow-2",
        "ECHO",
        "echo +stall",
    ],
)
def test_a_name_that_is_no_script_is_no_model(model):
    assert parse_script(model) is None


@given(st.text(alphabet="echolrmstaufbpkyg-+0123456789", max_size=40))
def test_any_name_is_read_without_error(model):
    parse_script(model)


@given(st.text())
def test_tokens_joined_are_the_text(text):
    assert "".join(pieces(text)) == text
    assert count(text) == len(pieces(text))


def test_a_token_is_up_to_six_characters_with_the_blanks_before_them():
    assert pieces("hello  wonderful world ") == ["hello", "  wonder", "ful", " world", " "]


@pytest.mark.parametrize("unit", [" ", "a", "\n", "a "])
def test_a_megabyte_is_counted_in_one_pass(unit):
    started = time.process_time()
    count(unit * 1_000_000)
    assert time.process_time() - started < 1


def test_a_message_costs_its_text_its_calls_and_three():
    assert count_message({"role": "user", "content": "hello there"}) == 2 + 3
    assert count_message({"role": "user", "content": None}) == 3
    calls = [{"function": {"name": "weather", "arguments": "{}"}}]
    assert count_message({"role": "assistant", "content": None, "tool_calls": calls}) == 2 + 1 + 3


def test_other_parts_than_text_cost_a_flat_number():
    parts = [{"type": "text", "text": "what is it"}, {"type": "image_url", "image_url": {"url": "data:…"}}]
    assert count_message({"role": "user", "content": parts}) == 3 + 85 + 3


@pytest.mark.parametrize("content", [None, 5, {}, [], [5, None, "x"], [{"text": 7}]])
def test_content_without_text_is_no_text(content):
    assert text_of(content) == ""
