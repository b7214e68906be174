"""The last stage: what was used and what it cost, on every way a request can end."""

from headgate.catalog.cost import UnpricedUsageError, cost_of
from headgate.domain.usage import TokenUsage, UsageQuality
from headgate.pipeline.trace import NOTHING_USED, Settled, Trace
from headgate.tokens.counting import count_texts_off_loop


def settle_reported(trace: Trace, usage: TokenUsage) -> Settled:
    """Settle by the provider's own figures."""
    return _priced(trace, usage, UsageQuality.PROVIDER)


async def settle(trace: Trace) -> Settled:
    """Settle by the best figures there are: the provider's, else counted ones, marked as such.

    Nothing that was sent is settled as unused: the input was read by then, and the produced text is known.
    """
    usage = trace.metered.usage
    if usage is not None:
        return settle_reported(trace, usage)
    if not trace.may_be_billed or trace.deployment is None or trace.envelope is None:
        return NOTHING_USED
    model = trace.deployment.upstream_model
    counted = TokenUsage(
        input_tokens=await count_texts_off_loop(model, trace.call.wire_format.input_text(trace.envelope)),
        output_tokens=await count_texts_off_loop(model, trace.metered.output_text),
    )
    return _priced(trace, counted, UsageQuality.COUNTED)


def _priced(trace: Trace, usage: TokenUsage, quality: UsageQuality) -> Settled:
    price = trace.deployment.price if trace.deployment is not None else None
    if price is None:
        return Settled(usage, quality, 0, priced=False)
    try:
        return Settled(usage, quality, cost_of(price, usage), priced=True, price_version=price.version)
    except UnpricedUsageError:
        return Settled(usage, quality, 0, priced=False, price_version=price.version)
