"""Usage objects of every dialect, read into counts that are parts of their totals."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.domain.usage import TokenUsage
from headgate.wire.openai_usage import MAX_COUNT, PlainUsage, read_plain_usage, read_usage


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}, TokenUsage(3, output_tokens=4)),
        (
            {
                "prompt_tokens": 100,
                "completion_tokens": 50,
                "prompt_tokens_details": {"cached_tokens": 80, "audio_tokens": 5, "cache_write_tokens": 10},
                "completion_tokens_details": {"reasoning_tokens": 30, "audio_tokens": 6},
            },
            TokenUsage(100, 80, 10, 5, 50, 30, 6),
        ),
        # DeepSeek: hits and misses make up the prompt
        (
            {
                "prompt_tokens": 100,
                "completion_tokens": 1,
                "prompt_cache_hit_tokens": 64,
                "prompt_cache_miss_tokens": 36,
            },
            TokenUsage(100, 64, output_tokens=1),
        ),
        ({"prompt_tokens": 9, "completion_tokens": 1, "cached_tokens": 4}, TokenUsage(9, 4, output_tokens=1)),
        # Anthropic's words, inside the prompt and beside it
        (
            {"prompt_tokens": 50, "completion_tokens": 5, "total_tokens": 55, "cache_read_input_tokens": 30},
            TokenUsage(50, 30, output_tokens=5),
        ),
        (
            {
                "prompt_tokens": 50,
                "completion_tokens": 5,
                "total_tokens": 95,
                "cache_read_input_tokens": 30,
                "cache_creation_input_tokens": 10,
            },
            TokenUsage(90, 30, 10, output_tokens=5),
        ),
        (
            {"prompt_tokens": 5, "completion_tokens": 5, "cache_read_input_tokens": 30},
            TokenUsage(35, 30, output_tokens=5),
        ),
        # xAI: reasoning beside the completion, in the total
        (
            {
                "prompt_tokens": 32,
                "completion_tokens": 9,
                "total_tokens": 135,
                "completion_tokens_details": {"reasoning_tokens": 94},
            },
            TokenUsage(32, output_tokens=103, reasoning_tokens=94),
        ),
        (
            {"prompt_tokens": 1, "completion_tokens": 9, "completion_tokens_details": {"reasoning_tokens": 94}},
            TokenUsage(1, output_tokens=103, reasoning_tokens=94),
        ),
        # Gemini's compatible endpoint: thinking in the total alone
        ({"prompt_tokens": 8, "completion_tokens": 7, "total_tokens": 40}, TokenUsage(8, output_tokens=32)),
        # Perplexity
        (
            {"prompt_tokens": 1, "completion_tokens": 9, "total_tokens": 10, "reasoning_tokens": 2},
            TokenUsage(1, output_tokens=9, reasoning_tokens=2),
        ),
        ({"prompt_tokens": 8, "total_tokens": 12}, TokenUsage(8, output_tokens=4)),
        ({"prompt_tokens": 0, "completion_tokens": 0}, TokenUsage()),
        (
            {
                "prompt_tokens": 3,
                "completion_tokens": 4,
                "prompt_tokens_details": None,
                "completion_tokens_details": [],
            },
            TokenUsage(3, output_tokens=4),
        ),
        (
            {"prompt_tokens": 3, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": -1}},
            TokenUsage(3, output_tokens=4),
        ),
    ],
)
def test_every_dialect_reads_as_parts_of_totals(usage: object, expected: TokenUsage) -> None:
    assert read_usage(usage) == expected


@pytest.mark.parametrize("bad", [None, -1, 1.5, 2.0, "3", True, MAX_COUNT + 1, 10**400, [], {}])
@pytest.mark.parametrize("name", ["prompt_tokens", "completion_tokens"])
def test_a_count_without_sense_makes_the_report_unusable(name: str, bad: object) -> None:
    assert read_usage({"prompt_tokens": 3, "completion_tokens": 4, name: bad}) is None


@pytest.mark.parametrize("usage", [None, [], "x", 5, {}, {"total_tokens": 5}, {"prompt_tokens": 9, "total_tokens": 5}])
def test_what_is_no_usage_is_none(usage: object) -> None:
    assert read_usage(usage) is None


COUNTS = st.none() | st.integers(-2, 60) | st.just(MAX_COUNT)
NAMES = ["prompt_tokens", "completion_tokens", "total_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"]


@given(
    st.fixed_dictionaries(dict.fromkeys(NAMES, COUNTS)),
    st.fixed_dictionaries({"cached_tokens": COUNTS, "audio_tokens": COUNTS}),
    st.fixed_dictionaries({"reasoning_tokens": COUNTS, "audio_tokens": COUNTS}),
)
def test_a_part_never_exceeds_its_total(usage: dict[str, object], given_: object, made: object) -> None:
    read = read_usage({**usage, "prompt_tokens_details": given_, "completion_tokens_details": made})

    if read is not None:
        assert 0 <= read.cached_input_tokens + read.cache_write_tokens <= read.input_tokens
        assert 0 <= read.input_audio_tokens <= read.input_tokens
        assert 0 <= read.reasoning_tokens <= read.output_tokens
        assert 0 <= read.output_audio_tokens <= read.output_tokens
        assert read.output_tokens >= (usage["completion_tokens"] or 0)  # pyright: ignore[reportOperatorIssue]


@given(
    st.fixed_dictionaries(
        {
            "prompt_tokens": st.integers(0, 50),
            "completion_tokens": st.integers(0, 50),
            "total_tokens": st.integers(0, 100),
        },
        optional={
            "prompt_tokens_details": st.none()
            | st.dictionaries(
                st.sampled_from(["cached_tokens", "audio_tokens", "cache_write_tokens"]), st.none() | st.integers(0, 60)
            ),
            "completion_tokens_details": st.none()
            | st.dictionaries(st.sampled_from(["reasoning_tokens", "audio_tokens"]), st.none() | st.integers(0, 60)),
            "cached_tokens": st.integers(0, 60),
            "reasoning_tokens": st.none() | st.integers(0, 60),
        },
    )
)
def test_the_plain_reading_agrees_with_the_full_one_or_stands_aside(usage: dict[str, object]) -> None:
    plain = read_plain_usage(msgspec.convert(usage, PlainUsage))
    assert plain is None or plain == read_usage(usage)


def test_openais_own_shape_is_read_plainly() -> None:
    usage = {
        "prompt_tokens": 20,
        "completion_tokens": 10,
        "total_tokens": 30,
        "prompt_tokens_details": {"cached_tokens": 8, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 6, "audio_tokens": 0, "accepted_prediction_tokens": 0},
    }
    plain = read_plain_usage(msgspec.convert(usage, PlainUsage))
    assert plain is not None
    assert plain == read_usage(usage)


def test_a_count_that_no_model_could_make_is_no_usage() -> None:
    assert read_usage({"prompt_tokens": 2**53, "completion_tokens": 1}) is None
    assert MAX_COUNT == 1_000_000_000
