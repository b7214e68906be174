"""What is measured: no gateway, nginx as the floor of what a proxy can cost, and Headgate with one worker."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import NamedTuple

import trustme

from bench.processes import GATEWAY_CORE, LOAD_CORE, Child, running

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
KEY = "bench-key-0000000000000000000000000000"
MODEL = "bench-model"
PATH = "/v1/chat/completions"


class Target(NamedTuple):
    """Something that answers on a port. ``child`` is None for the direct call."""

    name: str
    port: int
    child: Child | None
    started_ms: float = 0.0
    path: str = PATH
    model: str = MODEL
    headers: tuple[tuple[str, str], ...] = ()
    """Sent with every request beside media type and key."""
    slow: bool = False
    """So slow that it is measured twice as long and two seconds are no time-out: else few answers would count."""


def _compact(body: object) -> str:
    """JSON as OpenAI's SDKs send it."""
    return json.dumps(body, separators=(",", ":"))


def request_body(*, stream: bool, model: str = MODEL) -> bytes:
    """A chat request of 907 bytes (without the stream members), whatever the length of the model's name."""
    messages = [{"role": "system", "content": "You are terse."}, {"role": "user", "content": ""}]
    body: dict[str, object] = {"model": model, "messages": messages, "temperature": 0.5, "max_tokens": 256}
    messages[1]["content"] = ("How much water does the upper field draw? " * 30)[: 907 - len(_compact(body))]
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return _compact(body).encode()


def build(directory: Path) -> None:
    """Compile the three C programs."""
    for name in ("mock_upstream", "stream_client", "open_client"):
        command = ["cc", "-O2", "-Wall", "-Wextra", "-o", str(directory / name), str(HERE / f"{name}.c"), "-lm"]
        subprocess.run(command, check=True)


@contextlib.contextmanager
def upstream(directory: Path) -> Generator[int]:
    """The mock upstream; yields its port."""
    child = Child([str(directory / "mock_upstream"), "0"], core=LOAD_CORE, cwd=directory)
    with running(child):
        yield int(child.wait_for_line("ready "))


@contextlib.contextmanager
def nginx(directory: Path, upstream_port: int) -> Generator[Target]:
    """nginx as a plain reverse proxy with a pool of kept connections: what relaying costs at the least."""
    port = free_port()
    home = directory / "nginx"
    home.mkdir()
    location = """
      location / { proxy_pass http://upstream; proxy_http_version 1.1; proxy_set_header connection "";
                   proxy_buffering off; }"""
    _write_nginx(home, f"listen 127.0.0.1:{port};", location, upstream_port)
    with running(Child(_nginx_command(home), core=GATEWAY_CORE, cwd=home)) as child:
        wait_for_port(port, child)
        yield Target("nginx", port, child)


@contextlib.contextmanager
def tls_terminator(directory: Path, upstream_port: int) -> Generator[tuple[int, Path]]:
    """nginx with TLS 1.3 before the mock upstream; yields its port and the CA's file."""
    port = free_port()
    home = directory / "tls"
    home.mkdir()
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(home / "ca.pem"))
    certificate = authority.issue_cert("localhost")
    certificate.private_key_and_cert_chain_pem.write_to_path(str(home / "server.pem"))
    listen = f"""listen 127.0.0.1:{port} ssl; ssl_certificate {home}/server.pem; ssl_certificate_key {home}/server.pem;
      ssl_protocols TLSv1.3;"""
    location = """
      location / { proxy_pass http://upstream; proxy_http_version 1.1; proxy_set_header connection "";
                   proxy_buffering off; }"""
    _write_nginx(home, listen, location, upstream_port)
    with running(Child(_nginx_command(home), core=LOAD_CORE, cwd=home)) as child:
        wait_for_port(port, child)
        yield port, home / "ca.pem"


def _nginx_command(home: Path) -> list[str]:
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    return [program, "-p", str(home), "-c", str(home / "nginx.conf"), "-e", str(home / "error.log")]


def _write_nginx(home: Path, listen: str, location: str, upstream_port: int) -> None:
    user = "user root;" if os.geteuid() == 0 else ""
    (home / "nginx.conf").write_text(f"""
{user} daemon off; worker_processes 1; pid {home}/nginx.pid; error_log {home}/error.log;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 100000000; tcp_nodelay on; client_max_body_size 32m;
  client_body_temp_path {home}/body; proxy_temp_path {home}/proxy; fastcgi_temp_path {home}/fastcgi;
  uwsgi_temp_path {home}/uwsgi; scgi_temp_path {home}/scgi;
  upstream upstream {{ server 127.0.0.1:{upstream_port}; keepalive 256; keepalive_requests 100000000; }}
  server {{
      {listen}{location}
  }}
}}
""")


@contextlib.contextmanager
def headgate(
    directory: Path,
    base_url: str,
    *,
    name: str = "headgate",
    ca: Path | None = None,
    profile: Path | None = None,
    limits: str | None = None,
    cache: bool = False,
) -> Generator[Target]:
    """One worker with identity, pricing and records on, and an embedded database.

    ``limits`` is how durable the ledger is (``fsync`` or ``os``) where budgets on three levels and a limit of tokens a
    minute bind the key; without it nothing does. With ``cache`` answers are kept; all requests are the same, so all but
    the first are answered from memory. ``profile`` is a file for cProfile's figures, written when the worker
    has ended.
    """
    home = directory / name
    home.mkdir()
    budget = ', budgets: [{amount_usd: "8000000", period: month}]' if limits else ""
    rates = ", rate_limits: {tpm: 1000000000000}" if limits else ""
    tls = f", tls: {{ca: {ca}}}" if ca else ""
    (home / "headgate.yaml").write_text(f"""
server: {{drain: 1s}}
storage: {{database: "sqlite:///{home}/data/headgate.db"}}
providers:
  upstream: {{kind: openai, base_url: "{base_url}", credential: sk-bench, allow_private_network: true{tls}}}
models:
  - alias: {MODEL}
    deployments:
      - {{provider: upstream, model: gpt-4o, price: {{input_per_mtok: "2.50", output_per_mtok: "10"}}}}
ledger: {{durability: {limits or "fsync"}}}
{"cache: {exact: {}}" if cache else ""}
organizations:
  - {{slug: bench, name: Bench{budget}, teams: [{{slug: load, name: Load{budget}, keys: [
      {{name: bench, models: ["*"], secret: {KEY}{budget}{rates}}}]}}]}}
""")
    # The first start makes the database; what is reported is an ordinary start.
    with running(serve(home)) as first:
        first.wait_for_line("headgate ready on ")
    started = time.monotonic()
    with running(serve(home, profile)) as child:
        address = child.wait_for_line("headgate ready on ")
        yield Target(name, int(address.rpartition(":")[2]), child, (time.monotonic() - started) * 1000)


def serve(home: Path, profile: Path | None = None) -> Child:
    """Start the gateway whose configuration lies in ``home``."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(ROOT / "src")}
    profiler = ["-m", "cProfile", "-o", str(profile)] if profile is not None else []
    command = [sys.executable, *profiler, "-m", "headgate.cli", "serve"]
    command += ["--config", str(home / "headgate.yaml"), "--port", "0"]
    return Child(command, core=GATEWAY_CORE, cwd=home, environment=environment)


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_port(port: int, child: Child, within_s: float = 10.0) -> None:
    """Wait until something listens."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline and child.process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.01)
    raise RuntimeError("nothing listens:\n" + "\n".join(child.lines))
