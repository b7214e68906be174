"""What the cache did for requests, added up."""

import pytest

from headgate.domain.caching import CacheNote, CacheStatus
from headgate.domain.errors import ValidationFailedError
from headgate.domain.record import RequestRecord
from headgate.records.cache_queries import CacheFigures, CacheQuery, ReasonCount, cache_figures
from headgate.records.queries import Reach
from headgate.records.writer import RecordWriter
from headgate.storage.engine import Database
from tests.records.conftest import NOON_MS, MakeRecord

S = CacheStatus
DAY_MS = 86_400_000
ALL = CacheQuery(NOON_MS, NOON_MS + DAY_MS)
HIT = CacheNote(S.HIT_EXACT, entry="ce_1", age_s=3, saved_nano_usd=1_000, saved_input_tokens=10, saved_output_tokens=7)
NOTES = (
    None,
    HIT,
    HIT,
    CacheNote(S.HIT_EXACT, age_s=9_000, is_stale=True, saved_nano_usd=1, saved_input_tokens=1, saved_output_tokens=1),
    CacheNote(S.COALESCED, saved_nano_usd=500, saved_input_tokens=10, saved_output_tokens=7),
    CacheNote(S.MISS, is_stored=True),
    CacheNote(S.MISS, is_stored=True),
    CacheNote(S.MISS, reason="refusal"),
    CacheNote(S.BYPASS, reason="tool_results"),
    CacheNote(S.BYPASS, reason="tool_results"),
    CacheNote(S.BYPASS, reason="modality"),
    CacheNote(S.BYPASS, reason="no-cache", is_stored=True),
)


def store(database: Database, *records: RequestRecord) -> None:
    writer = RecordWriter(database)
    for record in records:
        writer.append(record)
    writer.flush()


def test_every_request_counts_once_and_savings_are_added_as_integers(
    database: Database, make_record: MakeRecord
) -> None:
    store(database, *(make_record(cache=note) for note in NOTES))
    assert cache_figures(database, ALL) == CacheFigures(
        requests=12,
        hits_exact=3,
        stale=1,
        coalesced=1,
        misses=3,
        bypasses=4,
        stored=3,
        saved_nano_usd=2_501,
        saved_input_tokens=31,
        saved_output_tokens=22,
        bypass_reasons=(ReasonCount("tool_results", 2), ReasonCount("modality", 1), ReasonCount("no-cache", 1)),
        not_kept_reasons=(ReasonCount("refusal", 1),),
    )


def test_the_end_is_exclusive_and_nothing_is_all_zeros(database: Database, make_record: MakeRecord) -> None:
    at = (NOON_MS - 1, NOON_MS, NOON_MS + DAY_MS - 1, NOON_MS + DAY_MS)
    store(database, *(make_record(started_at_ms=each, cache=HIT) for each in at))
    assert cache_figures(database, ALL).hits_exact == 2
    empty = cache_figures(database, CacheQuery(NOON_MS + 10 * DAY_MS, NOON_MS + 11 * DAY_MS))
    assert (empty.requests, empty.saved_nano_usd, empty.bypass_reasons) == (0, 0, ())


@pytest.mark.parametrize("to_ms", [NOON_MS, NOON_MS - 1])
def test_an_empty_time_is_refused(database: Database, to_ms: int) -> None:
    with pytest.raises(ValidationFailedError) as caught:
        cache_figures(database, CacheQuery(NOON_MS, to_ms))
    assert caught.value.param == "to"


def test_only_what_is_within_reach_counts_whatever_is_asked_for(database: Database, make_record: MakeRecord) -> None:
    store(
        database,
        make_record(cache=HIT),
        make_record(cache=HIT, path=("org_a", "team_b"), key_id="key_b"),
        make_record(cache=HIT, organization_id="org_b", path=("org_b",), key_id="key_c"),
        make_record(organization_id=None, path=(), key_id=None),
    )

    def hits(reach: Reach | None, organization_id: str | None = None) -> int:
        return cache_figures(
            database, CacheQuery(ALL.from_ms, ALL.to_ms, organization_id=organization_id, reach=reach)
        ).hits_exact

    assert cache_figures(database, ALL).requests == 4
    assert (hits(None), hits(None, "org_a"), hits(None, "org_b"), hits(None, "org_c")) == (3, 2, 1, 0)
    assert (hits(Reach("org_a")), hits(Reach("org_a"), "org_b")) == (2, 0)
    assert hits(Reach("org_a", ("team_b",))) == 1
    through_keys = Reach("org_a", ("team_b",), ("key_b",))
    assert (hits(through_keys), hits(through_keys, "org_a"), hits(through_keys, "org_b")) == (1, 1, 0)
