"""What one request may spend: admitted by rate, held before anything is sent, settled however it ends.

`AdmissionControl` lives as long as the gateway and makes an `Allowance` for a request that a limit binds; all other
requests pay one look-up for the question and know nothing more of it.
"""

import logging
import time
from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from headgate.catalog.bound import affordable_output
from headgate.catalog.cost import FREE
from headgate.domain.errors import HeadgateError, OverloadedError, UnpricedModelError, UnsupportedFeatureError
from headgate.domain.limits import MAX_TOKENS, BudgetEvent, WindowMode
from headgate.domain.record import RequestRecord, Spending
from headgate.domain.usage import TokenUsage, UsageQuality
from headgate.ledger.embedded import EmbeddedLedger
from headgate.ledger.limit_book import LimitPath
from headgate.ledger.outcomes import Admitted, Ask, Claim, Held, Refusal, RefusalCode, Threshold
from headgate.pipeline.measure import (
    Measured,
    can_be_refined,
    cost_within,
    measure,
    refine,
    sent_envelope,
    tenant_key_of,
    with_bound,
)
from headgate.pipeline.prepare import Asked, Prepared, clamp
from headgate.pipeline.refusals import error_of_refusal, limit_of
from headgate.pipeline.reply import HeaderList
from headgate.pipeline.trace import Settled, Trace, in_ms, tags_of
from headgate.routing.table import shorten
from headgate.tokens.anchors import Anchors
from headgate.tokens.bound import OutputBound, output_bound
from headgate.tokens.expectation import Expectations
from headgate.wire.format import Envelope
from headgate.wire.rate_headers import REQUESTS, TOKENS, RateState

CLAMP_FLOOR_TOKENS: Final = 256
"""A request is not cut to less output than this, unless it asked for less itself."""
RELEASE_FROM_TOKENS: Final = 1024
"""From this many input tokens held on, a stream's hold is lowered as soon as its provider reports what it read."""
_BUDGETS: Final = frozenset(
    {RefusalCode.REQUEST_EXCEEDS_BUDGET, RefusalCode.BUDGET_EXHAUSTED, RefusalCode.BUDGET_IN_FLIGHT}
)
# Cutting their output would leave half a call, half a document, or thinking without an answer.
_NEVER_CLAMPED: Final = frozenset(
    {
        "tools",
        "functions",
        "response_format",
        "output_format",
        "output_config",
        "prediction",
        "thinking",
        "reasoning",
        "reasoning_effort",
    }
)
_TENANTS: Final = 4096
_log: Final = logging.getLogger("headgate.pipeline")


class AdmissionControl:
    """The ledger, and what is learned about requests for it. Belongs to the event loop."""

    def __init__(
        self,
        ledger: EmbeddedLedger,
        *,
        budget_wait_s: float,
        secret: bytes,
        keep: Callable[[RequestRecord], None],
        tell: Callable[[BudgetEvent], None],
        clock_ms: Callable[[], int],
    ) -> None:
        """Ask ``ledger``.

        Args:
            ledger: decides and keeps.
            budget_wait_s: how long a request stands in line for what others hold.
            secret: up to 64 random bytes of this process, for fingerprints of conversations.
            keep: takes records.
            tell: takes the thresholds of budgets that are crossed.
            clock_ms: wall clock, ms since the epoch.
        """
        self.ledger: Final = ledger
        self.anchors: Final = Anchors()
        self.expectations: Final = Expectations()
        self.budget_wait_s: Final = budget_wait_s
        self.keep: Final = keep
        self.tell: Final = tell
        self.clock_ms: Final = clock_ms
        self._secret: Final = secret
        self._tenant_keys: Final[dict[str, bytes]] = {}

    def tenant_key(self, organization_id: str) -> bytes:
        """Return the key under which an organization's conversations are remembered."""
        key = self._tenant_keys.get(organization_id)
        if key is None:
            if len(self._tenant_keys) >= _TENANTS:
                self._tenant_keys.clear()
            key = self._tenant_keys[organization_id] = tenant_key_of(self._secret, organization_id)
        return key

    def allowance_for(self, asked: Asked, trace: Trace) -> "Allowance | None":
        """Return the allowance of a request, ``None`` where no limit binds it."""
        limits = asked.snapshot.limits
        if limits.is_empty:
            return None
        call, key, envelope = trace.call, asked.key, asked.envelope
        path = limits.path(
            key.path,
            key.id,
            end_user=call.end_user or envelope.end_user,
            model=envelope.model,
            tags=tags_of(call.tags or envelope.tags, key),
        )
        if not path.budgets and not path.rates:
            return None
        return Allowance(self, path, asked, trace)


class Allowance:
    """One request's way through the ledger. Order: `admit`, `limit_output`, `reserve`, `input_reported`, `end`.

    `limit_output` and `move` again for every further try.
    """

    __slots__ = (
        "_admitted",
        "_asked",
        "_control",
        "_held",
        "_held_nano_usd",
        "_held_tokens",
        "_max_output_tokens",
        "_measured",
        "_most_held_nano_usd",
        "_output",
        "_path",
        "_prepared",
        "_refused_by",
        "_trace",
        "_waited_s",
    )

    def __init__(self, control: AdmissionControl, path: LimitPath, asked: Asked, trace: Trace) -> None:
        """Nothing is asked of the ledger yet."""
        self._control = control
        self._path = path
        self._asked = asked
        self._trace = trace
        self._admitted: Admitted | None = None
        self._output: OutputBound | None = None
        self._prepared: Prepared | None = None
        self._measured: Measured | None = None
        self._held: Held | None = None
        self._held_nano_usd = 0
        """What is held at this moment."""
        self._held_tokens = 0
        """Likewise, of tokens."""
        self._most_held_nano_usd = 0
        """All that was held for the request's tries."""
        self._max_output_tokens: int | None = None
        self._refused_by: str | None = None
        self._waited_s = 0.0

    def admit(self) -> None:
        """Count the request at every limit of requests and concurrency on its path.

        Raises:
            HeadgateError: a limit refuses it, or the ledger can take no more.
        """
        ledger = self._control.ledger
        if ledger.is_full:
            raise OverloadedError(
                "The gateway cannot write its ledger at present.", retry_after_s=5, reason="journal_full"
            )
        if self._path.rates:
            outcome = ledger.admit(self._path)
            if isinstance(outcome, Refusal):
                raise self._refused(outcome)
            self._admitted = outcome

    def limit_output(self, asked: Asked) -> Asked:
        """Return the request with a maximum of output tokens: a provider that is told one bills no more.

        Only where a budget may refuse; rate limits never edit a request, and what is free needs no bound.
        """
        self._asked = asked
        form, deployment = self._trace.call.wire_format, asked.deployment
        output = self._output = output_bound(form, asked.envelope, deployment.capabilities)
        if not (output.is_ours and self._path.has_enforced_money) or deployment.price == FREE:
            return asked
        self._max_output_tokens = output.max_tokens
        return replace(asked, envelope=replace(asked.envelope, max_output_tokens=output.max_tokens))

    async def reserve(self, prepared: Prepared) -> Prepared:
        """Hold the most that the request can use, at every level or at none; return the request that may be sent.

        Raises:
            HeadgateError: a limit refuses it, it has no bound or no price, or the ledger is unavailable. Nothing is
                held then.
        """
        self._prepared = prepared
        call, path = self._trace.call, self._path
        if call.wire_format.operation == "count_tokens" or not (path.budgets or _has_windows(path)):
            return prepared
        sent, measured = self._measure(prepared)
        self._measured = measured
        self._check(measured)
        began = time.perf_counter()
        try:
            outcome = await self._ask(prepared, sent, measured)
            if isinstance(outcome, Refusal) and outcome.code in _BUDGETS and call.may_clamp:
                prepared, outcome = await self._ask_for_less(prepared, outcome)
        finally:
            self._waited_s = time.perf_counter() - began
        if isinstance(outcome, Refusal):
            raise self._refused(outcome)
        self._prepared = prepared
        self._held = outcome
        self._held_nano_usd = self._most_held_nano_usd = outcome.held_nano_usd
        self._held_tokens = _tokens_of(self._measured)
        return prepared

    async def move(self, prepared: Prepared, used: Settled) -> None:
        """Post what a try that failed is billed for, and hold the most that the next one, ``prepared``, can use.

        Raises:
            HeadgateError: a limit refuses it, or the ledger is unavailable. What was held is held until `end`.
        """
        if self._held is None:
            return
        call, ledger = self._trace.call, self._control.ledger
        spent_tokens = 0
        if used.quality is not UsageQuality.NONE:
            spent_tokens = min(used.usage.total_tokens, MAX_TOKENS)
            payee = self._prepared.deployment.provider if self._prepared is not None else ""
            thresholds = ledger.post_part(call.request_id, used.cost_nano_usd, spent_tokens, payee)
            self._held_nano_usd = max(0, self._held_nano_usd - used.cost_nano_usd)
            self._tell(thresholds)
        _, measured = self._measure(prepared)
        self._check(measured)
        self._held_tokens -= spent_tokens
        more_tokens = max(0, _tokens_of(measured) - self._held_tokens)
        more = Ask(
            max(0, (measured.cost_nano_usd or 0) - self._held_nano_usd), more_tokens, min(more_tokens, spent_tokens)
        )
        if more.nano_usd or more.tokens:
            began = time.perf_counter()
            outcome = await ledger.extend(call.request_id, more)
            self._waited_s += time.perf_counter() - began
            if isinstance(outcome, Refusal):
                raise self._refused(outcome)
            self._held_nano_usd += more.nano_usd
            self._most_held_nano_usd += more.nano_usd
            self._held_tokens += more.tokens
        self._measured, self._prepared = measured, prepared

    @property
    def awaits_input(self) -> bool:
        """Whether it is worth while to tell `input_reported` before the end."""
        measured = self._measured
        return self._held is not None and measured is not None and (measured.input_tokens or 0) >= RELEASE_FROM_TOKENS

    def input_reported(self, usage: TokenUsage | None) -> None:
        """Let go of what was held for input, beyond what the provider says it has read."""
        measured, prepared = self._measured, self._prepared
        if usage is None or usage.input_tokens <= 0 or measured is None or prepared is None:
            return
        over = (measured.input_tokens or 0) - usage.input_tokens
        cost = cost_within(prepared, measured, usage.input_tokens)
        if over <= 0 or cost is None or cost >= self._held_nano_usd:
            return
        ask = Ask(self._held_nano_usd - cost, over, 0)
        self._held_nano_usd = self._control.ledger.release_part(self._trace.call.request_id, ask)

    def end(self, settled: Settled, now: float) -> None:
        """Record the request, settle the hold and let the next one in; ``now`` is monotonic seconds."""
        control, trace = self._control, self._trace
        ledger = control.ledger
        if self._admitted is not None:
            ledger.leave(self._admitted)
        if self._held is None:
            trace.spending = self._spending(0)
            control.keep(trace.record(settled, now))
            return
        settled = self.affirm(settled)
        amount = settled.cost_nano_usd
        overrun = amount - self._held_nano_usd
        trace.spending = self._spending(overrun)
        record = trace.record(settled, now)
        # Before the ledger has it: what the journal holds must be in the table, or wait for it.
        control.keep(record)
        request_id = trace.call.request_id
        if settled.quality is UsageQuality.NONE:
            ledger.void(request_id, payload=record)
            return
        tokens = min(settled.usage.total_tokens, MAX_TOKENS)
        payee = self._prepared.deployment.provider if self._prepared is not None else ""
        settlement = ledger.settle(request_id, amount, tokens, payee=payee, payload=record)
        if settlement.thresholds:
            self._tell(settlement.thresholds)
        if overrun > 0:
            _log.error("a request cost more than was held for it", extra={"request_id": request_id})
        if settled.quality is UsageQuality.PROVIDER:
            self._learn(settled.usage)

    def rate_headers(self) -> HeaderList:
        """What is left of the tightest windows, in the caller's own header fields."""
        if not self._path.rates:
            return []
        requests, tokens = self._control.ledger.rates_left(self._path)
        states: list[RateState] = []
        if requests is not None:
            states.append(RateState(REQUESTS, requests.limit, requests.remaining, requests.resets_in_ms))
        if tokens is not None:
            states.append(RateState(TOKENS, tokens.limit, tokens.remaining, tokens.resets_in_ms))
        return self._trace.call.wire_format.render_rates(states, self._control.clock_ms())

    def _measure(self, prepared: Prepared) -> tuple[Envelope, Measured]:
        """Return the members of the body that the provider gets, and the most that they can use."""
        call, control = self._trace.call, self._control
        sent, output = prepared.envelope, self._output
        if output is None or prepared.is_translated(call):
            sent = sent_envelope(prepared, call)
            output = output_bound(prepared.wire_format, sent, prepared.deployment.capabilities)
        tenant_key = control.tenant_key(self._asked.key.path[0].id)
        return sent, measure(prepared, sent, output, control.anchors, tenant_key)

    def _check(self, measured: Measured) -> None:
        """Refuse what no limit could be kept for."""
        if measured.cost_nano_usd is None and self._path.has_enforced_money:
            name = shorten(self._asked.deployment.name)
            why = measured.unbounded or "a rate or a limit of the model is not known"
            raise UnpricedModelError(
                f"What this request costs at `{name}` has no upper bound ({why}), and a budget is on its path.",
                param="model",
                reason="unbounded",
            )
        if measured.input_tokens is None and _has_strict_windows(self._path):
            raise UnsupportedFeatureError(
                f"The tokens of this request have no upper bound ({measured.unbounded}), and a strict limit of tokens "
                "is on its path.",
                reason="unbounded",
            )

    async def _ask(self, prepared: Prepared, sent: Envelope, measured: Measured) -> Held | Refusal:
        """Claim what was measured; where a budget refuses that, what the model's own tokenizer says."""
        ledger = self._control.ledger
        # Who need not wait must not overtake those who do, so with a line the tight bound is asked for at once.
        if not ledger.has_waiters:
            outcome = await ledger.reserve(self._claim(prepared, measured))
            if not isinstance(outcome, Refusal) or outcome.code not in _BUDGETS:
                return outcome
        if can_be_refined(prepared, measured):
            measured = self._measured = await refine(prepared, sent, measured)
        return await ledger.reserve(self._claim(prepared, measured), wait_s=self._patience_s())

    async def _ask_for_less(self, prepared: Prepared, refusal: Refusal) -> tuple[Prepared, Held | Refusal]:
        """Cut the output to half of what is free, or to all of it where half is below the floor."""
        measured, price = self._measured, self._asked.deployment.price
        assert measured is not None, "what was refused was measured"
        output, fields = measured.output, prepared.envelope.fields
        if price is None or measured.input_tokens is None or not _NEVER_CLAMPED.isdisjoint(fields):
            return prepared, refusal
        ledger = self._control.ledger
        free = min(budget.free for budget in ledger.status(self._path).budgets if budget.enforced)
        choices = (output.tokens or 0) // max(1, output.max_tokens) or 1
        for share in (free // 2, free):
            most = affordable_output(price, measured.input_tokens, share, most=output.max_tokens, choices=choices)
            if most >= min(CLAMP_FLOOR_TOKENS, output.max_tokens):
                less = replace(measured, output=OutputBound(most, is_ours=True, tokens=most * choices))
                less = with_bound(prepared, less, measured.input_tokens, measured.bound_by)
                clamped = clamp(self._trace.call, prepared, most)
                outcome = await ledger.reserve(self._claim(clamped, less))
                if isinstance(outcome, Held):
                    self._measured, self._max_output_tokens = less, most
                    return clamped, outcome
        return prepared, refusal

    def _claim(self, prepared: Prepared, measured: Measured) -> Claim:
        trace, path = self._trace, self._path
        output = measured.output.tokens or 0
        tokens = expected = (measured.input_tokens or 0) + output
        if path.rates:
            model = prepared.deployment.upstream_model
            expected = self._control.expectations.expect(model, len(prepared.body), tokens, output)
        ask = Ask(measured.cost_nano_usd or 0, tokens, expected)
        return Claim(trace.call.request_id, path, ask, trace.memo())

    def _patience_s(self) -> float:
        wait_s, deadline_s = self._control.budget_wait_s, self._trace.call.timeout_s
        return wait_s if deadline_s is None else min(wait_s, deadline_s)

    def affirm(self, settled: Settled) -> Settled:
        """Let what is not the provider's own word cost what was held at most, and all of it where nothing is known."""
        is_known = settled.quality is UsageQuality.NONE or (settled.quality is UsageQuality.PROVIDER and settled.priced)
        if self._held is None or is_known:
            return settled
        held = self._held_nano_usd
        if held and settled.quality is UsageQuality.COUNTED and _broke_off(self._trace):
            return replace(settled, cost_nano_usd=held, priced=True, quality=UsageQuality.BOUND)
        if not settled.priced:
            # Without a budget that binds, nothing was held and the cost stays unknown.
            return replace(settled, cost_nano_usd=held, priced=True, quality=UsageQuality.BOUND) if held else settled
        if settled.cost_nano_usd > held and self._path.has_enforced_money:
            return replace(settled, cost_nano_usd=held)
        return settled

    def _learn(self, usage: TokenUsage) -> None:
        measured, prepared = self._measured, self._prepared
        if measured is None or prepared is None:
            return
        if self._path.rates:
            model = prepared.deployment.upstream_model
            self._control.expectations.learn(model, len(prepared.body), usage)
        if measured.conversation is not None:
            self._control.anchors.learn(measured.conversation, usage.input_tokens)

    def _spending(self, overrun: int) -> Spending:
        measured, held = self._measured, self._held
        return Spending(
            self._most_held_nano_usd,
            None if measured is None else measured.input_tokens,
            None if measured is None else measured.bound_by,
            self._max_output_tokens,
            in_ms(self._waited_s),
            max(0, overrun),
            self._refused_by,
            () if held is None or not held.would_refuse else tuple(map(limit_of, held.would_refuse)),
        )

    def _tell(self, thresholds: tuple[Threshold, ...]) -> None:
        for threshold in thresholds:
            self._control.tell(
                BudgetEvent(
                    at_ms=self._control.clock_ms(),
                    organization_id=self._asked.key.path[0].id,
                    account=threshold.account,
                    kind=threshold.kind,
                    scope_id=threshold.scope_id,
                    budget_id=threshold.budget_id,
                    percent=threshold.percent,
                    posted_nano_usd=threshold.posted,
                    limit_nano_usd=threshold.limit,
                )
            )
            facts = {"account": threshold.account, "percent": threshold.percent}
            _log.warning("a budget has passed a threshold", extra=facts)

    def _refused(self, refusal: Refusal) -> HeadgateError:
        self._refused_by = limit_of(refusal)
        return error_of_refusal(refusal, self._asked.key)


def _broke_off(trace: Trace) -> bool:
    """Whether a whole answer was under way and did not arrive: then nobody here knows how much of it is billed."""
    attempt = trace.attempts[-1] if trace.attempts else None
    if attempt is None or attempt.status is None or trace.envelope is None or trace.envelope.stream:
        return False
    # What arrived and could not be read was no answer, and neither was an error in its place.
    return attempt.status < 300 and attempt.error not in (None, "malformed", "error_event")


def _tokens_of(measured: Measured) -> int:
    return (measured.input_tokens or 0) + (measured.output.tokens or 0)


def _has_windows(path: LimitPath) -> bool:
    return any(
        line.rates.tpm is not None or line.rates.tph is not None or line.rates.tpd is not None for line in path.rates
    )


def _has_strict_windows(path: LimitPath) -> bool:
    strict = WindowMode.STRICT
    return any(
        (rates.tpm is not None and rates.tpm_mode is strict)
        or (rates.tph is not None and rates.tph_mode is strict)
        or (rates.tpd is not None and rates.tpd_mode is strict)
        for rates in (line.rates for line in path.rates)
    )
