"""py-spy's samples by room, scaled to the measured CPU."""

import sysconfig
from pathlib import Path

import pytest

from bench.rooms import EVENT_LOOP, STANDARD_LIBRARY, UNSAMPLED, Sample, by_room, parse, room_of

SOURCE = Path(__file__).resolve().parents[2] / "src" / "headgate"
STDLIB = sysconfig.get_path("stdlib")
PIPELINE = str(SOURCE / "pipeline" / "handle.py")


def test_samples_of_one_place_are_added_up() -> None:
    lines = [
        f"thread (12): MainThread;run ({STDLIB}/asyncio/runners.py:118);handle ({PIPELINE}:60) 3",
        f"thread (12): MainThread;run ({STDLIB}/asyncio/runners.py:118);handle ({PIPELINE}:64) 4",
        "thread (13): records;Writer.<locals>.f (x) (/a b/c_d.py:1) 1",
    ]

    assert parse(lines) == [Sample(12, "handle", PIPELINE, 7), Sample(13, "Writer.<locals>.f (x)", "/a b/c_d.py", 1)]


@pytest.mark.parametrize("line", ["", "1", "thread (12): MainThread 4", "MainThread;f (a.py:1) 4"])
def test_what_is_no_stack_is_left_out(line: str) -> None:
    assert parse([line]) == []


@pytest.mark.parametrize(
    ("path", "room"),
    [
        (PIPELINE, "headgate/pipeline"),
        (str(SOURCE / "app.py"), "headgate/app.py"),
        (f"{STDLIB}/asyncio/runners.py", EVENT_LOOP),
        (f"{STDLIB}/asyncio/streams.py", STANDARD_LIBRARY),
        ("<frozen importlib._bootstrap>", STANDARD_LIBRARY),
        (f"{STDLIB}/site-packages/uvloop/__init__.py", EVENT_LOOP),
        (f"{STDLIB}/site-packages/sqlalchemy/engine/default.py", "package sqlalchemy"),
        ("/somewhere/else.py", "elsewhere"),
    ],
)
def test_a_file_is_in_a_room(path: str, room: str) -> None:
    assert room_of(path) == room


def test_each_thread_is_scaled_to_its_own_cpu() -> None:
    samples = [
        Sample(1, "handle", PIPELINE, 30),
        Sample(1, "run", f"{STDLIB}/asyncio/runners.py", 10),
        # Sampled far more often than it ran: it waited for the core.
        Sample(2, "do_execute", f"{STDLIB}/site-packages/sqlalchemy/engine/default.py", 400),
    ]

    found = by_room(samples, {1: 100.0, 2: 20.0, 3: 5.0})

    assert found == {"headgate/pipeline": 75.0, EVENT_LOOP: 25.0, "package sqlalchemy": 20.0, UNSAMPLED: 5.0}
    assert list(found) == sorted(found, key=lambda room: -found[room])


def test_a_waiting_thread_computes_nothing() -> None:
    samples = [Sample(1, "Condition.wait", f"{STDLIB}/threading.py", 90), Sample(1, "write", PIPELINE, 10)]

    assert by_room(samples, {1: 8.0}) == {"headgate/pipeline": 8.0}
