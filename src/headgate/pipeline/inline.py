"""Run a coroutine's first step here and now, without a task.

Most awaits on the hot path do not wait: a socket's buffer has room, an answer is already there. A task would cost a
wake-up each (`docs/adr/0001-raw-asgi-data-plane.md` has the figures), so the first step is driven by hand and only what
really waits is handed on.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any, TypeVar, cast

T = TypeVar("T")


class Suspended(Awaitable[None]):
    """The rest of a coroutine that waits for ``future``: awaiting this drives it to its end."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], future: Any) -> None:
        """Keep the coroutine and the future it yielded first."""
        self._coroutine = coroutine
        self._future = future

    def __await__(self) -> Generator[Any, Any, None]:
        coroutine = self._coroutine
        awaited = self._future
        while True:
            try:
                sent = yield awaited
            except BaseException as error:  # cancellation goes where a task would send it
                try:
                    awaited = coroutine.throw(error)
                except StopIteration:
                    return
            else:
                try:
                    awaited = coroutine.send(sent)
                except StopIteration:
                    return


def start(coroutine: Coroutine[Any, Any, Any]) -> Suspended | None:
    """Run ``coroutine`` up to its first real wait; return ``None`` where it ended, else what to await for the rest."""
    try:
        future = coroutine.send(None)
    except StopIteration:
        return None
    return Suspended(coroutine, future)


class Watch:
    """Waits for a coroutine without a task: `callback` gets its result, unless `stop` comes first."""

    __slots__ = ("_callback", "_coroutine", "_future")

    def __init__(self, coroutine: Coroutine[Any, Any, T], callback: Callable[[T], None]) -> None:
        """Start ``coroutine``. A result that is there already is reported from here."""
        self._coroutine: Coroutine[Any, Any, Any] | None = coroutine
        self._callback: Callable[[Any], None] = callback
        self._future: asyncio.Future[Any] | None = None
        self._step(None)

    def _step(self, _: object) -> None:
        coroutine = self._coroutine
        if coroutine is None:
            return
        try:
            future = coroutine.send(None)
        except StopIteration as end:
            self._coroutine = None
            self._callback(end.value)
            return
        future = cast("asyncio.Future[Any]", future)
        # The flag asks a task to notice that its future was awaited; here nobody else will.
        future._asyncio_future_blocking = False
        self._future = future
        future.add_done_callback(self._step)

    def stop(self) -> None:
        """Stop waiting; the callback will not be called."""
        coroutine, self._coroutine = self._coroutine, None
        if coroutine is None:
            return
        if self._future is not None:
            self._future.remove_done_callback(self._step)
        coroutine.close()
