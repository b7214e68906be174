"""Run the benchmark: ``python -m bench [--rounds N] [--seconds S] [--quick] [--target NAME …] [--peers]``."""

import argparse
import contextlib
import secrets
import shlex
import shutil
import sys
import tempfile
from pathlib import Path

from bench import load, report, targets
from bench.peers import results
from bench.peers.gateways import PEERS, Peer
from bench.peers.install import PeerError
from bench.targets import HERE, ROOT, Target

TARGETS = ("direct", "nginx", "headgate", "headgate-tls", "headgate-budget", "headgate-budget-os", "headgate-hit")
RESULTS = HERE / "RESULTS.md"
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
    peers = [peer for peer in PEERS if arguments.peers and (not arguments.target or peer.name in arguments.target)]
    absent: dict[str, str] = {}
    # Before anything is measured: an installation would take the cores.
    environments = _install(peers, absent)
    with tempfile.TemporaryDirectory(prefix="headgate-bench-") as name, contextlib.ExitStack() as stack:
        directory = Path(name)
        targets.build(directory)
        port = stack.enter_context(targets.upstream(directory))
        running = _start(stack, directory, port, [name for name in arguments.target or TARGETS if name in TARGETS])
        running += _start_peers(stack, directory, port, environments, absent)
        for target in running:
            load.prepare(directory, target)
        header = report.header()
        print(header, f"rounds   {arguments.rounds} of {arguments.seconds} s each\n", sep="\n", flush=True)
        measured = _measure(directory, running, arguments.rounds, arguments.seconds, settle=bool(environments))
        print(report.table(measured))
        if peers:
            run = results.Run(
                header,
                arguments.rounds,
                arguments.seconds,
                report.versions() | {peer.title: peer.version() for peer in peers},
                {peer.name: peer.off for peer in peers if peer.name not in absent},
                _commands(directory, running, arguments.seconds),
            )
            RESULTS.write_text(results.results(run, measured, absent), "utf-8")
            print("", *results.verdicts(measured, absent), f"written to {RESULTS.relative_to(ROOT)}", sep="\n")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds (5)")
    parser.add_argument("--seconds", type=int, default=2, help="length of one measurement (2)")
    parser.add_argument("--quick", action="store_true", help="two rounds of one second: a look, not a figure")
    names = (*TARGETS, *(peer.name for peer in PEERS))
    parser.add_argument("--target", action="append", choices=names, help="only these; may be repeated")
    parser.add_argument("--peers", action="store_true", help="other gateways too; installs them, writes RESULTS.md")
    arguments = parser.parse_args()
    if not arguments.peers and any(peer.name in (arguments.target or ()) for peer in PEERS):
        parser.error("another gateway is measured with --peers only")
    if arguments.quick:
        arguments.rounds, arguments.seconds = 2, 1
    return arguments


def _install(peers: list[Peer], absent: dict[str, str]) -> list[tuple[Peer, Path]]:
    """Return the environments of the peers; those that cannot be had are left in ``absent`` with the reason."""
    environments: list[tuple[Peer, Path]] = []
    for peer in peers:
        try:
            environments.append((peer, peer.install()))
        except PeerError as error:
            absent[peer.name] = results.reason(str(error))
    return environments


def _start_peers(
    stack: contextlib.ExitStack,
    directory: Path,
    port: int,
    environments: list[tuple[Peer, Path]],
    absent: dict[str, str],
) -> list[Target]:
    running: list[Target] = []
    for peer, environment in environments:
        print(f"starting {peer.title} {peer.version()}", file=sys.stderr, flush=True)
        try:
            running.append(stack.enter_context(peer.start(environment, directory, port)))
        except RuntimeError as error:
            absent[peer.name] = results.reason(str(error))
    return running


def _commands(directory: Path, running: list[Target], seconds: int) -> list[str]:
    """Return how each target runs, then its load at 32 connections, without this machine's paths."""
    short = ((str(directory), "$DIR"), (f"{ROOT}/", ""), (f"{Path(sys.executable).parent}/", ".venv/bin/"))
    lines: list[str] = []
    for target in running:
        lines.append(f"# {target.name}")
        if target.child is not None:
            own = {name: value for name, value in target.child.environment.items() if name not in {"PATH", "HOME"}}
            settings = [f"{name}={shlex.quote(value)}" for name, value in own.items()]
            lines.append(" ".join([*settings, shlex.join(target.child.command)]))
        lines.append(shlex.join(load.whole_command(directory, target, 32, seconds)))
        lines.append(shlex.join(load.streamed_command(directory, target, STREAMS, seconds)))
    for whole, part in short:
        lines = [line.replace(whole, part) for line in lines]
    return [line.replace("\r\n", "\\r\\n") for line in lines]


def _start(stack: contextlib.ExitStack, directory: Path, port: int, names: list[str]) -> list[Target]:
    running: list[Target] = []
    for name in names:
        match name:
            case "direct":
                running.append(Target("direct", port, None))
            case "nginx":
                running.append(stack.enter_context(targets.nginx(directory, port)))
            case "headgate":
                running.append(stack.enter_context(targets.headgate(directory, f"http://127.0.0.1:{port}/v1")))
            case "headgate-hit":
                url = f"http://127.0.0.1:{port}/v1"
                running.append(stack.enter_context(targets.headgate(directory, url, name=name, cache=True)))
            case "headgate-budget" | "headgate-budget-os":
                limits = "os" if name.endswith("-os") else "fsync"
                url = f"http://127.0.0.1:{port}/v1"
                running.append(stack.enter_context(targets.headgate(directory, url, name=name, limits=limits)))
            case _:
                tls_port, ca = stack.enter_context(targets.tls_terminator(directory, port))
                url = f"https://localhost:{tls_port}/v1"
                running.append(stack.enter_context(targets.headgate(directory, url, name=name, ca=ca)))
    return running


def _measure(
    directory: Path, running: list[Target], rounds: int, seconds: int, *, settle: bool
) -> list[report.Measured]:
    """Measure in turns; ``settle`` waits after each until the target is idle."""
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
                if settle:
                    load.settle(target)
    return [
        figures._replace(rss_bytes=target.child.rss_bytes() if target.child else 0)
        for target, figures in zip(running, measured, strict=True)
    ]


if __name__ == "__main__":
    sys.exit(main())
