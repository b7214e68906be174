"""The short form's mutations: one seed, so that a run repeats itself everywhere."""

import random  # noqa: TID251  seeded, to try the same inputs every time
from collections.abc import Iterator, Sequence

from tests.fuzz.target import LARGEST


def mutations(seeds: Sequence[bytes], tokens: Sequence[bytes], count: int, seed: int) -> Iterator[bytes]:
    """Yield ``count`` inputs, each a seed changed in one to six places."""
    chance = random.Random(seed)
    for _ in range(count):
        data = bytearray(chance.choice(seeds))
        for _ in range(chance.randint(1, 6)):
            _change(data, seeds, tokens, chance)
        yield bytes(data[:LARGEST])


def _change(data: bytearray, seeds: Sequence[bytes], tokens: Sequence[bytes], chance: random.Random) -> None:
    at = chance.randint(0, len(data))
    span = chance.choice((1, 1, 2, 4, 16, 64, 256))
    match chance.randrange(8):
        case 0 if data:
            data[at % len(data)] ^= 1 << chance.randrange(8)
        case 1 if data:
            data[at % len(data)] = chance.choice(b"\0\t\n\r \"'%,.0:;?[\\]{}\x7f\x80\xc3\xed\xff")
        case 2:
            del data[at : at + span]
        case 3:
            data[at:at] = data[at : at + span]
        case 4:
            other = chance.choice(seeds)
            start = chance.randint(0, len(other))
            data[at : at + chance.choice((0, span))] = other[start : start + span]
        case 5:
            data[at:at] = chance.randbytes(min(span, 16))
        case 6:
            # Long runs find what is quadratic.
            data[at:at] = (bytes(data[at : at + min(span, 16)]) or b"[") * chance.choice((8, 64, 512))
        case _:
            data[at : at + chance.choice((0, span))] = chance.choice(tokens) if tokens else b""
