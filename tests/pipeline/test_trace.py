"""The notes of a request and the record made from them."""

from msgspec.structs import replace

from headgate.domain.access import ScopeKind, ScopeRef, VirtualKey
from headgate.domain.errors import UpstreamError
from headgate.domain.record import Attempt, Outcome
from headgate.domain.usage import TokenUsage, UsageQuality
from headgate.pipeline.trace import NOTHING_USED, Settled
from headgate.routing.table import Deployment
from tests.pipeline.tracing import ENVELOPE, trace_of

KEY = VirtualKey(
    id="key_1",
    name="k",
    path=(ScopeRef(ScopeKind.ORGANIZATION, "org_1", "acme"), ScopeRef(ScopeKind.TEAM, "team_1", "ml")),
    models=("*",),
)


def test_a_finished_request() -> None:
    trace = trace_of()
    trace.key, trace.envelope = KEY, ENVELOPE
    trace.deployment = Deployment("openai", "gpt-4o-2024", None, is_sandbox=True)
    trace.attempts = (Attempt("openai", "openai/gpt-4o-2024", "gpt-4o-2024", 200, None, 250.0),)
    trace.dispatched, trace.upstream_done, trace.first_event = 100.01, 100.26, 100.11
    usage = TokenUsage(input_tokens=3, output_tokens=2)
    record = trace.record(Settled(usage, UsageQuality.PROVIDER, 7, priced=True, price_version="v"), 100.3)
    assert (record.organization_id, record.path, record.key_id) == ("org_1", ("org_1", "team_1"), "key_1")
    assert (record.model, record.provider, record.deployment) == ("gpt-4o", "openai", "openai/gpt-4o-2024")
    assert (record.end_user, record.tags) == ("ada", (("job", "x"),))
    assert (record.first_event_ms, record.duration_ms, record.overhead_ms) == (110.0, 300.0, 50.0)
    assert (record.usage, record.cost_nano_usd, record.price_version) == (usage, 7, "v")
    assert record.is_sandbox


def test_headers_win_over_the_body() -> None:
    trace = trace_of(end_user="eve", session="s", tags=(("team", "search"),))
    trace.key, trace.envelope = KEY, ENVELOPE
    record = trace.record(NOTHING_USED, 100.1)
    assert (record.end_user, record.session, record.tags) == ("eve", "s", (("team", "search"),))


def test_a_keys_own_tags_are_on_its_records_and_no_caller_replaces_them() -> None:
    trace = trace_of(tags=(("team", "mine"), ("job", "x")))
    trace.key = replace(KEY, tags=(("team", "search"), ("cost-center", "4711")))
    record = trace.record(NOTHING_USED, 100.1)
    assert record.tags == (("team", "search"), ("cost-center", "4711"), ("job", "x"))


def test_a_request_that_was_refused_at_once() -> None:
    trace = trace_of()
    trace.key = KEY
    trace.outcome, trace.status, trace.error = Outcome.REFUSED, 400, UpstreamError("no")
    record = trace.record(NOTHING_USED, 100.002)
    assert (record.model, record.provider, record.attempts, record.first_event_ms) == (None, None, (), None)
    assert (record.outcome, record.status, record.error_code) == (Outcome.REFUSED, 400, "upstream_error")
    assert record.overhead_ms == record.duration_ms == 2.0


def test_time_with_a_provider_that_never_answered_is_not_our_overhead() -> None:
    trace = trace_of()
    trace.key, trace.dispatched = KEY, 100.5
    assert trace.record(NOTHING_USED, 102.5).overhead_ms == 500.0
