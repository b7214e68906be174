"""Requests under an idempotency key: carried out once, and answered again for nothing when they are repeated.

A caller whose connection breaks cannot tell whether its request was carried out. It sends an ``idempotency-key`` with
it, and the same one again with the repetition (draft-ietf-httpapi-idempotency-key-header). What a key finds:

- Another request than the first: 422, whatever became of the first.
- The first is being answered: 409, try again.
- It was answered whole with 200: that answer, byte for byte. Also where its caller had left by then.
- It was a stream whose content had begun, however it ended, or an answer too large to keep: 409, do not try again. It
  was carried out and billed, and is not at hand any more. Paying a second time is for the caller to say, by a new key.
- Nothing. A request that was refused, that failed before content, or whose caller left before there was an answer is
  forgotten: there is nothing to give again, and the SDKs send the same key with every retry after 429 and 503.

Of a request its digest alone is kept, no text of it. All of it is in memory: a restart forgets it, and where it grows
beyond its bound, the oldest goes first.
"""

import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from hashlib import blake2b
from typing import Final

from msgspec import Struct

from headgate.domain.errors import (
    IdempotencyInFlightError,
    IdempotencyMismatchError,
    IdempotencyNotReplayableError,
)
from headgate.pipeline.call import Call
from headgate.pipeline.reply import Headers, Reply
from headgate.pipeline.trace import Trace
from headgate.wire.format import Metered

KEPT_S: Final = 24 * 3600.0
"""How long a request that was carried out is remembered."""
MOST_BYTES: Final = 64 * 1024 * 1024
"""What everything that is remembered may weigh."""
LARGEST_ANSWER_BYTES: Final = 1024 * 1024
"""Of a larger answer it is only remembered that it was given."""
ENTRY_BYTES: Final = 2048
"""What each entry weighs beside its answer's body: names, digest, header fields. It bounds their number."""
REPLAYED: Final = "idempotent_replay"
"""Stands in a record where a finish reason would: the answer is an earlier one, so nothing was sent and used."""

# What still holds of an answer when it is given again: not its ids, its cost, or what was left of limits.
_LASTING: Final = frozenset(
    {
        b"content-type",
        b"x-headgate-model",
        b"x-headgate-provider",
        b"x-headgate-deployment",
        b"x-headgate-upstream-request-id",
        b"x-headgate-ignored",
        b"x-headgate-max-tokens",
    }
)
_REPLAY: Final = (
    (b"x-headgate-idempotent-replay", b"true"),
    (b"x-headgate-attempts", b"0"),
    (b"x-headgate-cost-usd", b"0"),
)
_RETRY_AFTER_S: Final = 1.0
_WARN_EVERY_S: Final = 3600.0
_METERED: Final = Metered(usage=None, finish_reason=REPLAYED)
_log: Final = logging.getLogger("headgate.pipeline")

_Name = tuple[str, str]
"""A virtual key's id and the idempotency key: nobody finds what was sent under another virtual key."""


class KeptAnswer(Struct, frozen=True, gc=False):
    """A whole answer of status 200, to be given again."""

    headers: tuple[tuple[bytes, bytes], ...]
    """Without the fields that were true of the first request alone."""
    body: bytes


class _Finished(Struct, frozen=True, gc=False):
    """A request that was carried out."""

    digest: bytes
    at: float
    """Monotonic seconds."""
    answer: KeptAnswer | None
    why_not: str
    """Why there is no answer: ``stream`` or ``answer_too_large``."""

    @property
    def bytes(self) -> int:
        """What it weighs."""
        return ENTRY_BYTES if self.answer is None else ENTRY_BYTES + len(self.answer.body)


class IdempotencyStore:
    """What was asked under idempotency keys, and answered. Belongs to the event loop."""

    __slots__ = ("_bytes", "_clock", "_finished", "_most_bytes", "_running", "_warned_at")

    def __init__(self, clock: Callable[[], float], most_bytes: int = MOST_BYTES) -> None:
        """Begin with nothing; ``clock`` is monotonic seconds."""
        self._clock = clock
        self._most_bytes = most_bytes
        self._running: dict[_Name, bytes] = {}
        """Digests of requests that are being answered. There are no more of these than connections."""
        self._finished: OrderedDict[_Name, _Finished] = OrderedDict()
        """The oldest first."""
        self._bytes = 0
        self._warned_at: float | None = None

    def __len__(self) -> int:
        """How many requests are remembered, with those that run."""
        return len(self._running) + len(self._finished)

    def claim(self, key_id: str, call: Call, reply: Reply) -> "KeptAnswer | RememberedReply":
        """Return the answer that was given, or what the request is to be answered through if this is the first.

        Whoever gets the latter calls its `stop_watching`, however the request ends.

        Raises:
            IdempotencyMismatchError: the key belongs to another request.
            IdempotencyInFlightError: the first request is being answered.
            IdempotencyNotReplayableError: it was answered, and the answer is not at hand.
        """
        assert call.idempotency_key is not None, "the caller sent a key"
        self._forget_old()
        name, digest = (key_id, call.idempotency_key), digest_of(call)
        running, finished = self._running.get(name), self._finished.get(name)
        known = finished.digest if finished is not None else running
        if known is None:
            self._running[name] = digest
            return RememberedReply(self, name, reply)
        if known != digest:
            raise IdempotencyMismatchError(
                "This `idempotency-key` was sent before, with another request: send a new key with a new request."
            )
        if finished is None:
            raise IdempotencyInFlightError(
                "A request with this `idempotency-key` is being answered.", retry_after_s=_RETRY_AFTER_S
            )
        if finished.answer is None:
            raise IdempotencyNotReplayableError(
                "The request of this `idempotency-key` was carried out, and its answer cannot be given again: it was"
                f" {'a stream' if finished.why_not == 'stream' else 'too large to keep'}. To have it carried out, and"
                " billed, once more, send a new key.",
                reason=finished.why_not,
            )
        return finished.answer

    def keep(self, name: _Name, answer: KeptAnswer | None, why_not: str) -> None:
        """The running request ``name`` has been carried out; without an ``answer``, say ``why_not``."""
        finished = _Finished(self._running.pop(name), self._clock(), answer, why_not)
        self._finished[name] = finished
        self._bytes += finished.bytes
        while self._bytes > self._most_bytes:
            self._forget_oldest()
            self._warn()

    def release(self, name: _Name) -> None:
        """The running request ``name`` came to nothing; nothing happens where it was kept."""
        self._running.pop(name, None)

    def _forget_old(self) -> None:
        before = self._clock() - KEPT_S
        while self._finished and next(iter(self._finished.values())).at <= before:
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        _, finished = self._finished.popitem(last=False)
        self._bytes -= finished.bytes

    def _warn(self) -> None:
        now = self._clock()
        if self._warned_at is None or now - self._warned_at >= _WARN_EVERY_S:
            self._warned_at = now
            _log.warning(
                "answers under idempotency keys are forgotten before their time: there are too many",
                extra={"most_bytes": self._most_bytes, "kept": len(self._finished)},
            )


class RememberedReply:
    """The `Reply` to the first request under an idempotency key: passes all on, and keeps what may be given again."""

    __slots__ = ("_has_begun", "_name", "_reply", "_store")

    def __init__(self, store: IdempotencyStore, name: _Name, reply: Reply) -> None:
        """Stand before ``reply``."""
        self._store = store
        self._name = name
        self._reply = reply
        self._has_begun = False
        """The caller was there when the content of a stream began."""

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
        """Cancel the task when the client has left."""
        self._reply.watch_client(patience_s, give_up)

    def stop_watching(self) -> None:
        """The request is over: remember that a stream was given, forget what came to nothing."""
        self._reply.stop_watching()
        if self._has_begun:
            self._store.keep(self._name, None, "stream")
        else:
            self._store.release(self._name)

    def whole(self, status: int, headers: Headers, body: bytes) -> Awaitable[None] | None:
        """Send a complete answer, and keep it if it is a good one."""
        waiting = self._reply.whole(status, headers, body)
        if status == 200:
            answer = None
            if len(body) <= LARGEST_ANSWER_BYTES:
                answer = KeptAnswer(tuple([field for field in headers if field[0] in _LASTING]), body)
            self._store.keep(self._name, answer, "answer_too_large")
        return waiting

    def begin(self, status: int, headers: Headers) -> None:
        """Begin a streamed answer."""
        self._reply.begin(status, headers)
        self._has_begun = not self._reply.client_gone

    def write(self, data: bytes) -> Awaitable[None] | None:
        """Send a piece of the body."""
        return self._reply.write(data)

    def end(self, data: bytes = b"") -> Awaitable[None] | None:
        """Send the last piece and finish."""
        return self._reply.end(data)


async def replay(answer: KeptAnswer, trace: Trace, reply: Reply, now: float) -> None:
    """Give an answer again, under the id of the request that asks for it; ``now`` is monotonic seconds."""
    call = trace.call
    trace.metered = _METERED
    trace.first_event = now
    request_id = call.request_id.encode()
    headers = [*[(name, request_id) for name in call.wire_format.id_headers], *answer.headers, *_REPLAY]
    waiting = reply.whole(200, headers, answer.body)
    if waiting is not None:
        await waiting


def digest_of(call: Call) -> bytes:
    """Return what tells a request from another: what is asked in which format, not on whose behalf or how patiently."""
    digest = blake2b(digest_size=32)
    parts = [call.wire_format.name.encode(), (call.path_model or "").encode("utf-8", "surrogatepass"), call.body]
    for name, value in call.forwarded:
        parts += [name, value]
    for part in parts:  # With their lengths, so that no two requests run together to the same bytes.
        digest.update(len(part).to_bytes(8))
        digest.update(part)
    return digest.digest()
