"""Coroutines driven without a task."""

import asyncio

import pytest

from headgate.pipeline.inline import start


async def test_what_does_not_wait_is_done_at_once() -> None:
    seen: list[str] = []

    async def say() -> None:
        seen.append("said")

    assert start(say()) is None
    assert seen == ["said"]


async def test_what_waits_is_handed_on_and_ends_in_the_awaiting_task() -> None:
    gate = asyncio.Event()
    seen: list[str] = []

    async def twice() -> None:
        await gate.wait()
        seen.append("first")
        await asyncio.sleep(0)
        seen.append("second")

    rest = start(twice())
    assert rest is not None
    asyncio.get_running_loop().call_soon(gate.set)
    await rest
    assert seen == ["first", "second"]


async def test_an_event_that_was_set_meanwhile_does_not_block() -> None:
    gate = asyncio.Event()
    rest = start(gate.wait())
    gate.set()
    await asyncio.sleep(0)
    assert rest is not None
    await asyncio.wait_for(rest, 5)


async def test_cancellation_reaches_the_coroutine() -> None:
    seen: list[str] = []

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    rest = start(wait())
    assert rest is not None

    async def hold() -> None:
        await rest

    async with asyncio.TaskGroup() as group:
        task = group.create_task(hold())
        await asyncio.sleep(0)
        task.cancel()
    assert seen == ["cancelled"]


async def test_an_error_of_the_first_step_is_raised_here() -> None:
    async def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        start(fail())
