"""Where the data of a scope or a key may go: what requests say of it, and what a row keeps.

Whoever may change the other fields of a thing may change its policy. He cannot loosen what is laid on him from above:
all policies of a path hold (`headgate.domain.residency`). What permits nothing at all is refused where it is written.
"""

import re
from collections.abc import Sequence
from typing import Annotated, Any, Final

from msgspec import UNSET, Meta, Struct, UnsetType, json, to_builtins
from msgspec.structs import asdict

from headgate.domain.errors import ValidationFailedError
from headgate.domain.residency import ResidencyPolicy, contradiction

MAX_NAMES: Final = 32
MAX_DAYS: Final = 36_500
_JURISDICTION: Final = r"^[a-z]{2,16}$"
_REGION: Final = r"^(?:[a-z0-9-]{1,63}|[a-z0-9-]{0,62}\*)$"

Jurisdiction = Annotated[str, Meta(pattern=_JURISDICTION, max_length=16)]
Jurisdictions = Annotated[
    tuple[Jurisdiction, ...],
    Meta(min_length=1, max_length=MAX_NAMES, description="Names as deployments state them, such as `eu`."),
]
Region = Annotated[str, Meta(pattern=_REGION, max_length=63)]
Regions = Annotated[
    tuple[Region, ...],
    Meta(min_length=1, max_length=MAX_NAMES, description="Names, or beginnings of names with `*` at their end."),
]
Days = Annotated[int, Meta(ge=0, le=MAX_DAYS, description="0: only where nothing is kept.")]


class Residency(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where requests may go. A target of which a thing that is asked for here is not known is never sent anything."""

    jurisdictions: Jurisdictions | None = None
    """One of these; null does not restrict, here and below."""
    regions: Regions | None = None
    """One of these."""
    max_retention_days: Days | None = None
    """The provider keeps what it is sent for so many days at most."""
    no_training: bool = False
    """The provider does not train models on it."""


class ResidencyPatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may change; what is absent stays, null takes a restriction away."""

    jurisdictions: Jurisdictions | UnsetType | None = UNSET
    regions: Regions | UnsetType | None = UNSET
    max_retention_days: Days | UnsetType | None = UNSET
    no_training: bool | UnsetType | None = UNSET


def check_residency(residency: Residency | None) -> ResidencyPolicy | None:
    """Return the policy, ``None`` where nothing is restricted.

    Raises:
        ValidationFailedError: a field is malformed.
    """
    if residency is None:
        return None
    days = residency.max_retention_days
    if days is not None and not 0 <= days <= MAX_DAYS:
        raise _malformed("max_retention_days", f"0 to {MAX_DAYS}")
    policy = ResidencyPolicy(
        jurisdictions=_check_names(residency.jurisdictions, "jurisdictions", _JURISDICTION, "2 to 16 of a-z"),
        regions=_check_names(
            residency.regions, "regions", _REGION, "1 to 63 of a-z, 0-9 and `-`, where a last `*` stands for any rest"
        ),
        max_retention_days=days,
        no_training=residency.no_training,
    )
    return None if policy == ResidencyPolicy() else policy


def patched(before: ResidencyPolicy | None, patch: ResidencyPatch | UnsetType | None) -> ResidencyPolicy | None:
    """Return what a merge patch makes of a policy; raises as `check_residency` does."""
    if patch is UNSET or patch is None:
        return before if patch is UNSET else None
    merged = asdict(before or ResidencyPolicy())
    merged |= {name: value for name, value in asdict(patch).items() if value is not UNSET}
    merged["no_training"] = bool(merged["no_training"])
    return check_residency(Residency(**merged))


def refuse_contradiction(above: ResidencyPolicy | None, own: ResidencyPolicy | None) -> None:
    """Raise `ValidationFailedError` where nothing that ``own`` lists is permitted further up."""
    field = contradiction(above, own)
    if field is not None:
        param = f"residency.{field}"
        words = f"`{param}` lists only what a policy further up forbids, so no request could ever be sent."
        raise ValidationFailedError(words, param=param)


def show_residency(policy: ResidencyPolicy | None) -> Residency | None:
    """Return the policy as the outside sees it."""
    return None if policy is None else Residency(**asdict(policy))


def facts_of_residency(policy: ResidencyPolicy | None) -> dict[str, Any] | None:
    """Return what the audit log keeps of a policy: its restrictions."""
    return None if policy is None else to_builtins(policy)


def encode_residency(policy: ResidencyPolicy | None) -> str | None:
    """Return what a row keeps of a policy."""
    return None if policy is None else json.encode(policy).decode()


def decode_residency(text: str | None) -> ResidencyPolicy | None:
    """Read what a row keeps of a policy.

    Raises:
        msgspec.ValidationError: it holds a restriction that this version does not know.
    """
    return None if text is None else json.decode(text, type=ResidencyPolicy)


def _check_names(names: Sequence[str] | None, field: str, pattern: str, rule: str) -> tuple[str, ...] | None:
    if names is None:
        return None
    if not 1 <= len(names) <= MAX_NAMES:
        raise _malformed(field, f"null, or 1 to {MAX_NAMES} names")
    for place, name in enumerate(names):
        if re.search(pattern, name) is None or name.endswith("\n"):
            raise _malformed(f"{field}[{place}]", rule)
    return tuple(dict.fromkeys(names))


def _malformed(field: str, rule: str) -> ValidationFailedError:
    param = f"residency.{field}"
    return ValidationFailedError(f"`{param}` must be {rule}.", param=param)
