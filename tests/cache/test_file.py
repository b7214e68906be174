"""Tests of headgate.cache.file, on real files."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from headgate.cache.file import CacheFile, Drop, Keep, Purge, Put, open_cache_file
from tests.cache.entries import NOW_MS, entry_of

MIB = 1024 * 1024


def file_at(path: Path, most_bytes: int = 64 * MIB, now_ms: int = NOW_MS) -> CacheFile:
    found = open_cache_file(path / "cache.db", most_bytes=most_bytes, clock_ms=lambda: now_ms)
    assert found is not None
    return found


def written(path: Path, *writes: object, most_bytes: int = 64 * MIB, now_ms: int = NOW_MS) -> list[bytes]:
    """Write to a file and close it; return the beginnings of keys that went."""
    gone: list[bytes] = []
    file = file_at(path, most_bytes, now_ms)
    file.start(lambda keys: gone.extend(keys or ()))
    for write in writes:
        assert file.put(write)  # type: ignore[arg-type]
    file.close()
    return gone


def key(name: str) -> bytes:
    return entry_of(name).key


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline, "it never comes"
        time.sleep(0.01)


@pytest.mark.parametrize("payload", [b"", b"short", b"long" * 5000, bytes(range(256)) * 64])
def test_what_is_written_is_read_after_a_restart(tmp_path: Path, payload: bytes) -> None:
    entry = entry_of("a", payload=payload)
    written(tmp_path, Put(entry, 7), Keep("org_1", b"s" * 32), Purge("org_1 model z", 5))
    file = file_at(tmp_path)
    assert file.read(entry.key) == (entry, 7)
    assert file.read(key("b")) is None
    assert file.keys() == {entry.key[:16]}
    assert file.contents == ({"org_1": b"s" * 32}, {"org_1 model z": 5}, 7)
    assert (tmp_path / "cache.db").stat().st_mode & 0o777 == 0o600
    file.close()


def test_a_newer_answer_takes_the_older_ones_place_and_a_first_secret_stays(tmp_path: Path) -> None:
    written(
        tmp_path,
        Put(entry_of("a"), 1),
        Keep("o", b"1" * 32),
        Put(entry_of("a", payload=b"new"), 2),
        Keep("o", b"2" * 32),
    )
    file = file_at(tmp_path)
    found = file.read(key("a"))
    assert found is not None
    assert (found[0].payload, found[1], file.contents.secrets) == (b"new", 2, {"o": b"1" * 32})
    file.close()


def test_what_is_dropped_or_purged_is_gone_and_said_to_be(tmp_path: Path) -> None:
    many = [Put(entry_of(f"m{number}"), number) for number in range(1200)]
    gone = written(tmp_path, Put(entry_of("a"), 1), *many, Drop(key("a")), Purge("org_1 model m", 1000))
    assert set(gone) == {key("a")[:16], *(key(f"m{number}")[:16] for number in range(1001))}
    file = file_at(tmp_path)
    file.start(lambda _: None)
    assert file.read(key("m1000")) is None
    assert file.read(key("m1001")) is not None
    assert (file.count("org_1", -1), file.count("org_1 model m", 1100), file.count("org_2", -1)) == (199, 99, 0)
    file.close()


def test_a_file_that_is_too_large_loses_what_is_past_its_time_and_then_the_oldest(tmp_path: Path) -> None:
    dead = [Put(entry_of(f"d{n}", payload=os.urandom(4000), stale_until_ms=NOW_MS - 1), 100 + n) for n in range(50)]
    live = [Put(entry_of(f"l{n}", payload=os.urandom(4000)), n) for n in range(100)]
    gone = written(tmp_path, *live, *dead, most_bytes=500_000)
    assert {each.entry.key[:16] for each in dead} <= set(gone)
    gone += written(tmp_path, Put(entry_of("one more", payload=os.urandom(100_000)), 999), most_bytes=400_000)
    file = file_at(tmp_path)
    assert file.size <= 450_000
    assert file.read(key("one more")) is not None
    assert file.read(key("l0")) is None
    file.close()


def test_a_row_that_is_not_what_was_written_is_no_answer_and_goes(tmp_path: Path) -> None:
    written(tmp_path, Put(entry_of("a"), 1), Put(entry_of("b"), 2), Put(entry_of("c"), 3))
    changes = ("payload = x'00'", "expires_at_ms = expires_at_ms + 1", "labels = '[]'")
    with sqlite3.connect(tmp_path / "cache.db") as connection:
        for name, change in zip("abc", changes, strict=True):
            connection.execute(f"UPDATE entry SET {change} WHERE key = ?", (key(name),))
    connection.close()
    file = file_at(tmp_path)
    file.start(lambda _: None)
    assert [file.read(key(name)) for name in "abc"] == [None] * 3
    assert file.corrupt == 3
    until(lambda: not file.keys())
    file.close()


@pytest.mark.parametrize("at", [0.0, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("how", ["cut", "garbled"])
def test_a_damaged_file_starts_and_gives_nothing_wrong(tmp_path: Path, at: float, how: str) -> None:
    names = [f"n{number}" for number in range(200)]
    written(tmp_path, *[Put(entry_of(name, payload=name.encode() * 300), at_) for at_, name in enumerate(names)])
    path = tmp_path / "cache.db"
    data = bytearray(path.read_bytes())
    place = int(len(data) * at)
    if how == "cut":
        del data[place:]
    else:
        data[place : place + 4096] = bytes(number * 97 % 251 for number in range(4096))
    path.write_bytes(data)
    file = file_at(tmp_path)
    file.start(lambda _: None)
    for name in names:
        try:
            found = file.read(key(name))
        except sqlite3.Error:
            continue
        assert found is None or found[0] == entry_of(name, payload=name.encode() * 300)
    # It heals: what is kept from now on is there.
    for number in range(1000, 1003):
        file.put(Put(entry_of("after"), number))
        time.sleep(0.1)

    def is_there() -> bool:
        file.put(Put(entry_of("after"), 2000))
        try:
            return file.read(key("after")) is not None
        except sqlite3.Error:
            return False

    until(is_there)
    file.close()


def test_a_file_of_another_version_is_set_aside(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "cache.db") as connection:
        connection.execute("PRAGMA user_version = 99")
        connection.execute("CREATE TABLE other (a)")
    connection.close()
    file = file_at(tmp_path)
    assert file.keys() == set()
    assert (tmp_path / "cache.db.unreadable").exists()
    file.close()


def test_where_there_can_be_no_file_there_is_none(tmp_path: Path) -> None:
    (tmp_path / "cache.db").mkdir()
    assert open_cache_file(tmp_path / "cache.db", most_bytes=MIB, clock_ms=lambda: NOW_MS) is None
    assert open_cache_file(tmp_path / "missing" / "cache.db", most_bytes=MIB, clock_ms=lambda: NOW_MS) is None


def test_a_full_disk_drops_answers_and_heals(tmp_path: Path) -> None:
    file = file_at(tmp_path)
    pages = file._writer.execute("PRAGMA page_count").fetchone()[0]
    file._writer.execute(f"PRAGMA max_page_count = {pages + 2}")
    gone: list[Iterable[bytes] | None] = []
    file.start(gone.append)
    file.put(Put(entry_of("a", payload=os.urandom(100_000)), 1))
    until(lambda: file.errors > 0)
    assert file.dropped >= 1
    assert file.read(key("a")) is None
    file._writer.execute("PRAGMA max_page_count = 1000000")
    file.put(Put(entry_of("b"), 2))
    until(lambda: file.read(key("b")) is not None)
    file.close()


WRITER = """
import sys, time
from pathlib import Path
from tests.cache.entries import entry_of, NOW_MS
from headgate.cache.file import open_cache_file, Put
file = open_cache_file(Path(sys.argv[1]) / "cache.db", most_bytes=1 << 26, clock_ms=lambda: NOW_MS)
file.start(lambda _: None)
number = int(sys.argv[2])
while True:
    number += 1
    time.sleep(0.0005)
    if file.put(Put(entry_of(f"n{number}", payload=f"n{number}".encode() * 500), number)) and number % 50 == 0:
        print(number, flush=True)
"""


def test_a_process_that_is_killed_in_the_middle_leaves_a_whole_file(tmp_path: Path) -> None:
    first = 0
    for _ in range(5):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), str(first)],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": f"src{os.pathsep}."},
        )
        assert process.stdout is not None
        for _ in range(20):
            last = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        process.stdout.close()
        file = file_at(tmp_path)
        keys = file.keys()
        for number in range(first + 1, last + 1):
            name = f"n{number}"
            found = file.read(key(name))
            assert (found is not None) == (key(name)[:16] in keys)
            assert found is None or found == (entry_of(name, payload=name.encode() * 500), number)
        assert file.corrupt == 0
        assert not (tmp_path / "cache.db.unreadable").exists()
        file.close()
        first = last
    assert keys, "something was written in time"
