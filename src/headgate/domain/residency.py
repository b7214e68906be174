"""Where data may go: what a policy permits, and how policies of several levels add up.

An organization, a team, a project, a person and a key may each have a policy, and all on a path hold: a level only ever
takes away. A region's ``*`` stands at its end, so that what two levels permit together is always a list of the same
form, exactly.
"""

from typing import Final

from msgspec import Struct

from headgate.domain.routing import DataHandling

ANY: Final = "*"


class ResidencyPolicy(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What must be known to be true of a target before anything is sent there; ``None`` does not restrict.

    Kept as JSON of this form. A restriction that this version does not know is an error when it is read: leaving it out
    would let data go where it must not.
    """

    jurisdictions: tuple[str, ...] | None = None
    """One of these; none at all permits nothing, which only levels that contradict each other add up to."""
    regions: tuple[str, ...] | None = None
    """One of these: names, or beginnings of names such as ``eu-*``."""
    max_retention_days: int | None = None
    """Kept for so many days at most; 0 demands zero data retention."""
    no_training: bool = False
    """Not used to train models."""


def refuses(policy: ResidencyPolicy | None, handling: DataHandling) -> str | None:
    """Return why nothing may be sent to a target that handles data so, in one stable word; ``None`` where it may.

    ``jurisdiction``, ``region``, ``retention`` or ``training``: the first that fails, in this order. What nobody has
    said of the target fails.
    """
    if policy is None:
        return None
    if policy.jurisdictions is not None and handling.jurisdiction not in policy.jurisdictions:
        return "jurisdiction"
    if policy.regions is not None and not _is_among(handling.region, policy.regions):
        return "region"
    most = policy.max_retention_days
    if most is not None and (handling.retention_days is None or handling.retention_days > most):
        return "retention"
    return "training" if policy.no_training and handling.trains is not False else None


def narrow(outer: ResidencyPolicy | None, inner: ResidencyPolicy | None) -> ResidencyPolicy | None:
    """Return the policy that permits exactly what both permit."""
    if outer is None or outer == inner:
        return inner
    if inner is None:
        return outer
    return ResidencyPolicy(
        jurisdictions=_names_in_both(outer.jurisdictions, inner.jurisdictions),
        regions=_regions_in_both(outer.regions, inner.regions),
        max_retention_days=_least(outer.max_retention_days, inner.max_retention_days),
        no_training=outer.no_training or inner.no_training,
    )


def contradiction(outer: ResidencyPolicy | None, inner: ResidencyPolicy | None) -> str | None:
    """Name the field of ``inner`` that lists nothing but what ``outer`` forbids: no request could ever be served.

    An inner policy that lists more than the outer one is none: only what both list counts.
    """
    if outer is None or inner is None:
        return None
    if inner.jurisdictions is not None and _names_in_both(outer.jurisdictions, inner.jurisdictions) == ():
        return "jurisdictions"
    if inner.regions is not None and _regions_in_both(outer.regions, inner.regions) == ():
        return "regions"
    return None


def _is_among(region: str | None, patterns: tuple[str, ...]) -> bool:
    return region is not None and any(_covers(pattern, region) for pattern in patterns)


def _covers(pattern: str, other: str) -> bool:
    """Whether ``pattern`` permits whatever ``other``, a region or itself such a pattern, stands for."""
    return other.startswith(pattern[:-1]) if pattern.endswith(ANY) else other == pattern


def _names_in_both(outer: tuple[str, ...] | None, inner: tuple[str, ...] | None) -> tuple[str, ...] | None:
    if outer is None or inner is None:
        return inner if outer is None else outer
    return tuple(name for name in inner if name in outer)


def _regions_in_both(outer: tuple[str, ...] | None, inner: tuple[str, ...] | None) -> tuple[str, ...] | None:
    if outer is None or inner is None:
        return inner if outer is None else outer
    # Of two patterns either one covers the other or no region is in both.
    both = [given for given in inner if any(_covers(pattern, given) for pattern in outer)]
    both += [given for given in outer if any(_covers(pattern, given) for pattern in inner)]
    return tuple(dict.fromkeys(both))


def _least(outer: int | None, inner: int | None) -> int | None:
    if outer is None or inner is None:
        return inner if outer is None else outer
    return min(outer, inner)
