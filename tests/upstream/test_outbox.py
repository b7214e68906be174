"""Writes that leave together."""

import asyncio

from headgate.upstream.outbox import Outbox


class Wire(asyncio.Transport):
    """A transport that keeps what is written to it."""

    def __init__(self, log: list[tuple[str, bytes]], name: str) -> None:
        super().__init__()
        self._log = log
        self._name = name
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._log.append((self._name, bytes(data)))

    def is_closing(self) -> bool:
        return self.closed


async def test_nothing_is_written_before_the_loops_next_turn_and_then_all_in_order() -> None:
    log: list[tuple[str, bytes]] = []
    one, two = Wire(log, "one"), Wire(log, "two")
    outbox = Outbox(asyncio.get_running_loop())
    outbox.put(one, b"a")
    outbox.put(two, b"b")
    outbox.put(one, b"c")
    assert log == []
    await asyncio.sleep(0)
    assert log == [("one", b"a"), ("two", b"b"), ("one", b"c")]


async def test_a_flush_writes_at_once_and_only_once() -> None:
    log: list[tuple[str, bytes]] = []
    outbox = Outbox(asyncio.get_running_loop())
    outbox.put(Wire(log, "one"), b"a")
    outbox.flush()
    assert log == [("one", b"a")]
    outbox.put(Wire(log, "one"), b"b")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert log == [("one", b"a"), ("one", b"b")]


async def test_a_transport_that_was_closed_meanwhile_keeps_nobody_back() -> None:
    log: list[tuple[str, bytes]] = []
    gone = Wire(log, "gone")
    outbox = Outbox(asyncio.get_running_loop())
    outbox.put(gone, b"a")
    outbox.put(Wire(log, "here"), b"b")
    gone.closed = True
    outbox.flush()
    assert log == [("here", b"b")]
