"""The most that one request can use and cost, from the tightest bound that is cheap; before anything is sent."""

from hashlib import blake2b
from typing import Final

from msgspec import Struct

from headgate.catalog.bound import cost_bound
from headgate.pipeline.call import Call
from headgate.pipeline.prepare import Prepared
from headgate.tokens.anchors import Anchors, Conversation, anchored_bound, fingerprint
from headgate.tokens.bound import OutputBound, close_bound, has_exact_tokenizer, tokenizer_bound, window_of
from headgate.tokens.weight import weigh
from headgate.wire.format import Envelope

ANCHOR_BYTES: Final = 4096
"""From this size of a body on, conversations are remembered: below it, bytes bound a request closely enough."""


class Measured(Struct, frozen=True, gc=False):
    """What a request can use at most."""

    input_tokens: int | None
    """``None`` where nothing bounds them."""
    bound_by: str
    """As `headgate.domain.record.Spending` says."""
    output: OutputBound
    cost_nano_usd: int | None
    """``None`` where a bound or a rate is missing."""
    has_audio: bool = False
    unbounded: str | None = None
    """What has no bound, in words."""
    conversation: Conversation | None = None


def sent_envelope(prepared: Prepared, call: Call) -> Envelope:
    """Return the members of the body that the provider gets: of a translated request not those that the caller sent."""
    if prepared.is_translated(call):
        return prepared.wire_format.parse_envelope(prepared.body)
    return prepared.envelope


def measure(prepared: Prepared, sent: Envelope, output: OutputBound, anchors: Anchors, tenant_key: bytes) -> Measured:
    """Return the bound by bytes, or by an earlier turn of the same conversation where that is tighter."""
    deployment, form = prepared.deployment, prepared.wire_format.name
    model, price = deployment.upstream_model, deployment.price
    weight = weigh(form, sent.fields, model)
    bound = close_bound(weight, window_of(deployment.capabilities, price))
    bound_by = "bytes" if bound == weight.tokens else "window"
    conversation = None
    if len(prepared.body) >= ANCHOR_BYTES:
        conversation = fingerprint(tenant_key, form, sent.fields, f"{deployment.provider}/{model}", weight)
        anchor = None if conversation is None else anchors.find(conversation)
        if conversation is not None and anchor is not None:
            anchored = anchored_bound(form, conversation, anchor, model)
            if anchored is not None and (bound is None or anchored < bound):
                bound, bound_by = anchored, "anchor"
    cost = cost_bound(price, bound, output.tokens, audio_in=weight.has_audio, audio_out=output.has_audio)
    return Measured(bound, bound_by, output, cost, weight.has_audio, weight.unbounded, conversation)


def with_bound(prepared: Prepared, measured: Measured, input_tokens: int, bound_by: str) -> Measured:
    """Return what is known where the input is bounded otherwise."""
    cost = cost_within(prepared, measured, input_tokens)
    return Measured(
        input_tokens,
        bound_by,
        measured.output,
        cost,
        measured.has_audio,
        measured.unbounded,
        measured.conversation,
    )


def cost_within(prepared: Prepared, measured: Measured, input_tokens: int | None) -> int | None:
    """Return the most that the request can cost with so much input, in nano-USD."""
    output = measured.output
    return cost_bound(
        prepared.deployment.price,
        input_tokens,
        output.tokens,
        audio_in=measured.has_audio,
        audio_out=output.has_audio,
    )


def can_be_refined(prepared: Prepared, measured: Measured) -> bool:
    """Say whether the model's own tokenizer may give a tighter bound."""
    return measured.bound_by == "bytes" and has_exact_tokenizer(prepared.deployment.upstream_model)


async def refine(prepared: Prepared, sent: Envelope, measured: Measured) -> Measured:
    """Return the bound by the model's own tokenizer, where that is tighter. Costs milliseconds for long requests."""
    deployment = prepared.deployment
    window = window_of(deployment.capabilities, deployment.price)
    bound = await tokenizer_bound(prepared.wire_format, sent, deployment.upstream_model, window)
    if bound is None or measured.input_tokens is None or bound >= measured.input_tokens:
        return measured
    return with_bound(prepared, measured, bound, "tokenizer")


def tenant_key_of(secret: bytes, organization_id: str) -> bytes:
    """Return the key under which a tenant's conversations are remembered, so that none finds what another has sent."""
    return blake2b(organization_id.encode(), key=secret, digest_size=32).digest()
