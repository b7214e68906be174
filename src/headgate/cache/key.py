"""The key of an answer: who may share it, and all of the request that an answer depends on.

A key is a keyed digest under a secret of the organization. Nobody who reads the cache's file can try out what somebody
asked, and answers whose secret is destroyed are found no more.
"""

from functools import lru_cache
from hashlib import blake2b
from typing import Final

from msgspec import Struct

_VERSION: Final = b"headgate exact 1"
"""Part of every key: another canonical form must find nothing of this one."""
KEY_BYTES: Final = 32


class Partition(Struct, frozen=True, gc=False):
    """The hard boundary within which answers are shared; every field is required, and none may be empty.

    It is made of the authenticated key and the configuration, never of the request's body.
    """

    organization_id: str
    scope_id: str
    """The step of the path that shares its answers; the organization's own id where all of it does."""
    operation: str
    """``chat`` or ``embeddings``; not the format: an answer serves callers of every format."""
    model: str
    """The alias."""
    targets: str
    """What the alias leads to: another model behind it is another answer."""
    policies: str
    """What else decides what may be answered here, such as where data may go; ``-`` where nothing does."""

    def __post_init__(self) -> None:
        """Refuse to be without a tenant, or vague.

        Raises:
            ValueError: a field is empty.
        """
        for name in self.__struct_fields__:
            if not getattr(self, name):
                raise ValueError(f"a cache's partition has no {name}")


def key_of(secret: bytes, partition: Partition, canonical: bytes) -> bytes:
    """Return the key of what ``partition`` shares and ``canonical`` asks.

    Args:
        secret: 32 random bytes of the partition's organization.
        partition: who shares the answer.
        canonical: what is asked, as `headgate.cache.canonical` writes it.
    """
    digest = _begun(secret, partition).copy()
    digest.update(canonical)
    return digest.digest()


@lru_cache(maxsize=4096)
def _begun(secret: bytes, partition: Partition) -> blake2b:
    """Return the digest as far as it is the same for all that the partition's callers ask. Nobody changes it."""
    if len(secret) < KEY_BYTES:
        raise ValueError("a cache's secret has at least 32 bytes")
    digest = blake2b(key=secret[:64], digest_size=KEY_BYTES, person=b"headgate-cache")
    digest.update(_VERSION)
    for name in partition.__struct_fields__:  # With lengths, so that no two partitions run together to the same bytes.
        part = getattr(partition, name).encode("utf-8", "surrogatepass")
        digest.update(len(part).to_bytes(4))
        digest.update(part)
    return digest


def entry_id(key: bytes) -> str:
    """Return an answer's name for people: it says nothing of the answer, and opens nothing."""
    return "ce_" + blake2b(key, digest_size=12, person=b"headgate-entry").hexdigest()
