"""Run the benchmark: ``python -m bench [--rounds N] [--seconds S] [--quick] [--target NAME …]``."""

import argparse
import contextlib
import secrets
import shutil
import sys
import tempfile
from pathlib import Path

from bench import load, report, targets
from bench.targets import Target

TARGETS = ("direct", "nginx", "headgate", "headgate-tls")
CONNECTIONS = (1, 8, 32, 64)
STREAMS = 32


def main() -> int:
    """Measure and print; time never makes it fail."""
    arguments = _arguments()
    missing = [name for name in ("cc", "wrk", "taskset") if shutil.which(name) is None]
    if shutil.which("nginx") is None and not Path("/usr/sbin/nginx").exists():
        missing.append("nginx")
    if missing:
        print(f"bench needs {', '.join(missing)}: apt-get install -y gcc nginx-light wrk util-linux", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="headgate-bench-") as name, contextlib.ExitStack() as stack:
        directory = Path(name)
        targets.build(directory)
        load.prepare(directory)
        running = _start(stack, directory, arguments.target or TARGETS)
        print(report.header(), f"rounds   {arguments.rounds} of {arguments.seconds} s each\n", sep="\n", flush=True)
        measured = _measure(directory, running, arguments.rounds, arguments.seconds)
        print(report.table(measured))
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds (5)")
    parser.add_argument("--seconds", type=int, default=2, help="length of one measurement (2)")
    parser.add_argument("--quick", action="store_true", help="two rounds of one second: a look, not a figure")
    parser.add_argument("--target", action="append", choices=TARGETS, help="only these; may be repeated")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.rounds, arguments.seconds = 2, 1
    return arguments


def _start(stack: contextlib.ExitStack, directory: Path, names: list[str]) -> list[Target]:
    port = stack.enter_context(targets.upstream(directory))
    running: list[Target] = []
    for name in names:
        match name:
            case "direct":
                running.append(Target("direct", port, None))
            case "nginx":
                running.append(stack.enter_context(targets.nginx(directory, port)))
            case "headgate":
                running.append(stack.enter_context(targets.headgate(directory, f"http://127.0.0.1:{port}/v1")))
            case _:
                tls_port, ca = stack.enter_context(targets.tls_terminator(directory, port))
                url = f"https://localhost:{tls_port}/v1"
                running.append(stack.enter_context(targets.headgate(directory, url, name=name, ca=ca)))
    return running


def _measure(directory: Path, running: list[Target], rounds: int, seconds: int) -> list[report.Measured]:
    measured = [
        report.Measured(one.name, {count: [] for count in CONNECTIONS}, [], 0, one.started_ms) for one in running
    ]
    for target in running:
        # Pools, caches and interpreters warm up outside the figures.
        load.whole(directory, target, 8, 1)
        load.streamed(directory, target, 4, 0.5)
    shuffle = secrets.SystemRandom().shuffle
    for round_number in range(rounds):
        print(f"round {round_number + 1} of {rounds}", file=sys.stderr, flush=True)
        for count in (*CONNECTIONS, None):
            order = list(zip(running, measured, strict=True))
            shuffle(order)
            for target, figures in order:
                if count is None:
                    figures.streamed.append(load.streamed(directory, target, STREAMS, float(seconds)))
                else:
                    figures.whole[count].append(load.whole(directory, target, count, seconds))
    return [
        figures._replace(rss_bytes=target.child.rss_bytes() if target.child else 0)
        for target, figures in zip(running, measured, strict=True)
    ]


if __name__ == "__main__":
    sys.exit(main())
