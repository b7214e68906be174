"""A `RequestRecord` and a `RequestMemo` as the ledger's journal gives them back.

The journal writes them as msgpack beside its own rows, and reads back plain values: an array of a record's fields in
their order, maps for the structs in it. Fields may be appended, with a default, and never moved or taken out: journals
hold records of earlier versions.
"""

import msgspec

from headgate.domain.record import Outcome, RequestMemo, RequestRecord
from headgate.domain.usage import TokenUsage, UsageQuality


class RecordDecodeError(ValueError):
    """What is no record, or no memo."""


def decode_record(payload: object) -> RequestRecord:
    """Return the record that the journal was given.

    Raises:
        RecordDecodeError: it was none, or is not all of it.
    """
    try:
        return msgspec.convert(payload, RequestRecord)
    except (msgspec.MsgspecError, OverflowError) as error:
        raise RecordDecodeError(f"the payload is no record: {error}") from error


def recovered_record(memo: object, posted_nano_usd: int) -> RequestRecord:
    """Return the record of a request that was running when the process died: it cost all that it held.

    Raises:
        RecordDecodeError: ``memo`` is no `RequestMemo`.
    """
    try:
        known = msgspec.convert(memo, RequestMemo)
    except (msgspec.MsgspecError, OverflowError) as error:
        raise RecordDecodeError(f"the memo is none of a request: {error}") from error
    return RequestRecord(
        id=known.id,
        started_at_ms=known.started_at_ms,
        organization_id=known.path[0] if known.path else None,
        path=known.path,
        key_id=known.key_id,
        end_user=known.end_user,
        session=known.session,
        tags=known.tags,
        operation=known.operation,
        wire_format=known.wire_format,
        model=known.model,
        provider=known.provider,
        deployment=known.deployment,
        upstream_model=known.upstream_model,
        stream=known.stream,
        attempts=(),
        outcome=Outcome.RECOVERED,
        status=500,
        error_code=None,
        finish_reason=None,
        usage=TokenUsage(),
        usage_quality=UsageQuality.BOUND,
        cost_nano_usd=posted_nano_usd,
        priced=True,
        price_version=None,
        first_event_ms=None,
        duration_ms=0.0,
        overhead_ms=0.0,
        is_sandbox=known.is_sandbox,
    )
