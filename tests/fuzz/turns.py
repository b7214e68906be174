"""An event loop without sockets and without a clock of its own: a test turns it by hand."""

import asyncio
from typing import Any


class _NothingToSelect:
    def select(self, timeout: float | None) -> list[Any]:
        return []


class Turns(asyncio.BaseEventLoop):
    """Runs callbacks and tasks when told to; its time moves only when a test sets `now`."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.failures: list[dict[str, Any]] = []
        """What callbacks and lost tasks raised."""
        self._selector = _NothingToSelect()
        self.set_exception_handler(lambda _, context: self.failures.append(context))

    def time(self) -> float:
        return self.now

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:
        """Do at once what would be done in a thread."""
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    def settle(self, most: int = 1000) -> None:
        """Turn until no callback waits."""
        for _ in range(most):
            # BaseEventLoop's own queues: what is due now, and what time has made due.
            if not self._ready and not any(timer.when() <= self.now for timer in self._scheduled):
                return
            self.call_soon(self.stop)
            self.run_forever()
        raise AssertionError("the loop never comes to rest")

    def _process_events(self, event_list: list[Any]) -> None:
        """There are none."""


class Line(asyncio.Transport):
    """A transport that remembers what was done to it; its protocol hears of its end, as from a real one."""

    def __init__(self, loop: Turns, protocol: asyncio.Protocol, extra: dict[str, Any] | None = None) -> None:
        super().__init__(extra)
        self.loop = loop
        self.protocol = protocol
        self.written = bytearray()
        self.closing = False

    def write(self, data: Any) -> None:
        assert not self.closing, "bytes were written to a closed transport"
        self.written += data

    def writelines(self, list_of_data: Any) -> None:
        self.write(b"".join(list_of_data))

    def write_eof(self) -> None:
        """Nothing to do: what is written is all there is."""

    def can_write_eof(self) -> bool:
        return True

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        """What was read already arrives all the same."""

    def resume_reading(self) -> None:
        """See `pause_reading`."""

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.lose(None)

    def abort(self) -> None:
        self.lose(None)

    def lose(self, error: Exception | None) -> None:
        """End the connection: the protocol hears of it in the next turn."""
        if not self.closing:
            self.closing = True
            self.loop.call_soon(self.protocol.connection_lost, error)
