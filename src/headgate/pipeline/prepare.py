"""Everything that is decided about a request before it is sent, without I/O: who asks, for what, and which bytes go.

All of it against the one snapshot that the request was given.
"""

from msgspec import Struct
from msgspec.structs import replace

from headgate.domain.access import VirtualKey
from headgate.domain.errors import (
    InvalidApiKeyError,
    ModelNotAllowedError,
    OverloadedError,
    UnpricedModelError,
    UnsupportedFeatureError,
)
from headgate.identity.keys import is_usable, may_use_model, priority_of
from headgate.identity.secrets import hash_secret
from headgate.pipeline.call import Call, Gateway
from headgate.pipeline.choose import choose
from headgate.pipeline.load import LoadGate, shed_error
from headgate.pipeline.trace import Trace
from headgate.providers.provider import Provider
from headgate.routing.table import Deployment, Route, shorten
from headgate.snapshot import Snapshot
from headgate.wire.format import DEFAULT_MAX_OUTPUT_TOKENS, Envelope, Rendered, UpstreamBody, WireFormat
from headgate.wire.json_body import MAX_MODEL_CHARS, refuse_unclean
from headgate.wire.translate import can_translate, translate_request


class Prepared(Struct, frozen=True):
    """A request that has passed every check and may be sent."""

    envelope: Envelope
    wire_format: WireFormat
    """What the provider speaks; the caller's own, unless the request is translated."""
    deployment: Deployment
    provider: Provider
    body: bytes
    """What the provider gets."""
    total_s: float
    """How long the request may take from its arrival on, over all its tries."""
    hide_usage: bool
    """The usage event was asked for by us alone, so the caller does not see it."""
    callers_deadline: bool
    """That is the caller's own word."""
    is_counted_here: bool = False
    """The caller asks for a count that the provider does not offer, so nothing is sent."""
    ignored: tuple[str, ...] = ()
    """Hints of the caller's that the provider's format cannot carry."""
    clamped_to: int | None = None
    """The maximum of output tokens that a budget left, where the caller had agreed to less than it asked for."""

    def is_translated(self, call: Call) -> bool:
        """Whether the provider speaks another format than the caller."""
        return self.wire_format is not call.wire_format


class Asked(Struct, frozen=True, gc=False):
    """Who asks for what: a request that is understood, and allowed as far as rights go."""

    snapshot: Snapshot
    key: VirtualKey
    envelope: Envelope
    route: Route
    candidates: tuple[Deployment, ...]
    """In the order in which they are to be tried; at least one."""
    deployment: Deployment
    """The one that is tried now."""


def understand(gateway: Gateway, call: Call, trace: Trace) -> Asked:
    """Check who asks, what for, and whether he may, in the order in which a caller should hear of it."""
    snapshot = gateway.snapshots.current
    key = trace.key = authenticate(snapshot, call.presented_key, call.started_at_ms)
    take_seat(gateway.load, key, trace)
    if gateway.records.is_full:
        raise OverloadedError(
            "The gateway cannot write its records at present.", retry_after_s=5, reason="records_full"
        )
    envelope = call.wire_format.parse_envelope(call.body)
    if call.path_model is not None:
        refuse_unclean(call.path_model, "model", MAX_MODEL_CHARS)
        envelope = replace(envelope, model=call.path_model)
    trace.envelope = envelope
    model = envelope.model
    routes = snapshot.routes
    route = routes.resolve(model)
    if not may_use_model(key, model, is_sandbox=routes.first_of(route).is_sandbox):
        raise ModelNotAllowedError(f"This key may not use the model `{shorten(model)}`.", param="model")
    plan = choose(gateway, snapshot, trace, route)
    trace.deployment = plan.candidates[0]
    return Asked(snapshot, key, envelope, plan.route, plan.candidates, plan.candidates[0])


def take_seat(load: LoadGate, key: VirtualKey, trace: Trace) -> None:
    """Let the request in, or shed it before anything is done for it."""
    if trace.seat is None:
        trace.seat = load.enter(key.path[0].id, priority_of(key))
    if trace.seat is None:
        trace.is_unrecorded = not load.takes_record()
        raise shed_error()


def prepare(call: Call, asked: Asked) -> Prepared:
    """Write what the provider gets.

    Raises:
        UnpricedModelError: what it costs there is not known.
        UnsupportedFeatureError: it cannot be asked for what the caller wants.
    """
    envelope, deployment = asked.envelope, asked.deployment
    if deployment.price is None and asked.snapshot.refuse_unpriced:
        raise UnpricedModelError(
            f"No price is known for `{shorten(deployment.name)}`: set one on its deployment, or `prices.unpriced`.",
            param="model",
        )
    provider = asked.snapshot.providers[deployment.provider]
    target, rendered = _render(call.wire_format, provider, deployment, envelope)
    total_s = provider.timeouts.total
    callers_deadline = call.timeout_s is not None and call.timeout_s < total_s
    return Prepared(
        envelope=envelope,
        wire_format=target,
        deployment=deployment,
        provider=provider,
        body=rendered.body,
        total_s=call.timeout_s if call.timeout_s is not None and callers_deadline else total_s,
        hide_usage=_asks_usage(provider, envelope) and not envelope.wants_usage,
        callers_deadline=callers_deadline,
        is_counted_here=not rendered.body,
        ignored=rendered.ignored,
    )


def clamp(call: Call, prepared: Prepared, max_output_tokens: int) -> Prepared:
    """Return the request written anew with another maximum of output tokens."""
    envelope = replace(prepared.envelope, max_output_tokens=max_output_tokens)
    _, rendered = _render(call.wire_format, prepared.provider, prepared.deployment, envelope)
    return replace(prepared, envelope=envelope, body=rendered.body, clamped_to=max_output_tokens)


def _asks_usage(provider: Provider, envelope: Envelope) -> bool:
    """Whether the provider has to be asked for the usage of a stream."""
    return envelope.stream and provider.vendor.include_usage


def _render(
    wire_format: WireFormat, provider: Provider, deployment: Deployment, envelope: Envelope
) -> tuple[WireFormat, Rendered]:
    """Return the format that the provider is spoken to in, and the body in it; an empty one where nothing is sent.

    Raises:
        UnsupportedFeatureError: the provider does not offer the operation, or its format cannot carry what was asked.
    """
    upstream = UpstreamBody(
        deployment.upstream_model,
        provider.max_output_field,
        _asks_usage(provider, envelope),
        deployment.capabilities.max_output_tokens or DEFAULT_MAX_OUTPUT_TOKENS,
    )
    if wire_format.name in provider.wire_formats:
        return wire_format, Rendered(wire_format.render_upstream(envelope, upstream))
    for target in provider.wire_formats.values():
        if can_translate(wire_format, target):
            return target, translate_request(wire_format, target, envelope, upstream)
    if wire_format.render_count is not None:
        return wire_format, Rendered(b"")
    raise UnsupportedFeatureError(
        f"The provider `{provider.name}` does not offer {wire_format.operation}.", param="model"
    )


def authenticate(snapshot: Snapshot, presented: bytes | None, now_ms: int) -> VirtualKey:
    """Return the key, or the one refusal that unknown, expired, blocked and revoked keys share."""
    key = usable_key(snapshot, presented, now_ms)
    if key is None:
        raise InvalidApiKeyError(
            "Incorrect API key provided." if presented else "You didn't provide an API key.",
        )
    return key


def usable_key(snapshot: Snapshot, presented: bytes | None, now_ms: int) -> VirtualKey | None:
    """Return the key of this secret where it opens anything at this moment."""
    key = snapshot.keys.lookup(hash_secret(presented)) if presented else None
    return key if key is not None and is_usable(key, now_ms) else None
