"""Requests that are the same at the same time: one asks the provider, its *leader*, all others read what it is told.

Within one key of the cache, so within what may share answers at all. A leader whose caller leaves goes on while
somebody follows; where its call fails before content, one of those who followed leads next.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from headgate.pipeline.reply import Headers, Reply
from headgate.pipeline.tape import Tape

MOST_FOLLOWERS: Final = 10_000
"""How many may read one answer; whoever comes later asks for itself."""


class Flights:
    """The calls that are under way, by their keys in the cache. Belongs to the event loop."""

    __slots__ = ("_running",)

    def __init__(self) -> None:
        """Begin with none."""
        self._running: dict[bytes, Tape] = {}

    def __len__(self) -> int:
        """How many calls may be shared at this moment."""
        return len(self._running)

    def find(self, key: bytes) -> Tape | None:
        """Return the call to follow; ``None`` where there is none, or it is followed by as many as may be."""
        tape = self._running.get(key)
        return None if tape is None or tape.followers >= MOST_FOLLOWERS else tape

    def begin(self, key: bytes, tape: Tape) -> None:
        """Let others follow ``tape``; a call that is followed already stays the one."""
        self._running.setdefault(key, tape)

    def end(self, key: bytes, tape: Tape) -> None:
        """Let nobody follow ``tape`` any more; those who do read on."""
        if self._running.get(key) is tape:
            del self._running[key]


class LeaderReply:
    """The `Reply` of a leader: passes all on, and does not give up because its own caller left while others read."""

    __slots__ = ("_gone_s", "_patience", "_reply", "_tape", "_task")

    def __init__(self, reply: Reply, tape: Tape) -> None:
        """Stand before ``reply``. Make it within the task that answers."""
        task = asyncio.current_task()
        assert task is not None, "a request is answered within a task"
        self._reply = reply
        self._tape = tape
        self._task = task
        self._gone_s: float | None = None
        """The caller has left, and would have been waited for so long."""
        self._patience: asyncio.TimerHandle | None = None
        tape.on_abandoned = self._abandoned

    @property
    def begun(self) -> bool:
        """The head has been given."""
        return self._reply.begun

    @property
    def ended(self) -> bool:
        """The last piece has been given."""
        return self._reply.ended

    @property
    def client_gone(self) -> bool:
        """The client left while it was watched."""
        return self._reply.client_gone

    def watch_client(self, patience_s: float, give_up: Callable[[float], None] | None = None) -> None:
        """Cancel the task when the client has left and nobody reads its answer."""
        del give_up  # Nobody stands before a leader.
        self._reply.watch_client(patience_s, self._left)

    def _left(self, patience_s: float) -> None:
        self._gone_s = patience_s
        if not self._tape.followers:
            self._give_up()

    def _abandoned(self) -> None:
        """Nobody follows any more: give up where the leader's own caller is gone too."""
        if self._gone_s is not None and not self._tape.followers:
            self._give_up()

    def _give_up(self) -> None:
        if self._patience is None and self._gone_s is not None:
            self._patience = self._task.get_loop().call_later(self._gone_s, self._cancel)

    def _cancel(self) -> None:
        self._patience = None
        if not self._tape.followers:
            self._task.cancel()

    def stop_watching(self) -> None:
        """The request is over, however it ended."""
        self._reply.stop_watching()
        self.release()

    def release(self) -> None:
        """Cancel nothing any more."""
        self._gone_s = None
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def whole(self, status: int, headers: Headers, body: bytes) -> Awaitable[None] | None:
        """Send a complete answer."""
        return self._reply.whole(status, headers, body)

    def begin(self, status: int, headers: Headers) -> None:
        """Begin a streamed answer."""
        self._reply.begin(status, headers)

    def write(self, data: bytes) -> Awaitable[None] | None:
        """Send a piece of the body; who reads slowly holds nobody up who reads along."""
        waiting = self._reply.write(data)
        return None if self._tape.followers else waiting

    def end(self, data: bytes = b"") -> Awaitable[None] | None:
        """Send the last piece and finish."""
        return self._reply.end(data)
