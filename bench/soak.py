"""Soak: a mixed load for a long time, and whether memory, descriptors and threads stay. `python -m bench.soak`.

A real gateway process relays to a fake upstream. Of the requests 5 % meet a fault of the upstream, 5 % are streams that
the client leaves, 5 % are refused; the rest are whole answers, streams and embeddings. Everything is seen from outside:
``/proc`` for memory, descriptors and threads, the latency of ``/healthz`` for the event loop's lag.
"""

import argparse
import asyncio
import contextlib
import http.client
import random  # noqa: TID251  seeded, so that two runs send the same requests
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp

from tests.fakes.openai_api import FakeOpenAI
from tests.gateway import KEY, Gateway, config, hello

SAMPLE_S = 10.0
PROBE_S = 0.1
MOST_GROWTH_BYTES = 5_000_000
MOST_GROWTH = 0.03
MOST_WAL_BYTES = 64 * 1024 * 1024
QUIET_S = 60.0
"""How long idle upstream connections may take to expire when the load is over."""
SPARE_THREADS = 6
"""asyncio's executor starts up to cores + 4 threads as they are first needed and keeps them."""


class Kind(NamedTuple):
    """A kind of request, its share, and what it may be answered with."""

    name: str
    share: int
    body: dict[str, Any]
    statuses: frozenset[int]
    path: str = "/v1/chat/completions"
    key: str = KEY
    leave_after: int | None = None
    """Close the connection behind this many events."""


def _chat(name: str, share: int, *statuses: int, key: str = KEY, leave: int | None = None, **changes: Any) -> Kind:
    return Kind(name, share, hello(**changes), frozenset(statuses or (200,)), key=key, leave_after=leave)


KINDS = (
    _chat("whole", 40),
    _chat("stream", 35, stream=True),
    Kind(
        "embeddings",
        10,
        {"model": "text-embedding-3-small", "input": "How much water?"},
        frozenset({200}),
        "/v1/embeddings",
    ),
    _chat("fault: 503", 1, 502, model="fault-status-503"),
    _chat("fault: cut before content", 1, 502, model="fault-refuse"),
    _chat("fault: cut stream", 1, 200, model="fault-cut-5", stream=True),
    _chat("fault: error event", 1, 200, model="fault-error-event-5", stream=True),
    _chat("fault: no usage", 1, 200, model="fault-usage-missing"),
    _chat("abort", 5, model="fault-paced-20", stream=True, leave=4),
    _chat("refused: key", 2, 401, key="no-such-key-0000000000000000000000000"),
    _chat("refused: model", 2, 404, model="no-such-model"),
    _chat("refused: body", 1, 400, messages=[]),
)


class Sample(NamedTuple):
    """The process at one moment, and the probes since the one before."""

    at_s: float
    rss_bytes: int
    descriptors: int
    threads: int
    wal_bytes: int
    requests: int
    probe_p50_ms: float
    probe_p99_ms: float


class Load:
    """Requests at a fixed rate, whatever the answers take."""

    def __init__(self, gateway: Gateway, rate: float, seed: int) -> None:
        self.sent = 0
        self.unexpected: Counter[str] = Counter()
        self._url = gateway.base_url
        self._rate = rate
        self._chance = random.Random(seed)

    async def run(self, seconds: float) -> None:
        """Send for ``seconds``, then wait for the last answers."""
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as session, asyncio.TaskGroup() as group:
            began = time.monotonic()
            while (passed := time.monotonic() - began) < seconds:
                kind = self._chance.choices(KINDS, [kind.share for kind in KINDS])[0]
                group.create_task(self._ask(session, kind))
                self.sent += 1
                await asyncio.sleep(max(0.0, self.sent / self._rate - passed))

    async def _ask(self, session: aiohttp.ClientSession, kind: Kind) -> None:
        headers = {"authorization": f"Bearer {kind.key}"}
        try:
            timeout = aiohttp.ClientTimeout(total=30)
            async with session.post(self._url + kind.path, json=kind.body, headers=headers, timeout=timeout) as answer:
                if answer.status not in kind.statuses:
                    self.unexpected[f"{kind.name}: {answer.status}"] += 1
                if kind.leave_after is None:
                    await answer.read()
                else:
                    for _ in range(2 * kind.leave_after):
                        await answer.content.readline()
                    answer.close()
        except (aiohttp.ClientError, TimeoutError) as error:
            self.unexpected[f"{kind.name}: {type(error).__name__}"] += 1


class Probe(threading.Thread):
    """Asks ``/healthz`` again and again; an event loop that is held up answers late."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._port = port
        self._taken_ms: list[float] = []
        self._stopped = threading.Event()

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        while not self._stopped.wait(PROBE_S):
            began = time.perf_counter()
            connection.request("GET", "/healthz")
            connection.getresponse().read()
            self._taken_ms.append((time.perf_counter() - began) * 1000)
        connection.close()

    def stop(self) -> None:
        self._stopped.set()
        self.join(20)

    def take(self) -> tuple[float, float]:
        """The median and the 99th percentile since the last call, in ms."""
        taken, self._taken_ms = sorted(self._taken_ms), []
        if not taken:
            return 0.0, 0.0
        return statistics.median(taken), taken[min(len(taken) - 1, int(len(taken) * 0.99))]


def _sample(gateway: Gateway, probe: Probe, load: Load, began: float) -> Sample:
    proc = Path(f"/proc/{gateway.pid}")
    wal = gateway.data_dir / "headgate.db-wal"
    return Sample(
        time.monotonic() - began,
        gateway.resident_bytes(),
        len(list((proc / "fd").iterdir())),
        len(list((proc / "task").iterdir())),
        wal.stat().st_size if wal.exists() else 0,
        load.sent,
        *probe.take(),
    )


HEADING = (
    f"{'min':>6} {'RSS MB':>8} {'fds':>5} {'threads':>8} {'WAL MB':>7} {'requests':>9} {'p50 ms':>7} {'p99 ms':>7}"
)


def _row(sample: Sample) -> str:
    return (
        f"{sample.at_s / 60:>6.1f} {sample.rss_bytes / 1e6:>8.1f} {sample.descriptors:>5} {sample.threads:>8}"
        f" {sample.wal_bytes / 1e6:>7.1f} {sample.requests:>9,} {sample.probe_p50_ms:>7.1f} {sample.probe_p99_ms:>7.1f}"
    )


async def _soak(gateway: Gateway, fake: FakeOpenAI, load: Load, probe: Probe, seconds: float) -> list[Sample]:
    samples: list[Sample] = []
    began = time.monotonic()
    sending = asyncio.get_running_loop().create_task(load.run(seconds))
    while not sending.done():
        await asyncio.wait({sending}, timeout=SAMPLE_S)
        fake.exchanges.clear()
        samples.append(_sample(gateway, probe, load, began))
        print(_row(samples[-1]), flush=True)
    await sending
    return samples


def _at_rest(gateway: Gateway, probe: Probe, load: Load, descriptors: int) -> Sample:
    """Wait until no more descriptors are open than before the load, and look."""
    deadline = time.monotonic() + QUIET_S
    while len(list(Path(f"/proc/{gateway.pid}/fd").iterdir())) > descriptors and time.monotonic() < deadline:
        time.sleep(0.5)
    return _sample(gateway, probe, load, time.monotonic())


def verdict(samples: Sequence[Sample], before: Sample, after: Sample, from_s: float) -> list[tuple[str, bool]]:
    """What is asked of a soak, and whether it is so."""
    settled = statistics.median([each.rss_bytes for each in samples if from_s <= each.at_s <= from_s + 60])
    last = statistics.median([each.rss_bytes for each in samples if each.at_s >= samples[-1].at_s - 60])
    growth = last - settled
    wal = max(each.wal_bytes for each in samples)
    return [
        (
            f"RSS from minute {from_s / 60:g} to the end: {growth / 1e6:+.1f} MB, {growth / settled:+.1%}"
            f" (at most +{MOST_GROWTH_BYTES / 1e6:g} MB and +{MOST_GROWTH:.0%})",
            growth <= MOST_GROWTH_BYTES and growth <= settled * MOST_GROWTH,
        ),
        (
            f"descriptors: {before.descriptors} before, {after.descriptors} after",
            after.descriptors <= before.descriptors,
        ),
        (
            f"threads: {before.threads} before, {after.threads} after (at most +{SPARE_THREADS})",
            after.threads <= before.threads + SPARE_THREADS,
        ),
        (f"largest WAL: {wal / 1e6:.1f} MB (at most {MOST_WAL_BYTES / 1e6:.0f})", wal <= MOST_WAL_BYTES),
    ]


def _warm_up(gateway: Gateway) -> None:
    """What is made once and kept, the admin API and the threads behind it, is there before anything is compared."""
    assert gateway.admin("GET", "/requests").status == 200
    assert gateway.chat(hello()).status == 200


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--rate", type=float, default=50.0, help="requests per second")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    seconds = arguments.minutes * 60
    # Caches and pools fill in the first minutes; a short run has to make do with less of them.
    from_s = min(300.0, seconds * 0.4)
    with contextlib.ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="headgate-soak-")))
        fake = stack.enter_context(FakeOpenAI())
        gateway = stack.enter_context(Gateway(place, config(fake.url)))
        _warm_up(gateway)
        load, probe = Load(gateway, arguments.rate, arguments.seed), Probe(gateway.port)
        probe.start()
        stack.callback(probe.stop)
        time.sleep(2 * PROBE_S)
        before = _sample(gateway, probe, load, time.monotonic())
        print(f"{arguments.minutes:g} minutes at {arguments.rate:g} requests per second, seed {arguments.seed}")
        print(HEADING, flush=True)
        samples = asyncio.run(_soak(gateway, fake, load, probe, seconds))
        after = _at_rest(gateway, probe, load, before.descriptors)
        checks = verdict(samples, before, after, from_s)
        lag = max(each.probe_p99_ms for each in samples)
        print(f"slowest p99 of /healthz in any {SAMPLE_S:g} s: {lag:.1f} ms (for information)")
        unexpected = sum(load.unexpected.values())
        checks.append((f"answers that were not expected: {unexpected} {dict(load.unexpected)}", unexpected == 0))
    for words, holds in checks:
        print(f"{'met   ' if holds else 'MISSED'} {words}")
    return 0 if all(holds for _, holds in checks) else 1


if __name__ == "__main__":
    sys.exit(main())
