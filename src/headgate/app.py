"""The composition root: settings in, a running gateway out. Nothing else in the house builds long-lived objects.

Everything opened here is closed by one `AsyncExitStack`, in reverse order: listeners stop first, records are written
last but for the database itself.
"""

import asyncio
import contextlib
import functools
import gc
import hmac
import importlib
import logging
import os
import secrets
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
from msgspec.structs import asdict

from headgate.assembly import Assembly, Source, unread
from headgate.cache.desk import CacheDesk
from headgate.cache.exact import ExactCache
from headgate.cache.file import open_cache_file
from headgate.control.first_run import FirstKey, make_first_key
from headgate.control.plane import Plane
from headgate.control.provision import FILE_ACTOR, provision
from headgate.control.publish import Publisher, load_directory, load_limits
from headgate.control.refused_keys import RefusedKeys
from headgate.control.reload import Reloader
from headgate.control.residency_violations import ResidencyViolations
from headgate.identity.secrets import ADMIN_TOKEN_PREFIX, SECRET_BYTES, hash_secret, mint_secret
from headgate.ledger.desk import LedgerDesk
from headgate.ledger.embedded import EmbeddedLedger, open_ledger
from headgate.pipeline.allowance import AdmissionControl
from headgate.pipeline.caching import Questions, ResponseCache
from headgate.pipeline.call import Gateway
from headgate.pipeline.flights import Flights
from headgate.pipeline.idempotency import IdempotencyStore
from headgate.pipeline.load import LagProbe, LoadGate
from headgate.pipeline.recovery import recover_records
from headgate.providers.sandbox import Meter
from headgate.records.writer import RecordWriter
from headgate.routing.health import HealthBook, Healths, HealthView
from headgate.routing.table import Deployment
from headgate.server.asgi import AsgiApp, Receive, Send
from headgate.server.edge import Draining, Edge
from headgate.server.entropy import EntropyPool
from headgate.server.forwarded import parse_networks, trusting
from headgate.server.inbound import Application
from headgate.server.listener import Listener, bind
from headgate.settings.model import CACHE_FILE, LEDGER_FILE, ServerSettings, Settings
from headgate.snapshot import Snapshot, SnapshotSource
from headgate.storage.engine import Database, SchemaError, open_database
from headgate.telemetry.log import configure_logging
from headgate.upstream.pacing import Pacer

ADMIN_TOKEN_FILE: Final = "admin-token"  # noqa: S105  a file name
_LOOK_S: Final = 10.0
"""How long a thread of the admin API waits for the event loop."""
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
    reloader: Reloader


def run(
    settings: Settings,
    *,
    source: Source | None = None,
    log_level: str = "info",
    on_ready: Callable[[Running], None] | None = None,
) -> int:
    """Run a gateway until SIGTERM or SIGINT; SIGHUP reloads its configuration. Return the process' exit code."""
    configure_logging(log_level)
    return uvloop.run(_run(settings, source, on_ready))


async def _run(settings: Settings, source: Source | None, on_ready: Callable[[Running], None] | None) -> int:
    signals, hurry = _Signals(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, signals.stop, hurry)
    # From the beginning: until it is handled, the signal's default is to end the process.
    loop.add_signal_handler(signal.SIGHUP, signals.reload)
    async with open_gateway(settings, hurry=hurry, source=source) as running:
        # What exists now lives as long as the process: keep the collector from looking through it again and again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(20_000, 20, 50)
        sys.stderr.write(f"headgate ready on {running.url}\n")
        sys.stderr.flush()
        if on_ready is not None:
            on_ready(running)
        while await signals.asks_for_reload():
            await asyncio.to_thread(_reload, running.reloader)
        _log.info("stopping")
    return 0


class _Signals:
    """What the process was told from outside and has not done yet."""

    def __init__(self) -> None:
        self._stop = False
        self._told = asyncio.Event()

    def stop(self, hurry: asyncio.Event) -> None:
        """End; a second time is impatience: no more waiting for requests, but they are still settled."""
        if self._stop:
            hurry.set()
        self._stop = True
        self._told.set()

    def reload(self) -> None:
        """Reload; several before it is begun are one."""
        self._told.set()

    async def asks_for_reload(self) -> bool:
        """Wait until there is something to do; true for a reload, false for the end."""
        await self._told.wait()
        self._told.clear()
        return not self._stop


def _reload(reloader: Reloader) -> None:
    # What went wrong is in the log and in GET /admin/v1/configuration; nobody waits for an answer to a signal.
    with contextlib.suppress(Exception):
        reloader.reload(FILE_ACTOR)


@asynccontextmanager
async def open_gateway(
    settings: Settings,
    environ: Mapping[str, str] = os.environ,
    *,
    hurry: asyncio.Event | None = None,
    source: Source | None = None,
) -> AsyncGenerator[Running]:
    """Open everything, yield once the gateway answers, drain and close on the way out; ``hurry`` cuts the drain short.

    ``source`` is where a reload reads the settings again; without one they stay as they are.

    Raises:
        StorageError: the database cannot be opened.
        InvalidProvidersError: settings of providers cannot work.
        OSError: an address cannot be listened on.
    """
    async with AsyncExitStack() as stack:
        database = _open_or_migrate(settings.storage.database)
        stack.callback(database.close)
        meter = Meter()
        assembly = Assembly(settings, environ, meter)
        stack.push_async_callback(assembly.aclose)
        snapshots = _first_snapshot(database, assembly)
        # Before anything is made that is shown only once: a start that cannot listen must leave nothing behind.
        tls = _server_tls(settings.server)
        sockets = [stack.enter_context(bind(address)) for address in _addresses(settings.server)]
        ledger, records = _open_ledger(settings, database, stack)
        desk = LedgerDesk(ledger, _ledger_file(settings), asyncio.get_running_loop())
        plane = _plane(settings, database, snapshots, desk)
        provision(plane, settings.organizations)
        source = source or unread(settings)
        reloader = Reloader(plane, snapshots, functools.partial(assembly.candidate, source), source.file)
        first_key = None if settings.organizations else make_first_key(plane)
        token, token_source = _admin_token(settings)
        refused_keys, violations = _open_auditors(plane, stack)
        draw = secrets.SystemRandom().random
        load, pacer = _open_load(settings.server, stack)
        gateway = Gateway(
            snapshots=snapshots,
            records=records,
            note_refused_key=refused_keys.note,
            note_residency_violation=violations.note,
            load=load,
            pacer=pacer,
            admission=AdmissionControl(
                ledger,
                budget_wait_s=settings.ledger.budget_wait,
                secret=os.urandom(32),
                keep=records.append,
                tell=records.append_event,
                clock_ms=plane.clock_ms,
            ),
            idempotency=IdempotencyStore(time.perf_counter),
            health=HealthBook(draw=draw),
            clock=time.perf_counter,
            clock_ms=plane.clock_ms,
            draw=draw,
            cache=_open_cache(settings, plane, stack),
        )
        draining = Draining()
        listeners = await _listen(
            settings.server,
            sockets,
            tls,
            gateway,
            plane,
            reloader=reloader,
            meter=meter,
            token=token,
            draining=draining,
        )
        stack.push_async_callback(_drain, listeners, draining, settings.server.drain, hurry or asyncio.Event())
        yield _running(listeners, assembly, reloader, token_source, first_key)


def _running(
    listeners: Sequence[Listener], assembly: Assembly, reloader: Reloader, token_source: str, first_key: FirstKey | None
) -> Running:
    return Running(
        url=listeners[0].url,
        admin_url=listeners[-1].url,
        admin_token_source=token_source,
        first_key=first_key,
        providers_on=tuple(assembly.current.configured.providers),
        providers_off=tuple(f"{name}: {reason}" for name, reason in assembly.current.off.items()),
        reloader=reloader,
    )


def _open_or_migrate(url: str) -> Database:
    """Open the database; only where its tables are missing or old is Alembic imported and run."""
    try:
        return open_database(url)
    except SchemaError:
        importlib.import_module("headgate.storage.migrate").migrate(url)
        return open_database(url)


def _first_snapshot(database: Database, assembly: Assembly) -> SnapshotSource:
    return SnapshotSource(
        Snapshot(
            revision=1,
            keys=load_directory(database),
            limits=load_limits(database),
            **asdict(assembly.current.configured),
        )
    )


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


def _open_auditors(plane: Plane, stack: AsyncExitStack) -> tuple[RefusedKeys, ResidencyViolations]:
    """Start what tells organizations' audit logs of requests that were turned away."""
    refused_keys, violations = RefusedKeys(plane), ResidencyViolations(plane)
    for auditor in (refused_keys, violations):
        auditor.start()
        stack.callback(auditor.close)
    return refused_keys, violations


def _open_load(server: ServerSettings, stack: AsyncExitStack) -> tuple[LoadGate, Pacer]:
    """Return what bounds the requests in flight and what has streams take turns; a timer tells both how late it is."""
    loop = asyncio.get_running_loop()
    pacer = Pacer(loop, time.perf_counter)
    load = LoadGate(server.max_in_flight, shed_at_lag_s=server.shed_at_lag)
    probe = LagProbe(loop, load, pacer, time.perf_counter)
    probe.start()
    stack.callback(pacer.close)
    stack.callback(probe.close)
    return load, pacer


def _open_cache(settings: Settings, plane: Plane, stack: AsyncExitStack) -> ResponseCache | None:
    """Open the answers that may be given again, where the configuration keeps any."""
    if settings.cache is None:
        return None
    file = None
    if settings.cache.disk:
        file = open_cache_file(
            Path(settings.data_dir) / CACHE_FILE, most_bytes=settings.cache.disk, clock_ms=plane.clock_ms
        )
    exact = ExactCache(file, most_bytes=settings.cache.memory, clock=time.perf_counter, clock_ms=plane.clock_ms)
    stack.callback(exact.close)
    return ResponseCache(exact, Flights(), Questions(), marker=secrets.token_hex(16))


def _clock_ms() -> int:
    return time.time_ns() // 1_000_000


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
    reloader: Reloader,
    meter: Meter,
    token: str,
    draining: Draining,
) -> list[Listener]:
    """Open a listener on each socket; where there are two, the second one is for administration alone."""
    digest = hash_secret(token)
    cache = None if gateway.cache is None else CacheDesk(gateway.cache.exact, asyncio.get_running_loop())
    build = functools.partial(
        *(_build_admin, plane, gateway.snapshots, digest, reloader), healths=_healths_of(gateway), cache=cache
    )
    admin = trusting(LazyAdmin(build), parse_networks(server.trusted_proxies))

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


async def _drain(listeners: Sequence[Listener], draining: Draining, drain_s: float, hurry: asyncio.Event) -> None:
    draining.on = True
    async with asyncio.TaskGroup() as group:
        for listener in listeners:
            group.create_task(listener.drain(drain_s, hurry))


def _server_tls(server: ServerSettings) -> ssl.SSLContext | None:
    if server.tls is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(server.tls.cert, server.tls.key)
    return context


class LazyAdmin:
    """The admin API, imported when it is first asked for: the data plane starts without waiting for it."""

    def __init__(self, build: Callable[[], AsgiApp]) -> None:
        """Keep what builds it."""
        self._build = build
        self._lock = asyncio.Lock()
        self._app: AsgiApp | None = None

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
        if self._app is None:
            async with self._lock:
                if self._app is None:
                    self._app = await asyncio.to_thread(self._build)
        await self._app(scope, receive, send)


def _build_admin(
    plane: Plane,
    snapshots: SnapshotSource,
    token_digest: bytes,
    reloader: Reloader,
    *,
    healths: Healths,
    cache: CacheDesk | None,
) -> AsgiApp:
    module = importlib.import_module("headgate.admin.app")
    return module.create_admin_app(plane, snapshots, token_digest, reloader, healths=healths, cache=cache)


def _healths_of(gateway: Gateway) -> Healths:
    """Return how other threads ask how deployments fare: the book belongs to the event loop."""
    loop = asyncio.get_running_loop()

    async def look(deployments: Sequence[Deployment]) -> tuple[HealthView, ...]:
        return gateway.health.views(deployments, gateway.clock())

    return lambda deployments: asyncio.run_coroutine_threadsafe(look(deployments), loop).result(_LOOK_S)
