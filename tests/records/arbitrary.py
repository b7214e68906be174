"""Records of every shape that a request can leave, for hypothesis."""

from typing import Any

import msgspec
from hypothesis import strategies as st

from headgate.domain.record import Attempt, Outcome, RequestRecord, Spending
from headgate.domain.usage import TokenUsage, UsageQuality

TEXTS = st.text(max_size=20)
MAYBE_TEXTS = st.none() | TEXTS
COUNTS = st.integers(0, 1_000_000_000)
MONEY = st.integers(0, 2**63 - 1)
TIMES = st.integers(0, 2**48)
FLOATS = st.floats(0, 1e9)

ATTEMPTS = st.builds(
    Attempt,
    provider=TEXTS,
    deployment=TEXTS,
    upstream_model=TEXTS,
    status=st.none() | st.integers(100, 599),
    error=MAYBE_TEXTS,
    duration_ms=FLOATS,
    upstream_request_id=MAYBE_TEXTS,
)
SPENDINGS = st.builds(
    Spending,
    held_nano_usd=MONEY,
    input_bound=st.none() | COUNTS,
    bound_by=MAYBE_TEXTS,
    max_output_tokens=st.none() | COUNTS,
    waited_ms=FLOATS,
    overrun_nano_usd=MONEY,
    refused_by=MAYBE_TEXTS,
    would_refuse=st.lists(TEXTS, max_size=3).map(tuple),
)
RECORDS = st.builds(
    RequestRecord,
    id=TEXTS,
    started_at_ms=TIMES,
    organization_id=MAYBE_TEXTS,
    path=st.lists(TEXTS, max_size=4).map(tuple),
    key_id=MAYBE_TEXTS,
    end_user=MAYBE_TEXTS,
    session=MAYBE_TEXTS,
    tags=st.lists(st.tuples(TEXTS, TEXTS), max_size=3).map(tuple),
    operation=TEXTS,
    wire_format=TEXTS,
    model=MAYBE_TEXTS,
    provider=MAYBE_TEXTS,
    deployment=MAYBE_TEXTS,
    upstream_model=MAYBE_TEXTS,
    stream=st.booleans(),
    attempts=st.lists(ATTEMPTS, max_size=3).map(tuple),
    outcome=st.sampled_from(Outcome),
    status=st.integers(100, 599),
    error_code=MAYBE_TEXTS,
    finish_reason=MAYBE_TEXTS,
    usage=st.builds(TokenUsage, *[COUNTS] * len(TokenUsage.__struct_fields__)),
    usage_quality=st.sampled_from(UsageQuality),
    cost_nano_usd=MONEY,
    priced=st.booleans(),
    price_version=MAYBE_TEXTS,
    first_event_ms=st.none() | FLOATS,
    duration_ms=FLOATS,
    overhead_ms=FLOATS,
    is_sandbox=st.booleans(),
    spending=st.none() | SPENDINGS,
)


def payload_of(value: object) -> Any:
    """What the journal gives back of a record or memo that it was given."""
    return msgspec.msgpack.decode(msgspec.msgpack.encode(value))
