"""From one try to the next: what a failure means, who is asked instead, and when it is given up.

    failed → another deployment of the route → the same one again → a fallback of the route → the caller's error

A try on the same deployment is a *retry*; one on another is a *fallback* (GLOSSARY.md). Nothing is tried again once
anything has reached the caller.
"""

import asyncio
from typing import Final

from msgspec.structs import replace

from headgate.domain.errors import HeadgateError, UnpricedModelError, UnsupportedFeatureError
from headgate.domain.routing import FailureClass
from headgate.pipeline.allowance import Allowance
from headgate.pipeline.attempt import AttemptFailedError, deadline_exceeded
from headgate.pipeline.call import Gateway
from headgate.pipeline.choose import fallbacks
from headgate.pipeline.counting import count_here
from headgate.pipeline.faults import Fault
from headgate.pipeline.prepare import Asked, Prepared, clamp, prepare
from headgate.pipeline.relay import relay_stream, relay_whole
from headgate.pipeline.reply import Reply
from headgate.pipeline.settle import settle
from headgate.pipeline.trace import Settled, Trace
from headgate.routing.retry import backoff_s
from headgate.routing.table import Deployment

MOST_ATTEMPTS: Final = 4
MOST_ATTEMPTS_ON_ONE: Final = 2
_DRAIN_AFTER_CLIENT_S: Final = 10.0
"""How long a whole answer is still waited for after its caller left: its usage is billed either way."""
LONGEST_WAIT_S: Final = 2.0
"""A provider that asks for a longer pause is not waited for: the caller knows better what else to do."""
_FINAL: Final = frozenset({FailureClass.BAD_REQUEST, FailureClass.DEADLINE})
"""Another try would fail just the same."""
PASSING: Final = frozenset({FailureClass.OVERLOAD, FailureClass.TRANSPORT, FailureClass.RATE})
"""May be over in a moment, so the same deployment is worth a second try."""


async def deliver(
    gateway: Gateway, asked: Asked, trace: Trace, reply: Reply, allowance: Allowance | None
) -> Settled | None:
    """Send the request to whoever answers it and pass the answer on; return its settlement where that came first.

    Raises:
        HeadgateError: nobody answered; ``reply.begun`` says whether anything has reached the caller.
    """
    delivery = _Delivery(gateway, asked, trace, reply, allowance)
    prepared = delivery.first()
    if allowance is not None and not prepared.is_counted_here:
        # Nothing is sent yet, so a caller who leaves the line ends it.
        reply.watch_client(0.0)
        prepared = await allowance.reserve(prepared)
    try:
        return await delivery.relay(prepared)
    except AttemptFailedError as error:
        delivery.check(error)
        failed = error
    return await delivery.onward(prepared, failed)


class _Delivery:
    """One request on its way to an answer."""

    __slots__ = ("_allowance", "_asked", "_gateway", "_left", "_reply", "_trace")

    def __init__(self, gateway: Gateway, asked: Asked, trace: Trace, reply: Reply, allowance: Allowance | None) -> None:
        self._gateway = gateway
        self._asked = asked
        self._trace = trace
        self._reply = reply
        self._allowance = allowance
        self._left = asked.candidates

    def first(self) -> Prepared:
        """Return the request written for the first candidate that can be asked for it; those before are dropped."""
        refused: HeadgateError | None = None
        while self._left:
            deployment, *left = self._left
            self._left = tuple(left)
            self._trace.deployment = deployment
            try:
                return self._ready(deployment)
            except (UnsupportedFeatureError, UnpricedModelError) as error:
                refused = refused or error
        assert refused is not None, "there was a candidate"
        raise refused

    async def relay(self, prepared: Prepared) -> Settled | None:
        """Try one deployment. Raises `AttemptFailedError` and what a refusal of our own raises."""
        gateway, trace, reply = self._gateway, self._trace, self._reply
        if prepared.is_counted_here:
            await count_here(prepared, trace, reply)
            return None
        if prepared.envelope.stream:
            # Closing the provider's socket stops what nobody reads any more; what was produced is settled by count.
            drain = prepared.provider.vendor.bills_after_disconnect
            reply.watch_client(_DRAIN_AFTER_CLIENT_S if drain else 0.0)
            await relay_stream(gateway, prepared, trace, reply, self._allowance)
            return None
        reply.watch_client(_DRAIN_AFTER_CLIENT_S)
        return await relay_whole(gateway, prepared, trace, reply, self._allowance)

    def check(self, failed: AttemptFailedError) -> None:
        """Raise what the caller is told where nobody else may be asked: it has the beginning of an answer, or left."""
        if self._reply.begun or self._reply.client_gone:
            raise failed.fault.error from failed

    async def onward(self, prepared: Prepared, failed: AttemptFailedError) -> Settled | None:
        """Go on from a first try that failed, as `deliver` says."""
        journey = _Journey(self._gateway, self._asked, self._trace, prepared, self._left)
        clamped_to = prepared.clamped_to
        while True:
            told = journey.judge(failed.fault)
            onward = journey.next(failed.fault)
            if onward is None:
                raise told from failed
            deployment, wait_s = onward
            try:
                prepared = self._ready(deployment)
            except (UnsupportedFeatureError, UnpricedModelError):
                continue  # It cannot be asked for this; what the provider before it said still holds.
            if clamped_to is not None:
                prepared = clamp(self._trace.call, prepared, clamped_to)
            try:
                await self._move(prepared, wait_s)
            except HeadgateError as refusal:
                # What was asked for first could be paid for, and its provider failed: that is what happened.
                raise told from refusal
            try:
                return await self.relay(prepared)
            except AttemptFailedError as error:
                self.check(error)
                failed = error
                journey.at(prepared)

    def _ready(self, deployment: Deployment) -> Prepared:
        asked = self._asked
        if deployment is not asked.deployment:
            asked = replace(asked, deployment=deployment)
        if self._allowance is not None:
            asked = self._allowance.limit_output(asked)
        return prepare(self._trace.call, asked)

    async def _move(self, prepared: Prepared, wait_s: float) -> None:
        """Wait, settle what the try before used, and hold what the next one can use.

        Raises:
            HeadgateError: a limit refuses that.
        """
        trace, allowance = self._trace, self._allowance
        # Nothing is under way now, so a caller who leaves ends it at once.
        self._reply.watch_client(0.0)
        if wait_s:
            await asyncio.sleep(wait_s)
        used = await settle(trace)
        if allowance is not None:
            used = allowance.affirm(used)
        before = trace.deployment
        trace.begin_again(prepared.deployment, used, self._gateway.clock())
        if allowance is not None:
            try:
                await allowance.move(prepared, used)
            except HeadgateError:
                trace.deployment = before
                raise


class _Journey:
    """Where a request has been whose first try failed, and where it may still go."""

    __slots__ = ("_asked", "_deployment", "_gateway", "_left", "_opened", "_told", "_total_s", "_trace", "_tries")

    def __init__(
        self, gateway: Gateway, asked: Asked, trace: Trace, prepared: Prepared, left: tuple[Deployment, ...]
    ) -> None:
        self._gateway = gateway
        self._asked = asked
        self._trace = trace
        self._left = list(left)
        self._total_s = prepared.total_s
        self._deployment = prepared.deployment
        self._tries = {prepared.deployment.name: 1}
        self._opened = False
        self._told: HeadgateError | None = None

    def at(self, prepared: Prepared) -> None:
        """Note where the try that failed last went."""
        self._deployment = prepared.deployment
        name = prepared.deployment.name
        self._tries[name] = self._tries.get(name, 0) + 1

    def judge(self, fault: Fault) -> HeadgateError:
        """Return what the caller is told if nobody answers: the last failure, or one before that a retry can mend."""
        if self._left_s(self._gateway.clock()) <= 0 and self._trace.call.timeout_s == self._total_s:
            self._told = deadline_exceeded()
        elif self._told is None or fault.error.retryable or not self._told.retryable:
            self._told = fault.error
        return self._told

    def next(self, fault: Fault) -> tuple[Deployment, float] | None:
        """Return who is to be asked next and after how many seconds; ``None`` where it is given up."""
        now = self._gateway.clock()
        left_s = self._left_s(now)
        if len(self._trace.attempts) >= MOST_ATTEMPTS or fault.failure in _FINAL or left_s <= 0:
            return None
        found = self._another(fault.failure, now, left_s)
        if found is None:
            wait_s = self._wait_s(fault, now, left_s)
            if wait_s is not None:
                return self._deployment, wait_s
            if not self._opened:
                self._opened = True
                # What was passed over until now does not help against a failure of this class.
                self._left[:] = fallbacks(self._gateway, self._asked.snapshot, self._trace, self._names(fault.failure))
                found = self._another(fault.failure, now, left_s)
        return None if found is None else (found, 0.0)

    def _left_s(self, now: float) -> float:
        return self._trace.call.started + self._total_s - now

    def _another(self, failure: FailureClass, now: float, left_s: float) -> Deployment | None:
        """Take the next candidate that is well and can help; what does not help now will not later."""
        if failure is FailureClass.CONTENT_FILTER and not self._opened:
            return None  # Asking elsewhere what one provider refuses is for the operator to allow.
        while self._left:
            deployment = self._left.pop(0)
            if self._tries.get(deployment.name):
                continue
            if failure is FailureClass.CONTEXT_LENGTH and not _holds_more(deployment, self._deployment):
                continue
            health = self._gateway.health.of(deployment)
            usual_s = health.first_event_p50_s
            if health.why_not(now) is None and (usual_s is None or usual_s < left_s):
                return deployment
        return None

    def _wait_s(self, fault: Fault, now: float, left_s: float) -> float | None:
        """Return how long to wait before the same deployment is tried once more; ``None``: it is not."""
        if fault.failure not in PASSING or self._tries[self._deployment.name] >= MOST_ATTEMPTS_ON_ONE:
            return None
        wait_s = backoff_s(len(self._trace.attempts), self._gateway.draw)
        asked_s = fault.error.retry_after_s
        if asked_s is not None:
            wait_s = max(wait_s, asked_s)
        elif fault.failure is FailureClass.RATE:
            return None
        if wait_s > min(LONGEST_WAIT_S, left_s):
            return None
        health = self._gateway.health.of(self._deployment)
        if health.why_not(now + wait_s) is not None:
            return None  # Its breaker has just opened, or it cools for longer.
        return wait_s if health.may_retry(now) else None

    def _names(self, failure: FailureClass) -> tuple[str, ...]:
        known = self._asked.route.fallbacks
        if failure is FailureClass.CONTEXT_LENGTH:
            return known.context_length
        if failure is FailureClass.CONTENT_FILTER:
            return known.content_filter
        return known.error


def _holds_more(deployment: Deployment, than: Deployment) -> bool:
    """Whether a prompt that was too long for ``than`` may fit; an unknown window is worth a try."""
    window, known = deployment.capabilities.context_window, than.capabilities.context_window
    return window is None or known is None or window > known
