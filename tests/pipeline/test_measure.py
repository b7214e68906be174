"""The bound that a hold is made of, for what is really sent."""

import json
from typing import Any

import pytest

from headgate.domain.catalog import Capabilities, Price, Rates
from headgate.pipeline.call import Call
from headgate.pipeline.measure import (
    ANCHOR_BYTES,
    Measured,
    can_be_refined,
    measure,
    refine,
    sent_envelope,
    tenant_key_of,
    with_bound,
)
from headgate.pipeline.prepare import Prepared
from headgate.providers.build import build_provider
from headgate.routing.table import Deployment
from headgate.settings.model import ProviderSettings, TimeoutSettings
from headgate.tokens.anchors import Anchors
from headgate.tokens.bound import output_bound
from headgate.upstream.transport import Timeouts
from headgate.wire import WIRE_FORMATS

USD = 1_000_000_000
CHAT, MESSAGES = WIRE_FORMATS["openai_chat"], WIRE_FORMATS["anthropic_messages"]
PRICE = Price(Rates(input=1 * USD, output=2 * USD), version="test")
KEY = tenant_key_of(b"s" * 32, "org_1")


def prepared(model: str = "gpt-4o", caller: Any = CHAT, **body: Any) -> tuple[Prepared, Call]:
    """A request to a provider that speaks OpenAI's format."""
    whole: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hello"}], **body}
    call = Call("req_1", caller, json.dumps(whole).encode(), None, 0, 0.0)
    deployment = Deployment("sandbox", model, PRICE, Capabilities(context_window=128_000, max_output_tokens=1000))
    provider = build_provider(ProviderSettings("sandbox", "sandbox"), TimeoutSettings(), {})
    envelope = caller.parse_envelope(call.body)
    sent = json.dumps({**whole, "model": model}).encode()
    return Prepared(envelope, CHAT, deployment, provider, sent, Timeouts(), False, False), call


def measured(request: Prepared, call: Call, anchors: Anchors | None = None) -> Measured:
    sent = sent_envelope(request, call)
    output = output_bound(request.wire_format, sent, request.deployment.capabilities)
    return measure(request, sent, output, anchors or Anchors(), KEY)


def test_the_cost_is_that_of_all_bytes_as_tokens_and_the_whole_output() -> None:
    found = measured(*prepared(max_tokens=10))
    assert found.bound_by == "bytes"
    assert found.input_tokens is not None
    assert found.input_tokens >= len("hello")
    assert found.output.tokens == 10
    assert found.cost_nano_usd is not None
    assert found.cost_nano_usd >= found.input_tokens * 1000 + 10 * 2000


def test_what_a_provider_runs_itself_has_no_bound_and_no_cost() -> None:
    body = {"web_search_options": {}}
    found = measured(*prepared(**body))
    assert (found.input_tokens, found.cost_nano_usd) == (None, None)
    assert found.unbounded


def test_a_file_is_bounded_by_the_window() -> None:
    parts = [{"type": "file", "file": {"file_id": "file-1"}}]
    found = measured(*prepared(messages=[{"role": "user", "content": parts}]))
    assert (found.input_tokens, found.bound_by) == (128_000, "window")


def test_a_conversation_that_was_billed_before_is_bounded_by_its_bill() -> None:
    turns = [{"role": "user", "content": "x" * 2 * ANCHOR_BYTES}]
    anchors = Anchors()
    first = measured(*prepared(messages=turns), anchors)
    assert first.conversation is not None
    anchors.learn(first.conversation, 700)
    turns += [{"role": "assistant", "content": "y"}, {"role": "user", "content": "z"}]
    second = measured(*prepared(messages=turns), anchors)
    assert second.bound_by == "anchor"
    assert second.input_tokens is not None
    assert 700 < second.input_tokens < 1000


def test_short_requests_are_not_remembered() -> None:
    assert measured(*prepared()).conversation is None


def test_a_translated_request_is_measured_as_it_is_sent() -> None:
    request, call = prepared(caller=MESSAGES, max_tokens=10)
    sent = sent_envelope(request, call)
    assert sent is not request.envelope
    assert sent.model == "gpt-4o"


@pytest.mark.parametrize(("model", "exact"), [("gpt-4o", True), ("claude-sonnet-4-5", False)])
async def test_the_models_own_tokenizer_gives_a_tighter_bound(model: str, exact: bool) -> None:
    request, call = prepared(model, messages=[{"role": "user", "content": "water and fields " * 400}])
    found = measured(request, call)
    assert can_be_refined(request, found) is exact
    tighter = await refine(request, sent_envelope(request, call), found)
    assert found.input_tokens is not None
    assert tighter.input_tokens is not None
    assert found.cost_nano_usd is not None
    assert tighter.cost_nano_usd is not None
    if exact:
        assert tighter.bound_by == "tokenizer"
        assert tighter.input_tokens < found.input_tokens / 2
        assert tighter.cost_nano_usd < found.cost_nano_usd
    else:
        assert tighter == found


def test_another_bound_has_another_cost() -> None:
    request, call = prepared(max_tokens=10)
    found = with_bound(request, measured(request, call), 5, "anchor")
    assert (found.input_tokens, found.bound_by) == (5, "anchor")
    assert found.cost_nano_usd is not None
    assert 5 * 1000 + 10 * 2000 <= found.cost_nano_usd <= 5 * 1000 + 10 * 2000 + 10


def test_tenants_have_keys_of_their_own() -> None:
    assert tenant_key_of(b"s" * 32, "org_1") != tenant_key_of(b"s" * 32, "org_2")
