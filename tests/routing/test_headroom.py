"""What providers say of their limits: a corpus of real header fields, and any bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.routing.headroom import BELIEVED_S, Headroom, Quota, parse_duration

Fields = dict[str, str]

OPENAI = {
    "x-ratelimit-limit-requests": "5000",
    "x-ratelimit-limit-tokens": "160000",
    "x-ratelimit-remaining-requests": "4999",
    "x-ratelimit-remaining-tokens": "40000",
    "x-ratelimit-reset-requests": "12ms",
    "x-ratelimit-reset-tokens": "45s",
}
GROQ = {
    "x-ratelimit-limit-requests": "14400",
    "x-ratelimit-limit-tokens": "18000",
    "x-ratelimit-remaining-requests": "14370",
    "x-ratelimit-remaining-tokens": "17997",
    "x-ratelimit-reset-requests": "2m59.56s",
    "x-ratelimit-reset-tokens": "7.66s",
}
AZURE = {"x-ratelimit-remaining-requests": "19", "x-ratelimit-remaining-tokens": "19913"}
AZURE_SECONDS = {
    "x-ratelimit-limit-requests": "20",
    "x-ratelimit-remaining-requests": "10",
    "x-ratelimit-reset-requests": "5",
}
ANTHROPIC = {
    "date": "Tue, 24 Nov 2026 12:00:00 GMT",
    "anthropic-ratelimit-requests-limit": "4000",
    "anthropic-ratelimit-requests-remaining": "3999",
    "anthropic-ratelimit-requests-reset": "2026-11-24T12:00:01Z",
    "anthropic-ratelimit-tokens-limit": "480000",
    "anthropic-ratelimit-tokens-remaining": "470000",
    "anthropic-ratelimit-tokens-reset": "2026-11-24T12:00:02Z",
    "anthropic-ratelimit-input-tokens-limit": "400000",
    "anthropic-ratelimit-input-tokens-remaining": "100000",
    "anthropic-ratelimit-input-tokens-reset": "2026-11-24T12:00:45Z",
}


def heard(fields: Fields, now: float = 100.0) -> Headroom:
    headroom = Headroom()
    assert headroom.learn([(name.encode(), value.encode()) for name, value in fields.items()], now)
    return headroom


def left(quota: Quota | None, now: float) -> float:
    assert quota is not None
    return quota.left(now)


@pytest.mark.parametrize(
    ("fields", "after_s", "requests", "tokens"),
    [
        (OPENAI, 0.0, 4999, 40_000),
        (OPENAI, 15.0, 5000, 80_000),
        (OPENAI, 60.0, 5000, 160_000),
        (GROQ, 0.0, 14_370, 17_997),
        (GROQ, 179.56 / 2, 14_385, 18_000),
        (AZURE, 0.0, 19, 19_913),
        (ANTHROPIC, 0.0, 3999, 100_000),
        (ANTHROPIC, 15.0, 4000, 200_000),
    ],
)
def test_what_is_left_rises_along_a_line_to_the_whole(
    fields: Fields, after_s: float, requests: float, tokens: float
) -> None:
    headroom = heard(fields)
    assert left(headroom.requests, 100.0 + after_s) == pytest.approx(requests)
    assert left(headroom.tokens, 100.0 + after_s) == pytest.approx(tokens)


def test_azures_plain_numbers_are_seconds() -> None:
    headroom = heard(AZURE_SECONDS)
    assert left(headroom.requests, 102.5) == pytest.approx(15)
    assert headroom.tokens is None


def test_what_began_since_is_taken_off_until_the_provider_speaks_again() -> None:
    headroom = heard(OPENAI)
    headroom.begin(30_000)
    headroom.begin(10_001)
    assert left(headroom.requests, 100.0) == 4997
    assert left(headroom.tokens, 100.0) == -1
    assert headroom.is_exhausted(100.0)
    assert not headroom.is_exhausted(100.0 + headroom.wait_s(100.0) + 0.001)
    headroom.learn([(b"x-ratelimit-remaining-tokens", b"150")], 101.0)
    assert left(headroom.tokens, 101.0) == 150


def test_a_limit_that_is_not_said_is_the_most_that_was_ever_left() -> None:
    headroom = heard(AZURE)
    headroom.learn([(b"x-ratelimit-remaining-requests", b"9")], 101.0)
    assert headroom.requests is not None
    assert headroom.requests.limit == 19
    assert left(headroom.requests, 106.0) == pytest.approx(14)


def test_nothing_left_is_exhausted_for_as_long_as_the_reset_says() -> None:
    headroom = heard({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "4m0s"})
    assert headroom.is_exhausted(100.0 + 239)
    assert headroom.wait_s(100.0) == pytest.approx(240)
    assert not headroom.is_exhausted(100.0 + 240.001)


def test_what_was_said_is_believed_for_five_minutes_and_not_for_a_day() -> None:
    headroom = heard({**GROQ, "x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "24h0m0s"})
    headroom.begin(10**9)
    assert headroom.wait_s(100.0) == BELIEVED_S
    assert headroom.used_share(100.0 + BELIEVED_S - 1, 1) > 1
    assert not headroom.is_exhausted(100.0 + BELIEVED_S)
    assert headroom.used_share(100.0 + BELIEVED_S, 180) == pytest.approx(0.01)


@given(st.integers(0, 100), st.integers(1, 100), st.integers(0, 300), st.floats(0, 400), st.integers(0, 200))
def test_the_used_share_is_what_is_not_left(
    remaining: int, limit: int, reset_s: int, later_s: float, tokens: int
) -> None:
    headroom = heard(
        {
            "x-ratelimit-remaining-tokens": str(remaining),
            "x-ratelimit-limit-tokens": str(limit),
            "x-ratelimit-reset-tokens": f"{reset_s}s",
        }
    )
    quota = headroom.tokens
    assert quota is not None
    now = 100.0 + later_s
    assert headroom.used_share(now, tokens) == pytest.approx(1 - (quota.left(now) - tokens) / quota.limit)


@pytest.mark.parametrize(
    "fields",
    [
        {"content-type": "application/json", "x-request-id": "req_1"},
        {"x-ratelimit-limit": "100", "x-ratelimit-remaining": "99", "x-ratelimit-reset": "1700000000"},
        {},
    ],
)
def test_other_fields_say_nothing(fields: Fields) -> None:
    assert not Headroom().learn([(name.encode(), value.encode()) for name, value in fields.items()], 1.0)


@pytest.mark.parametrize("value", ["", "-1", "many", "1e9", "0x10", "9" * 400, "12.5"])
def test_a_count_that_cannot_be_read_is_not_known(value: str) -> None:
    assert heard({"x-ratelimit-remaining-requests": value}).requests is None


@pytest.mark.parametrize(
    ("reset", "date"),
    [
        ("2026-11-24T12:00:45Z", None),
        ("2026-11-24T12:00:45", "Tue, 24 Nov 2026 12:00:00 GMT"),
        ("2026-11-24T12:00:45Z", "yesterday"),
        ("T", "Tue, 24 Nov 2026 12:00:00 GMT"),
        ("1764000000", None),
        ("soon", None),
    ],
)
def test_a_reset_that_cannot_be_read_is_ten_seconds(reset: str, date: str | None) -> None:
    fields = {"x-ratelimit-limit-tokens": "100", "x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": reset}
    headroom = heard(fields if date is None else {**fields, "date": date})
    assert left(headroom.tokens, 105.0) == pytest.approx(50)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("6m0s", 360), ("12ms", 0.012), ("1s", 1), ("1h0m0s", 3600), ("2m59.56s", 179.56), ("7.66s", 7.66), ("5m", 300),
        ("1d2h", 86_400), ("0", 0), ("60", 60), ("0.5", 0.5), ("1h2m3s", 3723), ("28m48s", 1728), (" 3s ", 3),
        ("", None), ("s", None), ("-1s", None), ("1s1m", None), ("1764000000", None), ("1764000000000", None),
        ("∞", None), ("1m2", None),
    ],
)  # fmt: skip
def test_durations(text: str, seconds: float | None) -> None:
    assert parse_duration(text.encode()) == (None if seconds is None else pytest.approx(seconds))


@given(st.integers(0, 20), st.integers(0, 59), st.integers(0, 59), st.integers(0, 999))
def test_every_duration_that_go_writes_is_read(hours: int, minutes: int, seconds: int, ms: int) -> None:
    whole = f"{hours}h{minutes}m{seconds}.{ms:03d}s"
    assert parse_duration(whole.encode()) == pytest.approx(hours * 3600 + minutes * 60 + seconds + ms / 1000)


NAMES = st.sampled_from([name.encode() for name in {**OPENAI, **ANTHROPIC}])


@given(st.lists(st.tuples(NAMES, st.binary(max_size=30) | st.from_regex(rb"[0-9.a-zTZ:\-]{0,25}")), max_size=12))
def test_no_bytes_whatever_raise_or_make_nonsense(fields: list[tuple[bytes, bytes]]) -> None:
    headroom = Headroom()
    headroom.learn(fields, 100.0)
    headroom.begin(10)
    for quota in (headroom.requests, headroom.tokens):
        if quota is not None:
            assert quota.left(1e9) == quota.limit
            assert quota.left(100.0) <= quota.limit
            assert 0 <= quota.wait_s(100.0) <= BELIEVED_S
