"""Which deployments a request may be sent to, in which order: by its route, its caller's wishes and its policies."""

from collections.abc import Callable
from typing import Final, NoReturn

from msgspec.structs import replace

from headgate.domain.access import VirtualKey
from headgate.domain.errors import InvalidRequestError, OverloadedError, ResidencyViolationError
from headgate.domain.residency import refuses
from headgate.domain.routing import RoutingNote
from headgate.identity.keys import may_use_model
from headgate.pipeline.call import Call, Gateway
from headgate.pipeline.trace import Trace, tags_of
from headgate.routing.plan import Facts, Plan, follow, plan
from headgate.routing.table import Deployment, Route, shorten
from headgate.snapshot import Snapshot

_BYTES_A_TOKEN: Final = 4
"""Of English text; routing needs an estimate, not the bound."""
NOT_WISHED: Final = "not_wished"
"""Why a deployment was not considered that the caller's ``x-headgate-providers`` leaves out."""
RESIDENCY: Final = "residency_"
"""Begins the reason where a policy forbids one."""
UPSTREAM_SILENT: Final = "upstream_silent"
"""Why a request is refused where all that it could do is wait for a time-out."""


def choose(gateway: Gateway, snapshot: Snapshot, trace: Trace, route: Route) -> Plan:
    """Return the candidates for a request, and note why.

    Raises:
        InvalidRequestError: the caller wishes for providers that the model does not have.
        ResidencyViolationError: a policy on the key's path forbids all of them.
        OverloadedError: all of them are known to keep callers waiting for nothing.
        ModelNotFoundError: what the alias stands for is off.
    """
    call, key, now = trace.call, trace.key, gateway.clock()
    assert key is not None, "who asks is known"
    if route.is_single and key.residency is None and call.strategy is None and call.providers is None:
        chosen = plan(route, _NO_FACTS, gateway.health, now)
        return chosen if chosen.retry_after_s is None else _beside(gateway, snapshot, trace, chosen)
    facts = _facts_of(trace)
    route, rules = follow(snapshot.routes, route, facts)
    chosen = plan(route, facts, gateway.health, now, _refusing(call, key), rules=rules)
    trace.routing = chosen.note
    if chosen.is_last_resort:
        return _beside(gateway, snapshot, trace, chosen)
    if not chosen.candidates:
        _refuse(gateway, trace, key, chosen)
    return chosen


def _beside(gateway: Gateway, snapshot: Snapshot, trace: Trace, chosen: Plan) -> Plan:
    """Return the plan of a route that has a last resort at most, with the fallbacks that are well before it.

    Raises:
        OverloadedError: there is neither.
    """
    trace.routing = chosen.note
    route, candidates = chosen.route, chosen.candidates
    names = route.fallbacks.error
    if names:
        health, now = gateway.health, gateway.clock()
        well = [each for each in fallbacks(gateway, snapshot, trace, names) if health.of(each).why_not(now) is None]
        candidates = (*well, *candidates)
    if not candidates:
        raise OverloadedError(
            f"Nothing that `{shorten(route.name)}` leads to answers: whoever asks waits until a time-out. One request "
            "in a while still goes there, to find out when it is over.",
            reason=UPSTREAM_SILENT,
            retry_after_s=chosen.retry_after_s,
        )
    return replace(chosen, candidates=candidates)


def fallbacks(gateway: Gateway, snapshot: Snapshot, trace: Trace, names: tuple[str, ...]) -> tuple[Deployment, ...]:
    """Return the candidates of the routes that ``names`` lead to, for a request whose own have failed.

    Only those that its key may use: what an operator lets a key use holds for every way to it.
    """
    key = trace.key
    assert key is not None, "who asks is known"
    facts, found = _facts_of(trace), list[Deployment]()
    for name in names:
        route = snapshot.routes.find(name)
        if route is None or not may_use_model(key, name, is_sandbox=snapshot.routes.first_of(route).is_sandbox):
            continue
        route, rules = follow(snapshot.routes, route, facts)
        chosen = plan(route, facts, gateway.health, gateway.clock(), _refusing(trace.call, key), rules=(name, *rules))
        found += chosen.candidates
        note = trace.routing
        if note is not None:
            considered = (*note.considered, *chosen.note.considered)
            trace.routing = RoutingNote(note.strategy, considered, (*note.rules, *chosen.note.rules))
    return tuple(found)


def _facts_of(trace: Trace) -> Facts:
    """Return what a decision goes by."""
    call, key, envelope = trace.call, trace.key, trace.envelope
    assert envelope is not None, "what is asked is known"
    return Facts(
        input_tokens=len(call.body) // _BYTES_A_TOKEN,
        max_output_tokens=envelope.max_output_tokens,
        tags=tags_of(call.tags or envelope.tags, key),
        end_user=call.end_user or envelope.end_user,
        strategy=call.strategy,
    )


def _refusing(call: Call, key: VirtualKey) -> Callable[[Deployment], str | None] | None:
    """Return what refuses a deployment whatever else speaks for it; ``None`` where nothing does."""
    wished, policy = call.providers, key.residency
    if policy is None and wished is None:
        return None

    def refuse(deployment: Deployment) -> str | None:
        if wished is not None and deployment.provider not in wished:
            return NOT_WISHED
        reason = refuses(policy, deployment.handling)
        return None if reason is None else RESIDENCY + reason

    return refuse


def _refuse(gateway: Gateway, trace: Trace, key: VirtualKey, chosen: Plan) -> NoReturn:
    """Say why nothing may be asked.

    Raises:
        ResidencyViolationError: a policy forbids all that the caller's wishes leave.
        InvalidRequestError: they leave nothing.
    """
    model = shorten(chosen.route.name)
    reasons = {each.why_not for each in chosen.note.considered}
    if reasons == {NOT_WISHED}:
        wished = ", ".join(trace.call.providers or ())
        raise InvalidRequestError(f"`x-headgate-providers` names none that `{model}` has: {wished}.")
    gateway.note_residency_violation(key, trace.call.request_id, chosen.route.name)
    why = next(each.why_not or "" for each in chosen.note.considered if each.why_not != NOT_WISHED)
    why = why.removeprefix(RESIDENCY)
    raise ResidencyViolationError(
        f"Nothing that `{model}` leads to may have this data: the policies on the key's path forbid it ({why}).",
        param="model",
        reason=why,
    )


_NO_FACTS: Final = Facts(input_tokens=0, max_output_tokens=None, tags=(), end_user=None)
