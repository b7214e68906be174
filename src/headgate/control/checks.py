"""What the fields of management requests may hold: types for the API's description, checks for whoever calls.

The types speak to the REST API, which refuses by them while decoding; the checks hold for every caller.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from msgspec import Meta

from headgate.control.timestamps import parse_time
from headgate.domain.access import PRIORITY_TAG, ManagedBy, Priority
from headgate.domain.errors import (
    ConflictError,
    PreconditionFailedError,
    ProvisionedReadOnlyError,
    ValidationFailedError,
)
from headgate.domain.money import parse_usd

SLUG: Final = r"^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$"
_LINE: Final = r"^[^\x00-\x1f\x7f]+$"
_EMAIL: Final = r"^[^@\s\x00-\x1f\x7f]+@[^@\s\x00-\x1f\x7f]+$"
_SHA256: Final = r"^[0-9A-Fa-f]{64}$"
_TAG: Final = r"^[A-Za-z0-9_.-]{1,64}$"
_PRIORITIES: Final = tuple(priority.value for priority in Priority)
_USD: Final = r"^[0-9]{1,7}(\.[0-9]{1,9})?$"
_SIGNED_USD: Final = r"^-?[0-9]{1,7}(\.[0-9]{1,9})?$"

MAX_MODELS: Final = 64
MAX_TAGS: Final = 16

Slug = Annotated[str, Meta(pattern=SLUG, max_length=63, description="Lower-case letters, digits and hyphens.")]
Name = Annotated[str, Meta(pattern=_LINE, min_length=1, max_length=200, description="One line of text.")]
Email = Annotated[str, Meta(pattern=_EMAIL, max_length=254)]
TimeZone = Annotated[str, Meta(min_length=1, max_length=64, description="A name of the IANA time zone database.")]
Glob = Annotated[str, Meta(pattern=_LINE, min_length=1, max_length=256)]
Globs = Annotated[
    tuple[Glob, ...],
    Meta(min_length=1, max_length=MAX_MODELS, description="Model names; `*`, `?` and `[…]` match as in a shell."),
]
TagKey = Annotated[str, Meta(min_length=1, max_length=64)]
TagValue = Annotated[str, Meta(pattern=_LINE, min_length=1, max_length=256)]
SecretDigest = Annotated[str, Meta(pattern=_SHA256, description="The SHA-256 of a secret as 64 hexadecimal digits.")]
Usd = Annotated[str, Meta(pattern=_USD, max_length=24, description="A decimal of USD, nine places at most.")]
SignedUsd = Annotated[str, Meta(pattern=_SIGNED_USD, max_length=25, description="As an amount, perhaps negative.")]
LimitedName = Annotated[
    str, Meta(pattern=_LINE, min_length=1, max_length=256, description="A name, or `*`: each one for itself.")
]
Timestamp = Annotated[str, Meta(max_length=40, description="A time as RFC 3339 has it, e.g. 2027-01-31T12:00:00Z.")]


def check_slug(slug: str) -> str:
    """Return ``slug``, or raise `ValidationFailedError`."""
    return _match(SLUG, slug, 63, "slug", "1 to 63 lower-case letters, digits and inner hyphens")


def check_name(name: str, param: str = "name") -> str:
    """Return ``name``, or raise `ValidationFailedError`."""
    return _match(_LINE, name, 200, param, "1 to 200 characters without control characters")


def check_line(text: str, param: str) -> str:
    """Return ``text``, or raise `ValidationFailedError` where it is not one line of 1 to 256 characters."""
    return _match(_LINE, text, 256, param, "1 to 256 characters without control characters")


def check_usd(amount: str, param: str, *, signed: bool = False) -> int:
    """Return the nano-USD of a decimal of USD, exactly.

    Raises:
        ValidationFailedError: no plain decimal, negative unless ``signed``, of more than nine places, or above
            9,000,000 USD, beyond which amounts are not exact everywhere.
    """
    _match(_SIGNED_USD if signed else _USD, amount, 25, param, 'a decimal of USD such as "12.50", nine places at most')
    try:
        nano_usd = parse_usd(amount.removeprefix("-"))
    except ValueError as error:
        raise ValidationFailedError(f"`{param}` must not be above 9000000 USD.", param=param) from error
    return -nano_usd if amount.startswith("-") else nano_usd


def check_email(email: str) -> str:
    """Return ``email`` in lower case, or raise `ValidationFailedError`."""
    return _match(_EMAIL, email, 254, "email", "an e-mail address").lower()


def check_time_zone(time_zone: str) -> str:
    """Return ``time_zone``, or raise `ValidationFailedError` where the tz database has none of this name."""
    try:
        ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        words = "`time_zone` must be a name such as Europe/Berlin or UTC."
        raise ValidationFailedError(words, param="time_zone") from error
    return time_zone


def check_models(models: Sequence[str]) -> tuple[str, ...]:
    """Return the globs without repetition, or raise `ValidationFailedError`."""
    if not 1 <= len(models) <= MAX_MODELS:
        raise ValidationFailedError(f"`models` must hold 1 to {MAX_MODELS} names.", param="models")
    for place, glob in enumerate(models):
        _match(_LINE, glob, 256, f"models[{place}]", "1 to 256 characters without control characters")
    return tuple(dict.fromkeys(models))


def check_tags(tags: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Return the tags in order of their names, or raise `ValidationFailedError`."""
    if len(tags) > MAX_TAGS:
        raise ValidationFailedError(f"`tags` holds at most {MAX_TAGS}.", param="tags")
    for key, value in tags.items():
        _match(_TAG, key, 64, "tags", "an object whose names are 1 to 64 of A-Z, a-z, 0-9, `_`, `.`, `-`")
        _match(_LINE, value, 256, f"tags.{key}", "1 to 256 characters without control characters")
        if key == PRIORITY_TAG and value not in _PRIORITIES:
            choices = ", ".join(f"`{priority}`" for priority in _PRIORITIES)
            raise ValidationFailedError(f"`tags.{key}` must be one of {choices}.", param=f"tags.{key}")
    return tuple(sorted(tags.items()))


def check_expiry(expires_at: str | None, now_ms: int) -> int | None:
    """Return the time in ms, or raise `ValidationFailedError` where it is none or has passed."""
    if expires_at is None:
        return None
    expires_at_ms = parse_time(expires_at, "expires_at")
    if expires_at_ms <= now_ms:
        raise ValidationFailedError("`expires_at` must lie in the future.", param="expires_at")
    return expires_at_ms


def check_secret_sha256(secret_sha256: str) -> bytes:
    """Return the digest itself, or raise `ValidationFailedError` where the text is none."""
    # The words never show the text: somebody may have put the secret itself there.
    return bytes.fromhex(_match(_SHA256, secret_sha256, 64, "secret_sha256", "64 hexadecimal digits"))


def check_version(if_match: int | None, version: int) -> None:
    """Raise `PreconditionFailedError` where ``if_match`` names another version than the present one."""
    if if_match is not None and if_match != version:
        raise PreconditionFailedError(f"The resource has changed since: it is at version {version}.")


def refuse_file_managed(managed_by: ManagedBy) -> None:
    """Raise `ProvisionedReadOnlyError` for what the configuration file owns."""
    if managed_by is ManagedBy.FILE:
        raise ProvisionedReadOnlyError("This is managed by the configuration file: change it there and restart.")


def refuse_conflict(taken: bool, message: str, param: str) -> None:
    """Raise `ConflictError` where something is taken already."""
    if taken:
        raise ConflictError(message, param=param)


def _match(pattern: str, value: str, max_length: int, param: str, rule: str) -> str:
    if len(value) > max_length or re.search(pattern, value) is None or value.endswith("\n"):
        raise ValidationFailedError(f"`{param}` must be {rule}.", param=param)
    return value
