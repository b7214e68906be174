"""Tests of headgate.cache.exact."""

import asyncio
import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from headgate.cache.exact import PAUSE_S, ExactCache
from headgate.cache.file import open_cache_file
from tests.cache.entries import HOUR_MS, NOW_MS, entry_of

MIB = 1024 * 1024


class Clock:
    def __init__(self) -> None:
        self.now = 100.0
        self.now_ms = NOW_MS

    def __call__(self) -> float:
        return self.now

    def ms(self) -> int:
        return self.now_ms


@pytest.fixture
def clock() -> Clock:
    return Clock()


def cache_at(path: Path | None, clock: Clock, most_bytes: int = MIB, load_budget_s: float = 5.0) -> ExactCache:
    file = None
    if path is not None:
        file = open_cache_file(path / "cache.db", most_bytes=64 * MIB, clock_ms=clock.ms)
        assert file is not None
    return ExactCache(file, most_bytes=most_bytes, clock=clock, clock_ms=clock.ms, load_budget_s=load_budget_s)


def key(name: str) -> bytes:
    return entry_of(name).key


async def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline, "it never comes"
        await asyncio.sleep(0.01)


async def test_what_was_kept_is_found_in_memory_and_after_a_restart_on_the_disk(tmp_path: Path, clock: Clock) -> None:
    cache = cache_at(tmp_path, clock)
    secret = cache.secret_of("org_1")
    assert cache.secret_of("org_1") == secret != cache.secret_of("org_2")
    cache.keep(entry_of("a"))
    found = cache.find(key("a"), NOW_MS)
    assert found is not None
    assert found.entry == entry_of("a")
    cache.close()
    cache = cache_at(tmp_path, clock)
    assert cache.secret_of("org_1") == secret
    assert cache.find(key("a"), NOW_MS) is None
    await until(lambda: cache.is_on_disk(key("a")))
    assert not cache.is_on_disk(key("b"))
    loaded = await cache.load(key("a"), NOW_MS)
    assert loaded is cache.find(key("a"), NOW_MS) is not None
    assert await cache.load(key("b"), NOW_MS) is None
    assert (cache.stats().entries_in_memory, cache.stats().entries_on_disk) == (1, 1)
    cache.close()


@pytest.mark.parametrize("on_disk", [False, True])
async def test_what_is_too_stale_is_gone_and_what_is_stale_is_for_the_caller_to_judge(
    tmp_path: Path, clock: Clock, on_disk: bool
) -> None:
    cache = cache_at(tmp_path if on_disk else None, clock)
    cache.keep(entry_of("a"))
    stale = cache.find(key("a"), NOW_MS + 2 * HOUR_MS)
    assert stale is not None
    assert stale.left_ms(NOW_MS + 2 * HOUR_MS, clock()) < 0
    assert cache.find(key("a"), NOW_MS + 24 * HOUR_MS) is None
    if on_disk:
        assert await cache.load(key("a"), NOW_MS + 24 * HOUR_MS) is None
    cache.close()


@pytest.mark.parametrize("label", ["org_1", "org_1 model a", "org_1 entry a1"])
async def test_a_purge_holds_at_once_for_what_was_kept_before_it_and_after_a_restart(
    tmp_path: Path, clock: Clock, label: str
) -> None:
    cache = cache_at(tmp_path, clock)
    cache.keep(entry_of("a1"))
    cache.keep(entry_of("other", labels=("org_2",)))
    cache.purge(label)
    assert cache.find(key("a1"), NOW_MS) is None
    assert cache.find(key("other"), NOW_MS) is not None
    cache.close()
    cache = cache_at(tmp_path, clock)
    assert await cache.load(key("a1"), NOW_MS) is None
    assert await cache.load(key("other"), NOW_MS) is not None
    cache.keep(entry_of("a1"))
    assert cache.find(key("a1"), NOW_MS) is not None
    cache.close()
    cache = cache_at(tmp_path, clock)
    assert await cache.load(key("a1"), NOW_MS) is not None
    cache.close()


@pytest.mark.parametrize("on_disk", [False, True])
async def test_what_a_purge_would_forget_can_be_counted(tmp_path: Path, clock: Clock, on_disk: bool) -> None:
    cache = cache_at(tmp_path if on_disk else None, clock)
    for name in ("a1", "a2", "b1"):
        cache.keep(entry_of(name))
    if on_disk:
        cache.close()
        cache = cache_at(tmp_path, clock)
    counts = [await cache.count(label) for label in ("org_1", "org_1 model a", "org_2")]
    assert counts == [3, 2, 0]
    cache.purge("org_1 model a")
    assert await cache.count("org_1 model a") == 0
    cache.close()


async def test_what_is_purged_while_it_is_asked_for_is_not_kept(clock: Clock) -> None:
    cache = cache_at(None, clock)
    before = cache.moment
    cache.purge("org_1")
    cache.keep(entry_of("a"), before)
    assert cache.find(key("a"), NOW_MS) is None
    cache.keep(entry_of("a"), cache.moment)
    assert cache.find(key("a"), NOW_MS) is not None


async def test_a_purge_that_the_disk_refuses_is_carried_out_when_it_can_be(tmp_path: Path, clock: Clock) -> None:
    cache = cache_at(tmp_path, clock)
    cache.keep(entry_of("a1"))
    assert await cache.count("org_1") == 1
    with contextlib.closing(sqlite3.connect(tmp_path / "cache.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")  # As another process that holds the file.
        cache.purge("org_1 model a")
        await until(lambda: cache.stats().errors > 0)
        other.execute("ROLLBACK")
    cache.keep(entry_of("b1"))
    cache.close()
    cache = cache_at(tmp_path, clock)
    assert await cache.load(key("a1"), NOW_MS) is None
    assert await cache.load(key("b1"), NOW_MS) is not None
    cache.close()


async def test_a_label_that_no_row_can_hold_hinders_nobody(tmp_path: Path, clock: Clock) -> None:
    cache = cache_at(tmp_path, clock)
    cache.purge("org_1 tag \ud800")
    cache.keep(entry_of("a", labels=("org_1", "org_1 tag \ud800x")))
    await until(lambda: cache.stats().errors > 0 or cache.stats().entries_on_disk > 0)
    cache.keep(entry_of("b"))
    assert await cache.count("org_1") >= 1
    cache.close()


async def test_a_disk_that_is_slow_is_a_miss_and_left_alone_for_a_while(tmp_path: Path, clock: Clock) -> None:
    cache = cache_at(tmp_path, clock, load_budget_s=0.05)
    cache.keep(entry_of("a"))
    go_on = threading.Event()
    assert cache._reading is not None
    cache._reading.submit(go_on.wait, 10)
    try:
        assert await cache.load(key("a"), NOW_MS) is None
        assert cache.stats().timeouts == 1
        assert not cache.is_on_disk(key("a"))
    finally:
        go_on.set()
    clock.now += PAUSE_S
    assert cache.is_on_disk(key("a"))
    await until(lambda: cache.stats().bytes_on_disk > 0)
    cache.close()


async def test_what_does_not_fit_in_memory_is_on_the_disk(tmp_path: Path, clock: Clock) -> None:
    cache = cache_at(tmp_path, clock, most_bytes=20 * 1024)
    for number in range(100):
        cache.keep(entry_of(f"n{number}"))
    assert cache.stats().entries_in_memory < 20
    assert cache.stats().evictions_from_memory > 80
    await until(lambda: cache.stats().entries_on_disk == 100)
    cache.close()
    cache = cache_at(tmp_path, clock)
    assert all([await cache.load(key(f"n{number}"), NOW_MS) is not None for number in range(100)])
    cache.close()
