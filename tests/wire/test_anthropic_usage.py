"""Anthropic's usage object in every state."""

import pytest
from hypothesis import given as examples
from hypothesis import strategies as st
from msgspec import Raw

from headgate.domain.usage import TokenUsage
from headgate.wire.anthropic_usage import (
    MAX_COUNT,
    PlainUsage,
    merge_usage,
    parse_usage,
    read_plain_usage,
    read_usage,
    render_usage,
)
from headgate.wire.rendering import Rendering

NATIVE = Rendering("anthropic_messages", "anthropic_messages", is_answer=True)
GOOD = {"input_tokens": 10, "output_tokens": 5}


def test_disjoint_counts_are_summed_into_parts_of_a_total() -> None:
    usage = {
        "input_tokens": 10,
        "cache_read_input_tokens": 100,
        "cache_creation_input_tokens": 20,
        "output_tokens": 50,
        "output_tokens_details": {"thinking_tokens": 40},
    }

    assert read_usage(usage) == TokenUsage(130, 100, 20, 0, 50, 40)
    assert read_plain_usage(PlainUsage(10, 50, 100, 20, {"thinking_tokens": 40})) == TokenUsage(130, 100, 20, 0, 50, 40)


@pytest.mark.parametrize(
    "usage",
    [
        None,
        5,
        [],
        {},
        {"input_tokens": 10},
        {"output_tokens": 10},
        {**GOOD, "input_tokens": -1},
        {**GOOD, "input_tokens": None},
        {**GOOD, "input_tokens": True},
        {**GOOD, "output_tokens": 1.5},
        {**GOOD, "output_tokens": MAX_COUNT + 1},
        {**GOOD, "cache_read_input_tokens": -5},
        {**GOOD, "cache_creation_input_tokens": "many"},
        {"input_tokens": MAX_COUNT, "cache_read_input_tokens": 1, "output_tokens": 1},
    ],
)
def test_a_count_without_sense_makes_no_usage(usage: object) -> None:
    assert read_usage(usage) is None


def test_nulls_and_odd_details_count_as_nothing() -> None:
    odd = {**GOOD, "cache_read_input_tokens": None, "output_tokens_details": {"thinking_tokens": -1}}

    assert read_usage(odd) == TokenUsage(10, output_tokens=5)
    assert read_usage({**GOOD, "output_tokens_details": {"thinking_tokens": 9}}) == TokenUsage(10, 0, 0, 0, 5, 5)


def test_a_later_report_replaces_what_it_names() -> None:
    assert merge_usage(GOOD, {"output_tokens": 9, "input_tokens": None}) == {"input_tokens": 10, "output_tokens": 9}
    assert merge_usage(None, 5) == {}


def test_unmodelled_members_are_kept() -> None:
    usage, extras = parse_usage(
        {**GOOD, "server_tool_use": {"n": 1}, "output_tokens_details": {"thinking_tokens": 1, "x": 2}}
    )

    assert usage == TokenUsage(10, output_tokens=5, reasoning_tokens=1)
    assert extras == {"server_tool_use": Raw(b'{"n":1}'), "output_tokens_details/x": Raw(b"2")}


COUNTS = st.integers(0, 10**6)


@examples(COUNTS, COUNTS, COUNTS, COUNTS, COUNTS)
def test_what_is_rendered_reads_back_the_same(fresh: int, read: int, written: int, output: int, thought: int) -> None:
    usage = TokenUsage(fresh + read + written, read, written, 0, output, min(thought, output))

    assert read_usage(render_usage(usage, {}, NATIVE)) == usage


def test_sound_is_told_apart() -> None:
    rendering = Rendering("anthropic_messages", "openai_chat", is_answer=True)

    target = render_usage(TokenUsage(9, 0, 0, 4, 5, 0, 3), {}, rendering)

    assert target["headgate"] == {"openai_chat": {"input_audio_tokens": 4, "output_audio_tokens": 3}}
