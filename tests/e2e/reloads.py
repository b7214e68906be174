"""A real gateway whose configuration changes again and again under load, some of it unusable: what its clients see.

The file alternates between two targets of one alias, ``east`` and ``west``; each is a provider of its own, so that
every change opens one transport and retires another, and only one of them has a second key. Unusable files lead the
alias to a third provider that works, so that a request answered by it gives away that such a file was in use.
"""

import contextlib
import hashlib
import http.client
import itertools
import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Self

from tests.fakes.openai_api import CREDENTIAL
from tests.gateway import KEY, OTHER_KEY, Answer, Gateway, hello

ALIAS = "chat"
TARGETS = ("east", "west")
EXTRA_KEY = "acme-key-that-comes-and-goes-00000001"
_TRANSPORTS = {"east": "lean", "west": "aiohttp", "bad": "lean"}


def good(upstream_url: str, target: str, tail: str = "", key: str = "") -> str:
    """A configuration in which the alias leads to ``target``."""
    provider = (
        f'kind: openai, base_url: "{upstream_url}", credential: {CREDENTIAL}, allow_private_network: true, price: free'
    )
    extra = f'\n      - {{name: extra, models: ["*"], secret: {EXTRA_KEY}}}' if target == "east" else ""
    return f"""
server: {{drain: 5s}}
providers:
  steady: {{{provider}}}
  {target}: {{{provider}, transport: {_TRANSPORTS[target]}}}
models:
  - alias: {ALIAS}
    deployments: [{{provider: {target}, model: gpt-4o}}]
  - alias: steady
    deployments: [{{provider: steady, model: gpt-4o}}]
  - alias: "fault-*"
    deployments: [{{provider: {target}, model: "fault-*"}}]
organizations:
  - slug: acme
    name: Acme
    keys:
      - {{name: all, models: ["*"], secret: {KEY}}}{extra}
  - slug: globex
    name: Globex
    keys: [{{name: all, models: ["*"], secret: {key or OTHER_KEY}}}]
{tail}"""


def unusable(upstream_url: str) -> tuple[str | None, ...]:
    """Configurations of which nothing may ever be in use, each found out by another step; ``None`` is no file."""
    bad = good(upstream_url, "bad")
    return (
        bad + "providers: [",
        good(upstream_url, "bad", tail="modles: []\n"),
        bad.replace("alias: steady", f"alias: {ALIAS}"),
        bad.replace("bad: {kind: openai,", "bad: {kind: opnai,"),
        # The key of another: only the database knows.
        good(upstream_url, "bad", key=EXTRA_KEY).replace("slug: acme", "slug: umbrella"),
        None,
    )


class Reload(NamedTuple):
    """What became of one reload."""

    accepted: bool
    seconds: float
    words: str


class Changing:
    """A running gateway and its file, reloaded by turns with a signal and through the admin API."""

    def __init__(self, gateway: Gateway, upstream_url: str) -> None:
        self.gateway = gateway
        self.target = TARGETS[0]
        """Where the alias must lead now."""
        self._upstream_url = upstream_url
        self._unusable = itertools.cycle(unusable(upstream_url))
        self._path = gateway.directory / "headgate.yaml"
        self._turn = 0

    def change(self, *, usable: bool) -> Reload:
        """Replace the file, reload, and see that the gateway does as the file says, or as the last good one says."""
        self._turn += 1
        target = self.target
        if usable:
            target = TARGETS[1 - TARGETS.index(self.target)]
            text: str | None = good(self._upstream_url, target)
        else:
            text = next(self._unusable)
        _put(self._path, text)
        began = time.monotonic()
        # Not simply by turns: every kind of file is to come both ways.
        done = self._by_signal(text, usable) if (self._turn + self._turn // 10) % 2 else self._by_api()
        reload = Reload(done is None, time.monotonic() - began, done or "")
        assert reload.accepted == usable, f"{text}\n{reload}"
        self.target = target
        self.ask_now()
        return reload

    def ask_now(self) -> None:
        """What is asked after a reload is answered by the configuration of that reload."""
        answer = self.gateway.chat(hello(model=ALIAS))
        assert answer.status == 200, answer
        assert answer.headers["x-headgate-deployment"] == f"{self.target}/gpt-4o"
        extra = self.gateway.chat(hello(model=ALIAS), key=EXTRA_KEY)
        assert extra.status == (200 if self.target == "east" else 401), extra

    def view(self) -> Any:
        """``GET /admin/v1/configuration``."""
        answer = self.gateway.admin("GET", "/configuration")
        assert answer.status == 200, answer
        return answer.json

    def open_what_is_kept(self) -> None:
        """Have opened what is opened once and kept: the admin API's threads, and each one's way to the database."""
        askers = [threading.Thread(target=lambda: [self.view() for _ in range(10)]) for _ in range(8)]
        for asker in askers:
            asker.start()
        for asker in askers:
            asker.join(30)
        run_reloads(self, 10)

    def _by_api(self) -> str | None:
        answer: Answer = self.gateway.admin("POST", "/configuration/reload")
        if answer.status == 200:
            return None
        assert (answer.status, answer.json["code"]) == (422, "config_rejected"), answer
        assert answer.json["findings"], answer
        return answer.json["detail"]

    def _by_signal(self, text: str | None, usable: bool) -> str | None:
        digest = None if text is None else hashlib.sha256(text.encode()).hexdigest()
        self.gateway.send(signal.SIGHUP)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            view = self.view()
            if not usable and view["last_rejected"] is not None:
                return view["last_rejected"]["message"]
            if usable and view["sha256"] == digest and view["last_rejected"] is None:
                return None
            time.sleep(0.002)
        raise AssertionError(f"the signal came to nothing: {view}")


class Traffic:
    """Clients that ask one request after the other, whole answers and streams, until they are told to stop."""

    def __init__(self, port: int, clients: int = 4, pause_s: float = 0.0) -> None:
        """Prepare ``clients`` of each kind, which rest for ``pause_s`` between two requests."""
        self.answered: Counter[str] = Counter()
        """Requests by the deployment that answered them."""
        self.failed: list[str] = []
        self.slowest_s = 0.0
        self._port = port
        self._pause_s = pause_s
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._ask_until_stopped, args=(kind,), daemon=True)
            for kind in (False, True)
            for _ in range(clients)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive()

    @property
    def requests(self) -> int:
        return sum(self.answered.values()) + len(self.failed)

    def _ask_until_stopped(self, stream: bool) -> None:
        body = json.dumps(hello(model=ALIAS, stream=stream))
        fields = {"content-type": "application/json", "authorization": f"Bearer {KEY}"}
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self._port, timeout=20)) as connection:
            while not self._stop.wait(self._pause_s):
                began = time.monotonic()
                try:
                    connection.request("POST", "/v1/chat/completions", body, fields)
                    answer = connection.getresponse()
                    data = answer.read()
                except (OSError, http.client.HTTPException) as error:
                    self.failed.append(repr(error))
                    connection.close()
                    continue
                if answer.status != 200 or (stream and not data.endswith(b"data: [DONE]\n\n")):
                    self.failed.append(f"{answer.status} {data[-300:]!r}")
                self.answered[answer.headers["x-headgate-deployment"] or "none"] += 1
                self.slowest_s = max(self.slowest_s, time.monotonic() - began)


@contextlib.contextmanager
def changing(directory: Path, upstream_url: str) -> Iterator[Changing]:
    """Run a gateway whose file can be changed."""
    with Gateway(directory, good(upstream_url, TARGETS[0]), arguments=("--log-level", "error")) as gateway:
        changing = Changing(gateway, upstream_url)
        changing.ask_now()
        yield changing


def run_reloads(changing: Changing, count: int, one_in: int = 10) -> list[Reload]:
    """Reload ``count`` times, one in ``one_in`` of them a file that cannot be used."""
    return [changing.change(usable=turn % one_in != one_in // 2) for turn in range(count)]


def _put(path: Path, text: str | None) -> None:
    """Replace the file in one step, or take it away."""
    if text is None:
        path.unlink()
        return
    beside = path.with_suffix(".new")
    beside.write_text(text)
    os.replace(beside, path)
