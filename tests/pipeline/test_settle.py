"""What a request used and cost, however it ended."""

import logging

import pytest

from headgate.domain.catalog import Price, Rates
from headgate.domain.money import MAX_NANO_USD
from headgate.domain.usage import TokenUsage, UsageQuality
from headgate.pipeline.settle import settle
from headgate.pipeline.trace import NOTHING_USED, Trace
from headgate.routing.table import Deployment
from headgate.wire.format import Metered
from tests.pipeline.tracing import ENVELOPE, trace_of

PRICE = Price(Rates(input=1_000_000_000, output=2_000_000_000), version="test 1")
USAGE = TokenUsage(input_tokens=10, output_tokens=5)


def ended(metered: Metered, *, price: Price | None = PRICE, billed: bool = True) -> Trace:
    trace = trace_of()
    trace.envelope = ENVELOPE
    trace.deployment = Deployment("openai", "gpt-4o", price)
    trace.may_be_billed = billed
    trace.metered = metered
    return trace


async def test_the_providers_figures_are_priced() -> None:
    settled = await settle(ended(Metered(USAGE)))
    assert (settled.usage, settled.quality, settled.priced) == (USAGE, UsageQuality.PROVIDER, True)
    assert settled.cost_nano_usd == 10 * 1000 + 5 * 2000
    assert settled.price_version == "test 1"


async def test_what_a_refused_request_reports_nothing_costs_nothing() -> None:
    assert await settle(ended(Metered(None), billed=False)) == NOTHING_USED


async def test_usage_that_was_reported_counts_although_the_answer_failed() -> None:
    assert (await settle(ended(Metered(USAGE), billed=False))).usage == USAGE


async def test_missing_usage_is_counted_from_both_sides() -> None:
    settled = await settle(ended(Metered(None, output_text=("hello", " world"))))
    assert settled.quality is UsageQuality.COUNTED
    assert settled.usage.input_tokens > 0
    assert settled.usage.output_tokens == 2
    assert settled.cost_nano_usd > 0


async def test_a_count_of_input_says_what_messages_cost_beside_their_text() -> None:
    # "hello there" makes two tokens and "user" one; a message costs three beside them, the opening of the answer too.
    assert (await settle(ended(Metered(None)))).usage.input_tokens == 2 + 1 + 3 + 3


async def test_silence_after_the_request_was_sent_is_charged_its_input() -> None:
    settled = await settle(ended(Metered(None)))
    assert settled.usage.input_tokens > 0
    assert settled.usage.output_tokens == 0


async def test_without_a_price_the_cost_is_unknown() -> None:
    settled = await settle(ended(Metered(USAGE), price=None))
    assert (settled.priced, settled.usage) == (False, USAGE)


async def test_a_kind_of_token_without_a_rate_makes_the_cost_unknown() -> None:
    settled = await settle(ended(Metered(TokenUsage(input_tokens=10, input_audio_tokens=4))))
    assert (settled.priced, settled.price_version) == (False, "test 1")


@pytest.mark.parametrize("missing", ["envelope", "deployment"])
async def test_a_request_that_was_never_understood_used_nothing(missing: str) -> None:
    trace = ended(Metered(None))
    setattr(trace, missing, None)
    assert await settle(trace) == NOTHING_USED


async def test_a_report_from_before_the_end_is_a_floor_on_each_side() -> None:
    text = ("hello world " * 50,)
    counted = (await settle(ended(Metered(None, output_text=text)))).usage
    assert counted.output_tokens > 1
    early = TokenUsage(input_tokens=counted.input_tokens + 90, cached_input_tokens=4, output_tokens=1)
    settled = await settle(ended(Metered(early, output_text=text, is_final=False)))
    assert settled.quality is UsageQuality.COUNTED
    assert settled.usage == TokenUsage(
        input_tokens=early.input_tokens, cached_input_tokens=4, output_tokens=counted.output_tokens
    )
    late = TokenUsage(input_tokens=0, output_tokens=counted.output_tokens + 7)
    settled = await settle(ended(Metered(late, output_text=text, is_final=False)))
    assert (settled.usage.input_tokens, settled.usage.output_tokens) == (counted.input_tokens, late.output_tokens)


async def test_a_cost_beyond_what_is_kept_exactly_is_unknown_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    dear = Price(Rates(input=MAX_NANO_USD, output=0), version="typing error")
    with caplog.at_level(logging.ERROR):
        settled = await settle(ended(Metered(TokenUsage(input_tokens=1_000_001)), price=dear))
    assert (settled.cost_nano_usd, settled.priced, settled.price_version) == (0, False, "typing error")
    assert "cost" in caplog.text
    assert (await settle(ended(Metered(TokenUsage(input_tokens=1_000_000)), price=dear))).cost_nano_usd == MAX_NANO_USD
