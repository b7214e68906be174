"""Asking the cache from other threads: answers of the loop, in time or not at all."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from headgate.cache.desk import CacheDesk
from headgate.domain.errors import OverloadedError
from tests.cache.threaded import ThreadedCache, threaded_cache

NOW_MS = 1_795_000_000_000


def clock_ms() -> int:
    return NOW_MS


@pytest.fixture
def threaded() -> Iterator[ThreadedCache]:
    with threaded_cache(clock_ms) as threaded:
        yield threaded


def test_a_purge_takes_what_bears_the_label_and_says_how_many(threaded: ThreadedCache) -> None:
    for team in ("team_a", "team_a", "team_b"):
        threaded.keep("org_a", team)
    entry = threaded.keep("org_b")
    desk = threaded.desk
    assert [desk.count(label) for label in ("org_a", "org_a scope team_a", "org_b", "org_c")] == [3, 2, 1, 0]
    assert desk.purge("org_a scope team_a") == 2
    assert [desk.count(label) for label in ("org_a", "org_a scope team_a", "org_b")] == [1, 0, 1]
    assert desk.purge(f"org_b entry {entry}") == 1
    assert desk.purge("org_b") == 0


def test_what_is_on_the_disk_is_counted_and_purged_for_good(tmp_path: Path) -> None:
    file = tmp_path / "cache.db"
    with threaded_cache(clock_ms, file) as threaded:
        for team in ("team_a", "team_a", "team_b"):
            threaded.keep("org_a", team)
    # What was kept is written by the end.
    with threaded_cache(clock_ms, file) as threaded:
        assert threaded.desk.purge("org_a scope team_a") == 2
        assert threaded.desk.count("org_a scope team_a") == 0
    with threaded_cache(clock_ms, file) as threaded:
        assert [threaded.desk.count(label) for label in ("org_a", "org_a scope team_a")] == [1, 0]


def test_figures_are_those_of_the_cache_on_its_loop(threaded: ThreadedCache) -> None:
    before = threaded.desk.stats()
    threaded.keep("org_a")
    after = threaded.desk.stats()
    assert before != after
    assert after == threaded.cache.stats()


def test_many_threads_ask_at_once(threaded: ThreadedCache) -> None:
    for number in range(40):
        threaded.keep("org_a", f"team_{number % 4}")
    with ThreadPoolExecutor(8) as pool:
        purged = list(pool.map(lambda number: threaded.desk.purge(f"org_a scope team_{number}"), range(4)))
    assert purged == [10, 10, 10, 10]
    assert threaded.desk.count("org_a") == 0


def test_a_loop_that_does_not_answer_is_waited_for_only_so_long(threaded: ThreadedCache) -> None:
    threaded.keep("org_a")
    desk = CacheDesk(threaded.cache, threaded.loop, timeout_s=0.05)
    release = threading.Event()
    threaded.loop.call_soon_threadsafe(release.wait)
    with pytest.raises(OverloadedError, match="did not answer"):
        desk.purge("org_a")
    release.set()
    # What had not begun when its caller gave up is never begun.
    assert threaded.desk.count("org_a") == 1


def test_a_loop_that_is_closed_answers_nothing() -> None:
    with threaded_cache(clock_ms) as threaded:
        desk = threaded.desk
    with pytest.raises(OverloadedError, match="stopping"):
        desk.stats()
