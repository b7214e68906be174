"""A record survives the journal: its own bytes, those of other versions, and bytes that are none."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from headgate.domain.record import Attempt, RequestRecord, Spending
from headgate.domain.usage import TokenUsage
from headgate.records.codec import RecordDecodeError, decode_record, encode_record
from tests.records.arbitrary import RECORDS
from tests.records.conftest import MakeRecord

SPENDING = Spending(18_000_000, 1_212, "bytes", 4_096, 1.25, 7, "team/team_a/tpm", ("team/team_a/bud_1/2026-11",))
WRITTEN_ON_THE_FIRST_DAY = bytes.fromhex(
    "dc001ea57265715f31cf0000019ab095d2010092a56f72675f61a67465616d5f61a56b65795f61a3616461a1739192a36a6f"
    "62a76e696768746c79a463686174ab6f70656e61695f63686174a66770742d346fa66f70656e6169ad6f70656e61692f6770"
    "742d346fa66770742d346fc39197a66f70656e6169ad6f70656e61692f6770742d346fa66770742d346fccc8c0cb40290000"
    "00000000a475702d31a26f6bccc8c0a473746f70970a040000070200a870726f7669646572cda604c3b267656e61692d7072"
    "6963657320302e322e33cb400a000000000000cb4034200000000000cb3fe0000000000000c298ce0112a880cd04bca56279"
    "746573cd1000cb3ff400000000000007af7465616d2f7465616d5f612f74706d91b97465616d2f7465616d5f612f6275645f"
    "312f323032362d3131"
)
"""`a_full_record` as the first version wrote it: whoever moves a field breaks journals that exist."""


def a_full_record(make_record: MakeRecord) -> RequestRecord:
    return make_record(id="req_1", started_at_ms=1_763_899_200_001, session="s", spending=SPENDING)


@given(record=RECORDS)
def test_every_record_comes_back_as_it_was(record: RequestRecord) -> None:
    assert decode_record(encode_record(record)) == record


def test_a_record_of_the_first_version_is_read(make_record: MakeRecord) -> None:
    record = a_full_record(make_record)
    assert decode_record(WRITTEN_ON_THE_FIRST_DAY) == record
    assert encode_record(record) == WRITTEN_ON_THE_FIRST_DAY


def test_what_a_later_version_appended_is_left_out_and_what_is_not_there_has_its_default(
    make_record: MakeRecord,
) -> None:
    record = replace(a_full_record(make_record), attempts=(Attempt("p", "d", "m", 200, None, 1.0),))
    values = msgspec.msgpack.decode(encode_record(record))
    names = RequestRecord.__struct_fields__
    later = [*values, "new"]
    later[names.index("attempts")] = [[*values[names.index("attempts")][0], "new"]]
    later[names.index("usage")] = [*values[names.index("usage")], 1]
    later[names.index("spending")] = [*values[names.index("spending")], 1]
    assert decode_record(msgspec.msgpack.encode(later)) == record
    earlier = values[: names.index("is_sandbox")]
    earlier[names.index("attempts")] = [values[names.index("attempts")][0][:-1]]
    earlier[names.index("usage")] = values[names.index("usage")][:2]
    expected = replace(record, is_sandbox=False, spending=None, usage=TokenUsage(*values[names.index("usage")][:2]))
    assert decode_record(msgspec.msgpack.encode(earlier)) == expected


def test_a_payload_that_was_cut_anywhere_is_refused(make_record: MakeRecord) -> None:
    payload = encode_record(a_full_record(make_record))
    for length in range(len(payload)):
        with pytest.raises(RecordDecodeError):
            decode_record(payload[:length])


@given(
    payload=st.binary(max_size=64)
    | st.recursive(
        st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3), lambda inner: st.lists(inner, max_size=34)
    ).map(msgspec.msgpack.encode)
)
def test_bytes_that_are_no_record_are_refused_by_one_error(payload: bytes) -> None:
    with pytest.raises(RecordDecodeError):
        decode_record(payload)


def test_half_a_character_becomes_the_one_that_says_so(make_record: MakeRecord) -> None:
    record = make_record(finish_reason="st\ud83dop", spending=replace(SPENDING, refused_by="tag/\udcff/tpm"))
    found = decode_record(encode_record(record))
    assert found.finish_reason == "st\N{REPLACEMENT CHARACTER}op"
    assert found.spending == replace(SPENDING, refused_by="tag/\N{REPLACEMENT CHARACTER}/tpm")


def test_a_usual_record_is_short(make_record: MakeRecord) -> None:
    organization, team, key, request = (f"{kind}_{'0' * 32}" for kind in ("org", "team", "key", "req"))
    record = make_record(
        id=request,
        organization_id=organization,
        path=(organization, team),
        key_id=key,
        attempts=(Attempt("openai", "openai/gpt-4o", "gpt-4o", 200, None, 812.512, request),),
        spending=Spending(18_000_000, 1_212, "bytes"),
    )
    assert len(encode_record(record)) <= 450
