"""``headgate demo``: a gateway in a throw-away directory with simulated traffic to look at."""

import functools
import http.client
import os
import re
import secrets
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

import headgate
from headgate.cli.failure import CommandError
from headgate.cli.serving import check_log_level, run_gateway
from headgate.settings.load import ConfigurationError, load_settings
from headgate.settings.model import ProvisionedKey, Settings

_VARIABLE: Final = re.compile(r"(?<!\$)\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_SCRIPTS: Final = (
    ("sandbox/lorem-40", False),
    ("sandbox/lorem-120", True),
    ("sandbox/echo", False),
    ("sandbox/thinking", True),
    ("sandbox/json", False),
    ("sandbox/status-503", False),
    ("sandbox/lorem-300+cut-after-5", True),
)
"""What the simulated applications ask for: model, and whether as a stream."""
_ROUNDS: Final = 6
_PAUSE_S: Final = 0.2


def demo(port: int, log_level: str) -> int:
    """Run the example organization until told to stop, then throw everything away; return the exit code.

    Raises:
        CommandError: the example is not part of this installation, or cannot be used.
    """
    check_log_level(log_level)
    example = find_example()
    with tempfile.TemporaryDirectory(prefix="headgate-demo-") as directory:
        try:
            environ = demo_environment(example.read_text("utf-8"), directory)
            read = functools.partial(load_settings, str(example), environ, listen=f"127.0.0.1:{port}")
            loaded = read()
        except (OSError, ConfigurationError) as error:
            raise CommandError(f"the example cannot be used: {error}") from error
        keys = [key.secret.reveal() for key in provisioned_keys(loaded.settings) if key.secret is not None]
        print(f"A demo with {len(keys)} keys in {directory}; Ctrl-C ends it and throws it away.", end=" ")
        print("From another terminal:\n")
        print(f"  export HEADGATE_URL=http://127.0.0.1:{port} HEADGATE_DATA_DIR={directory} HEADGATE_API_KEY={keys[0]}")
        print("  headgate requests")
        print("  headgate usage --sandbox --group-by team,model")
        print("  headgate cache stats")
        print("  headgate keys list", flush=True)
        stop = threading.Event()
        traffic = threading.Thread(target=send_traffic, args=(port, keys, stop), daemon=True)
        traffic.start()
        try:
            return run_gateway(loaded, log_level, read_again=read)
        finally:
            stop.set()
            traffic.join(timeout=10)


def find_example() -> Path:
    """Return the example's configuration: inside an installed package, or beside the sources of a checkout.

    Raises:
        CommandError: it is in neither place.
    """
    package = Path(headgate.__file__).parent
    for place in (package / "examples", package.parent.parent / "examples"):
        if (place / "acme.yaml").is_file():
            return place / "acme.yaml"
    raise CommandError("this installation lacks examples/acme.yaml")


def demo_environment(text: str, data_dir: str) -> Mapping[str, str]:
    """Return the environment that the example needs: a fresh secret for every variable without a default.

    The operator's own provider keys are left out: a demo spends nobody's money.
    """
    made = {name: secrets.token_urlsafe(32) for name in _VARIABLE.findall(text)}
    return made | {"HEADGATE_DATA_DIR": data_dir, "PATH": os.environ.get("PATH", "")}


def provisioned_keys(settings: Settings) -> Iterator[ProvisionedKey]:
    """Yield every key of the configuration file."""
    for organization in settings.organizations:
        yield from organization.keys
        for team in organization.teams:
            yield from team.keys
            for project in team.projects:
                yield from project.keys


def send_traffic(port: int, keys: Sequence[str], stop: threading.Event) -> None:
    """Send each script some times with each key, once the gateway answers, until ``stop`` is set."""
    while keys and not stop.wait(_PAUSE_S):
        if _status(port, "GET", "/readyz") == 200:
            break
    for turn in range(_ROUNDS * len(_SCRIPTS)):
        if stop.wait(_PAUSE_S) or not keys:
            return
        model, stream = _SCRIPTS[turn % len(_SCRIPTS)]
        # Every second round asks what the one before it asked, so that the cache has something to show.
        number = turn % len(_SCRIPTS) + turn // (2 * len(_SCRIPTS)) * len(_SCRIPTS)
        question = {"role": "user", "content": f"Question {number + 1} of the demo"}
        body = msgspec.json.encode({"model": model, "stream": stream, "messages": [question]})
        _status(port, "POST", "/v1/chat/completions", body, keys[turn % len(keys)])


def _status(port: int, method: str, path: str, body: bytes | None = None, key: str = "") -> int | None:
    """Send one request, read the answer to its end, return its status; ``None`` where nothing answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    headers = {"content-type": "application/json", "authorization": f"Bearer {key}"} if body else {}
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        response.read()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    return response.status
