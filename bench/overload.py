"""Overload: five times what the gateway can answer, and a tenant a hundred times as loud as another.

    python -m bench.overload            P4 and P5, about four minutes
    python -m bench.overload --quick    shorter: a look

A real gateway on a core of its own relays streams as models send them: the first event after 100 to 300 ms, then 25 to
175 events 10 ms apart. The load is open (`open_client.c`): requests come at a rate, whether or not the gateway keeps
up, and latencies count from the moment at which a request was due. It costs CPU too, on the other core. Everything
random follows from ``--seed``; timing does not, so the verdicts need a machine that does nothing else.
"""

import argparse
import contextlib
import http.client
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bench import targets
from bench.processes import LOAD_CORE, Child, running
from bench.report import header, markdown
from bench.targets import MODEL, PATH, request_body

NOISY, CRITICAL, QUIET = (f"{name}-key-of-the-overloaded-gateway-0001" for name in ("noisy", "critical", "quiet"))
ADMIN_TOKEN = "admin-token-of-the-overloaded-gateway"
FIRST_MS, GAP_MS, EVENTS = 200, 10, 100
CONNECTIONS = 4000
MAX_IN_FLIGHT = 4096

FIRST_RATE = 200.0
STEP = 1.2
KEEPS_UP, RISES = 0.9, 1.02
"""Where less of what is asked is answered well, and not that much more than ever before, the peak lies behind."""
TIMES_CAPACITY = 5
CRITICAL_SHARE = 0.05
"""Of the peak: what a few important applications ask for."""
QUIET_RATE = 10.0
TIMES_QUIET = 100

LEAST_GOODPUT = 0.8
MOST_SHED_MS = 50.0
LEAST_CRITICAL = 0.99
MOST_MEMORY_MB = 512.0
MOST_SLOWER = 2.0


class Asked(NamedTuple):
    """A stream of requests: whose, and how many a second."""

    key: str
    rate: float


class Answered(NamedTuple):
    """What `open_client.c` prints, and for how long it has counted."""

    asked: Asked
    seconds: float
    sent: int
    unsent: int
    good: int
    shed: int
    shed_without_retry_after: int
    other: int
    broken: int
    unanswered: int
    first_p50_us: int
    first_p99_us: int
    whole_p50_us: int
    whole_p99_us: int
    shed_p50_us: int
    shed_p99_us: int
    late_p50_us: int
    late_p99_us: int

    @property
    def goodput(self) -> float:
        """Good answers a second."""
        return self.good / self.seconds

    @property
    def failed(self) -> int:
        """Neither answered well nor told to come again."""
        return self.other + self.broken + self.unanswered


class Check(NamedTuple):
    """One demand with its figures, and whether it is met."""

    words: str
    holds: bool


class Overloaded:
    """A running gateway that is asked for too much."""

    def __init__(self, directory: Path, child: Child, port: int, seed: int) -> None:
        self._directory = directory
        self._child = child
        self._port = port
        self._seed = seed

    def ask(self, loads: Sequence[Asked], warm_s: float, seconds: float) -> list[Answered]:
        """Ask side by side, then let the gateway come to rest; what is due in the first ``warm_s`` does not count."""
        commands = [self._command(load, warm_s, seconds) for load in loads]
        started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for command in commands]
        printed = [process.communicate(timeout=warm_s + seconds + 60)[0] for process in started]
        self._rest()
        return [Answered(load, seconds, **json.loads(text)) for load, text in zip(loads, printed, strict=True)]

    def read(self) -> dict[str, Any]:
        """What the gateway says of its load."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        try:
            connection.request("GET", "/readyz", headers={"authorization": f"Bearer {ADMIN_TOKEN}"})
            return json.loads(connection.getresponse().read())["load"]
        finally:
            connection.close()

    def peak_mb(self) -> float:
        """The most memory that the process has held at once (VmHWM, proc(5))."""
        status = Path(f"/proc/{self._child.process.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024

    def _command(self, load: Asked, warm_s: float, seconds: float) -> list[str]:
        program, body = str(self._directory / "open_client"), str(self._directory / "body.json")
        place = [str(self._port), PATH, str(CONNECTIONS)]
        pace = [str(warm_s), str(seconds), str(load.rate), str(self._seed)]
        return ["taskset", "-c", str(LOAD_CORE), program, *place, *pace, load.key, body]

    def _rest(self, within_s: float = 90.0) -> None:
        """Wait until nothing is in flight and every seat is given out again."""
        deadline = time.monotonic() + within_s
        while (load := self.read())["in_flight"] or load["limit"] < MAX_IN_FLIGHT:
            if time.monotonic() > deadline:
                raise RuntimeError(f"the gateway does not come to rest: {load}")
            time.sleep(0.1)


@contextlib.contextmanager
def overloaded(directory: Path, seed: int) -> Generator[Overloaded]:
    """A gateway as it is by default, but for the connections to its provider, which must not be what is scarce."""
    targets.build(directory)
    (directory / "body.json").write_bytes(request_body(stream=True))
    pace = [str(FIRST_MS), str(GAP_MS), str(EVENTS)]
    upstream = Child([str(directory / "mock_upstream"), "0", *pace], core=LOAD_CORE, cwd=directory)
    with running(upstream):
        port = upstream.wait_for_line("ready ")
        home = directory / "gateway"
        home.mkdir()
        (home / "headgate.yaml").write_text(f"""
server: {{drain: 1s, admin_token: {ADMIN_TOKEN}, max_in_flight: {MAX_IN_FLIGHT}}}
storage: {{database: "sqlite:///{home}/data/headgate.db"}}
providers:
  upstream:
    {{kind: openai, base_url: "http://127.0.0.1:{port}/v1", credential: sk-bench, allow_private_network: true,
      max_connections: 10000}}
models:
  - alias: {MODEL}
    deployments:
      - {{provider: upstream, model: gpt-4o, price: {{input_per_mtok: "2.50", output_per_mtok: "10"}}}}
organizations:
  - slug: loud
    name: Loud
    keys:
      - {{name: noisy, models: ["*"], secret: {NOISY}}}
      - {{name: critical, models: ["*"], secret: {CRITICAL}, tags: {{headgate.priority: critical}}}}
  - {{slug: quiet, name: Quiet, keys: [{{name: quiet, models: ["*"], secret: {QUIET}}}]}}
""")
        with running(targets.serve(home)) as child:
            address = child.wait_for_line("headgate ready on ")
            yield Overloaded(directory, child, int(address.rpartition(":")[2]), seed)


def find_peak(gateway: Overloaded, warm_s: float, seconds: float) -> list[Answered]:
    """Ask for more and more until that brings no more, twice running: once may be a neighbour's doing."""
    steps: list[Answered] = []
    rate, peak, misses = FIRST_RATE, 0.0, 0
    while misses < 2:
        steps += gateway.ask([Asked(NOISY, rate)], warm_s, seconds)
        goodput = steps[-1].goodput
        print(f"{rate:.0f} a second: {goodput:.0f} good", file=sys.stderr, flush=True)
        misses = misses + 1 if goodput < KEEPS_UP * rate and goodput < RISES * peak else 0
        peak = max(peak, goodput)
        rate *= STEP
    return steps


def table(rows: Sequence[tuple[str, Answered]]) -> str:
    """What was asked and what was answered; latencies are p50 / p99 in ms."""
    titles = ["", "asked/s", "good/s", "shed/s", "failed", "not sent", "first event", "whole", "shed", "sent late"]
    cells = [
        [
            name,
            f"{each.asked.rate:.0f}",
            f"{each.goodput:.1f}",
            f"{each.shed / each.seconds:.0f}",
            str(each.failed),
            str(each.unsent),
            _latency(each.first_p50_us, each.first_p99_us),
            _latency(each.whole_p50_us, each.whole_p99_us),
            _latency(each.shed_p50_us, each.shed_p99_us) if each.shed else "–",
            _latency(each.late_p50_us, each.late_p99_us),
        ]
        for name, each in rows
    ]
    return markdown([titles, *cells])


def _latency(p50_us: int, p99_us: int) -> str:
    return f"{p50_us / 1000:.0f} / {p99_us / 1000:.0f}"


def judge_overload(peak: float, normal: Answered, critical: Answered, memory_mb: float) -> list[Check]:
    """P4."""
    goodput = normal.goodput + critical.goodput
    shed = normal.shed + critical.shed
    bare = normal.shed_without_retry_after + critical.shed_without_retry_after
    served = critical.good / max(1, critical.sent + critical.unsent)
    return [
        Check(
            f"goodput {goodput:.0f} a second, {goodput / peak:.0%} of the peak of {peak:.0f} (at least 80 %)",
            goodput >= LEAST_GOODPUT * peak,
        ),
        Check(
            f"a refusal takes {_latency(normal.shed_p50_us, normal.shed_p99_us)} ms, p50 / p99 (p99 at most 50 ms)",
            normal.shed_p99_us <= MOST_SHED_MS * 1000,
        ),
        Check(f"refusals without Retry-After: {bare} of {shed}", bare == 0 < shed),
        Check(
            f"neither good nor told to come again: {normal.failed + critical.failed}",
            normal.failed + critical.failed == 0,
        ),
        Check(f"critical: {served:.2%} answered (at least 99 %)", served >= LEAST_CRITICAL),
        Check(f"memory at most {memory_mb:.0f} MB (at most 512)", memory_mb <= MOST_MEMORY_MB),
    ]


def judge_fairness(before: Answered, beside: Answered) -> list[Check]:
    """P5."""
    slower = beside.whole_p99_us / max(1, before.whole_p99_us)
    was_ms, is_ms = before.whole_p99_us / 1000, beside.whole_p99_us / 1000
    served = beside.good / max(1, beside.sent + beside.unsent)
    return [
        Check(
            f"the quiet tenant's p99 is {is_ms:.0f} ms, {slower:.2f} × its {was_ms:.0f} ms alone (at most 2 ×)",
            slower <= MOST_SLOWER,
        ),
        Check(f"of the quiet tenant's requests {served:.2%} were answered (all)", beside.good == beside.sent),
    ]


def main() -> int:
    """Measure, print, and fail where a demand is not met."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.overload", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=20261124)
    parser.add_argument("--quick", action="store_true", help="a third of the time: a look, not a figure")
    given = parser.parse_args()
    if missing := [name for name in ("cc", "taskset") if shutil.which(name) is None]:
        print(f"this needs {', '.join(missing)}: apt-get install -y gcc libc6-dev util-linux", file=sys.stderr)
        return 1
    scale = 1 / 3 if given.quick else 1.0
    print(header(), f"seed     {given.seed}\n", sep="\n", flush=True)
    with (
        tempfile.TemporaryDirectory(prefix="headgate-overload-") as place,
        overloaded(Path(place), given.seed) as gateway,
    ):
        steps = find_peak(gateway, 3 * scale, 6 * scale)
        peak = max(step.goodput for step in steps)
        loads = [Asked(NOISY, TIMES_CAPACITY * peak), Asked(CRITICAL, CRITICAL_SHARE * peak)]
        # The first seconds are the onset, in which it finds out how much it can take.
        normal, critical = gateway.ask(loads, 8 * scale, 24 * scale)
        memory_mb = gateway.peak_mb()
        (alone,) = gateway.ask([Asked(QUIET, QUIET_RATE)], 2 * scale, 24 * scale)
        loads = [Asked(NOISY, TIMES_QUIET * QUIET_RATE), Asked(QUIET, QUIET_RATE)]
        noisy, beside = gateway.ask(loads, 8 * scale, 24 * scale)
    rows = [(f"step {number}", step) for number, step in enumerate(steps, 1)]
    rows += [("P4: normal", normal), ("P4: critical", critical)]
    rows += [("P5: quiet, alone", alone), ("P5: noisy", noisy), ("P5: quiet, beside it", beside)]
    print(table(rows), "", sep="\n")
    checks = judge_overload(peak, normal, critical, memory_mb) + judge_fairness(alone, beside)
    for check in checks:
        print("pass" if check.holds else "MISS", check.words)
    return 0 if all(check.holds for check in checks) else 1


if __name__ == "__main__":
    sys.exit(main())
