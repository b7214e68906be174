"""Measure the key directory at a million keys: load, memory, look-ups, writes. `python bench/keys.py [--keys N]`.

The keys are rows of a real SQLite file in a temporary directory; the directory is read from it as at a start.
"""

import argparse
import gc
import hashlib
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from sqlalchemy import insert

from headgate.control.publish import load_directory
from headgate.domain.access import ScopeKind
from headgate.identity.directory import KeyDirectory, KeyEntry, ScopeEntry
from headgate.storage.engine import Database, open_database
from headgate.storage.migrate import migrate
from headgate.storage.tables import scopes, virtual_keys

ORGANIZATIONS = 100
TEAMS = 10
BATCH = 20_000
ROUNDS = 5


def digest_of(number: int) -> bytes:
    return hashlib.sha256(b"key %d" % number).digest()


def team_of(number: int) -> tuple[str, str]:
    organization = number % ORGANIZATIONS
    return f"org_{organization:026d}", f"team_{organization * TEAMS + number // ORGANIZATIONS % TEAMS:026d}"


def scope_row(scope_id: str, kind: ScopeKind, parent_id: str | None, organization_id: str) -> dict[str, object]:
    return {
        "id": scope_id,
        "kind": kind,
        "parent_id": parent_id,
        "organization_id": organization_id,
        "slug": scope_id[-12:],
        "name": scope_id,
        "time_zone": None,
        "blocked": False,
        "managed_by": "api",
        "created_at_ms": 0,
        "updated_at_ms": 0,
        "version": 1,
    }


def key_row(number: int) -> dict[str, object]:
    organization_id, team_id = team_of(number)
    digest = digest_of(number)
    return {
        "id": f"key_{number:026d}",
        "scope_id": team_id,
        "organization_id": organization_id,
        "name": f"service-{number:07d}",
        "digest": digest,
        "hint": digest.hex()[:4],
        "models": '["gpt-4o*","claude-*"]' if number % 3 else '["*"]',
        "sandbox": False,
        "tags": f'{{"cost-center":"{number % 500}"}}' if number % 2 else "{}",
        "blocked": False,
        "managed_by": "api",
        "created_at_ms": 0,
        "updated_at_ms": 0,
        "version": 1,
    }


def fill(database: Database, keys: int) -> None:
    with database.write() as connection:
        rows = [
            scope_row(f"org_{number:026d}", ScopeKind.ORGANIZATION, None, f"org_{number:026d}")
            for number in range(ORGANIZATIONS)
        ]
        connection.execute(insert(scopes), rows)
        rows = [
            scope_row(
                f"team_{number:026d}", ScopeKind.TEAM, f"org_{number // TEAMS:026d}", f"org_{number // TEAMS:026d}"
            )
            for number in range(ORGANIZATIONS * TEAMS)
        ]
        connection.execute(insert(scopes), rows)
    for first in range(0, keys, BATCH):
        with database.write() as connection:
            batch = [key_row(number) for number in range(first, min(first + BATCH, keys))]
            connection.execute(insert(virtual_keys), batch)


def resident_bytes() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def lookup_ns(directory: KeyDirectory, digests: Sequence[bytes]) -> float:
    lookup = directory.lookup
    began = time.perf_counter_ns()
    for digest in digests:
        lookup(digest)
    return (time.perf_counter_ns() - began) / len(digests)


def median_of(measure: Callable[[], float]) -> tuple[float, float, float]:
    found = [measure() for _ in range(ROUNDS)]
    return statistics.median(found), min(found), max(found)


def show(name: str, figures: tuple[float, float, float], unit: str) -> None:
    median, least, most = figures
    print(f"{name:<34} {median:>12,.1f} {unit:<6} ({least:,.1f} – {most:,.1f})")


def forgetful(directory: KeyDirectory) -> KeyDirectory:
    """The same directory without the keys it has unpacked."""
    return directory.without_scope("nobody").with_scope(ScopeEntry("org_extra", ScopeKind.ORGANIZATION, "extra"))


def measure(database: Database, keys: int) -> None:
    before = resident_bytes()
    began, cpu_began = time.perf_counter(), time.process_time()
    directory = load_directory(database)
    loaded_s, cpu_s = time.perf_counter() - began, time.process_time() - cpu_began
    held = resident_bytes() - before
    assert len(directory) == keys
    print(f"{'load from SQLite':<34} {loaded_s:>12.2f} s      (CPU {cpu_s:.2f} s)")
    print(f"{'base':<34} {directory.nbytes / keys:>12.1f} bytes per key")
    print(f"{'resident memory gained':<34} {held / keys:>12.1f} bytes per key ({held / 2**20:.0f} MiB)")

    step = max(1, keys // 10_000)
    spread = [digest_of(number) for number in range(0, keys, step)][:10_000]
    few = spread[:100] * 100
    unknown = [hashlib.sha256(b"no %d" % number).digest() for number in range(10_000)]
    lookup_ns(directory, few)
    show("look-up, hot (100 keys)", median_of(lambda: lookup_ns(directory, few)), "ns")
    show("look-up, cold (10,000 keys)", median_of(lambda: lookup_ns(forgetful(directory), spread)), "ns")
    show("look-up, miss", median_of(lambda: lookup_ns(directory, unknown)), "ns")

    entry = KeyEntry("key_new", "new", team_of(0)[1], ("*",))
    scope = ScopeEntry(team_of(0)[1], ScopeKind.TEAM, "team", team_of(0)[0], blocked=True)

    def write_us(change: Callable[[KeyDirectory, bytes], KeyDirectory]) -> float:
        current = directory
        began = time.perf_counter_ns()
        for digest in unknown:
            current = change(current, digest)
        return (time.perf_counter_ns() - began) / len(unknown) / 1000

    show("add a key", median_of(lambda: write_us(lambda current, digest: current.with_key(digest, entry))), "µs")
    revoked = iter(spread * ROUNDS)
    show("revoke a key", median_of(lambda: write_us(lambda current, _: current.without(next(revoked)))), "µs")
    show("block a team of its keys", median_of(lambda: write_us(lambda current, _: current.with_scope(scope))), "µs")

    changed = directory
    for number, digest in enumerate(unknown):
        changed = changed.with_key(digest, entry).without(spread[number % len(spread)])
    began = time.perf_counter()
    compacted = changed.compacted()
    print(f"{'compact (20,000 changes)':<34} {time.perf_counter() - began:>12.2f} s, off the hot path")
    assert len(compacted) == len(changed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=int, default=1_000_000)
    keys = parser.parse_args().keys
    with tempfile.TemporaryDirectory(prefix="headgate-keys-") as place:
        url = f"sqlite:///{place}/headgate.db"
        migrate(url)
        database = open_database(url)
        try:
            began = time.perf_counter()
            fill(database, keys)
            size = database.path.stat().st_size
            print(
                f"{keys:,} keys in {time.perf_counter() - began:.0f} s, file {size / 2**20:.0f} MiB; median of {ROUNDS}"
            )
            measure(database, keys)
        finally:
            database.close()


if __name__ == "__main__":
    main()
