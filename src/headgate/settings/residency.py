"""The ``residency`` block of organizations, teams, projects, people and keys: where data may go.

All blocks of a path hold. One that lists only what a block further out forbids would let nothing through, so it is
refused where it stands.
"""

import re
from collections.abc import Callable
from functools import partial
from typing import Final

from headgate.domain.residency import ResidencyPolicy, contradiction, narrow
from headgate.settings import values
from headgate.settings.keys import KEYS
from headgate.settings.reader import Block, Place

MAX_DAYS: Final = 36_500
_REGION: Final = re.compile(r"[a-z0-9-]{1,63}|[a-z0-9-]{0,62}\*")
_JURISDICTIONS: Final = 'a list of jurisdictions such as ["eu"]'
_REGIONS: Final = 'a list of regions such as ["eu-*"]'
_JURISDICTION: Final = 'a jurisdiction of 2 to 16 of a-z such as "eu"'
_PATTERN: Final = 'a region such as "eu-central-1", or the beginning of its name with "*" at the end, such as "eu-*"'
_DAYS: Final = "a number of days such as 30, without quotes or units"


def residency(
    block: Block, above: ResidencyPolicy | None = None
) -> tuple[ResidencyPolicy | None, ResidencyPolicy | None]:
    """Read the ``residency`` of a block, and return with it what binds everything below."""
    place = block.values.get("residency")
    if place is None:
        return None, above
    policy = _policy(place, above)
    return policy, narrow(above, policy)


def _policy(place: Place, above: ResidencyPolicy | None) -> ResidencyPolicy | None:
    block = place.block(KEYS["organizations[].residency"])
    policy = ResidencyPolicy(
        jurisdictions=block.read(
            "jurisdictions", _names(_JURISDICTIONS, values.parse_jurisdiction, _JURISDICTION), None
        ),
        regions=block.read("regions", _names(_REGIONS, _parse_pattern, _PATTERN), None),
        max_retention_days=block.read("max_retention_days", _days, None),
        no_training=block.read("no_training", Place.truth, False),
    )
    field = contradiction(above, policy)
    if field is not None:
        block.values[field].fail("lists only what a residency block further out forbids, so nothing would be served")
    return None if policy == ResidencyPolicy() else policy


def _names(expected: str, parse: Callable[[str], str], item_expected: str) -> Callable[[Place], tuple[str, ...]]:
    def read(place: Place) -> tuple[str, ...]:
        items = place.items(expected)
        if not items:
            place.fail(f"an empty list permits nothing; give {expected}, or leave the key out")
        return tuple(dict.fromkeys(item.convert(parse, item_expected) for item in items))

    return read


def _parse_pattern(text: str) -> str:
    if _REGION.fullmatch(text) is None:
        raise ValueError
    return text


def _days(place: Place) -> int:
    return place.convert(partial(values.parse_count, lowest=0, highest=MAX_DAYS), _DAYS)
