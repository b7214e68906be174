"""Where the time goes: ``python -m bench.profile [--connections N] [--stream]``.

First the CPU of every thread, without a profiler. Then the same CPU by room (a folder of src/headgate, the standard
library, the event loop), from samples of the same process: they slow it down little and everything alike. Last the
functions with the most time of their own, under cProfile, which makes everything slower and small Python functions most
of all: read its order, not its figures.
"""

import argparse
import contextlib
import pstats
import sys
import tempfile
from pathlib import Path

from bench import load, rooms, targets
from bench.targets import Target

SECONDS = 3
SAMPLED_SECONDS = 10
"""At 400 samples a second, a room with a tenth of the time is known to about 5 %."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.profile", description=__doc__)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--stream", action="store_true", help="streams instead of whole answers")
    parser.add_argument("--limits", choices=("fsync", "os"), help="with budgets on three levels and a limit of tokens")
    parser.add_argument("--lines", type=int, default=40, help="how many functions to print")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="headgate-profile-") as name, contextlib.ExitStack() as stack:
        directory = Path(name)
        targets.build(directory)
        url = f"http://127.0.0.1:{stack.enter_context(targets.upstream(directory))}/v1"
        with targets.headgate(directory, url, name="plain", limits=arguments.limits) as target:
            load.prepare(directory, target)
            cpu_us = _print_threads(directory, target, arguments.connections, stream=arguments.stream)
            _print_rooms(directory, target, arguments.connections, cpu_us, stream=arguments.stream)
        figures = directory / "figures"
        with targets.headgate(directory, url, name="profiled", profile=figures, limits=arguments.limits) as target:
            load.prepare(directory, target)
            _run(directory, target, arguments.connections, stream=arguments.stream)
        pstats.Stats(str(figures), stream=sys.stdout).strip_dirs().sort_stats("tottime").print_stats(arguments.lines)


def _print_threads(directory: Path, target: Target, connections: int, *, stream: bool) -> dict[int, float]:
    """Measure without a profiler; return the CPU µs per request of each thread by its id."""
    assert target.child is not None
    _run(directory, target, connections, stream=stream)
    before = target.child.threads_cpu_ns()
    count = _run(directory, target, connections, stream=stream)
    after = target.child.threads_cpu_ns()
    per_request = {thread: (used - before.get(thread, 0)) / 1000 / count for thread, used in after.items()}
    print(f"CPU µs per {'stream' if stream else 'request'} by thread, {connections} connections")
    for thread, used_us in sorted(per_request.items(), key=lambda item: -item[1]):
        print(f"  {used_us:8.1f}  {thread}")
    return {int(thread.rpartition("/")[2]): used_us for thread, used_us in per_request.items()}


def _print_rooms(directory: Path, target: Target, connections: int, cpu_us: dict[int, float], *, stream: bool) -> None:
    """Sample the same process under the same load and share its measured CPU among the rooms."""
    assert target.child is not None
    written = directory / "samples"
    unit = "stream" if stream else "request"
    print(f"\nCPU µs per {unit} by room (own time), from {rooms.SAMPLES_PER_S} samples a second")
    try:
        sampler = rooms.record(target.child.process.pid, SAMPLED_SECONDS, written)
        _run(directory, target, connections, stream=stream, seconds=SAMPLED_SECONDS)
        samples = rooms.finish(sampler, written)
    except rooms.SamplerError as error:
        print(f"  not sampled: {error}\n")
        return
    found = rooms.by_room(samples, cpu_us)
    total = sum(found.values())
    for room, used_us in found.items():
        print(f"  {used_us:8.1f}  {used_us / total:5.1%}  {room}")
    print(f"  {total:8.1f}         together, of {sum(sample.times for sample in samples)} samples\n")


def _run(directory: Path, target: Target, connections: int, *, stream: bool, seconds: int = SECONDS) -> float:
    """Load the target; return how many requests it answered."""
    if stream:
        return load.streamed(directory, target, connections, seconds).streams_per_s * seconds
    return load.whole(directory, target, connections, seconds).requests_per_s * seconds


if __name__ == "__main__":
    main()
