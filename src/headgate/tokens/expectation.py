"""What a request will probably use, learned from those before it: for windows that smooth a load and guarantee nothing.

Of every upstream model two figures are kept: how many input tokens a byte of a body makes, and the 95th percentile of
output tokens. The percentile is followed by stochastic approximation (Robbins and Monro, 1951): a step up of 19 parts
for an answer above it, a step down of one for any other, so that it comes to rest where one in twenty is above.
"""

from typing import Final

from headgate.domain.usage import TokenUsage

FIRST_TOKENS_PER_BYTE: Final = 0.25
"""Of English in JSON, before anything was learned."""
FIRST_OUTPUT_TOKENS: Final = 512
MODELS: Final = 1024
"""Models that are remembered; the one that was learned first goes first."""
_WEIGHT: Final = 0.05
"""Of one request in what was learned of those before it."""
_QUANTILE: Final = 0.95


class _Learned:
    __slots__ = ("output_tokens", "tokens_per_byte")

    def __init__(self) -> None:
        self.tokens_per_byte = FIRST_TOKENS_PER_BYTE
        self.output_tokens = float(FIRST_OUTPUT_TOKENS)


_NOTHING: Final = _Learned()


class Expectations:
    """What is expected of each model. One event loop owns it."""

    __slots__ = ("_models",)

    def __init__(self) -> None:
        """Nothing is learned yet."""
        self._models: dict[str, _Learned] = {}

    def expect(self, model: str, body_bytes: int, most: int, output_most: int) -> int:
        """Return the tokens that a request will probably take.

        ``most`` is its upper bound in all, ``output_most`` that of its output: neither is exceeded.
        """
        learned = self._models.get(model, _NOTHING)
        output = min(output_most, int(learned.output_tokens) + 1)
        return min(most, int(body_bytes * learned.tokens_per_byte) + 1 + output)

    def learn(self, model: str, body_bytes: int, usage: TokenUsage) -> None:
        """Take in what a provider reported for a body of so many bytes."""
        if body_bytes <= 0 or usage.input_tokens <= 0:
            return
        learned = self._models.get(model)
        if learned is None:
            if len(self._models) >= MODELS:
                del self._models[next(iter(self._models))]
            learned = self._models[model] = _Learned()
        ratio = usage.input_tokens / body_bytes
        learned.tokens_per_byte += _WEIGHT * (ratio - learned.tokens_per_byte)
        step = max(1.0, _WEIGHT * learned.output_tokens)
        if usage.output_tokens > learned.output_tokens:
            learned.output_tokens += step * _QUANTILE
        else:
            learned.output_tokens = max(0.0, learned.output_tokens - step * (1 - _QUANTILE))
