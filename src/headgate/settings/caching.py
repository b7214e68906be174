"""The ``cache`` block, and an alias' own: whose answers are given again, and for how long."""

from functools import partial
from typing import Final

from msgspec.structs import replace

from headgate.domain.caching import CachePolicy, CacheSampling, CacheScope
from headgate.settings import document, values
from headgate.settings.blocks import size
from headgate.settings.keys import KEYS
from headgate.settings.model import CacheSettings
from headgate.settings.reader import Place

_LEAST_MEMORY: Final = 1024 * 1024
_LARGEST_BODY: Final = 16 * 1024 * 1024
_OFF: Final = "off"


def cache(place: Place) -> CacheSettings:
    """Read the ``cache`` block."""
    block, default = place.block(KEYS["cache"]), CacheSettings()
    return CacheSettings(
        exact=block.read("exact", partial(exact, outer=CachePolicy()), default.exact),
        memory=block.read("memory", partial(_space, lowest=_LEAST_MEMORY), default.memory),
        disk=block.read("disk", partial(_space, lowest=0), default.disk),
    )


def alias_cache(place: Place, outer: CacheSettings | None) -> CachePolicy | None:
    """Read the ``cache`` of an alias, whose keys that are not given are those of the ``cache`` block."""
    if outer is None:
        place.fail("needs the block `cache`, which says where answers are kept; without it none are")
    block = place.block(KEYS["models[].cache"])
    return exact(block.require("exact", 'such as {ttl: 10m} or "off"'), outer=outer.exact or CachePolicy())


def exact(place: Place, outer: CachePolicy) -> CachePolicy | None:
    """Read an ``exact`` block, ``None`` where it is off; keys that are not given are those of ``outer``."""
    if isinstance(place.node, document.Scalar) and place.node.kind != "null":
        place.choice(_OFF)
        return None
    block = place.block(KEYS["cache.exact"])
    return replace(
        outer,
        scope=block.read("scope", lambda given: CacheScope(given.choice(*CacheScope)), outer.scope),
        ttl_s=block.read("ttl", _ttl, outer.ttl_s),
        stale_if_error_s=block.read("stale_if_error", _long_duration, outer.stale_if_error_s),
        sampling=block.read("sampling", lambda given: CacheSampling(given.choice(*CacheSampling)), outer.sampling),
        max_body_bytes=block.read("max_body", _max_body, outer.max_body_bytes),
        tool_calls=block.read("tool_calls", Place.truth, outer.tool_calls),
        cut_answers=block.read("cut_answers", Place.truth, outer.cut_answers),
        coalesce=block.read("coalesce", Place.truth, outer.coalesce),
    )


def _ttl(place: Place) -> float:
    seconds = _long_duration(place)
    if seconds < 1:
        place.fail("must lie between 1s and 7d")
    return seconds


def _long_duration(place: Place) -> float:
    return place.convert(values.parse_long_duration, 'a duration such as "1h" or "2d"')


def _space(place: Place, lowest: int) -> int:
    found = size(place)
    if found < lowest:
        place.fail(f"must be at least {lowest // 1024**2}MiB")
    return found


def _max_body(place: Place) -> int:
    found = size(place)
    if not 1024 <= found <= _LARGEST_BODY:
        place.fail("must lie between 1KiB and 16MiB")
    return found
