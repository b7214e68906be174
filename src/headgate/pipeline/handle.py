"""One request, from its bytes to its record: the stages in order.

    understand → admit → look in the cache → (prepare → reserve → attempt and relay, once or more) → settle and record

Each stage returns a frozen value kept in a local; only `Trace`, which the record is made from, is mutable. Whatever
happens, `_record` runs exactly once.
"""

import asyncio
import logging
from typing import Final

from headgate.domain.errors import (
    BodyTooLargeError,
    ClientClosedError,
    HeadgateError,
    InternalError,
    InvalidApiKeyError,
    MethodNotAllowedError,
    OverloadedError,
    UnsupportedMediaTypeError,
)
from headgate.domain.record import Outcome
from headgate.pipeline.allowance import Allowance
from headgate.pipeline.attempt import route_headers
from headgate.pipeline.caching import answer
from headgate.pipeline.call import Call, Gateway
from headgate.pipeline.idempotency import KeptAnswer, replay
from headgate.pipeline.prepare import understand, usable_key
from headgate.pipeline.reply import JSON, HeaderList, Reply
from headgate.pipeline.settle import settle
from headgate.pipeline.trace import NOTHING_USED, Settled, Trace
from headgate.wire.format import ID_HEADERS

_log: Final = logging.getLogger("headgate.pipeline")


async def handle(gateway: Gateway, call: Call, reply: Reply) -> None:
    """Answer one request and record it. Raises nothing: every failure becomes an answer or an end of the stream."""
    trace = Trace(call)
    settled: Settled | None = None
    allowance: Allowance | None = None
    try:
        asked = understand(gateway, call, trace)
        if call.idempotency_key is not None:
            claimed = gateway.idempotency.claim(asked.key.id, call, reply)
            if isinstance(claimed, KeptAnswer):
                return await replay(claimed, trace, reply, gateway.clock())
            reply = claimed
        allowance = gateway.admission.allowance_for(asked, trace)
        if allowance is not None:
            allowance.admit()
        settled = await answer(gateway, asked, trace, reply, allowance)
        if reply.client_gone:
            _note_client_gone(trace)
    except HeadgateError as error:
        if isinstance(error, InvalidApiKeyError) and call.presented_key is not None:
            gateway.note_refused_key(call.presented_key, call.request_id)
        _note_error(trace, error, reply)
        await _tell(trace, reply, error, allowance)
    except asyncio.CancelledError:
        await _cancelled(trace, reply)
    except Exception:
        _log.exception("request failed inside the gateway", extra={"request_id": call.request_id})
        error = InternalError("The gateway failed; the operator finds the reason in its log under the request id.")
        _note_error(trace, error, reply)
        await _tell(trace, reply, error)
    finally:
        reply.stop_watching()
        if trace.key is not None and not trace.is_unrecorded:
            if settled is None:
                settled = await _settle_surely(trace)
            _record(gateway, trace, settled, allowance)
        gateway.load.leave(trace.seat)
        if trace.error is not None:
            # It holds the frames that hold it: a flood of errors would be one of garbage, 50 ms to collect at a time.
            trace.error.__traceback__ = None


async def refuse(gateway: Gateway, call: Call, error: HeadgateError, reply: Reply) -> None:
    """Answer and record a request that was refused before its body was read, such as one that is too large."""
    trace = Trace(call)
    trace.key = usable_key(gateway.snapshots.current, call.presented_key, call.started_at_ms)
    _note_error(trace, error, reply)
    try:
        await _tell(trace, reply, error)
    finally:
        gateway.load.leave(trace.seat)
        if trace.key is not None:
            gateway.records.append(trace.record(NOTHING_USED, gateway.clock()))


async def _cancelled(trace: Trace, reply: Reply) -> None:
    """The client left, or the gateway's drain is over. Either way the request is settled, so the task goes on."""
    _this_task().uncancel()
    if reply.client_gone:
        _note_client_gone(trace)
        return
    error = shutting_down()
    _note_error(trace, error, reply)
    await _tell(trace, reply, error)


async def _settle_surely(trace: Trace) -> Settled:
    """Settle, whoever cancels: a client that leaves and the end of a drain may both strike while tokens are counted."""
    while True:
        try:
            return await settle(trace)
        except asyncio.CancelledError:
            _this_task().uncancel()


def _record(gateway: Gateway, trace: Trace, settled: Settled, allowance: Allowance | None) -> None:
    now = gateway.clock()
    if allowance is not None:
        allowance.end(settled, now)
    else:
        gateway.records.append(trace.record(settled, now))


def shutting_down() -> OverloadedError:
    """What a request hears that comes too late, or takes longer than the drain."""
    return OverloadedError("The gateway is shutting down.", retry_after_s=1, reason="shutting_down")


def _this_task() -> asyncio.Task[object]:
    task = asyncio.current_task()
    assert task is not None
    return task


def _note_client_gone(trace: Trace) -> None:
    trace.error = ClientClosedError("The client closed the connection.")
    trace.status = ClientClosedError.status
    trace.outcome = Outcome.CLIENT_CLOSED


def _note_error(trace: Trace, error: HeadgateError, reply: Reply) -> None:
    trace.error = error
    if reply.begun:
        trace.outcome = Outcome.TRUNCATED
        return
    trace.status = error.status
    if isinstance(error, InternalError):
        trace.outcome = Outcome.INTERNAL_ERROR
    else:
        trace.outcome = Outcome.UPSTREAM_ERROR if trace.attempts else Outcome.REFUSED


async def _tell(trace: Trace, reply: Reply, error: HeadgateError, allowance: Allowance | None = None) -> None:
    """Say it in the caller's own format: as an answer, or as the event that ends a stream."""
    call = trace.call
    if reply.client_gone or reply.ended:
        return
    if reply.begun:
        waiting = reply.end(call.wire_format.render_stream_error(error, call.request_id))
    else:
        headers = error_headers(error, call.request_id, call.wire_format.id_headers)
        if trace.deployment is not None and trace.envelope is not None and trace.attempts:
            deployment, tries = trace.deployment, len(trace.attempts)
            headers += route_headers(trace.envelope.model, deployment.provider, deployment.name, tries)
        if allowance is not None:
            headers += allowance.rate_headers()
        waiting = reply.whole(error.status, headers, call.wire_format.render_error(error, call.request_id))
    if waiting is not None:
        await waiting


def error_headers(error: HeadgateError, request_id: str, id_headers: tuple[bytes, ...] = ID_HEADERS) -> HeaderList:
    """The head of an error answer: whether and when to come back (RFC 9110 §10.2.3).

    ``id_headers`` are the names under which the caller's format looks for the request's id.
    """
    headers = [JSON, *[(name, request_id.encode()) for name in id_headers]]
    if error.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if isinstance(error, MethodNotAllowedError) and error.reason is not None:
        headers.append((b"allow", error.reason.encode()))
    if isinstance(error, BodyTooLargeError | UnsupportedMediaTypeError):
        # The rest of the body is not read, so the connection cannot be used again (RFC 9112 §9.3).
        headers.append((b"connection", b"close"))
    if not error.retryable:
        headers.append((b"x-should-retry", b"false"))
    retry_after_s = error.retry_after_s
    if retry_after_s is None and error.status in (429, 503) and error.retryable:
        retry_after_s = 1.0
    if retry_after_s is not None:
        headers.append((b"retry-after", b"%d" % -(-retry_after_s // 1)))
        headers.append((b"retry-after-ms", b"%d" % (retry_after_s * 1000)))
    return headers
