"""Where the time goes: ``python -m bench.profile [--connections N] [--stream]``.

First the CPU of every thread, without a profiler; then the functions with the most time of their own, under cProfile,
which makes everything slower and small Python functions most of all: read its order, not its figures.
"""

import argparse
import contextlib
import pstats
import sys
import tempfile
from pathlib import Path

from bench import load, targets
from bench.targets import Target

SECONDS = 3


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.profile", description=__doc__)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--stream", action="store_true", help="streams instead of whole answers")
    parser.add_argument("--lines", type=int, default=40, help="how many functions to print")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="headgate-profile-") as name, contextlib.ExitStack() as stack:
        directory = Path(name)
        targets.build(directory)
        load.prepare(directory)
        url = f"http://127.0.0.1:{stack.enter_context(targets.upstream(directory))}/v1"
        with targets.headgate(directory, url, name="plain") as target:
            _print_threads(directory, target, arguments.connections, stream=arguments.stream)
        figures = directory / "figures"
        with targets.headgate(directory, url, name="profiled", profile=figures) as target:
            _run(directory, target, arguments.connections, stream=arguments.stream)
        pstats.Stats(str(figures), stream=sys.stdout).strip_dirs().sort_stats("tottime").print_stats(arguments.lines)


def _print_threads(directory: Path, target: Target, connections: int, *, stream: bool) -> None:
    assert target.child is not None
    _run(directory, target, connections, stream=stream)
    before = target.child.threads_cpu_ns()
    count = _run(directory, target, connections, stream=stream)
    after = target.child.threads_cpu_ns()
    print(f"CPU µs per {'stream' if stream else 'request'} by thread, {connections} connections")
    for thread, used in sorted(after.items(), key=lambda item: -item[1]):
        print(f"  {(used - before.get(thread, 0)) / 1000 / count:8.1f}  {thread}")


def _run(directory: Path, target: Target, connections: int, *, stream: bool) -> float:
    """Load the target; return how many requests it answered."""
    if stream:
        return load.streamed(directory, target, connections, SECONDS).streams_per_s * SECONDS
    return load.whole(directory, target, connections, SECONDS).requests_per_s * SECONDS


if __name__ == "__main__":
    main()
