"""The stage before anything is sent: an answer that was kept, one that is just being given, or the provider's own.

    kept and good → given again · asked by another just now → read along · else asked for, and kept if it may be

A cache that is down, slow or full is a miss, and doubt is a miss: the request then goes on as if there were none.
"""

from collections.abc import Mapping
from hashlib import blake2b
from typing import Final, NoReturn

from msgspec import Raw, Struct
from msgspec.structs import replace

from headgate.cache.admission import (
    MOST_REQUEST_BYTES,
    TIME_BOUND_TTL_S,
    is_time_bound,
    why_not_kept,
    why_not_sought,
)
from headgate.cache.canonical import canonical_chat, canonical_fields
from headgate.cache.entry import Entry
from headgate.cache.exact import ExactCache
from headgate.cache.key import Partition, entry_id, key_of
from headgate.cache.labels import labels_of
from headgate.cache.memory import Kept
from headgate.cache.recorded import Recorded, pack
from headgate.domain.access import ScopeKind, VirtualKey
from headgate.domain.caching import CacheControl, CacheNote, CachePolicy, CacheScope, CacheStatus
from headgate.domain.chat_events import collect
from headgate.domain.errors import CacheMissError, ClientClosedError, HeadgateError, InternalError
from headgate.pipeline.allowance import Allowance
from headgate.pipeline.call import Gateway
from headgate.pipeline.failover import deliver
from headgate.pipeline.flights import Flights, LeaderReply
from headgate.pipeline.following import Follower
from headgate.pipeline.prepare import Asked
from headgate.pipeline.replay import Replay, Turn
from headgate.pipeline.reply import Reply
from headgate.pipeline.settle import settle
from headgate.pipeline.tape import Tape
from headgate.pipeline.trace import NOTHING_USED, Settled, Trace, tags_of
from headgate.wire.format import WireFormat

_OPERATIONS: Final = frozenset({"chat", "embeddings"})
_JITTER: Final = 0.1
"""Times to live differ by up to this share, so that what was kept together does not end together."""
_MOST_LEADERS: Final = 3
"""After so many calls that failed it, a follower asks for itself or hears why."""
_NO_POLICIES: Final = "-"
_MOST_KNOWN: Final = 4096
_YEAR_MS: Final = 31_556_952_000
_NO_CONTROL: Final = CacheControl()


class ResponseCache(Struct, frozen=True):
    """Answers that may be given again, and those that are being given."""

    exact: ExactCache
    flights: Flights
    questions: "Questions"
    marker: str
    """Stands for an answer's id where it is rendered once for many: a secret of the process, so no answer holds it."""


class Sought(Struct, frozen=True, gc=False):
    """What is looked for, and under which conditions."""

    policy: CachePolicy
    control: CacheControl
    key: bytes
    asked_at: int
    """The cache's `ExactCache.moment`: what is purged from now on is not kept when the answer comes."""


async def answer(
    gateway: Gateway, asked: Asked, trace: Trace, reply: Reply, allowance: Allowance | None
) -> Settled | None:
    """Answer a request from the cache or from its provider; return its settlement where that came first.

    Raises:
        HeadgateError: as `deliver` does, and `CacheMissError` where the caller wants nothing but what is kept.
    """
    cache = gateway.cache
    policy = None if cache is None else asked.snapshot.caching.of(trace.call.path_model or asked.envelope.model)
    if cache is None or policy is None or trace.call.wire_format.operation not in _OPERATIONS:
        return await deliver(gateway, asked, trace, reply, allowance)
    sought = _sought(cache, policy, asked, trace)
    if isinstance(sought, str):
        trace.cache = CacheNote(CacheStatus.BYPASS, sought)
        if trace.call.cache_control is not None and trace.call.cache_control.only_if_cached:
            _refuse(sought)
        return await deliver(gateway, asked, trace, reply, allowance)
    return await _Stage(Turn(gateway, asked, trace, reply, allowance), cache, sought).answer()


def _sought(cache: ResponseCache, policy: CachePolicy, asked: Asked, trace: Trace) -> Sought | str:
    """Return what to look for, or why nothing is: one stable word."""
    call, key = trace.call, asked.key
    control = call.cache_control or _NO_CONTROL
    if control.no_store:
        return "no-store"
    if len(call.body) > MOST_REQUEST_BYTES:
        return "large_request"
    question = cache.questions.read(call.wire_format, policy, call.body, asked.envelope.fields)
    if isinstance(question, str):
        return question
    organization_id = key.path[0].id
    partition = Partition(
        organization_id,
        scope_id_of(policy.scope, key, call.end_user or asked.envelope.end_user),
        call.wire_format.operation,
        asked.envelope.model,
        asked.route.targets,
        _NO_POLICIES if key.residency is None and call.providers is None else f"{key.residency!r} {call.providers!r}",
    )
    secret = cache.exact.secret_of(organization_id)
    return Sought(policy, control, key_of(secret, partition, question), cache.exact.moment)


class Questions:
    """What requests ask in the one form that all have that ask the same, as digests; bodies seen lately are not read
    again. Nothing here belongs to a tenant: the same body asks the same whoever sends it."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        """Begin with none."""
        self._known: dict[tuple[str, CachePolicy, bytes], bytes | str] = {}

    def read(self, form: WireFormat, policy: CachePolicy, body: bytes, fields: Mapping[str, Raw]) -> bytes | str:
        """Return the digest of what is asked, or why it is not looked for: one stable word."""
        name = (form.name, policy, blake2b(body, digest_size=32).digest())
        known = self._known.get(name)
        if known is None:
            known = _read(form, policy, fields)
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[name] = known
        return known


def _read(form: WireFormat, policy: CachePolicy, fields: Mapping[str, Raw]) -> bytes | str:
    try:
        if form.dialect is None:
            canonical = canonical_fields(fields)
        else:
            request = form.dialect.parse_request(fields)
            reason = why_not_sought(request, policy)
            if reason is not None:
                return reason
            canonical = canonical_chat(request)
    except (HeadgateError, ValueError, RecursionError):
        # The provider may understand it all the same; what it means is not known here.
        return "not_understood"
    return blake2b(canonical, digest_size=32).digest()


def scope_id_of(scope: CacheScope, key: VirtualKey, end_user: str | None) -> str:
    """Return the step of the key's path that shares answers; where it has no such step, the next one outside it."""
    if scope is CacheScope.ORGANIZATION:
        return key.path[0].id
    if scope is CacheScope.KEY:
        return key.id
    if scope is CacheScope.USER:
        person = next((step.id for step in reversed(key.path) if step.kind is ScopeKind.USER), key.id)
        return person if end_user is None else f"{person} {end_user}"
    outer = (ScopeKind.ORGANIZATION, ScopeKind.TEAM)
    kinds = outer if scope is CacheScope.TEAM else (*outer, ScopeKind.PROJECT)
    return [step.id for step in key.path if step.kind in kinds][-1]


class _Stage:
    """One request that may be answered from the cache."""

    __slots__ = ("_asked", "_cache", "_gateway", "_reply", "_sought", "_stale", "_trace", "_turn")

    def __init__(self, turn: Turn, cache: ResponseCache, sought: Sought) -> None:
        self._turn = turn
        self._gateway = turn.gateway
        self._asked = turn.asked
        self._trace = turn.trace
        self._reply = turn.reply
        self._cache = cache
        self._sought = sought
        self._stale: Kept | None = None
        """What is past its time, and may still be given where every provider fails."""

    async def answer(self) -> Settled | None:
        """Answer as the module says."""
        sought, flights = self._sought, self._cache.flights
        kept = await self._find()
        if kept is not None:
            return await self._give(kept)
        self._note(CacheStatus.MISS)
        if sought.control.only_if_cached:
            _refuse(None)
        if sought.policy.coalesce and not sought.control.no_cache:
            for _ in range(_MOST_LEADERS):
                tape = flights.find(sought.key)
                if tape is None:
                    break
                follower = Follower(self._turn)
                if await follower.follow(tape, self._cache.marker):
                    return NOTHING_USED
                if follower.is_final:
                    assert tape.error is not None, "it failed"
                    raise tape.error
        return await self._lead()

    async def _find(self) -> Kept | None:
        """Return an answer that may be given."""
        sought, exact = self._sought, self._cache.exact
        now_ms = self._gateway.clock_ms()
        kept = exact.find(sought.key, now_ms)
        if kept is None and exact.is_on_disk(sought.key):
            kept = await exact.load(sought.key, now_ms)
        if kept is None:
            return None
        entry, control = kept.entry, sought.control
        left_ms, age_ms = kept.left_ms(now_ms, self._gateway.clock()), now_ms - entry.created_at_ms
        stale_s = min(sought.policy.stale_if_error_s, control.stale_if_error_s or sought.policy.stale_if_error_s)
        # Who wants the provider's own word does not want an old one in an outage, unless he says so.
        wants_stale = not control.no_cache if control.stale_if_error_s is None else control.stale_if_error_s > 0
        if wants_stale and left_ms + stale_s * 1000 > 0:
            self._stale = kept
        if control.no_cache or left_ms <= 0:
            return None
        if control.max_age_s is not None and age_ms > control.max_age_s * 1000:
            return None
        if control.min_fresh_s is not None and left_ms < control.min_fresh_s * 1000:
            return None
        return kept

    async def _give(self, kept: Kept) -> Settled | None:
        """Give a kept answer; where it cannot be said in the caller's format, ask the provider after all."""
        if await Replay(self._turn).kept(kept, self._cache.marker):
            return NOTHING_USED
        self._stale = None
        return await self._lead()

    async def _lead(self) -> Settled | None:
        """Ask the provider, let others read along, and keep the answer if it may be."""
        trace, sought, flights = self._trace, self._sought, self._cache.flights
        control = sought.control
        self._note(
            CacheStatus.BYPASS if control.no_cache else CacheStatus.MISS, "no-cache" if control.no_cache else None
        )
        tape = trace.tape = Tape()
        leader = LeaderReply(self._reply, tape)
        if sought.policy.coalesce:
            flights.begin(sought.key, tape)
        try:
            settled = await deliver(self._gateway, self._asked, trace, leader, self._turn.allowance)
            settled = settled or await settle(trace)
        except HeadgateError as error:
            tape.fail(error)
            stale = self._stale
            if stale is not None and self._may_give_stale():
                # Before the answer's own figures take the place of what the last try is billed for.
                used = await settle(trace)
                if await Replay(self._turn).kept(stale, self._cache.marker, is_stale=True):
                    return used
            raise
        except BaseException:
            tape.fail(_LEFT if self._reply.client_gone else _BROKEN)
            raise
        else:
            self._keep(tape, settled)
        finally:
            flights.end(sought.key, tape)
            leader.release()
        return settled

    def _may_give_stale(self) -> bool:
        """Whether providers failed, all of them, before anything reached the caller."""
        reply = self._reply
        return bool(self._trace.attempts) and not (reply.begun or reply.client_gone)

    def _note(self, status: CacheStatus, reason: str | None = None) -> None:
        self._trace.cache = CacheNote(status, reason, entry_id(self._sought.key))

    def _keep(self, tape: Tape, settled: Settled) -> None:
        """Keep the answer, or note why it is not kept."""
        trace, sought = self._trace, self._sought
        deployment, note = trace.deployment, trace.cache
        assert deployment is not None, "it was sent"
        assert note is not None, "it was looked for"
        recorded = tape.complete(deployment, settled.usage, trace.metered.finish_reason)
        reason = "unreadable"
        if recorded is not None:
            reason = self._why_not(recorded, tape)
        if reason is None:
            assert recorded is not None, "it can be read"
            try:
                self._cache.exact.keep(self._entry(pack(recorded)), sought.asked_at)
            except (ValueError, RecursionError):
                reason = "unreadable"
        trace.cache = replace(note, is_stored=reason is None, reason=note.reason or reason)

    def _why_not(self, recorded: Recorded, tape: Tape) -> str | None:
        policy, deployment = self._sought.policy, self._trace.deployment
        assert deployment is not None, "it was sent"
        if tape.size > policy.max_body_bytes:
            return "too_large"
        target = deployment.provider, deployment.upstream_model
        if target not in [(each.provider, each.upstream_model) for each in self._asked.route.deployments]:
            return "fallback"
        if recorded.body is not None:
            return None
        try:
            said = recorded.answer or collect(recorded.events)
        except ValueError:
            return "not_understood"
        return why_not_kept(said, policy)

    def _ttl_s(self) -> float:
        """Return how long the answer is good for: a question about the present has another answer soon."""
        ttl_s, call = self._sought.policy.ttl_s, self._trace.call
        dialect = call.wire_format.dialect
        if ttl_s <= TIME_BOUND_TTL_S or dialect is None:
            return ttl_s
        request = dialect.parse_request(self._asked.envelope.fields)
        is_bound = is_time_bound(request, 1970 + call.started_at_ms // _YEAR_MS)
        return TIME_BOUND_TTL_S if is_bound else ttl_s

    def _entry(self, payload: bytes) -> Entry:
        sought, trace, key = self._sought, self._trace, self._asked.key
        now_ms = self._gateway.clock_ms()
        ttl_s = self._ttl_s() * (1 - _JITTER + 2 * _JITTER * self._gateway.draw())
        expires_at_ms = now_ms + int(ttl_s * 1000)
        tags = tags_of(trace.call.tags or self._asked.envelope.tags, key)
        return Entry(
            key=sought.key,
            labels=labels_of(key, self._asked.envelope.model, tags, sought.key),
            created_at_ms=now_ms,
            expires_at_ms=expires_at_ms,
            stale_until_ms=expires_at_ms + int(sought.policy.stale_if_error_s * 1000),
            payload=payload,
        )


_LEFT: Final = ClientClosedError("Whoever asked first left.")
_BROKEN: Final = InternalError("The call that was shared ended inside the gateway.")


def _refuse(reason: str | None) -> NoReturn:
    raise CacheMissError("No answer to this request is cached, and it asked for nothing else.", reason=reason)
