import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.catalog.bound import cost_bound
from headgate.catalog.cost import FREE, cost_of
from headgate.domain.catalog import Price, PriceTier, Rates
from headgate.domain.usage import TokenUsage

RATE = st.integers(0, 10**12)
RATES = st.builds(Rates, RATE, RATE, *[st.none() | RATE] * 4)
COUNT = st.integers(0, 2_000_000) | st.sampled_from([0, 1, 2, 200_000, 200_001])
TIERS = st.dictionaries(COUNT, RATES, max_size=3).map(
    lambda tiers: tuple(PriceTier(above, tiers[above]) for above in sorted(tiers))
)
PRICES = st.builds(Price, RATES, TIERS)


@settings(max_examples=1000)
@given(st.data(), PRICES, COUNT, COUNT, st.booleans(), st.booleans())
def test_no_usage_within_the_bounds_costs_more(data, price, most_in, most_out, audio_in, audio_out):
    bound = cost_bound(price, most_in, most_out, audio_in=audio_in, audio_out=audio_out)
    part, none = st.integers(-5, most_in + 5), st.just(0)
    usage = TokenUsage(
        input_tokens=data.draw(st.integers(0, most_in) | st.just(most_in)),
        cached_input_tokens=data.draw(part),
        cache_write_tokens=data.draw(part),
        input_audio_tokens=data.draw(part if audio_in else none),
        output_tokens=data.draw(st.integers(0, most_out) | st.just(most_out)),
        reasoning_tokens=data.draw(st.integers(0, most_out)),
        output_audio_tokens=data.draw(st.integers(-5, most_out + 5) if audio_out else none),
    )

    if bound is not None:
        assert cost_of(price, usage) <= bound


def test_a_tier_counts_once_the_input_can_reach_it():
    price = Price(Rates(3_000_000_000, 0), (PriceTier(200_000, Rates(6_000_000_000, 0)),))

    assert cost_bound(price, 200_000, 0) == 600_000_003
    assert cost_bound(price, 200_001, 0) == 1_200_006_003


def test_the_dearest_of_plain_cached_and_written_counts():
    price = Price(Rates(3_000_000_000, 0, cached_input=300_000_000, cache_write=3_750_000_000))

    assert cost_bound(price, 1000, 0) == 3_750_003


@pytest.mark.parametrize("case", [(None, 1, 1), (FREE, None, 1), (FREE, 1, None)])
def test_what_is_not_known_has_no_bound(case):
    assert cost_bound(*case) is None


def test_sound_without_a_rate_has_no_bound():
    price = Price(Rates(1, 1))

    assert cost_bound(price, 1, 1, audio_in=True) is None
    assert cost_bound(price, 1, 1, audio_out=True) is None


def test_what_is_free_stays_free():
    assert cost_bound(FREE, 10**9, 10**9, audio_in=True, audio_out=True) == 0
