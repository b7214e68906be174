"""A record survives the journal: as it was, as other versions wrote it; and what is none is refused."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.domain.record import RequestMemo, RequestRecord, Spending
from headgate.records.codec import RecordDecodeError, decode_record, recovered_record
from tests.records.arbitrary import RECORDS, payload_of
from tests.records.conftest import MakeRecord

SPENDING = Spending(18_000_000, 1_212, "bytes", 4_096, 1.25, 7, "team/team_a/tpm", ("team/team_a/bud_1/2026-11",))
WRITTEN_ON_THE_FIRST_DAY = bytes.fromhex(
    "dc001ea57265715f31cf0000019ab095d201a56f72675f6192a56f72675f61a67465616d5f61a56b65795f61a3616461a173"
    "9192a36a6f62a76e696768746c79a463686174ab6f70656e61695f63686174a66770742d346fa66f70656e6169ad6f70656e"
    "61692f6770742d346fa66770742d346fc39187a870726f7669646572a66f70656e6169aa6465706c6f796d656e74ad6f7065"
    "6e61692f6770742d346fae757073747265616d5f6d6f64656ca66770742d346fa6737461747573ccc8a56572726f72c0ab64"
    "75726174696f6e5f6d73cb4029000000000000b3757073747265616d5f726571756573745f6964a475702d31a26f6bccc8c0"
    "a473746f7087ac696e7075745f746f6b656e730ab36361636865645f696e7075745f746f6b656e7304b263616368655f7772"
    "6974655f746f6b656e7300b2696e7075745f617564696f5f746f6b656e7300ad6f75747075745f746f6b656e7307b0726561"
    "736f6e696e675f746f6b656e7302b36f75747075745f617564696f5f746f6b656e7300a870726f7669646572cda604c3b267"
    "656e61692d70726963657320302e322e33cb400a000000000000cb4034200000000000cb3fe0000000000000c288ad68656c"
    "645f6e616e6f5f757364ce0112a880ab696e7075745f626f756e64cd04bca8626f756e645f6279a56279746573b16d61785f"
    "6f75747075745f746f6b656e73cd1000a97761697465645f6d73cb3ff4000000000000b06f76657272756e5f6e616e6f5f75"
    "736407aa726566757365645f6279af7465616d2f7465616d5f612f74706dac776f756c645f72656675736591b97465616d2f"
    "7465616d5f612f6275645f312f323032362d3131"
)
"""`a_full_record` as the first version wrote it: whoever moves a field breaks journals that exist."""


def a_full_record(make_record: MakeRecord) -> RequestRecord:
    return make_record(id="req_1", started_at_ms=1_763_899_200_001, session="s", spending=SPENDING)


@given(record=RECORDS)
def test_every_record_comes_back_as_it_was(record: RequestRecord) -> None:
    assert decode_record(payload_of(record)) == record


def test_a_record_of_the_first_version_is_read(make_record: MakeRecord) -> None:
    assert decode_record(msgspec.msgpack.decode(WRITTEN_ON_THE_FIRST_DAY)) == a_full_record(make_record)


def test_what_a_later_version_appended_is_left_out_and_what_is_not_there_has_its_default(
    make_record: MakeRecord,
) -> None:
    record = a_full_record(make_record)
    payload = payload_of(record)
    assert decode_record([*payload, "new"]) == record
    earlier = payload[: RequestRecord.__struct_fields__.index("is_sandbox")]
    assert decode_record(earlier) == msgspec.structs.replace(record, is_sandbox=False, spending=None)


def test_a_record_of_which_something_is_missing_is_refused(make_record: MakeRecord) -> None:
    payload = payload_of(a_full_record(make_record))
    for length in range(RequestRecord.__struct_fields__.index("is_sandbox")):
        with pytest.raises(RecordDecodeError):
            decode_record(payload[:length])


@given(
    payload=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.binary(max_size=9),
        lambda inner: st.lists(inner, max_size=34),
    )
)
def test_what_is_no_record_or_memo_is_refused_by_one_error(payload: object) -> None:
    with pytest.raises(RecordDecodeError):
        decode_record(payload)
    with pytest.raises(RecordDecodeError):
        recovered_record(payload, 0)


def test_a_memo_of_the_first_version_is_read() -> None:
    memo = ["req_1", 5, ["org_1"], "key_1", None, None, [], "chat", "openai_chat", "m", "p", "p/m", "m", True, False]
    assert len(memo) == len(RequestMemo.__struct_fields__)
    found = recovered_record([*memo, "new"], 7)
    assert (found.id, found.organization_id, found.cost_nano_usd, found.stream) == ("req_1", "org_1", 7, True)
