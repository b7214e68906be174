"""The header fields by which SDKs know their rate limits."""

import pytest

from headgate.wire.rate_headers import (
    REQUESTS,
    TOKENS,
    RateState,
    anthropic_rate_headers,
    format_duration,
    openai_rate_headers,
)

RATES = [RateState(REQUESTS, 60, 59, 1000), RateState(TOKENS, 100_000, 0, 359_500)]


def test_openais_fields_have_durations() -> None:
    assert openai_rate_headers(RATES, 0) == [
        (b"x-ratelimit-limit-requests", b"60"),
        (b"x-ratelimit-remaining-requests", b"59"),
        (b"x-ratelimit-reset-requests", b"1s"),
        (b"x-ratelimit-limit-tokens", b"100000"),
        (b"x-ratelimit-remaining-tokens", b"0"),
        (b"x-ratelimit-reset-tokens", b"6m0s"),
    ]


def test_anthropics_fields_have_times() -> None:
    assert anthropic_rate_headers(RATES[1:], 1_800_000_000_001) == [
        (b"anthropic-ratelimit-tokens-limit", b"100000"),
        (b"anthropic-ratelimit-tokens-remaining", b"0"),
        (b"anthropic-ratelimit-tokens-reset", b"2027-01-15T08:06:00Z"),
    ]


@pytest.mark.parametrize(
    ("ms", "text"),
    [(-5, b"0ms"), (0, b"0ms"), (20, b"20ms"), (1000, b"1s"), (1001, b"2s"), (60_000, b"1m0s"), (3_600_001, b"1h0m1s")],
)
def test_durations(ms: int, text: bytes) -> None:
    assert format_duration(ms) == text
