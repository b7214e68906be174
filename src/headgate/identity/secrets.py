"""The texts that prove who asks: how they are made, recognised and kept.

A minted secret is a prefix, 43 characters of base 62 (256 random bits) and 6 characters of base 62 that are the CRC-32
of all before them, so that a scanner can tell a real one from a look-alike without asking us (the layout of GitHub's
tokens, github.blog/2021-04-05-behind-githubs-new-authentication-token-formats). With 256 random bits a plain SHA-256
is enough to keep them by: there is nothing to guess, so neither salt nor stretching would add anything.
"""

import re
import zlib
from hashlib import sha256
from typing import Final

KEY_PREFIX: Final = "hg_"
TOKEN_PREFIX: Final = "hgp_"  # noqa: S105  a prefix, no password
ADMIN_TOKEN_PREFIX: Final = "hga_"  # noqa: S105

SECRET_BYTES: Final = 32
"""How many random bytes a secret is made from."""
HINT_LENGTH: Final = 4

_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_BODY_LENGTH: Final = 43
_CHECKSUM_LENGTH: Final = 6
_PROVISIONED: Final = re.compile(r"[A-Za-z0-9_-]{32,256}", re.ASCII)


def mint_secret(prefix: str, entropy: bytes) -> str:
    """Return a new secret such as ``hg_3kTz…`` made from 32 random bytes.

    Raises:
        ValueError: ``entropy`` is not `SECRET_BYTES` long.
    """
    if len(entropy) != SECRET_BYTES:
        raise ValueError(f"a secret takes {SECRET_BYTES} random bytes")
    text = prefix + _base62(int.from_bytes(entropy), _BODY_LENGTH)
    return text + _checksum(text)


def looks_minted(secret: str, prefix: str) -> bool:
    """Whether ``secret`` has the shape and the checksum of one of ours. Says nothing about whether it is valid."""
    if len(secret) != len(prefix) + _BODY_LENGTH + _CHECKSUM_LENGTH or not secret.startswith(prefix):
        return False
    return _checksum(secret[:-_CHECKSUM_LENGTH]) == secret[-_CHECKSUM_LENGTH:]


def hash_secret(secret: bytes | str) -> bytes:
    """Return the SHA-256 by which a secret is kept and found. Any bytes will do, also such as are no text."""
    if isinstance(secret, str):
        secret = secret.encode("utf-8", "surrogateescape")
    return sha256(secret).digest()


def hint_of(secret: str) -> str:
    """The last four characters: enough for its owner to tell it from another, of no use to anybody else."""
    return secret[-HINT_LENGTH:]


def is_provisionable(secret: str) -> bool:
    """Whether a secret of the configuration file is 32 to 256 of ``[A-Za-z0-9_-]``."""
    return _PROVISIONED.fullmatch(secret) is not None


def _base62(number: int, length: int) -> str:
    digits: list[str] = []
    for _ in range(length):
        number, digit = divmod(number, 62)
        digits.append(_ALPHABET[digit])
    assert number == 0, "the length holds the number"
    return "".join(reversed(digits))


def _checksum(text: str) -> str:
    return _base62(zlib.crc32(text.encode("utf-8", "surrogateescape")), _CHECKSUM_LENGTH)
