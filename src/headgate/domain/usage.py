"""Token usage: what a provider says it read and wrote, in one shape for every vendor."""

from collections.abc import Sequence
from enum import StrEnum

from msgspec import Struct


class UsageQuality(StrEnum):
    """Where the counts of a `TokenUsage` come from, best first."""

    PROVIDER = "provider"
    """The provider's own usage object."""
    COUNTED = "counted"
    """Counted by us with a tokenizer: an estimate."""
    BOUND = "bound"
    """Nothing is known but what it can be at most, and that is what was posted."""
    NONE = "none"
    """Nothing was sent upstream, so nothing was used."""


class TokenUsage(Struct, frozen=True, gc=False):
    """Counts of one request. Every kind is a *part* of its total, never beside it.

    OpenAI counts this way already; Anthropic's disjoint counts are summed by its wire format.
    """

    input_tokens: int = 0
    """All input tokens, cached and cache-write ones included."""
    cached_input_tokens: int = 0
    """Part of the input that the provider read from its prefix cache."""
    cache_write_tokens: int = 0
    """Part of the input that the provider wrote to its prefix cache."""
    input_audio_tokens: int = 0
    """Part of the input that was audio."""
    output_tokens: int = 0
    """All output tokens, reasoning included."""
    reasoning_tokens: int = 0
    """Part of the output that was reasoning."""
    output_audio_tokens: int = 0
    """Part of the output that was audio."""

    @property
    def total_tokens(self) -> int:
        """Input and output together."""
        return self.input_tokens + self.output_tokens


def sum_usage(usages: Sequence[TokenUsage]) -> TokenUsage:
    """Return what all of them used together."""
    return TokenUsage(**{name: sum(getattr(each, name) for each in usages) for name in TokenUsage.__struct_fields__})


def worst(qualities: Sequence[UsageQuality]) -> UsageQuality:
    """Return the least of them: a sum is as good as that; of none, `UsageQuality.NONE`."""
    order = tuple(UsageQuality)
    return max(qualities, key=order.index, default=UsageQuality.NONE)
