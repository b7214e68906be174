"""A `RequestRecord` as bytes, as the ledger's journal carries it, and back.

Names would be most of the bytes, so a record is a msgpack array of its fields in their order, and so is every struct in
it. Fields may be appended, with a default, and never moved or taken out: journals hold records of earlier versions.
"""

from typing import Any, Final, cast

import msgspec
from msgspec import Struct
from msgspec.structs import astuple

from headgate.domain.record import Attempt, RequestRecord, Spending
from headgate.domain.usage import TokenUsage
from headgate.records.rows import without_lone_surrogates

_NAMES: Final = RequestRecord.__struct_fields__
_ORGANIZATION: Final = _NAMES.index("organization_id")
_ATTEMPTS: Final = _NAMES.index("attempts")
_USAGE: Final = _NAMES.index("usage")
_SPENDING: Final = _NAMES.index("spending")
_FIRST_OF_PATH: Final = 0
"""In the place of an organization: it is the first of the path, as it nearly always is. Its id is 36 bytes."""
_encode: Final = msgspec.msgpack.Encoder().encode
_arrays: Final = msgspec.msgpack.Decoder(list[Any])


class RecordDecodeError(ValueError):
    """Bytes that are no record."""


def encode_record(record: RequestRecord) -> bytes:
    """Return ``record`` as bytes. Half a surrogate pair becomes U+FFFD, as it does in the table.

    Raises:
        OverflowError: a number has more than 64 bits; no table would take it either.
    """
    try:
        return _encode(_array_of(record))
    except UnicodeEncodeError:
        return _encode(_array_of(without_lone_surrogates(record)))


def decode_record(payload: bytes) -> RequestRecord:
    """Return the record that `encode_record` was given.

    Raises:
        RecordDecodeError: it was not made by `encode_record`, or is not all of it.
    """
    try:
        values = _named(RequestRecord, _arrays.decode(payload))
        if values["organization_id"] == _FIRST_OF_PATH:
            values["organization_id"] = values["path"][0]
        values["attempts"] = tuple([_named(Attempt, each) for each in values["attempts"]])
        values["usage"] = _named(TokenUsage, values["usage"])
        if values.get("spending") is not None:
            values["spending"] = _named(Spending, values["spending"])
        return msgspec.convert(values, RequestRecord)
    except (msgspec.MsgspecError, KeyError, IndexError, TypeError, UnicodeDecodeError) as error:
        raise RecordDecodeError(f"{len(payload)} bytes that are no record: {error}") from error


def _array_of(record: RequestRecord) -> list[Any]:
    values: list[Any] = list(astuple(record))
    if record.path and record.path[0] == record.organization_id:
        values[_ORGANIZATION] = _FIRST_OF_PATH
    if record.attempts:
        values[_ATTEMPTS] = [astuple(attempt) for attempt in record.attempts]
    values[_USAGE] = astuple(record.usage)
    if record.spending is not None:
        values[_SPENDING] = astuple(record.spending)
    return values


def _named(kind: type[Struct], values: object) -> dict[str, Any]:
    # What a later version appended is not known here.
    return dict(zip(kind.__struct_fields__, cast("list[Any]", values), strict=False))
