"""A real gateway process for tests: started as an operator starts it, watched from outside, and gone afterwards."""

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from tests.fakes.openai_api import CREDENTIAL

ROOT = Path(__file__).resolve().parents[1]
READY = "headgate ready on "

KEY = "acme-key-may-send-everything-0000001"
LIMITED_KEY = "acme-key-may-send-gpt-4o-only-000002"
EXPIRED_KEY = "acme-key-that-has-expired-0000000003"
OTHER_KEY = "globex-key-may-send-everything-00004"


class Answer(NamedTuple):
    """A whole answer."""

    status: int
    fields: list[tuple[str, str]]
    """Header fields as they came, names in lower case."""
    body: bytes

    @property
    def headers(self) -> dict[str, str]:
        return dict(self.fields)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str | None:
        """The code of an error in OpenAI's shape."""
        return self.json["error"]["code"]


class Gateway:
    """A running ``headgate serve``. Use as a context manager."""

    def __init__(
        self,
        directory: Path,
        config: str | None,
        *,
        environment: Mapping[str, str] | None = None,
        arguments: tuple[str, ...] = (),
    ) -> None:
        """Prepare to run in ``directory``; ``config`` is the text of headgate.yaml, None for a start without one."""
        self.directory = directory
        self.data_dir = directory / "data"
        self.port = 0
        self.ready_s = 0.0
        """How long the last start took."""
        self._arguments = arguments
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(directory),
            "PYTHONPATH": str(ROOT / "src"),
            "NO_COLOR": "1",
            **(environment or {}),
        }
        self._config = directory / "headgate.yaml" if config is not None else None
        self._log = directory / "log.txt"
        self._process: subprocess.Popen[bytes] | None = None
        self._log_begins = 0
        directory.mkdir(parents=True, exist_ok=True)
        if self._config is not None:
            assert config is not None
            self._config.write_text(config)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if kind is None:
            assert "Traceback" not in self.log(), self.log()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def admin_port(self) -> int:
        """Where administration is answered: a listener of its own with ``server.admin_listen``."""
        deadline = time.monotonic() + 10
        while (found := re.search(r"admin API +http://[^/]+:(\d+)/", self.log()[self._log_begins :])) is None:
            assert time.monotonic() < deadline, "the gateway does not say where its admin API is"
            time.sleep(0.01)
        return int(found[1])

    @property
    def admin_token(self) -> str:
        return (self.data_dir / "admin-token").read_text().strip()

    @property
    def returncode(self) -> int | None:
        assert self._process is not None
        return self._process.poll()

    def log(self) -> str:
        """Everything it has written to stdout and stderr, over all its starts."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def start(self, within_s: float = 20.0) -> None:
        """Start it and wait until it answers."""
        command = [sys.executable, "-m", "headgate.cli", "serve"]
        if self._config is not None:
            command += ["--config", str(self._config)]
        before = self._log_begins = len(self.log())
        started = time.monotonic()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "--port", "0", *self._arguments],
                cwd=self.directory,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        while READY not in self.log()[before:]:
            if self._process.poll() is not None or time.monotonic() - started > within_s:
                self.stop()
                raise AssertionError(f"the gateway did not start:\n{self.log()[before:]}")
            time.sleep(0.01)
        self.ready_s = time.monotonic() - started
        address = self.log()[before:].partition(READY)[2].split()[0]
        self.port = int(address.rpartition(":")[2])

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def terminate(self) -> None:
        """SIGTERM: ask it to drain."""
        self.send(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)

    def wait(self, within_s: float = 20.0) -> int:
        """Wait for its end and return the exit code."""
        assert self._process is not None
        return self._process.wait(within_s)

    def stop(self) -> None:
        """End it, gently first."""
        if self._process is None or self._process.poll() is not None:
            return
        self.terminate()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self.kill()

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        key: str | None = KEY,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 20.0,
        port: int | None = None,
    ) -> Answer:
        """Send one request; ``body`` is bytes or something that JSON can hold."""
        connection = http.client.HTTPConnection("127.0.0.1", port or self.port, timeout=timeout_s)
        try:
            connection.request(method, path, _bytes(body), _fields(body, key, headers))
            answer = connection.getresponse()
            return Answer(answer.status, [(name.lower(), value) for name, value in answer.getheaders()], answer.read())
        finally:
            connection.close()

    def chat(self, body: object, *, key: str | None = KEY, headers: Mapping[str, str] | None = None) -> Answer:
        """Send a chat request."""
        return self.request("POST", "/v1/chat/completions", body, key=key, headers=headers)

    @contextlib.contextmanager
    def streaming(
        self, body: object, *, key: str = KEY, timeout_s: float = 20.0, path: str = "/v1/chat/completions"
    ) -> Iterator[http.client.HTTPResponse]:
        """Send a chat request and leave its answer unread; the connection closes at the end of the block."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)
        try:
            connection.request("POST", path, _bytes(body), _fields(body, key, None))
            with connection.getresponse() as answer:
                yield answer
        finally:
            connection.close()

    def admin(self, method: str, path: str, body: object = None, *, headers: Mapping[str, str] | None = None) -> Answer:
        """Send a request below ``/admin/v1`` as the operator."""
        return self.request(method, f"/admin/v1{path}", body, key=self.admin_token, headers=headers)

    def exchange(self, data: bytes, *, within_s: float = 10.0, port: int | None = None) -> bytes:
        """Send raw bytes over a connection of their own; return what comes back until the other side closes."""
        with socket.create_connection(("127.0.0.1", port or self.port), timeout=within_s) as line:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                line.sendall(data)
            return receive_all(line)

    def exchange_answer(self, head: str) -> Answer:
        """Like `exchange`, for one answer that is understood."""
        data = self.exchange(head.encode("latin-1"))
        top, _, body = data.partition(b"\r\n\r\n")
        line, *fields = top.decode("latin-1").split("\r\n")
        pairs = [(name.lower(), value.strip()) for name, _, value in (field.partition(":") for field in fields)]
        return Answer(int(line.split(" ")[1]), pairs, body)

    def record(self, request_id: str, within_s: float = 10.0) -> dict[str, Any]:
        """The record of a request, once it has been written."""
        deadline = time.monotonic() + within_s
        while True:
            answer = self.admin("GET", f"/requests/{request_id}")
            if answer.status == 200:
                return answer.json
            assert time.monotonic() < deadline, f"no record of {request_id}: {answer.status} {answer.body!r}"
            time.sleep(0.02)

    def records(self, count: int, within_s: float = 10.0) -> list[dict[str, Any]]:
        """The newest records, once there are ``count`` of them."""
        deadline = time.monotonic() + within_s
        while True:
            found = self.admin("GET", "/requests?limit=200").json["data"]
            if len(found) >= count:
                return found
            assert time.monotonic() < deadline, f"{len(found)} records, not {count}"
            time.sleep(0.02)

    def resident_bytes(self) -> int:
        """VmRSS of the process."""
        return _status_bytes(self.pid, "VmRSS")

    @contextlib.contextmanager
    def holding_no_more_than(self, extra_bytes: int) -> Iterator[None]:
        """See that the process never holds this much more memory than before, not even for a moment."""
        # proc(5): writing 5 resets the peak (VmHWM) to what is resident now.
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")
        before = self.resident_bytes()
        yield
        grown = _status_bytes(self.pid, "VmHWM") - before
        assert grown < extra_bytes, f"the gateway grew by {grown / 2**20:.0f} MiB"

    def cpu_s(self) -> float:
        """CPU time of the process, user and system."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def receive_all(line: socket.socket) -> bytes:
    """Read until the peer closes; a reset after an answer is an end, too."""
    # A bytearray grows in place: bytes would be copied with every piece, and 20 MB in small ones take half a minute.
    received = bytearray()
    with contextlib.suppress(ConnectionResetError):
        while piece := line.recv(65536):
            received += piece
    return bytes(received)


def config(
    upstream_url: str, *, server: str = "drain: 5s", provider: str = "", timeouts: str = "", extra: str = ""
) -> str:
    """A configuration with one OpenAI upstream, two tenants and four keys.

    ``gpt-4o`` and the embeddings have prices, ``provider/model`` of anything else is free.
    """
    private = f'base_url: "{upstream_url}", credential: {CREDENTIAL}, allow_private_network: true{provider}'
    price = 'price: {input_per_mtok: "2.50", output_per_mtok: "10"}'
    return f"""
server: {{{server}}}
timeouts: {{connect: 2s, first_event: 2s, idle: 2s, total: 20s{timeouts}}}
providers:
  openai: {{kind: openai, {private}}}
  free: {{kind: openai, price: free, {private}}}
models:
  - alias: gpt-4o
    deployments: [{{provider: openai, model: gpt-4o, {price}}}]
  - alias: text-embedding-3-small
    deployments:
      - {{provider: openai, model: text-embedding-3-small, price: {{input_per_mtok: "0.02", output_per_mtok: "0"}}}}
  - alias: "fault-*"
    deployments: [{{provider: openai, model: "fault-*", {price}}}]
organizations:
  - slug: acme
    name: Acme
    teams:
      - slug: ml
        name: ML
        keys:
          - {{name: all, models: ["*"], secret: {KEY}}}
          - {{name: limited, models: ["gpt-4o"], secret: {LIMITED_KEY}}}
          - {{name: expired, models: ["*"], secret: {EXPIRED_KEY}, expires_at: "2020-01-01T00:00:00Z"}}
  - slug: globex
    name: Globex
    keys: [{{name: all, models: ["*"], secret: {OTHER_KEY}}}]
{extra}"""


def hello(**changes: object) -> dict[str, Any]:
    """A small chat request."""
    return {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello there"}], **changes}


def events_of(body: bytes) -> list[str]:
    """The data of every event of a stream."""
    return [line.removeprefix("data: ") for line in body.decode().splitlines() if line.startswith("data: ")]


def _bytes(body: object) -> bytes | None:
    if body is None or isinstance(body, bytes):
        return body
    return json.dumps(body).encode()


def _fields(body: object, key: str | None, headers: Mapping[str, str] | None) -> dict[str, str]:
    fields = {"content-type": "application/json"} if body is not None else {}
    if key is not None:
        fields["authorization"] = f"Bearer {key}"
    return fields | dict(headers or {})


def _status_bytes(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"no {name}")
