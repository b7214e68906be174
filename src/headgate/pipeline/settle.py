"""The last stage: what was used and what it cost, on every way a request can end."""

import logging
from typing import Final

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from headgate.catalog.cost import UnpricedUsageError, cost_of
from headgate.domain.money import MAX_NANO_USD
from headgate.domain.usage import TokenUsage, UsageQuality
from headgate.pipeline.trace import NOTHING_USED, Settled, Trace
from headgate.tokens.counting import MESSAGE_OVERHEAD_TOKENS, count_texts_off_loop
from headgate.wire.format import Envelope, WireFormat

_MESSAGES: Final = msgspec.json.Decoder(list[Raw])
_log: Final = logging.getLogger("headgate.pipeline")


async def settle(trace: Trace) -> Settled:
    """Settle by the best figures there are: the provider's, else counted ones, marked as such.

    Nothing that was sent is settled as unused: the input was read by then, and the produced text is known. What the
    provider reported before its last content is less than it will bill, so the larger of both figures holds.
    """
    reported = trace.metered.usage
    if reported is not None and trace.metered.is_final:
        return _priced(trace, reported, UsageQuality.PROVIDER)
    if not (trace.may_be_billed or reported is not None) or trace.deployment is None or trace.envelope is None:
        return NOTHING_USED
    model = trace.deployment.upstream_model
    counted = TokenUsage(
        input_tokens=await _count_input(model, trace.call.wire_format, trace.envelope),
        output_tokens=await count_texts_off_loop(model, trace.metered.output_text),
    )
    if reported is not None:
        counted = replace(
            reported,
            input_tokens=max(counted.input_tokens, reported.input_tokens),
            output_tokens=max(counted.output_tokens, reported.output_tokens),
        )
    return _priced(trace, counted, UsageQuality.COUNTED)


async def _count_input(model: str, wire_format: WireFormat, envelope: Envelope) -> int:
    """Count what was read: the texts, and what each message costs beside its text."""
    counted = await count_texts_off_loop(model, wire_format.input_text(envelope))
    if "messages" not in envelope.fields:
        return counted
    try:
        messages = len(_MESSAGES.decode(envelope.fields["messages"]))
    except (ValueError, RecursionError):
        return counted  # Too odd to read, and counted by its bytes.
    return counted + MESSAGE_OVERHEAD_TOKENS * (messages + 1)


def _priced(trace: Trace, usage: TokenUsage, quality: UsageQuality) -> Settled:
    price = trace.deployment.price if trace.deployment is not None else None
    if price is None:
        return Settled(usage, quality, 0, priced=False)
    try:
        cost_nano_usd = cost_of(price, usage)
    except UnpricedUsageError:
        return Settled(usage, quality, 0, priced=False, price_version=price.version)
    if cost_nano_usd > MAX_NANO_USD:
        _log.error(
            "the cost of a request is beyond all reason and kept as unknown",
            extra={"request_id": trace.call.request_id, "price_version": price.version},
        )
        return Settled(usage, quality, 0, priced=False, price_version=price.version)
    return Settled(usage, quality, cost_nano_usd, priced=True, price_version=price.version)
