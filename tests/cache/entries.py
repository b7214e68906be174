"""Entries for tests."""

from hashlib import blake2b

from headgate.cache.entry import Entry

NOW_MS = 1_795_000_000_000
HOUR_MS = 3_600_000


def entry_of(name: str, **changes: object) -> Entry:
    """An answer that is fresh for an hour, and stale for a day."""
    facts: dict[str, object] = {
        "key": blake2b(name.encode(), digest_size=32).digest(),
        "labels": ("org_1", f"org_1 model {name[0]}", f"org_1 entry {name}"),
        "created_at_ms": NOW_MS,
        "expires_at_ms": NOW_MS + HOUR_MS,
        "stale_until_ms": NOW_MS + 24 * HOUR_MS,
        "payload": b"said " + name.encode(),
    }
    return Entry(**(facts | changes))  # type: ignore[arg-type]
