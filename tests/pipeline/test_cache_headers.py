"""Tests of headgate.pipeline.cache_headers."""

import pytest

from headgate.domain.caching import CacheNote, CacheStatus
from headgate.pipeline.cache_headers import cache_headers

HIT, MISS, BYPASS, COALESCED = CacheStatus.HIT_EXACT, CacheStatus.MISS, CacheStatus.BYPASS, CacheStatus.COALESCED


@pytest.mark.parametrize(
    ("note", "ttl_s", "told"),
    [
        (CacheNote(MISS), None, b"headgate; fwd=miss"),
        (CacheNote(BYPASS, "tool_results"), None, b"headgate; fwd=bypass; detail=tool_results"),
        (CacheNote(BYPASS, "no-cache"), None, b"headgate; fwd=request"),
        (CacheNote(BYPASS, "no-store"), None, b"headgate; fwd=request"),
        (CacheNote(COALESCED), None, b"headgate; fwd=miss; collapsed"),
        (CacheNote(HIT, age_s=60), 3540, b"headgate; hit; ttl=3540; detail=exact"),
        (CacheNote(HIT, age_s=9000, is_stale=True), -812, b"headgate; hit; ttl=-812; detail=exact"),
    ],
)
def test_the_status_is_said_as_rfc_9211_has_it(note: CacheNote, ttl_s: int | None, told: bytes) -> None:
    headers = dict(cache_headers(note, ttl_s))
    assert headers[b"cache-status"] == told
    assert headers[b"x-headgate-cache"] == note.status.encode()
    assert headers.get(b"age") == (None if note.age_s is None else b"%d" % note.age_s)


def test_only_a_hit_says_at_once_what_it_saved() -> None:
    hit = dict(cache_headers(CacheNote(HIT, age_s=1, saved_nano_usd=1_350_000), 5))
    assert (hit[b"x-headgate-cost-usd"], hit[b"x-headgate-saved-usd"]) == (b"0", b"0.00135")
    shared = dict(cache_headers(CacheNote(COALESCED)))
    assert (shared[b"x-headgate-cost-usd"], b"x-headgate-saved-usd" in shared) == (b"0", False)
    assert b"x-headgate-cost-usd" not in dict(cache_headers(CacheNote(MISS)))
