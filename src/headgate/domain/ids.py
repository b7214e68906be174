"""Prefixed identifiers.

An id is a kind prefix, an underscore and 32 hexadecimal digits: 48 bits of milliseconds since the epoch, then 80
random bits, so ids of one kind sort by creation time (the idea of ULID, github.com/ulid/spec). Clock and entropy are
passed in.
"""

from typing import Final

ORGANIZATION: Final = "org"
TEAM: Final = "team"
PROJECT: Final = "proj"
USER: Final = "user"
KEY: Final = "key"
TOKEN: Final = "pat"  # noqa: S105  a kind of id
BUDGET: Final = "bud"
RATE_LIMITS: Final = "lim"
AUDIT_EVENT: Final = "aud"
REQUEST: Final = "req"


def mint(prefix: str, now_ms: int, entropy: bytes) -> str:
    """Return a new id such as ``key_019aab…`` from a clock reading (ms) and 10 random bytes.

    Raises:
        ValueError: ``entropy`` is not 10 bytes long.
    """
    if len(entropy) != 10:
        raise ValueError("an id takes 10 random bytes")
    return f"{prefix}_{(now_ms & 0xFFFFFFFFFFFF).to_bytes(6).hex()}{entropy.hex()}"
