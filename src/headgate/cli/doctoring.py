"""``headgate doctor``: what would keep a gateway on this machine from running well. Asks nobody over the network."""

import os
import platform
import re
import resource
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Final

from msgspec import Struct

from headgate.cli.configuration import load
from headgate.cli.failure import CommandError
from headgate.cli.output import print_json, print_table
from headgate.settings.load import Loaded
from headgate.settings.model import LedgerSettings, Settings

SQLITE_FIXED: Final = (3, 51, 3)
"""The first version without the WAL-reset race (sqlite.org/wal.html#walresetbug)."""
SQLITE_BACKPORTS: Final = ((3, 44, 6), (3, 50, 7))
"""Earlier lines that got the mend."""
SLOW_FSYNC_MS: Final = 10.0
"""A request under a budget waits for one such sync before it is sent."""
FSYNCS: Final = 50
EPHEMERAL: Final = ("tmpfs", "ramfs", "overlay", "aufs")
"""File systems that end with the machine or the container (mount(8); the storage drivers of containers)."""
_MOUNTS: Final = Path("/proc/mounts")
_OCTAL: Final = re.compile(r"\\([0-7]{3})")
MIN_OPEN_FILES: Final = 4096
_BUILT: Final = 1_790_000_000.0
"""A moment (2026-09) before this version was made: a clock that shows an earlier one is wrong."""


class Verdict(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


class Finding(Struct, frozen=True):
    """One check."""

    check: str
    verdict: Verdict
    detail: str


def doctor(config: Path | None, *, as_json: bool) -> int:
    """Run every check and print the findings; return 1 where one failed."""
    findings = list(examine(config))
    if as_json:
        print_json({"data": findings})
    else:
        rows = [{"verdict": item.verdict, "check": item.check, "detail": item.detail} for item in findings]
        print_table(rows, {"verdict": "verdict", "check": "check", "detail": "finding"}, empty="")
    return 1 if any(item.verdict is Verdict.FAILED for item in findings) else 0


def examine(config: Path | None) -> Iterator[Finding]:
    """Yield a finding a check; those that need a configuration are left out where it cannot be read."""
    yield check_python(sys.version_info[:3])
    yield check_sqlite(sqlite3.sqlite_version_info)
    yield check_clock(time.time())
    yield check_open_files(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    try:
        loaded = load(config)
    except CommandError as error:
        yield Finding("configuration", Verdict.FAILED, str(error))
        return
    yield Finding("configuration", Verdict.OK, f"{loaded.source} can be used")
    yield from check_providers(loaded)
    yield check_models(loaded.settings)
    yield check_database(loaded.settings)
    directory = _existing(Path(loaded.settings.data_dir))
    yield check_volume(directory, _MOUNTS)
    yield check_fsync(directory, time.perf_counter, loaded.settings.ledger)


def check_python(version: tuple[int, ...]) -> Finding:
    """The interpreter's version."""
    shown = f"{platform.python_implementation()} {'.'.join(map(str, version))}"
    verdict = Verdict.OK if version >= (3, 11) else Verdict.FAILED
    return Finding("python", verdict, shown if verdict is Verdict.OK else f"{shown}; 3.11 or later is needed")


def check_sqlite(version: tuple[int, ...]) -> Finding:
    """SQLite's version; an old one is only a warning."""
    shown = ".".join(map(str, version))
    if version >= SQLITE_FIXED or any(version[:2] == fixed[:2] and version >= fixed for fixed in SQLITE_BACKPORTS):
        return Finding("sqlite", Verdict.OK, shown)
    words = (
        f"{shown} has the WAL-reset race that {'.'.join(map(str, SQLITE_FIXED))} mends. It needs two connections that "
        "write or checkpoint at once; Headgate has one writer, which alone checkpoints, so it is safe. Do not open the "
        "database for writing with another program while the gateway runs."
    )
    return Finding("sqlite", Verdict.WARNING, words)


def check_clock(now: float) -> Finding:
    """The wall clock (seconds since the epoch): expiry, budgets and records go by it."""
    shown = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now))
    if now < _BUILT:
        return Finding("clock", Verdict.FAILED, f"{shown} lies before this version was made; set the clock")
    return Finding("clock", Verdict.OK, shown)


def check_open_files(limit: int) -> Finding:
    """How many files and sockets the process may have open; a request takes two."""
    if limit == resource.RLIM_INFINITY:
        return Finding("open files", Verdict.OK, "no limit")
    if limit < MIN_OPEN_FILES:
        words = f"{limit}: about {limit // 2} requests at once; raise it with `ulimit -n 65536`"
        return Finding("open files", Verdict.WARNING, words)
    return Finding("open files", Verdict.OK, f"{limit}")


def check_providers(loaded: Loaded) -> Iterator[Finding]:
    """Whether each configured provider can be built and has its credential."""
    from headgate.cli.checking import judge_provider
    from headgate.providers.build import is_switched_off

    for provider in loaded.settings.providers:
        name = f"provider {provider.name}"
        problem = judge_provider(provider, loaded)
        if problem is not None:
            yield Finding(name, Verdict.FAILED, str(problem))
        elif is_switched_off(provider):
            yield Finding(name, Verdict.WARNING, "off: its credential is empty")
        else:
            words = "its credential is present" if provider.credential else "needs no credential"
            if provider.credentials:
                words = f"its credentials are present: {', '.join(each.name for each in provider.credentials)}"
            yield Finding(name, Verdict.OK, words)


def check_models(settings: Settings) -> Finding:
    """Whether every alias leads somewhere, and how many have more than one place that could answer."""
    from headgate.providers.build import InvalidProviderError, is_switched_off

    off: set[str] = set()
    for provider in settings.providers:
        with suppress(InvalidProviderError):  # which the check of that provider tells
            if is_switched_off(provider):
                off.add(provider.name)
    dead = [
        model.alias
        for model in settings.models
        if model.deployments and all(each.provider in off for each in model.deployments)
    ]
    if dead:
        words = f"answered 404, because their providers are off: {', '.join(dead)}"
        return Finding("models", Verdict.WARNING, words)
    rich = {provider.name for provider in settings.providers if len(provider.credentials) > 1}
    several = sum(
        len(model.deployments) > 1
        or bool(model.fallbacks.error)
        or any(each.provider in rich for each in model.deployments)
        for model in settings.models
    )
    return Finding("models", Verdict.OK, f"{several} of {len(settings.models)} aliases can fail over")


def check_database(settings: Settings) -> Finding:
    """Whether the database, looked through in full, is sound and of this version. Its rows are never changed here."""
    from headgate.storage.engine import Check, SchemaError, StorageError, database_path, open_database
    from headgate.storage.lock import DatabaseLockedError

    try:
        path = database_path(settings.storage.database)
    except StorageError as error:
        return Finding("database", Verdict.FAILED, str(error))
    try:
        if not path.exists():
            return Finding("database", Verdict.OK, f"{path} does not exist yet; the first start makes it")
        open_database(settings.storage.database, Check.FULL).close()
    except DatabaseLockedError:
        return Finding("database", Verdict.OK, f"{path} is in use by a running gateway, so it was not examined")
    except SchemaError as error:
        return Finding("database", Verdict.WARNING, str(error))
    except (StorageError, OSError) as error:
        return Finding("database", Verdict.FAILED, str(error))
    return Finding("database", Verdict.OK, f"{path} is sound")


def check_volume(directory: Path, mounts: Path) -> Finding:
    """Whether what is written to the data directory outlives this machine's or container's next start."""
    directory = _existing(directory).resolve()
    try:
        lines = mounts.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return Finding("volume", Verdict.OK, f"this system does not say on what {directory} lies")
    kind = _file_system(directory, lines)
    if kind in EPHEMERAL:
        words = (
            f"{directory} lies on {kind}, which does not outlive a restart of "
            f"{'the container' if kind in ('overlay', 'aufs') else 'the machine'}: keys, records and what budgets have "
            "spent would be lost; mount a volume there"
        )
        return Finding("volume", Verdict.WARNING, words)
    return Finding("volume", Verdict.OK, f"{directory} lies on {kind}")


def check_fsync(directory: Path, clock: Callable[[], float], ledger: LedgerSettings) -> Finding:
    """How long the disk of the data directory takes to make a small write durable: the p50 and p99 of `FSYNCS`."""
    existing = _existing(directory)
    times: list[float] = []
    try:
        handle, name = tempfile.mkstemp(dir=existing, prefix=".headgate-doctor-")
        try:
            for _ in range(FSYNCS):
                os.write(handle, b"x" * 4096)
                started = clock()
                os.fsync(handle)
                times.append((clock() - started) * 1000)
        finally:
            os.close(handle)
            with suppress(FileNotFoundError):
                os.unlink(name)
    except OSError as error:
        return Finding("disk", Verdict.FAILED, f"{existing} cannot be written: {error.strerror}")
    times.sort()
    median, p99 = statistics.median(times), times[-(-len(times) * 99 // 100) - 1]
    words = f"an fsync in {existing} takes {median:.2f} ms (p50), {p99:.2f} ms (p99) of {FSYNCS}"
    slow: list[str] = []
    if ledger.durability == "fsync" and p99 > ledger.commit_timeout * 1000:
        slow.append("the slowest take longer than ledger.commit_timeout, so requests under a budget would get 503")
    if median > SLOW_FSYNC_MS:
        waiting = "requests under a budget wait for it (ledger.durability: os does not), and "
        slow.append(f"{waiting if ledger.durability == 'fsync' else ''}management changes and records are slow")
    return Finding("disk", Verdict.WARNING if slow else Verdict.OK, "; ".join((words, *slow)))


def _existing(directory: Path) -> Path:
    """Return ``directory``, or where it is not there yet the nearest above it that is."""
    directory = directory.absolute()
    return next(place for place in (directory, *directory.parents) if place.is_dir())


def _file_system(directory: Path, mounts: list[str]) -> str:
    """Return the type of the file system that ``directory`` lies on: the last mount of the longest path wins."""
    found, kind = Path(), "an unknown file system"
    for line in mounts:
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        # Blanks and backslashes stand as octal numbers (fstab(5)).
        place = Path(_OCTAL.sub(lambda match: chr(int(match[1], 8)), fields[1]))
        if directory.is_relative_to(place) and len(place.parts) >= len(found.parts):
            found, kind = place, fields[2]
    return kind
