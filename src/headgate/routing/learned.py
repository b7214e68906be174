"""What was learned of a deployment from the requests that went there: times, output lengths, cached shares.

Times are kept as peak EWMA: a worse one counts at once, a better one by and by. Quantiles are followed by stochastic
approximation (Robbins and Monro, 1951): a step up for a value above, a smaller step down for one below, in the
proportion at which the wanted share of values lies below.
"""

from math import exp
from typing import Final

PEAK_S: Final = 30.0
"""Time constant with which a time falls back to what is measured now."""
BASELINE_SHARE: Final = 0.99
SLOW_FACTOR: Final = 3.0
"""A first event later than so many times the baseline is slow, if it took `SLOW_LEAST_S` as well."""
SLOW_LEAST_S: Final = 10.0
SAMPLES: Final = 20
"""So many first events make a history; before that nothing is slow and there is no median."""
NEWEST_WEIGHT: Final = 0.05
"""Of one request in a mean of those before it, once there are `_FEW`."""
_FEW: Final = 20
FEWEST_TOKENS: Final = 8
"""A shorter output says nothing about the tokens per second."""
_STEP: Final = 0.05
"""Of a quantile's value, at least 1 ms."""


class OutputLength:
    """How many output tokens an answer of one upstream model has on average, whichever deployment gave it."""

    __slots__ = ("__weakref__", "_answers", "tokens")

    def __init__(self) -> None:
        """Nothing is learned yet."""
        self.tokens: float | None = None
        self._answers = 0

    def learn(self, output_tokens: int) -> None:
        """Take in one answer."""
        self._answers += 1
        self.tokens = _mean(self.tokens, output_tokens, self._answers)


class Learned:
    """What was learned of one deployment."""

    __slots__ = (
        "_answers",
        "_prompts",
        "_samples",
        "baseline_s",
        "cached_share",
        "first_event_p50_s",
        "first_event_s",
        "is_timed",
        "measured_at",
        "output_tokens",
        "token_s",
    )

    def __init__(self) -> None:
        """Nothing is learned yet."""
        self.is_timed = False
        """There are times: before that they are 0."""
        self.first_event_s = 0.0
        """Peak EWMA of the time until the first event, or until a whole answer where it is one event."""
        self.token_s = 0.0
        """Peak EWMA of seconds per output token after the first event."""
        self.measured_at = float("-inf")
        self.first_event_p50_s: float | None = None
        self.baseline_s = 0.0
        """About the 99th percentile of the times until the first event; the greatest of the first `SAMPLES`."""
        self.output_tokens: float | None = None
        self.cached_share: float | None = None
        """Of input tokens, what was read from the provider's prefix cache."""
        self._samples = 0
        self._answers = 0
        self._prompts = 0

    def is_slow(self, first_event_s: float) -> bool:
        """Whether a first event came later than this deployment's own history explains."""
        return self._samples >= SAMPLES and first_event_s > max(SLOW_FACTOR * self.baseline_s, SLOW_LEAST_S)

    def p50_s(self) -> float | None:
        """Return the median time until the first event; ``None`` before there is a history."""
        return self.first_event_p50_s if self._samples >= SAMPLES else None

    def learn_time(self, now: float, first_event_s: float | None, duration_s: float, output_tokens: int) -> None:
        """Take in how long an answer took. Of a whole answer only the ``duration_s`` is known."""
        elapsed = now - self.measured_at
        if first_event_s is not None:
            self._learn_quantiles(first_event_s)
        elif output_tokens < FEWEST_TOKENS:
            first_event_s = duration_s
        if first_event_s is not None:
            self.first_event_s = _peak(self.first_event_s, first_event_s, elapsed)
        if output_tokens >= FEWEST_TOKENS:
            before = self.first_event_s if first_event_s is None else first_event_s
            self.token_s = _peak(self.token_s, max(0.0, duration_s - before) / output_tokens, elapsed)
        self.measured_at = now
        self.is_timed = True

    def learn_tokens(self, input_tokens: int, cached_input_tokens: int, output_tokens: int) -> None:
        """Take in what an answer was billed for."""
        self._answers += 1
        self.output_tokens = _mean(self.output_tokens, output_tokens, self._answers)
        if input_tokens > 0:
            self._prompts += 1
            share = min(1.0, max(0.0, cached_input_tokens / input_tokens))
            self.cached_share = _mean(self.cached_share, share, self._prompts)

    def _learn_quantiles(self, first_event_s: float) -> None:
        self._samples += 1
        median = self.first_event_p50_s
        if median is None:
            self.first_event_p50_s = first_event_s
        else:
            step = max(0.001, _STEP * median)
            self.first_event_p50_s = median + (step if first_event_s > median else -step) / 2
        if self._samples <= SAMPLES:
            self.baseline_s = max(self.baseline_s, first_event_s)
            return
        step = max(0.001, _STEP * self.baseline_s)
        if first_event_s > self.baseline_s:
            self.baseline_s += step * BASELINE_SHARE
        else:
            self.baseline_s -= step * (1 - BASELINE_SHARE)


def _peak(before: float, value: float, elapsed_s: float) -> float:
    if value >= before:
        return value
    kept = exp(-max(0.0, elapsed_s) / PEAK_S)
    return before * kept + value * (1 - kept)


def _mean(before: float | None, value: float, count: int) -> float:
    if before is None:
        return float(value)
    return before + (value - before) * (1 / count if count < _FEW else NEWEST_WEIGHT)
