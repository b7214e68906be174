"""O5 through the whole gateway: a disk that is full or read-only refuses money, and nothing else, until it heals."""

import contextlib
import resource
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench.budgets.client import chat, words
from bench.budgets.place import balances_of, secret_of
from bench.budgets.upstream import MODEL, PRICE_YAML, MeteredUpstream, provider
from tests.gateway import Answer, Gateway

SIZE = 8 * 1024 * 1024
PAID, FREE = secret_of(0), secret_of(1)


def _config(url: str) -> str:
    budget = 'budgets: [{amount_usd: "1000", period: total}]'
    return f"""
server: {{drain: 1s}}
ledger: {{commit_timeout: 300ms}}
providers: {{openai: {provider(url)}}}
models: [{{alias: {MODEL}, deployments: [{{provider: openai, model: {MODEL}, price: {PRICE_YAML}}}]}}]
organizations:
  - slug: acme
    name: Acme
    keys:
      - {{name: paid, models: [{MODEL}], secret: {PAID}, {budget}}}
      - {{name: free, models: [{MODEL}], secret: {FREE}}}
"""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A directory whose ``data`` is a file system of a few megabytes of its own."""
    data = tmp_path / "data"
    data.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "headgate-test", str(data)]
    try:
        mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount command here")
    if mounted.returncode != 0:
        pytest.skip(f"mounting a small file system is not permitted here: {mounted.stderr.strip()}")
    try:
        yield tmp_path
    finally:
        subprocess.run(["umount", "--lazy", str(data)], check=True)


@contextlib.contextmanager
def _full(gateway: Gateway) -> Iterator[None]:
    """No byte is left on the disk."""
    ballast = gateway.data_dir / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (65536, 4096, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(b"x" * size)
    try:
        yield
    finally:
        ballast.unlink()


@contextlib.contextmanager
def _unwritable(gateway: Gateway) -> Iterator[None]:
    """Every write to a file fails. A disk cannot be made read-only below a process that has files open on it."""
    before = resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE, before)


@contextlib.contextmanager
def _running(gateway: Gateway) -> Iterator[None]:
    """As `Gateway` itself does it, but for what it asks of the log: that a disk is broken may be told with a trace."""
    gateway.start()
    try:
        yield
    finally:
        gateway.stop()


class _Load:
    """Clients of both keys that ask all the time; what they were answered, by key, status and code."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(6)]
        self.answers: Counter[tuple[str, int, str | None]] = Counter()

    def __enter__(self) -> "_Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join(20)

    def _ask(self, number: int) -> None:
        key, turn = (PAID, FREE)[number % 2], 0
        while not self._stopped.is_set():
            turn += 1
            answer = ask(self._gateway, key, f"{number}.{turn}")
            self.answers[key, answer.status, None if answer.status == 200 else answer.code] += 1

    def wait_for(self, *seen: tuple[str, int, str | None], within_s: float = 20.0) -> None:
        """Wait until each of these has been answered from now on."""
        before = self.answers.copy()
        deadline = time.monotonic() + within_s
        while any(self.answers[each] == before[each] for each in seen):
            assert time.monotonic() < deadline, f"{seen} in {self.answers - before}"
            time.sleep(0.02)


def ask(gateway: Gateway, key: str, name: str) -> Answer:
    body = chat(MODEL, words(400), user=f"{name}|lorem-5", max_tokens=20)
    return gateway.chat(body, key=key)


@pytest.mark.parametrize("broken", [_full, _unwritable])
def test_o5_a_disk_that_cannot_be_written_refuses_money_alone_and_heals_by_itself(
    place: Path, broken: Callable[[Gateway], contextlib.AbstractContextManager[None]]
) -> None:
    with MeteredUpstream() as upstream:
        gateway = Gateway(place, _config(upstream.url))
        with _running(gateway), _Load(gateway) as load:
            load.wait_for((PAID, 200, None), (FREE, 200, None))
            with broken(gateway):
                load.wait_for((PAID, 503, "ledger_unavailable"), (FREE, 200, None))
                refused = _until(lambda number: ask(gateway, PAID, f"refused.{number}"), 503)
                assert (refused.code, int(refused.headers["retry-after"]) >= 1) == ("ledger_unavailable", True)
                # What has no budget goes on as long as its records can wait.
                assert ask(gateway, FREE, "meanwhile").status == 200
            load.wait_for((PAID, 200, None), (FREE, 200, None))
        answered = {code for _, status, code in load.answers if status != 200}
        assert answered == {"ledger_unavailable"}
        with _running(gateway):
            _nothing_was_sent_without_an_intent(gateway, upstream)


def _until(send: Callable[[int], Answer], status: int) -> Answer:
    """A disk is full to the last byte only now and then: ask until the answer is the one that is asked for."""
    for number in range(200):
        answer = send(number)
        if answer.status == status:
            return answer
    raise AssertionError(f"never answered {status}")


def _nothing_was_sent_without_an_intent(gateway: Gateway, upstream: MeteredUpstream) -> None:
    ids = {row["name"]: row["id"] for row in gateway.admin("GET", "/keys").json["data"]}
    (balance,) = balances_of(gateway.admin("GET", f"/keys/{ids['paid']}/status").json)
    metered = sum(bill.cost for bill in upstream.bills.values() if _is_paid(bill.exchange.json))
    assert metered <= balance.posted <= balance.limit
    assert gateway.admin("POST", "/ledger/verify").json["problems"] == []


def _is_paid(body: dict[str, str]) -> bool:
    """The clients with even numbers, and the ones asked by hand, have the budget."""
    first = body["user"].partition(".")[0]
    return first == "refused" or (first.isdigit() and int(first) % 2 == 0)
