"""What may be answered from the response cache, what a caller says about it, and what the record keeps of it."""

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct


class CacheScope(StrEnum):
    """Who shares answers. A wider scope never includes a narrower one's: the step is part of the key."""

    ORGANIZATION = "organization"
    TEAM = "team"
    PROJECT = "project"
    USER = "user"
    KEY = "key"


class CacheSampling(StrEnum):
    """Whether an answer that was drawn at random may be given again."""

    CACHE = "cache"
    """Yes: repeats get the answer that the first one got."""
    DETERMINISTIC_ONLY = "deterministic_only"
    """Only where the caller set the temperature to 0."""


class CachePolicy(Struct, frozen=True):
    """How the answers of an alias are cached. Durations are seconds."""

    scope: CacheScope = CacheScope.ORGANIZATION
    ttl_s: float = 3600.0
    stale_if_error_s: float = 86_400.0
    """How long past its time an answer may still be given where every provider fails; 0: never."""
    sampling: CacheSampling = CacheSampling.CACHE
    max_body_bytes: int = 256 * 1024
    """Larger answers are not kept."""
    tool_calls: bool = False
    """Whether answers that call tools are kept."""
    cut_answers: bool = False
    """Whether answers that ended at the maximum of output tokens are kept."""
    coalesce: bool = True
    """Whether requests that are the same at the same time share one call of the provider."""


class Caching(Struct, frozen=True):
    """The policies of a configuration; by default nothing is cached."""

    default: CachePolicy | None = None
    by_alias: Mapping[str, CachePolicy | None] = {}
    """Of aliases with a policy of their own, those whose names end in ``*`` too; ``None`` caches nothing of theirs."""

    def of(self, alias: str) -> CachePolicy | None:
        """Return the policy of an alias, ``None`` where its answers are not cached."""
        by_alias = self.by_alias
        if not by_alias:
            return self.default
        if alias in by_alias:
            return by_alias[alias]
        for name, policy in by_alias.items():
            if name.endswith("*") and alias.startswith(name[:-1]):
                return policy
        return self.default


class CacheControl(Struct, frozen=True, gc=False):
    """What a request's ``cache-control`` asks for (RFC 9111 §5.2.1, RFC 5861 §4). Durations are seconds."""

    no_cache: bool = False
    """Ask the provider, whatever is kept; its answer is kept."""
    no_store: bool = False
    """Keep nothing of this request or its answer, and give nothing that was kept."""
    only_if_cached: bool = False
    max_age_s: int | None = None
    """Take nothing that is older."""
    min_fresh_s: int | None = None
    """Take nothing that is not good for so long yet."""
    stale_if_error_s: int | None = None
    """Take what is past its time for so long, at most as the policy says, where providers fail."""


class CacheStatus(StrEnum):
    """What the cache did for a request; the header ``x-headgate-cache``."""

    HIT_EXACT = "hit-exact"
    COALESCED = "coalesced"
    """It shared the call of another request that was the same."""
    MISS = "miss"
    BYPASS = "bypass"
    """It was not looked for: `CacheNote.reason` says why."""


class CacheNote(Struct, frozen=True, gc=False, omit_defaults=True):
    """What the cache did for a request. Its answer's text is not in it."""

    status: CacheStatus
    reason: str | None = None
    """Of a bypass, why; of a miss, why its answer was not kept. A stable word such as ``tool_results``."""
    entry: str | None = None
    """The answer's name in the cache, by which it can be purged."""
    age_s: int | None = None
    """How old the answer was that was given."""
    is_stale: bool = False
    """It was past its time, and every provider had failed."""
    is_stored: bool = False
    """The provider's answer was kept."""
    saved_nano_usd: int = 0
    """What the provider would have cost, by the price of the deployment that would have been asked."""
    saved_input_tokens: int = 0
    saved_output_tokens: int = 0
