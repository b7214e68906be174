"""The built-in simulated provider: a transport without a network, scripted by the model's name.

`sandbox_script` explains the names, `sandbox_answers` makes the answers; here they are given out in time. Tokens are
metered when they are produced and not before, so a cancelled or cut answer is metered for what it came to.
"""

import asyncio
import hashlib
import math
import time
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from headgate.domain.catalog import Price, Rates
from headgate.domain.money import NANO_PER_USD
from headgate.providers.provider import Vendor
from headgate.providers.sandbox_answers import ApiError, Reply, reply_to
from headgate.upstream.transport import (
    ConnectionCutError,
    FirstEventTimeoutError,
    Headers,
    IdleTimeoutError,
    Sink,
    Timeouts,
    TotalTimeoutError,
    UpstreamAnswer,
    UpstreamFailure,
    UpstreamRequest,
)

SANDBOX_VENDOR: Final = Vendor(
    kind="sandbox",
    title="Sandbox (built in)",
    source="docs/reference/providers.md#sandbox",
    base_url="http://sandbox.invalid/v1",
    needs_credential=False,
    local=True,
    notes="Simulated in process: no key, no network.",
)
SANDBOX_PRICE: Final = Price(Rates(input=1 * NANO_PER_USD, output=2 * NANO_PER_USD), version="sandbox")
"""1 USD per million input tokens and 2 USD per million output tokens, where the deployment says nothing else."""


# A whole answer of many tokens lets others run now and then; a stream does so at every event.
_TOKENS_AT_ONCE: Final = 1024


class Tally(Struct, frozen=True):
    """What was produced: calls that arrived, input tokens of calls that were answered, output tokens made."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0


class MeterReading(Struct, frozen=True):
    """The meter at one moment."""

    total: Tally
    credentials: dict[str, Tally]
    """By credential, as `label_credential` writes it."""


class Meter:
    """Counts what the sandbox produces, as a provider's own bill would. Several transports may share one."""

    def __init__(self) -> None:
        """Start at zero."""
        self._tallies: dict[str, Tally] = {}

    def add(self, credential: str, *, calls: int = 0, input_tokens: int = 0, output_tokens: int = 0) -> None:
        """Add to the tally of ``credential`` (a label, not the secret)."""
        old = self._tallies.get(credential, Tally())
        self._tallies[credential] = Tally(
            old.calls + calls, old.input_tokens + input_tokens, old.output_tokens + output_tokens
        )

    def snapshot(self) -> MeterReading:
        """Read the meter."""
        tallies = self._tallies.values()
        total = Tally(
            sum(tally.calls for tally in tallies),
            sum(tally.input_tokens for tally in tallies),
            sum(tally.output_tokens for tally in tallies),
        )
        return MeterReading(total, dict(self._tallies))


def label_credential(credential: str) -> str:
    """Return a name for a credential that does not give it away: ``none``, or ``sha256:`` and twelve digits."""
    if not credential:
        return "none"
    return "sha256:" + hashlib.sha256(credential.encode("utf-8", "surrogatepass")).hexdigest()[:12]


class SeededChance:
    """A repeatable stream of percentages: the n-th depends on the seed and n alone."""

    def __init__(self, seed: int = 0) -> None:
        """Start the stream of ``seed``."""
        self._seed = seed.to_bytes(8, signed=True)
        self._drawn = 0

    def __call__(self) -> float:
        """Return the next number in [0, 100)."""
        self._drawn += 1
        digest = hashlib.blake2b(self._drawn.to_bytes(8), key=self._seed, digest_size=8).digest()
        return int.from_bytes(digest) / 2**64 * 100


class SandboxTransport:
    """A `Transport` that answers itself."""

    def __init__(
        self,
        meter: Meter | None = None,
        *,
        chance: Callable[[], float] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Count on ``meter``; ``chance`` yields percentages for ``flaky-P``, ``clock`` seconds since the epoch."""
        self.meter = meter if meter is not None else Meter()
        self._chance = chance if chance is not None else SeededChance()
        self._clock = clock
        self._serial = 0

    async def send(self, request: UpstreamRequest) -> UpstreamAnswer:
        """Answer ``request``. The head comes after ``slow-MS``; the body is made while it is read."""
        self._serial += 1
        credential = label_credential(_credential_of(request.headers))
        self.meter.add(credential, calls=1)
        if request.on_sent is not None:
            request.on_sent()
        pacer = _Pacer(request.timeouts)
        try:
            reply = reply_to(request.target, request.body, self._serial, int(self._clock()))
            script = reply.script
            if script.flaky_percent and self._chance() < script.flaky_percent:
                raise ApiError(503, "The sandbox failed this call on purpose.", code="sandbox_flaky")
            await pacer.wait_first(script.slow_ms / 1000)
            if script.status is not None:
                code = "rate_limit_exceeded" if script.status == 429 else "sandbox_status"
                raise ApiError(script.status, f"The sandbox was told to answer {script.status}.", code=code)
        except ApiError as error:
            return _WholeAnswer(error.status, self._headers("application/json", error.status), error.body)
        self.meter.add(credential, input_tokens=reply.input_tokens)
        kind = "text/event-stream; charset=utf-8" if reply.stream else "application/json"
        return _ScriptedAnswer(
            self._headers("text/html" if script.malformed and not reply.stream else kind, 200),
            reply,
            lambda tokens: self.meter.add(credential, output_tokens=tokens),
            pacer,
        )

    async def retire(self) -> None:
        """Do nothing: no connection is open."""

    async def aclose(self) -> None:
        """Do nothing: no connection is open."""

    def _headers(self, content_type: str, status: int) -> Headers:
        headers = (
            (b"content-type", content_type.encode()),
            (b"x-request-id", b"req_sandbox_%d" % self._serial),
        )
        return (*headers, (b"retry-after", b"1")) if status in (429, 503) else headers


def _credential_of(headers: Headers) -> str:
    for name, value in headers:
        if name == b"authorization":
            return value.removeprefix(b"Bearer ").decode("latin-1")
    return ""


class _WholeAnswer:
    """An answer that is there already."""

    def __init__(self, status: int, headers: Headers, body: bytes) -> None:
        self.status = status
        self.headers = headers
        self._body = body

    async def read(self) -> bytes:
        return self._body

    async def pump(self, sink: Sink) -> None:
        waiting = sink(self._body)
        if waiting is not None:
            await waiting

    async def aclose(self) -> None:
        self._body = b""


class _ScriptedAnswer:
    """An answer that is produced while it is read; whoever stops reading stops the production."""

    def __init__(self, headers: Headers, reply: Reply, meter: Callable[[int], None], pacer: "_Pacer") -> None:
        self.status = 200
        self.headers = headers
        self._reply = reply
        self._meter = meter
        self._pacer = pacer

    async def read(self) -> bytes:
        body = bytearray()
        await self.pump(body.extend)
        return bytes(body)

    async def pump(self, sink: Sink) -> None:
        script = self._reply.script
        made = 0
        for index, event in enumerate(self._reply.events):
            if script.cut_after is not None and made >= script.cut_after:
                raise ConnectionCutError(f"the sandbox cut the answer after {made} tokens", sent=True)
            if script.stall and (made or not self._reply.stream):
                await self._wait(index, math.inf)
            elif script.pace_ms and index and (self._reply.stream or event.output_tokens):
                await self._wait(index, script.pace_ms / 1000)
            elif self._reply.stream or made % _TOKENS_AT_ONCE == _TOKENS_AT_ONCE - 1:
                await asyncio.sleep(0)
            if event.output_tokens:
                made += event.output_tokens
                self._meter(event.output_tokens)
            waiting = sink(event.data) if event.data else None
            if waiting is not None:
                await waiting

    async def aclose(self) -> None:
        """Produce no more."""
        self._reply = Reply(self._reply.script, self._reply.input_tokens, self._reply.stream, iter(()))

    async def _wait(self, index: int, seconds: float) -> None:
        # Of a whole answer nothing has arrived before all of it has: its waits are waits for the first event.
        if index and self._reply.stream:
            await self._pacer.wait_next(seconds)
        else:
            await self._pacer.wait_first(seconds)


class _Pacer:
    """Waits, as long as the request's time-outs allow; then it fails as a network transport would."""

    def __init__(self, timeouts: Timeouts) -> None:
        now = asyncio.get_running_loop().time()
        self._first_by = now + timeouts.first_event
        self._total_by = now + timeouts.total
        self._idle = timeouts.idle

    async def wait_first(self, seconds: float) -> None:
        """Wait before anything of the body has been sent."""
        now = asyncio.get_running_loop().time()
        await self._wait(seconds, self._first_by - now, FirstEventTimeoutError("no event in time", sent=True))

    async def wait_next(self, seconds: float) -> None:
        """Wait between two events."""
        await self._wait(seconds, self._idle, IdleTimeoutError("the stream stalled", sent=True))

    async def _wait(self, seconds: float, allowed: float, failure: UpstreamFailure) -> None:
        left = self._total_by - asyncio.get_running_loop().time()
        if left < allowed:
            allowed, failure = left, TotalTimeoutError("the exchange took too long", sent=True)
        if seconds > allowed:
            await asyncio.sleep(max(allowed, 0))
            raise failure
        if seconds:
            await asyncio.sleep(seconds)
