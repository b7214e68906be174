import asyncio
import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rs_bpe.bpe import openai

from headgate.domain.catalog import Capabilities, Price, PriceTier, Rates
from headgate.tokens.bound import (
    WIDENED_WINDOW,
    OutputBound,
    close_bound,
    has_exact_tokenizer,
    input_bound,
    output_bound,
    tokenizer_bound,
    window_of,
)
from headgate.tokens.weight import Weight
from headgate.wire.anthropic_messages import ANTHROPIC_MESSAGES
from headgate.wire.format import DEFAULT_MAX_OUTPUT_TOKENS, Envelope, WireFormat
from headgate.wire.openai_chat import OPENAI_CHAT
from headgate.wire.openai_embeddings import OPENAI_EMBEDDINGS
from tests.tokens.test_text import WILD

CONTENT = WILD | st.lists(WILD.map(lambda text: {"type": "text", "text": text}), max_size=3)


def envelope(form: WireFormat, escaped: bool = True, **members: object) -> Envelope:
    body = json.dumps({"model": "alias", **members}, ensure_ascii=escaped)
    return form.parse_envelope(body.encode())


def chat(**members: object) -> Envelope:
    return envelope(OPENAI_CHAT, **({"messages": [{"role": "user", "content": "Hello"}]} | members))


def tokens_of(form: WireFormat, request: Envelope) -> int:
    """What OpenAI would count, by its cookbook."""
    texts = form.input_text(request)
    counted = max(sum(each.count(text) for text in texts) for each in (openai.o200k_base(), openai.cl100k_base()))
    return counted + 3 * len(json.loads(bytes(request.fields["messages"]))) + 3


@settings(max_examples=200, deadline=None)
@given(st.lists(CONTENT, min_size=1, max_size=4), st.booleans(), st.sampled_from([OPENAI_CHAT, ANTHROPIC_MESSAGES]))
def test_no_tokenizer_exceeds_the_bound_of_a_request(contents, escaped, form):
    escaped = escaped or re.search("[\ud800-\udfff]", str(contents)) is not None
    request = envelope(
        form, escaped, max_tokens=9, messages=[{"role": "user", "content": content} for content in contents]
    )
    bound = input_bound(form, request, "gpt-4o", None)
    exact = asyncio.run(tokenizer_bound(form, request, "gpt-4o", None))

    assert bound is not None
    assert exact is not None
    assert tokens_of(form, request) <= exact <= bound


def test_the_window_is_the_bound_of_what_is_longer_or_unknown():
    assert close_bound(Weight(5000), 1000) == 1000
    assert close_bound(Weight(50), 1000) == 50
    assert close_bound(Weight(50), None) == 50
    assert close_bound(Weight(50, window="documents"), 1000) == 1000
    assert close_bound(Weight(50, window="documents"), None) is None
    assert close_bound(Weight(50, unbounded="mcp_servers"), 1000) is None
    assert close_bound(Weight(5000, 3, is_batch=True), 1000) == 3000


def test_a_price_beyond_the_window_tells_of_a_wider_one():
    rates = Rates(1, 1)
    sonnet = Price(rates, (PriceTier(200_000, rates),))

    assert window_of(Capabilities(200_000), sonnet) == WIDENED_WINDOW
    assert window_of(Capabilities(1_000_000), sonnet) == 1_000_000
    assert window_of(Capabilities(200_000), None) == 200_000
    assert window_of(Capabilities(), sonnet) is None


def test_the_tokenizer_is_tighter_where_it_is_the_models_own():
    request = chat(
        messages=[{"role": "user", "content": "Several words of English. " * 2000}],
        tools=[{"type": "function", "function": {"name": "f", "description": "words " * 50}}],
    )
    bytes_bound = input_bound(OPENAI_CHAT, request, "gpt-4o", None)
    exact = asyncio.run(tokenizer_bound(OPENAI_CHAT, request, "gpt-4o", None))

    assert bytes_bound is not None
    assert exact is not None
    assert 8000 < exact < bytes_bound / 3
    assert asyncio.run(tokenizer_bound(OPENAI_CHAT, request, "claude-sonnet-4-5", None)) == input_bound(
        OPENAI_CHAT, request, "claude-sonnet-4-5", None
    )
    assert has_exact_tokenizer("gpt-4o")
    assert not has_exact_tokenizer("claude-sonnet-4-5")
    assert not has_exact_tokenizer("gemini-2.5-pro")


def test_embeddings_have_a_bound_and_no_output():
    request = envelope(OPENAI_EMBEDDINGS, input=["one", "two"])
    bound = input_bound(OPENAI_EMBEDDINGS, request, "text-embedding-3-small", 8192)

    assert bound is not None
    assert 2 <= bound < 100
    assert output_bound(OPENAI_EMBEDDINGS, request, Capabilities()) == OutputBound(0, False, 0)


@pytest.mark.parametrize(
    ("asked", "most", "expected"),
    [
        (100, 1000, OutputBound(100, False, 100)),
        (5000, 1000, OutputBound(1000, True, 1000)),
        (None, 1000, OutputBound(1000, True, 1000)),
        (100, None, OutputBound(100, False, 100)),
        (None, None, OutputBound(DEFAULT_MAX_OUTPUT_TOKENS, True, DEFAULT_MAX_OUTPUT_TOKENS)),
    ],
)
def test_the_output_is_the_lesser_of_what_is_asked_and_what_the_model_can(asked, most, expected):
    request = chat() if asked is None else chat(max_tokens=asked)

    assert output_bound(OPENAI_CHAT, request, Capabilities(max_output_tokens=most)) == expected


def test_every_choice_counts_and_so_does_a_rejected_prediction():
    assert output_bound(OPENAI_CHAT, chat(max_tokens=100, n=3), Capabilities()).tokens == 300
    assert output_bound(OPENAI_CHAT, chat(max_tokens=100, n=None), Capabilities()).tokens == 100
    prediction = {"type": "content", "content": "x" * 500}
    assert (output_bound(OPENAI_CHAT, chat(max_tokens=1, prediction=prediction), Capabilities()).tokens or 0) > 500


def test_reasoning_beyond_the_maximum_counts_or_leaves_no_bound():
    request = chat(max_tokens=100, n=2)

    assert output_bound(OPENAI_CHAT, request, Capabilities(), 1000).tokens == 2200
    assert output_bound(OPENAI_CHAT, request, Capabilities(), None).tokens is None


def test_anthropics_cache_warming_writes_nothing():
    request = envelope(ANTHROPIC_MESSAGES, max_tokens=0, messages=[{"role": "user", "content": "x"}])

    assert output_bound(ANTHROPIC_MESSAGES, request, Capabilities(max_output_tokens=9)) == OutputBound(0, False, 0)


def test_sound_that_is_asked_for_is_told():
    request = chat(modalities=["text", "audio"], audio={"voice": "alloy", "format": "mp3"})

    assert output_bound(OPENAI_CHAT, request, Capabilities()).has_audio
