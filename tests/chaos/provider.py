"""A provider in both dialects that fails as the model's name says, and the places where there is no provider at all."""

import contextlib
import datetime
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import trustme

from tests.chaos.faults import CHAT, FAULTS, MESSAGES, Ask, ask_for, honest
from tests.fakes.plan import Plan
from tests.fakes.server import Exchange, FakeServer, closed_port

PATHS = {"/v1/chat/completions": CHAT, "/v1/messages": MESSAGES}
CREDENTIAL = "sk-chaos-credential-5d20c7e1a94f8b36"


class FaultyProvider(FakeServer):
    """The model ``FAULT.e`` or ``FAULT.l`` is answered with that fault, early or late; every other name honestly."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__()
        self.tls = tls

    @property
    def url(self) -> str:
        return super().url if self.tls is None else f"https://localhost:{self.port}/v1"

    def answer(self, exchange: Exchange) -> tuple[Plan, str]:
        """The plan for a request."""
        ask, fault = asked(exchange)
        plan = honest(ask) if fault is None else FAULTS[fault].plan(ask)
        return plan, ""


def asked(exchange: Exchange) -> tuple[Ask, str | None]:
    """Read a request: the honest answer to it, and the fault that it asks for."""
    body = exchange.json
    name, _, when = body["model"].partition(".")
    return ask_for(body, PATHS[exchange.target], late=when == "l"), name if name in FAULTS else None


@contextlib.contextmanager
def nowhere(directory: Path) -> Iterator[dict[str, tuple[str, str | None]]]:
    """Base URLs at which no answer is to be had, each with the authority to trust, by the name of the fault.

    A packet that gets no answer at all cannot be had on loopback; a listener whose queue of connections is full is the
    same to the one who connects.
    """
    authority = trustme.CA()
    trusted = directory / "authority.pem"
    authority.cert_pem.write_to_path(str(trusted))
    yesterday = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    leaves = {
        "tls-expired": authority.issue_cert("localhost", "127.0.0.1", not_after=yesterday),
        "tls-wrong-host": authority.issue_cert("elsewhere.example.com"),
        "tls-unknown-authority": trustme.CA().issue_cert("localhost", "127.0.0.1"),
    }
    with contextlib.ExitStack() as stack:
        found: dict[str, tuple[str, str | None]] = {}
        for name, leaf in leaves.items():
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            leaf.configure_cert(context)
            found[name] = (stack.enter_context(FaultyProvider(context)).url, str(trusted))
        plain = stack.enter_context(FaultyProvider())
        found["tls-not-spoken"] = (f"https://localhost:{plain.port}/v1", str(trusted))
        silent = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=64))
        found["tls-stall"] = (f"https://localhost:{silent.getsockname()[1]}/v1", str(trusted))
        refusing = stack.enter_context(closed_port())
        found["refused"] = (f"http://127.0.0.1:{refusing.getsockname()[1]}/v1", None)
        full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(2):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        found["blackhole"] = (f"http://127.0.0.1:{full.getsockname()[1]}/v1", None)
        # RFC 6761 §6.4: never resolves.
        found["name-unknown"] = ("http://nobody.invalid/v1", None)
        yield found


NOWHERE = (
    "refused",
    "blackhole",
    "name-unknown",
    "tls-expired",
    "tls-wrong-host",
    "tls-unknown-authority",
    "tls-not-spoken",
    "tls-stall",
)
