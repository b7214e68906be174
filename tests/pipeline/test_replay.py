"""Tests of headgate.pipeline.replay: what an answer that is given again would have cost. The rest is in `test_caching`
and `tests.e2e.test_response_cache`, where it is really given."""

import pytest
from msgspec import Raw

from headgate.cache.recorded import Recorded
from headgate.domain.catalog import Price, Rates
from headgate.domain.chat import ChatResponse, Choice, OpaquePart, StopReason, TextPart
from headgate.domain.usage import TokenUsage
from headgate.pipeline.replay import render, saved_nano_usd
from headgate.routing.table import Deployment
from headgate.wire import WIRE_FORMATS

USAGE = TokenUsage(input_tokens=1000, cached_input_tokens=400, output_tokens=100)
RATES = Rates(input=1_000_000_000, output=2_000_000_000, cached_input=100_000_000)


@pytest.mark.parametrize(
    ("price", "saved"),
    [
        # What the provider had read from its own cache is no saving of ours: 600 + 40 + 200 thousandths of a cent.
        (Price(RATES, version="1"), 840_000),
        (None, 0),
        (Price(Rates(input=1_000_000_000, output=2_000_000_000), version="1"), 1_200_000),
    ],
)
def test_what_was_saved_is_the_price_of_the_call_that_was_not_made(price: Price | None, saved: int) -> None:
    assert saved_nano_usd(Deployment("p", "m", price), USAGE) == saved


def test_what_cannot_be_said_is_refused_before_anything_is_sent() -> None:
    chat = WIRE_FORMATS["openai_chat"]
    answer = ChatResponse("x", "id", "m", (Choice(0, (TextPart("a"), OpaquePart("k", Raw(b"{}"))), StopReason.END),))
    with pytest.raises(ValueError, match="no stream can say"):
        render(chat, Recorded("p", "d", USAGE, answer=answer), 0, stream=True, usage=False, marker="m")
