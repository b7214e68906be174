import datetime
import math
from decimal import ROUND_CEILING, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.catalog.book import load_price_book
from headgate.catalog.cost import FREE, UnpricedUsageError, cost_of, rates_for
from headgate.domain.catalog import Price, PriceTier, Rates
from headgate.domain.usage import TokenUsage

USD = 1_000_000_000
PLAIN = Price(Rates(input=2 * USD, output=8 * USD), version="test")
FULL = Price(
    Rates(input=2 * USD, output=8 * USD, cached_input=USD // 2, cache_write=3 * USD, input_audio=40 * USD,
          output_audio=80 * USD),
    version="test",
)  # fmt: skip
TIERED = Price(
    Rates(input=1 * USD, output=4 * USD),
    tiers=(
        PriceTier(above_input_tokens=1000, rates=Rates(input=2 * USD, output=6 * USD)),
        PriceTier(above_input_tokens=5000, rates=Rates(input=3 * USD, output=9 * USD)),
    ),
)

counts = st.integers(min_value=0, max_value=10_000_000)
rate = st.integers(min_value=0, max_value=600 * USD)
optional_rate = st.none() | rate


@st.composite
def usages(draw, audio=True):
    total = draw(counts)
    cached = draw(st.integers(0, total))
    written = draw(st.integers(0, total - cached))
    spoken = draw(st.integers(0, total - cached - written)) if audio else 0
    output = draw(counts)
    return TokenUsage(
        input_tokens=total,
        cached_input_tokens=cached,
        cache_write_tokens=written,
        input_audio_tokens=spoken,
        output_tokens=output,
        reasoning_tokens=draw(st.integers(0, output)),
        output_audio_tokens=draw(st.integers(0, output)) if audio else 0,
    )


@st.composite
def rates(draw):
    return Rates(
        input=draw(rate),
        output=draw(rate),
        cached_input=draw(optional_rate),
        cache_write=draw(optional_rate),
        input_audio=draw(rate),
        output_audio=draw(rate),
    )


def test_plain_tokens_cost_their_rate():
    assert cost_of(PLAIN, TokenUsage(input_tokens=1_000_000, output_tokens=500_000)) == 2 * USD + 4 * USD


def test_parts_are_taken_out_of_their_totals():
    usage = TokenUsage(
        input_tokens=1000, cached_input_tokens=400, cache_write_tokens=100, input_audio_tokens=50,
        output_tokens=300, reasoning_tokens=200, output_audio_tokens=100,
    )  # fmt: skip
    plain = 450 * 2 * 1000 + 400 * 500 + 100 * 3 * 1000 + 50 * 40 * 1000
    assert cost_of(FULL, usage) == plain + 200 * 8 * 1000 + 100 * 80 * 1000


def test_every_line_is_rounded_up_for_itself():
    price = Price(Rates(input=1, output=1, cached_input=1, cache_write=1, input_audio=1, output_audio=1))
    usage = TokenUsage(
        input_tokens=4, cached_input_tokens=1, cache_write_tokens=1, input_audio_tokens=1,
        output_tokens=2, output_audio_tokens=1,
    )  # fmt: skip
    assert cost_of(price, usage) == 6


def test_cached_and_written_input_without_rates_cost_as_plain_input():
    usage = TokenUsage(input_tokens=1000, cached_input_tokens=600, cache_write_tokens=300)
    assert cost_of(PLAIN, usage) == cost_of(PLAIN, TokenUsage(input_tokens=1000))


def test_reasoning_costs_as_output():
    assert cost_of(PLAIN, TokenUsage(output_tokens=10, reasoning_tokens=9)) == cost_of(
        PLAIN, TokenUsage(output_tokens=10)
    )


@pytest.mark.parametrize(
    ("usage", "kind"),
    [
        (TokenUsage(input_tokens=10, input_audio_tokens=1), "input_audio_tokens"),
        (TokenUsage(output_tokens=10, output_audio_tokens=1), "output_audio_tokens"),
    ],
)
def test_audio_without_a_rate_is_visible_and_never_guessed(usage, kind):
    with pytest.raises(UnpricedUsageError) as caught:
        cost_of(PLAIN, usage)
    assert caught.value.kind == kind
    assert caught.value.tokens == 1


def test_free_costs_nothing_for_any_kind():
    assert cost_of(FREE, TokenUsage(9, 1, 1, 1, 9, 1, 1)) == 0


@pytest.mark.parametrize(
    ("input_tokens", "input_rate"), [(0, 1), (1000, 1), (1001, 2), (5000, 2), (5001, 3), (10**9, 3)]
)
def test_a_tier_prices_the_whole_request_once_exceeded(input_tokens, input_rate):
    assert rates_for(TIERED, input_tokens).input == input_rate * USD
    assert cost_of(TIERED, TokenUsage(input_tokens=input_tokens)) == input_tokens * input_rate * 1000


def test_parts_larger_than_their_total_cost_no_more_tokens_than_the_total():
    lying = TokenUsage(input_tokens=10, cached_input_tokens=10**6, output_tokens=10, output_audio_tokens=10**6)
    assert cost_of(FULL, lying) == 10 * 500 + 10 * 80 * 1000


def test_negative_counts_cost_nothing():
    assert cost_of(FULL, TokenUsage(-5, -5, -5, -5, -5, -5, -5)) == 0


@given(rates(), usages())
def test_cost_equals_exact_decimal_arithmetic(each, usage):
    def line(tokens, nano):
        return int((Decimal(tokens) * nano / 1_000_000).to_integral_value(rounding=ROUND_CEILING))

    plain = usage.input_tokens - usage.input_audio_tokens
    expected = line(usage.input_audio_tokens, each.input_audio)
    if each.cache_write is not None:
        expected += line(usage.cache_write_tokens, each.cache_write)
        plain -= usage.cache_write_tokens
    if each.cached_input is not None:
        expected += line(usage.cached_input_tokens, each.cached_input)
        plain -= usage.cached_input_tokens
    expected += line(plain, each.input)
    expected += line(usage.output_audio_tokens, each.output_audio)
    expected += line(usage.output_tokens - usage.output_audio_tokens, each.output)
    assert cost_of(Price(each), usage) == expected


any_count = st.integers(min_value=-10, max_value=10**12)


@given(rates(), st.builds(TokenUsage, *[any_count] * 7))
def test_cost_is_never_negative_whatever_a_provider_says(each, usage):
    assert cost_of(Price(each), usage) >= 0


@given(rates(), usages(), st.integers(0, 1000), st.integers(0, 1000))
def test_more_tokens_never_cost_less(each, usage, more_input, more_output):
    price = Price(
        each,
        tiers=(PriceTier(100_000, Rates(*(None if v is None else 2 * v for v in _values(each)))),),
    )
    larger = TokenUsage(
        input_tokens=usage.input_tokens + more_input,
        cached_input_tokens=usage.cached_input_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        input_audio_tokens=usage.input_audio_tokens,
        output_tokens=usage.output_tokens + more_output,
        output_audio_tokens=usage.output_audio_tokens,
    )
    assert cost_of(price, larger) >= cost_of(price, usage)


def _values(each):
    return [getattr(each, name) for name in each.__struct_fields__]


SAMPLE = [
    ("openai", "gpt-4o"),
    ("openai", "gpt-5-mini"),
    ("openai", "gpt-5.5"),
    ("openai", "gpt-4o-audio-preview"),
    ("openai", "text-embedding-3-small"),
    ("anthropic", "claude-sonnet-4-5"),
    ("anthropic", "claude-opus-4-1"),
    ("google", "gemini-2.5-pro"),
    ("google", "gemini-2.5-flash"),
    ("mistral", "mistral-large-latest"),
    ("groq", "llama-3.3-70b-versatile"),
    ("x-ai", "grok-4"),
    ("azure", "gpt-4o"),
    ("together", "meta-llama/Llama-3.3-70B-Instruct-Turbo"),
]


@pytest.mark.parametrize(("provider", "model"), SAMPLE, ids=lambda value: value)
@pytest.mark.parametrize("input_tokens", [1, 777, 150_001, 300_007])
def test_cost_equals_the_catalogues_own_calculation_within_rounding(provider, model, input_tokens):
    genai_prices = pytest.importorskip("genai_prices")
    price = load_price_book().price(provider, model)
    assert price is not None
    as_of = datetime.datetime.fromisoformat(price.version.partition("(")[2].rstrip(")"))
    cached = input_tokens // 3 if price.rates.cached_input is not None else 0
    spoken = input_tokens // 5 if price.rates.input_audio is not None else 0
    output = 0 if price.rates.output == 0 else 501
    reported = {"input_tokens": input_tokens, "output_tokens": output, "cache_read_tokens": cached}
    if spoken:
        reported |= {"input_audio_tokens": spoken, "cache_audio_read_tokens": 0}
    theirs = genai_prices.calc_price(
        genai_prices.Usage(**reported),
        model_ref=model,
        provider_id=provider,
        genai_request_timestamp=as_of.replace(tzinfo=datetime.UTC),
    ).total_price
    ours = cost_of(
        price,
        TokenUsage(
            input_tokens=input_tokens,
            cached_input_tokens=cached,
            input_audio_tokens=spoken,
            output_tokens=output,
        ),
    )
    exact = theirs * USD
    assert math.floor(exact) <= ours <= exact + 4
