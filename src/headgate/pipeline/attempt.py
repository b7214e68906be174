"""One upstream try: where it goes, what came back, and its line in the record."""

import asyncio
import time
from functools import lru_cache
from typing import Final

from msgspec.structs import replace

from headgate.domain.errors import DeadlineExceededError, HeadgateError
from headgate.domain.record import Attempt
from headgate.domain.routing import FailureClass
from headgate.domain.usage import TokenUsage
from headgate.pipeline.allowance import Allowance
from headgate.pipeline.cache_headers import cache_headers
from headgate.pipeline.call import Call, Gateway
from headgate.pipeline.faults import Fault, fault_in_answer, fault_of_failure, fault_of_malformed, fault_of_status
from headgate.pipeline.prepare import Prepared
from headgate.pipeline.reply import HeaderList
from headgate.pipeline.trace import Trace, in_ms
from headgate.upstream.transport import (
    Headers,
    Timeouts,
    TotalTimeoutError,
    UpstreamAnswer,
    UpstreamFailure,
    UpstreamRequest,
)
from headgate.wire.format import FaultyAnswerError, MalformedAnswerError, UpstreamFault

_UPSTREAM_ID_HEADERS: Final = frozenset(
    {b"x-request-id", b"request-id", b"x-amzn-requestid", b"apim-request-id", b"cf-ray"}
)
_LONGEST_FAULT_BYTES: Final = 64 * 1024
_NOTHING: Final = TokenUsage()


class AttemptFailedError(Exception):
    """The provider failed; ``fault`` says what the caller is told and whether another try may help."""

    def __init__(self, fault: Fault) -> None:
        """Carry the judgement."""
        super().__init__(fault.error.message)
        self.fault = fault


class InBandFaultError(Exception):
    """The provider sent an error inside its stream."""

    def __init__(self, fault: UpstreamFault) -> None:
        """Carry what the provider said."""
        super().__init__(fault.message)
        self.fault = fault


class Try:
    """One upstream try: where it goes, what came back, and its line in the record."""

    __slots__ = ("_gateway", "_health", "_noted", "_prepared", "_sent", "_trace", "_upstream_id", "allowance", "answer")

    def __init__(self, gateway: Gateway, prepared: Prepared, trace: Trace, allowance: Allowance | None) -> None:
        self._gateway = gateway
        self._prepared = prepared
        self._trace = trace
        self._health = gateway.health.of(prepared.deployment)
        self._noted = False
        self._sent = False
        self._upstream_id: str | None = None
        self.answer: UpstreamAnswer | None = None
        self.allowance: Final = allowance

    def now(self) -> float:
        """Monotonic seconds."""
        return self._gateway.clock()

    @property
    def trace(self) -> Trace:
        """The notes of the request this try belongs to."""
        return self._trace

    async def open(self) -> UpstreamAnswer:
        """Send the request and return an answer whose status is 2xx.

        Raises:
            AttemptFailedError: it has another status.
            UpstreamFailure: there is no answer; `failed` judges it.
        """
        trace, prepared = self._trace, self._prepared
        provider = prepared.provider
        now = self.now()
        timeouts = _timeouts_of(prepared, trace, now)
        trace.dispatched = now
        attempts = trace.attempts
        is_retry = bool(attempts) and prepared.deployment.name in [each.deployment for each in attempts]
        self._health.begin(now, len(prepared.body) // 4, is_retry=is_retry)
        request = UpstreamRequest(
            method="POST",
            target=provider.base_target + prepared.wire_format.upstream_path,
            headers=_headers_of(prepared, trace.call),
            body=prepared.body,
            timeouts=timeouts,
            pacer=self._gateway.pacer,
            on_sent=self._note_sent,
        )
        answer = self.answer = await provider.transport.send(request)
        self._upstream_id = _upstream_request_id(answer)
        self._health.learn_headers(answer.headers, self.now())
        if 200 <= answer.status < 300:
            trace.may_be_billed = True
            return answer
        body = b""
        try:
            if answer.status >= 400:
                body = await answer.read()
        except UpstreamFailure:
            pass  # The status has said it all: this is a refusal, if one without its words.
        finally:
            await answer.aclose()
        said = prepared.wire_format.parse_fault(body[:_LONGEST_FAULT_BYTES])
        fault = fault_of_status(answer.status, said, dict(answer.headers), provider, time.time())
        self._note(f"status_{answer.status}", fault)
        raise AttemptFailedError(fault)

    def _note_sent(self) -> None:
        self._sent = True

    def failed(self, error: BaseException) -> AttemptFailedError | None:
        """Note why the try failed; return its judgement where the provider is at fault, ``None`` elsewhere."""
        provider = self._prepared.provider
        if isinstance(error, UpstreamFailure):
            self._trace.may_be_billed |= error.sent
            if self._prepared.callers_deadline and isinstance(error, TotalTimeoutError):
                return self._judged(error.kind, Fault(deadline_exceeded(), FailureClass.DEADLINE))
            return self._judged(error.kind, fault_of_failure(error, provider.name))
        if isinstance(error, FaultyAnswerError):
            self._trace.may_be_billed = False  # A refusal, whatever its status says.
            return self._judged("error_event", fault_in_answer(error.fault, provider))
        if isinstance(error, MalformedAnswerError):
            return self._judged("malformed", fault_of_malformed(error, provider))
        if isinstance(error, InBandFaultError):
            return self._judged("error_event", fault_in_answer(error.fault, provider))
        if isinstance(error, asyncio.CancelledError):
            # Once there is a head its status has decided.
            self._trace.may_be_billed |= self._sent and self.answer is None
            self._note("cancelled", None)
        elif not isinstance(error, AttemptFailedError | HeadgateError):
            self._note("internal", None)
        return None

    def content_began(self) -> None:
        """Note that the first content of a stream came."""
        self._trace.first_event = self.now()
        self._health.heard()

    def succeeded(self) -> None:
        """Note that the whole answer came."""
        if self._noted:
            return
        self._write(None, None)
        trace = self._trace
        assert trace.dispatched is not None
        assert trace.upstream_done is not None
        usage = trace.metered.usage or _NOTHING
        first_event = trace.first_event
        self._health.succeeded(
            trace.upstream_done,
            first_event_s=None if first_event is None else first_event - trace.dispatched,
            duration_s=trace.upstream_done - trace.dispatched,
            output_tokens=usage.output_tokens,
            input_tokens=usage.input_tokens,
            cached_input_tokens=usage.cached_input_tokens,
        )

    def _judged(self, word: str, fault: Fault) -> AttemptFailedError:
        self._note(word, fault)
        return AttemptFailedError(fault)

    def _note(self, error: str, fault: Fault | None) -> None:
        """Write the line of a try that failed, and tell its health; only the first call counts."""
        if self._noted:
            return
        self._write(error, None if fault is None else fault.failure)
        now, began = self.now(), self._trace.dispatched
        if fault is None:
            self._health.neutral(now, began=began)
        else:
            self._health.failed(
                now,
                fault.failure,
                retry_after_s=fault.error.retry_after_s,
                began=began,
                heard=self._trace.first_event is not None,
            )

    def _write(self, error: str | None, failure: FailureClass | None) -> None:
        self._noted = True
        trace, deployment, answer = self._trace, self._prepared.deployment, self.answer
        if trace.upstream_done is None:
            trace.upstream_done = self.now()
        assert trace.dispatched is not None
        trace.attempts = (
            *trace.attempts,
            Attempt(
                provider=deployment.provider,
                deployment=deployment.name,
                upstream_model=deployment.upstream_model,
                status=answer.status if answer is not None else None,
                error=error,
                duration_ms=in_ms(trace.upstream_done - trace.dispatched),
                upstream_request_id=self._upstream_id,
                failure=failure,
            ),
        )

    def headers(self) -> HeaderList:
        """The head of a good answer: ours alone; of the provider's own headers only its request id goes on."""
        call, prepared = self._trace.call, self._prepared
        request_id = call.request_id.encode()
        deployment = prepared.deployment
        headers = [(name, request_id) for name in call.wire_format.id_headers]
        # A whole answer is noted before its head is written, a stream after.
        tries = len(self._trace.attempts) + (not self._noted)
        headers += route_headers(prepared.envelope.model, deployment.provider, deployment.name, tries)
        if prepared.ignored:
            headers.append((b"x-headgate-ignored", _header_text(", ".join(prepared.ignored))))
        if prepared.clamped_to is not None:
            headers.append((b"x-headgate-max-tokens", b"%d" % prepared.clamped_to))
        if self.allowance is not None:
            headers += self.allowance.rate_headers()
        if self._trace.cache is not None:
            headers += cache_headers(self._trace.cache)
        if self._upstream_id is not None:
            headers.append((b"x-headgate-upstream-request-id", _header_text(self._upstream_id)))
        return headers


def deadline_exceeded() -> DeadlineExceededError:
    """What the caller is told whose own time ran out."""
    return DeadlineExceededError("The request's own deadline ran out before the answer was complete.")


def _timeouts_of(prepared: Prepared, trace: Trace, now: float) -> Timeouts:
    """Return the provider's time-outs within what is left of the request's own time, over all its tries.

    Raises:
        AttemptFailedError: nothing is left.
    """
    timeouts = prepared.provider.timeouts
    if not (trace.attempts or prepared.callers_deadline):
        return timeouts
    left_s = trace.call.started + prepared.total_s - now
    if left_s <= 0:
        raise AttemptFailedError(Fault(deadline_exceeded(), FailureClass.DEADLINE))
    return replace(timeouts, total=left_s)


def _headers_of(prepared: Prepared, call: Call) -> Headers:
    """The provider's header fields, where the caller's own of the same format win."""
    headers, forwarded = prepared.provider.headers_of(prepared.deployment.credential), call.forwarded
    if not forwarded or prepared.is_translated(call):
        return headers
    names = {name for name, _ in forwarded}
    return (*(field for field in headers if field[0] not in names), *forwarded)


@lru_cache(maxsize=1024)
def route_headers(model: str, provider: str, deployment: str, tries: int) -> HeaderList:
    """What is the same for every answer of a route. Nobody changes the list."""
    return [
        (b"x-headgate-model", _header_text(model)),
        (b"x-headgate-provider", provider.encode()),
        (b"x-headgate-deployment", _header_text(deployment)),
        (b"x-headgate-attempts", b"%d" % tries),
    ]


def _upstream_request_id(answer: UpstreamAnswer) -> str | None:
    for name, value in answer.headers:
        if name in _UPSTREAM_ID_HEADERS:
            return value[:128].decode("latin-1")
    return None


def _header_text(text: str) -> bytes:
    """A header value that no server refuses: printable ASCII, other characters as ``?``."""
    if text.isascii() and text.isprintable():
        return text.encode()
    return "".join(c if c.isascii() and c.isprintable() else "?" for c in text).encode()
