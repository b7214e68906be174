"""Numbers by chance that a seed decides, so that a simulation can be run again.

SplitMix64: Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators" (OOPSLA 2014). Every question has a
stream of its own, named by what is asked about: the same request to the same deployment takes the same time under every
policy, so that two policies differ by what they decide and not by luck.
"""

from hashlib import blake2b
from math import cos, exp, log, pi, sqrt
from typing import Final

_WHOLE: Final = (1 << 64) - 1
_STEP: Final = 0x9E3779B97F4A7C15


class Draws:
    """One stream of numbers; called, it gives a uniform one of [0, 1)."""

    __slots__ = ("_state",)

    def __init__(self, *about: int | str) -> None:
        """Begin the stream that is named by all of ``about``."""
        self._state = int.from_bytes(blake2b(repr(about).encode(), digest_size=8).digest(), "big")

    def __call__(self) -> float:
        """Return the next uniform number."""
        self._state = (self._state + _STEP) & _WHOLE
        mixed = self._state
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _WHOLE
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _WHOLE
        return ((mixed ^ (mixed >> 31)) >> 11) / (1 << 53)

    def exponential(self, mean: float) -> float:
        """Return a time between events that come independently of one another."""
        return -log(1 - self()) * mean

    def lognormal(self, median: float, spread: float) -> float:
        """Return a number whose logarithm is normal; ``spread`` is the logarithm's standard deviation."""
        # Box and Muller (1958).
        normal = sqrt(-2 * log(1 - self())) * cos(2 * pi * self())
        return median * exp(spread * normal)
