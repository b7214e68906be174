"""What an answer says of the cache: ``cache-status`` (RFC 9211), ``age`` (RFC 9111 §5.1) and our own short form."""

from headgate.domain.caching import CacheNote, CacheStatus
from headgate.domain.money import format_usd
from headgate.pipeline.reply import HeaderList

_ASKED_OTHERWISE = ("no-cache", "no-store")


def cache_headers(note: CacheNote, ttl_s: int | None = None) -> HeaderList:
    """Return the header fields of a request's answer.

    Args:
        note: what the cache did for it.
        ttl_s: seconds that a kept answer is good for; past its time where negative.
    """
    headers = [(b"cache-status", _status_of(note, ttl_s)), (b"x-headgate-cache", note.status.encode())]
    if note.age_s is not None:
        headers.append((b"age", b"%d" % note.age_s))
    if note.status in (CacheStatus.HIT_EXACT, CacheStatus.COALESCED):
        headers.append((b"x-headgate-cost-usd", b"0"))
    if note.status is CacheStatus.HIT_EXACT:
        # Of a shared call it is known when it has ended: in the record.
        headers.append((b"x-headgate-saved-usd", format_usd(note.saved_nano_usd).encode()))
    return headers


def _status_of(note: CacheNote, ttl_s: int | None) -> bytes:
    if note.status is CacheStatus.HIT_EXACT:
        return b"headgate; hit; ttl=%d; detail=exact" % (ttl_s or 0)
    if note.status is CacheStatus.COALESCED:
        return b"headgate; fwd=miss; collapsed"
    if note.status is CacheStatus.MISS:
        return b"headgate; fwd=miss"
    if note.reason in _ASKED_OTHERWISE:
        return b"headgate; fwd=request"
    return b"headgate; fwd=bypass; detail=%b" % (note.reason or "").encode()
