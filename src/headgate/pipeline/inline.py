"""Run a coroutine's first step here and now, without a task.

Most awaits on the hot path do not wait: a socket's buffer has room, an answer is already there. A task would cost a
wake-up each (`docs/adr/0001-raw-asgi-data-plane.md` has the figures), so the first step is driven by hand and only what
really waits is handed on.
"""

from collections.abc import Awaitable, Coroutine, Generator
from typing import Any


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
