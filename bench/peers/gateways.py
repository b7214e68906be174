"""The peers as targets: each with one worker, pinned like the others, and without the governance that Headgate has on.

Every choice here favours the peer; where its makers document a faster setting, it is taken.
"""

import contextlib
import json
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

from bench.peers import install
from bench.peers.install import PeerError
from bench.processes import GATEWAY_CORE, Child, running
from bench.targets import KEY, MODEL, Target, free_port, request_body, wait_for_port

STARTS_WITHIN_S = 120.0
_HERE = Path(__file__).resolve().parent


class Peer(NamedTuple):
    """Another gateway, how it is installed, started and described."""

    name: str
    title: str
    version: Callable[[], str]
    install: Callable[[], Path]
    start: Callable[[Path, Path, int], AbstractContextManager[Target]]
    """From its environment, the run's directory and the upstream's port."""
    off: str
    """What it does without, and what was done in its favour."""


def litellm_config(upstream_port: int) -> str:
    """One model, no retries, no callbacks, no database."""
    return f"""
model_list:
  - model_name: {MODEL}
    litellm_params: {{model: openai/gpt-4o, api_base: "http://127.0.0.1:{upstream_port}/v1", api_key: sk-bench}}
litellm_settings: {{num_retries: 0, telemetry: false}}
router_settings: {{num_retries: 0}}
general_settings: {{proxy_batch_write_at: 60}}
"""


# The last one lets it start without a master key: checking one costs it CPU on every request.
LITELLM_ENVIRONMENT = {
    "LITELLM_MODE": "PRODUCTION",
    "LITELLM_LOG": "ERROR",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "DISABLE_ADMIN_UI": "True",
    "NO_DOCS": "True",
    "NO_REDOC": "True",
    "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
}


@contextlib.contextmanager
def litellm(environment: Path, directory: Path, upstream_port: int) -> Generator[Target]:
    """LiteLLM's proxy: uvicorn, uvloop and httptools, one worker."""
    home = _home(directory, "litellm")
    config = home / "config.yaml"
    config.write_text(litellm_config(upstream_port))
    port = free_port()
    command = [str(environment / "bin" / "litellm"), "--config", str(config), "--host", "127.0.0.1"]
    command += ["--port", str(port), "--num_workers", "1", "--telemetry", "False"]
    with running(_child(command, home, LITELLM_ENVIRONMENT)) as child:
        wait_for_port(port, child, STARTS_WITHIN_S)
        yield _proven(Target("litellm", port, child, slow=True))


@contextlib.contextmanager
def portkey(environment: Path, directory: Path, upstream_port: int) -> Generator[Target]:
    """Portkey's gateway on Node; where a request goes to is said in headers, which is its plainest way."""
    home = _home(directory, "portkey")
    port = free_port()
    program = environment / "node_modules" / install.PORTKEY / "build" / "start-server.js"
    headers = (("x-portkey-provider", "openai"), ("x-portkey-custom-host", f"http://127.0.0.1:{upstream_port}/v1"))
    command = ["node", str(program), "--headless", f"--port={port}"]
    with running(_child(command, home, {"NODE_ENV": "production"})) as child:
        wait_for_port(port, child, STARTS_WITHIN_S)
        yield _proven(Target("portkey", port, child, headers=headers))


def tensorzero_config(upstream_port: int) -> str:
    """One model, no observability, no analytics; authentication is off unless asked for."""
    return f"""
[gateway]
observability.enabled = false
disable_pseudonymous_usage_analytics = true

[models.{MODEL}]
routing = ["upstream"]

[models.{MODEL}.providers.upstream]
type = "openai"
model_name = "gpt-4o"
api_base = "http://127.0.0.1:{upstream_port}/v1"
api_key_location = "none"
"""


@contextlib.contextmanager
def tensorzero(environment: Path, directory: Path, upstream_port: int) -> Generator[Target]:
    """TensorZero's HTTP gateway, from its wheel."""
    home = _home(directory, "tensorzero")
    config = home / "tensorzero.toml"
    config.write_text(tensorzero_config(upstream_port))
    command = [str(environment / "bin" / "python"), str(_HERE / "tensorzero_gateway.py"), str(config)]
    with running(_child(command, home, {})) as child:
        url = child.wait_for_line("ready ", STARTS_WITHIN_S)
        port = int(url.split(":")[2].partition("/")[0])
        model = f"tensorzero::model_name::{MODEL}"
        yield _proven(Target("tensorzero", port, child, path="/openai/v1/chat/completions", model=model))


PEERS = (
    Peer(
        "litellm",
        "LiteLLM proxy",
        lambda: install.pip_version("litellm"),
        lambda: install.pip_environment("litellm"),
        litellm,
        "no key, no database, no callbacks, no retries, no UI, documentation or telemetry. In its favour: bytecode "
        "compiled, opentelemetry-sdk (without it every request tries an import that fails), httptools and uvloop "
        "installed, production mode, log level ERROR, the local cost map",
    ),
    Peer(
        "portkey",
        "Portkey gateway",
        lambda: (
            f"{install.npm_version(install.PORTKEY)} on @hono/node-server {install.npm_version(install.NODE_SERVER)}"
        ),
        install.npm_environment,
        portkey,
        "no key of its own, no cache, no retries, no hooks, no console. In its favour: @hono/node-server held at a "
        "version with which it streams, production mode",
    ),
    Peer(
        "tensorzero",
        "TensorZero HTTP gateway",
        lambda: install.pip_version("tensorzero"),
        lambda: install.pip_environment("tensorzero"),
        tensorzero,
        "no authentication, no observability, no database, no rate limits, no analytics. It is the gateway of the "
        "Python wheel, with the C library's allocator: with mimalloc preloaded, five rounds showed no difference",
    ),
)


def _home(directory: Path, name: str) -> Path:
    home = directory / name
    home.mkdir()
    return home


def _child(command: list[str], home: Path, environment: dict[str, str]) -> Child:
    # Proxies of the surrounding environment stay outside: all traffic is on loopback.
    inherited = {"PATH": os.environ["PATH"], "HOME": str(home)}
    return Child(command, core=GATEWAY_CORE, cwd=home, environment=inherited | environment)


def _proven(target: Target) -> Target:
    """Return ``target`` if it answers one whole request and one stream as it should: a fast error is no figure."""
    whole = json.loads(_answer(target, stream=False))
    if whole.get("usage", {}).get("total_tokens") != 250:
        raise PeerError(f"starts, but answers without the upstream's usage: {str(whole)[:200]}")
    streamed = _answer(target, stream=True)
    if not streamed.rstrip().endswith(b"data: [DONE]"):
        raise PeerError(f"starts, but its stream does not end as one: {streamed[-200:]!r}")
    return target


def _answer(target: Target, *, stream: bool) -> bytes:
    headers = {"content-type": "application/json", "authorization": f"Bearer {KEY}", **dict(target.headers)}
    url = f"http://127.0.0.1:{target.port}{target.path}"
    request = urllib.request.Request(url, request_body(stream=stream, model=target.model), headers)
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as answer:
            return answer.read()
    except urllib.error.HTTPError as error:
        raise PeerError(f"starts, but answers {error.code}: {error.read()[:200]!r}") from error
    except OSError as error:
        raise PeerError(f"starts, but does not answer: {error}") from error
