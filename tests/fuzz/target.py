"""What a target is, how its inputs are bounded, and where its kept inputs lie."""

import contextlib
import gc
import time
import zlib
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

from msgspec import Struct

HERE = Path(__file__).resolve().parent
CORPUS = HERE / "corpus"
GOLDEN = HERE.parent / "golden"
LARGEST = 64 * 1024
"""Bytes of the largest input: the bounds on time and memory are meant for these."""
CPU_S = 1.0
"""CPU seconds that one input may take; wall time would blame a target for its neighbours."""
GROWTH_BYTES = 64 * 1024 * 1024
"""How much larger the process may be behind a run of a target than before it."""


class Target(Struct, frozen=True):
    """One parser, or a pair that reads and writes."""

    name: str
    run: Callable[[bytes], None]
    """Parses one input and asserts what must hold of the outcome."""
    legitimate: tuple[type[Exception], ...] = ()
    """What an input may be refused with; anything else that is raised is a finding."""
    golden: str = ""
    """Files below ``tests/golden`` that are inputs too, as a glob."""
    tokens: tuple[bytes, ...] = ()
    """Words that this parser knows: mutations use them."""


class TooSlowError(AssertionError):
    """An input that took longer than any may."""


def check(target: Target, data: bytes, cpu_s: float = CPU_S) -> None:
    """Run one input within its bound on time. Raises what is a finding, nothing else."""
    began = time.thread_time()
    with contextlib.suppress(*target.legitimate):
        target.run(data)
    taken = time.thread_time() - began
    if taken > cpu_s:
        raise TooSlowError(f"{target.name}: {len(data)} bytes took {taken:.2f} s of CPU")


def kept_inputs(target: Target) -> Iterator[tuple[str, bytes]]:
    """The inputs that are tried every time, by name: golden files, hand-written ones, and those that once failed."""
    if target.golden:
        for path in sorted(GOLDEN.glob(target.golden)):
            yield path.relative_to(GOLDEN).as_posix(), path.read_bytes()
    for path in sorted((CORPUS / target.name).glob("*.bin")):
        yield path.name, path.read_bytes()


def pieces_of(data: bytes, most: int = 4) -> list[bytes]:
    """Cut an input at places that depend on it alone, so that a fuzzer chooses them and a failure repeats itself."""
    seed = zlib.crc32(data)
    count = 1 + seed % most
    cuts = sorted((seed * (number + 1) >> 7) % (len(data) + 1) for number in range(count))
    return [piece for start, end in pairwise([0, *cuts, len(data)]) if (piece := data[start:end])]


def resident_bytes() -> int:
    """Memory of this process, garbage apart."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
