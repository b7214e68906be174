"""The composition root: settings in, a running gateway out. Nothing else in the house builds long-lived objects.

Everything opened here is closed by one `AsyncExitStack`, in reverse order: listeners stop first, records are written
last but for the database itself.
"""

import asyncio
import functools
import gc
import hmac
import importlib
import logging
import os
import signal
import socket
import ssl
import sys
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import uvloop
from msgspec import Struct

from headgate.catalog.book import load_price_book
from headgate.control.first_run import FirstKey, make_first_key
from headgate.control.plane import Plane
from headgate.control.provision import provision
from headgate.control.publish import Publisher, load_directory, load_limits
from headgate.control.refused_keys import RefusedKeys
from headgate.identity.secrets import ADMIN_TOKEN_PREFIX, SECRET_BYTES, hash_secret, mint_secret
from headgate.ledger.desk import LedgerDesk
from headgate.ledger.embedded import EmbeddedLedger, open_ledger
from headgate.pipeline.allowance import AdmissionControl
from headgate.pipeline.call import Gateway
from headgate.pipeline.load import LagProbe, LoadGate
from headgate.pipeline.recovery import recover_records
from headgate.providers.build import build_provider, is_switched_off
from headgate.providers.provider import Provider
from headgate.providers.sandbox import Meter
from headgate.records.writer import RecordWriter
from headgate.routing.build import build_routes
from headgate.server.asgi import AsgiApp, Receive, Send
from headgate.server.edge import Draining, Edge
from headgate.server.entropy import EntropyPool
from headgate.server.forwarded import parse_networks, trusting
from headgate.server.inbound import Application
from headgate.server.listener import Listener, bind
from headgate.settings.model import LEDGER_FILE, ServerSettings, Settings
from headgate.snapshot import Snapshot, SnapshotSource
from headgate.storage.engine import Database, SchemaError, open_database
from headgate.telemetry.log import configure_logging

ADMIN_TOKEN_FILE: Final = "admin-token"  # noqa: S105  a file name
_log: Final = logging.getLogger("headgate")


class Running(Struct, frozen=True):
    """A gateway that answers."""

    url: str
    admin_url: str
    admin_token_source: str
    """Where the admin token lies: a file's path, or ``configuration``."""
    first_key: FirstKey | None
    """The key that the first start made; its secret is shown this once."""
    providers_on: tuple[str, ...]
    providers_off: tuple[str, ...]


def run(settings: Settings, *, log_level: str = "info", on_ready: Callable[[Running], None] | None = None) -> int:
    """Run a gateway until SIGTERM or SIGINT; return the process' exit code."""
    configure_logging(log_level)
    return uvloop.run(_run(settings, on_ready))


async def _run(settings: Settings, on_ready: Callable[[Running], None] | None) -> int:
    stop, hurry = asyncio.Event(), asyncio.Event()

    def on_signal() -> None:
        # The second one is impatience: no more waiting for requests, but they are still settled.
        (hurry if stop.is_set() else stop).set()

    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, on_signal)
    async with open_gateway(settings, hurry=hurry) as running:
        # What exists now lives as long as the process: keep the collector from looking through it again and again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(20_000, 20, 50)
        sys.stderr.write(f"headgate ready on {running.url}\n")
        sys.stderr.flush()
        if on_ready is not None:
            on_ready(running)
        await stop.wait()
        _log.info("stopping")
    return 0


@asynccontextmanager
async def open_gateway(
    settings: Settings, environ: Mapping[str, str] = os.environ, *, hurry: asyncio.Event | None = None
) -> AsyncGenerator[Running]:
    """Open everything, yield once the gateway answers, drain and close on the way out; ``hurry`` cuts the drain short.

    Raises:
        StorageError: the database cannot be opened.
        InvalidProviderError: a provider's settings cannot work.
        OSError: an address cannot be listened on.
    """
    async with AsyncExitStack() as stack:
        database = _open_or_migrate(settings.storage.database)
        stack.callback(database.close)
        meter = Meter()
        providers, off = _open_providers(settings, environ, meter, stack)
        prices = load_price_book(Path(settings.data_dir), settings.prices.multiplier)
        snapshots = SnapshotSource(
            Snapshot(
                revision=1,
                keys=load_directory(database),
                routes=build_routes(settings, providers, off, prices),
                limits=load_limits(database),
            )
        )
        # Before anything is made that is shown only once: a start that cannot listen must leave nothing behind.
        tls = _server_tls(settings.server)
        sockets = [stack.enter_context(bind(address)) for address in _addresses(settings.server)]
        ledger, records = _open_ledger(settings, database, stack)
        desk = LedgerDesk(ledger, _ledger_file(settings), asyncio.get_running_loop())
        plane = _plane(settings, database, snapshots, desk)
        provision(plane, settings.organizations)
        first_key = None if settings.organizations else make_first_key(plane)
        token, token_source = _admin_token(settings)
        refused_keys = RefusedKeys(plane)
        refused_keys.start()
        stack.callback(refused_keys.close)
        load = LoadGate(settings.server.max_in_flight, shed_at_lag_s=settings.server.shed_at_lag)
        probe = LagProbe(asyncio.get_running_loop(), load, time.perf_counter)
        probe.start()
        stack.callback(probe.close)
        gateway = Gateway(
            snapshots=snapshots,
            providers=providers,
            records=records,
            note_refused_key=refused_keys.note,
            load=load,
            admission=AdmissionControl(
                ledger,
                budget_wait_s=settings.ledger.budget_wait,
                secret=os.urandom(32),
                keep=records.append,
                tell=records.append_event,
                clock_ms=plane.clock_ms,
            ),
            refuse_unpriced=settings.prices.unpriced == "refuse",
            clock=time.perf_counter,
            clock_ms=plane.clock_ms,
        )
        draining = Draining()
        listeners = await _listen(
            settings.server, sockets, tls, gateway, plane, meter=meter, token=token, draining=draining
        )

        async def drain() -> None:
            draining.on = True
            async with asyncio.TaskGroup() as group:
                for listener in listeners:
                    group.create_task(listener.drain(settings.server.drain, hurry or asyncio.Event()))

        stack.push_async_callback(drain)
        yield Running(
            url=listeners[0].url,
            admin_url=listeners[-1].url,
            admin_token_source=token_source,
            first_key=first_key,
            providers_on=tuple(providers),
            providers_off=tuple(f"{name}: {reason}" for name, reason in off.items()),
        )


def _open_or_migrate(url: str) -> Database:
    """Open the database; only where its tables are missing or old is Alembic imported and run."""
    try:
        return open_database(url)
    except SchemaError:
        importlib.import_module("headgate.storage.migrate").migrate(url)
        return open_database(url)


def _ledger_file(settings: Settings) -> Path:
    return Path(settings.data_dir) / LEDGER_FILE


def _open_ledger(settings: Settings, database: Database, stack: AsyncExitStack) -> tuple[EmbeddedLedger, RecordWriter]:
    """Open the ledger and what writes the records, make both equal, and start them.

    The ledger is closed first, so that the last thing that is written says that its every record is in the table.
    """
    records = RecordWriter(database, committed_seq=lambda: ledger.committed_seq)
    stack.callback(records.close)
    ledger = open_ledger(
        _ledger_file(settings),
        durability=settings.ledger.durability,
        commit_timeout_s=settings.ledger.commit_timeout,
        retain_after=lambda: records.progress,
    )
    stack.push_async_callback(ledger.aclose)
    recover_records(ledger, database)
    ledger.start()
    records.start()
    return ledger, records


def _plane(settings: Settings, database: Database, snapshots: SnapshotSource, desk: LedgerDesk) -> Plane:
    return Plane(
        database=database,
        ledger=desk,
        clock_ms=_clock_ms,
        entropy=os.urandom,
        publisher=Publisher(snapshots.current.keys, snapshots.current.limits, snapshots.publish),
        key_prefix=settings.keys.prefix,
    )


def _clock_ms() -> int:
    return time.time_ns() // 1_000_000


def _open_providers(
    settings: Settings, environ: Mapping[str, str], meter: Meter, stack: AsyncExitStack
) -> tuple[dict[str, Provider], dict[str, str]]:
    """Return the providers that are on, and why the others are off."""
    on: dict[str, Provider] = {}
    off: dict[str, str] = {}
    for each in settings.providers:
        if is_switched_off(each):
            off[each.name] = f"the provider `{each.name}` has no credential"
            continue
        provider = build_provider(each, settings.timeouts, environ, meter)
        stack.push_async_callback(provider.transport.aclose)
        on[each.name] = provider
    return on, off


def _admin_token(settings: Settings) -> tuple[str, str]:
    """Return the admin token and where it lies; the first start makes one and keeps it in the data directory."""
    configured = settings.server.admin_token
    if configured:
        return configured.reveal(), "configuration"
    path = Path(settings.data_dir) / ADMIN_TOKEN_FILE
    if not path.exists():
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(mint_secret(ADMIN_TOKEN_PREFIX, os.urandom(SECRET_BYTES)) + "\n")
    return path.read_text().strip(), str(path)


def _addresses(server: ServerSettings) -> tuple[str, ...]:
    """The data plane's address and, where it is apart, the admin one."""
    return (server.listen,) if server.admin_listen is None else (server.listen, server.admin_listen)


async def _listen(
    server: ServerSettings,
    sockets: Sequence[socket.socket],
    tls: ssl.SSLContext | None,
    gateway: Gateway,
    plane: Plane,
    *,
    meter: Meter,
    token: str,
    draining: Draining,
) -> list[Listener]:
    """Open a listener on each socket; where there are two, the second one is for administration alone."""
    digest = hash_secret(token)
    admin = trusting(LazyAdmin(plane, gateway.snapshots, digest), parse_networks(server.trusted_proxies))

    def application(*, infer: bool, administer: bool) -> Application:
        edge = Edge(
            gateway,
            max_body=server.max_body,
            draining=draining,
            entropy=EntropyPool(),
            is_operator=lambda key: key is not None and hmac.compare_digest(hash_secret(key), digest),
            meter=meter.snapshot if administer else None,
            admin=admin if administer else None,
            infer=infer,
        )
        return Application(edge.admit, edge.answer, edge.answer_at_once)

    if len(sockets) == 1:
        applications = [application(infer=True, administer=True)]
    else:
        applications = [application(infer=True, administer=False), application(infer=False, administer=True)]
    listeners = [
        Listener(
            served,
            sock,
            tls=tls,
            header_timeout_s=server.header_timeout,
            max_connections=server.max_connections,
        )
        for served, sock in zip(applications, sockets, strict=True)
    ]
    for listener in listeners:
        await listener.open()
    return listeners


def _server_tls(server: ServerSettings) -> ssl.SSLContext | None:
    if server.tls is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(server.tls.cert, server.tls.key)
    return context


class LazyAdmin:
    """The admin API, imported when it is first asked for: the data plane starts without waiting for it."""

    def __init__(self, plane: Plane, snapshots: SnapshotSource, token_digest: bytes) -> None:
        """Keep what `headgate.admin.app.create_admin_app` takes."""
        self._build = functools.partial(_build_admin, plane, snapshots, token_digest)
        self._lock = asyncio.Lock()
        self._app: AsgiApp | None = None

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
        if self._app is None:
            async with self._lock:
                if self._app is None:
                    self._app = await asyncio.to_thread(self._build)
        await self._app(scope, receive, send)


def _build_admin(plane: Plane, snapshots: SnapshotSource, token_digest: bytes) -> AsgiApp:
    module = importlib.import_module("headgate.admin.app")
    return module.create_admin_app(plane, snapshots, token_digest)
