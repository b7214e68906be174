"""Every virtual key by the SHA-256 of its secret: an immutable value that costs O(1) to change.

A directory is a compact base, a small overlay over it, and the scopes:

- The base holds digests, sorted, in one ``bytes`` and the packed keys in another. The first bits of a digest select a
  bucket of about one key, so a look-up is one index read and one search among a few digests, at any size. A million
  keys are a million times about 110 bytes and no Python objects for the garbage collector to visit.
- The overlay is a persistent map (`immutables.Map`) of digests to packed keys, or to `None` where a key of the base is
  gone. A write copies a few tree nodes; the directory before it stays as it was, for the requests that hold it.
- Keys name their scope and carry nothing of it, so blocking a team, or changing where its data may go, is one write
  however many keys hang below it.

Every directory remembers the keys it has unpacked. The memory belongs to that one value and is dropped with it, so it
can never show a key as it was before a change.
"""

from array import array
from collections.abc import Iterable
from itertools import accumulate
from struct import iter_unpack
from typing import Final

from immutables import Map
from msgspec import Struct, msgpack

from headgate.domain.access import Path, ScopeKind, ScopeRef, VirtualKey
from headgate.domain.residency import ResidencyPolicy, narrow

DIGEST_BYTES: Final = 32
REMEMBERED: Final = 16_384
"""Unpacked keys that a directory keeps at most, some 10 MB; then it forgets them all and starts again."""


class ScopeEntry(Struct, frozen=True):
    """A scope, as far as a path needs it."""

    id: str
    kind: ScopeKind
    slug: str
    parent_id: str | None = None
    blocked: bool = False
    residency: ResidencyPolicy | None = None


class KeyEntry(Struct, frozen=True, array_like=True):
    """A virtual key as it is packed: its scope by id, nothing that a change elsewhere could make stale."""

    id: str
    name: str
    scope_id: str
    models: tuple[str, ...] = ()
    sandbox: bool = False
    tags: tuple[tuple[str, str], ...] = ()
    expires_at_ms: int | None = None
    blocked: bool = False
    residency: ResidencyPolicy | None = None
    """The key's own; those of its scopes are theirs."""


class _Packed(Struct, frozen=True, array_like=True):
    """What the base holds of a key: a `KeyEntry` whose scope and policy are numbers: they are long, and few differ."""

    id: str
    name: str
    scope: int
    models: tuple[str, ...]
    sandbox: bool
    tags: tuple[tuple[str, str], ...]
    expires_at_ms: int | None
    blocked: bool
    residency: int | None


_pack: Final = msgpack.Encoder().encode
_unpack_base: Final = msgpack.Decoder(_Packed).decode
_unpack_entry: Final = msgpack.Decoder(KeyEntry).decode


class _Bulk(Struct, frozen=True):
    """Keys that do not change. ``digests`` is sorted; key ``i`` is ``packed[ends[i - 1]:ends[i]]``."""

    digests: bytes = b""
    packed: bytes = b""
    ends: "array[int]" = array("Q", (0,))
    """One more than there are keys: ``ends[i]`` is where key ``i`` begins."""
    buckets: "array[int]" = array("I", (0, 0))
    """``buckets[b]`` is the first key whose digest's first bits are ``b`` or more."""
    shift: int = 64
    """How far the first eight bytes of a digest are shifted to give its bucket."""
    scope_ids: tuple[str, ...] = ()
    policies: tuple[ResidencyPolicy, ...] = ()

    def __len__(self) -> int:
        return len(self.digests) // DIGEST_BYTES

    def place_of(self, digest: bytes) -> int:
        """The place of the first key whose digest is ``digest`` or above."""
        bucket = int.from_bytes(digest[:8]) >> self.shift
        place = self.buckets[bucket]
        end = self.buckets[bucket + 1]
        digests = self.digests
        while place < end and digests[place * DIGEST_BYTES : place * DIGEST_BYTES + DIGEST_BYTES] < digest:
            place += 1
        return place

    def has_at(self, place: int, digest: bytes) -> bool:
        """Whether the key at ``place`` is the one of ``digest``."""
        return self.digests[place * DIGEST_BYTES : place * DIGEST_BYTES + DIGEST_BYTES] == digest

    def entry(self, place: int) -> KeyEntry:
        """Unpack the key at ``place``."""
        row = _unpack_base(self.packed[self.ends[place] : self.ends[place + 1]])
        return KeyEntry(
            row.id,
            row.name,
            self.scope_ids[row.scope],
            row.models,
            row.sandbox,
            row.tags,
            row.expires_at_ms,
            row.blocked,
            None if row.residency is None else self.policies[row.residency],
        )


class _Standing(Struct, frozen=True):
    """What a scope's place in the tree means for the keys that hang on it."""

    path: Path
    blocked: bool
    residency: ResidencyPolicy | None


def _check(digest: bytes, entry: KeyEntry, scopes: Map[str, ScopeEntry]) -> None:
    if len(digest) != DIGEST_BYTES:
        raise ValueError(f"a digest has {DIGEST_BYTES} bytes")
    if entry.scope_id not in scopes:
        raise ValueError(f"{entry.id} hangs on a scope that is not in the directory: {entry.scope_id}")


_EMPTY: Final = _Bulk()
_NO_OVERLAY: Final[Map[bytes, bytes | None]] = Map()
_NO_SCOPES: Final[Map[str, ScopeEntry]] = Map()


class KeyDirectory:
    """Immutable; every change returns a new directory and leaves this one as it was. Safe to read from any thread."""

    __slots__ = ("_base", "_count", "_narrowed", "_overlay", "_remembered", "_scopes", "_standings")

    def __init__(
        self,
        base: _Bulk = _EMPTY,
        overlay: Map[bytes, bytes | None] = _NO_OVERLAY,
        scopes: Map[str, ScopeEntry] = _NO_SCOPES,
        count: int = 0,
    ) -> None:
        """An empty directory; `build` makes a full one."""
        self._base = base
        self._overlay = overlay
        self._scopes = scopes
        self._count = count
        self._remembered: dict[bytes, VirtualKey] = {}
        self._standings: dict[str, _Standing] = {}
        self._narrowed: dict[tuple[ResidencyPolicy | None, ResidencyPolicy], ResidencyPolicy | None] = {}
        """What a key's own policy comes to below that of its scope: keys that are alike in both share one object."""

    @classmethod
    def build(cls, keys: Iterable[tuple[bytes, KeyEntry]], scopes: Iterable[ScopeEntry]) -> "KeyDirectory":
        """Make a directory of all keys at once; ``keys`` come sorted by digest, each digest once.

        Raises:
            ValueError: the keys are not sorted, a digest is not 32 bytes long, or a key names a scope that is not
                among ``scopes``.
        """
        known = Map({scope.id: scope for scope in scopes})
        builder = _Builder()
        before = b""
        for digest, entry in keys:
            _check(digest, entry, known)
            if digest <= before:
                raise ValueError("keys must come sorted by digest, each digest once")
            builder.add(digest, entry)
            before = digest
        base = builder.finish()
        return cls(base, _NO_OVERLAY, known, len(base))

    def __len__(self) -> int:
        return self._count

    @property
    def overlay_size(self) -> int:
        """How many changes have been made since the base was packed."""
        return len(self._overlay)

    @property
    def nbytes(self) -> int:
        """What the base takes in memory, in bytes."""
        base = self._base
        return (
            len(base.digests)
            + len(base.packed)
            + base.ends.itemsize * len(base.ends)
            + base.buckets.itemsize * len(base.buckets)
        )

    def lookup(self, digest: bytes) -> VirtualKey | None:
        """Return the key whose secret has this SHA-256, or `None`. The hot path: no I/O, no lock."""
        key = self._remembered.get(digest)
        if key is not None:
            return key
        entry = self._entry(digest)
        if entry is None:
            return None
        standing = self._standing(entry.scope_id)
        key = VirtualKey(
            id=entry.id,
            name=entry.name,
            path=standing.path,
            models=entry.models,
            sandbox=entry.sandbox,
            tags=entry.tags,
            expires_at_ms=entry.expires_at_ms,
            blocked=entry.blocked or standing.blocked,
            residency=standing.residency if entry.residency is None else self._narrow(standing, entry.residency),
        )
        if len(self._remembered) >= REMEMBERED:
            self._remembered.clear()
            self._standings.clear()
            self._narrowed.clear()
        self._remembered[digest] = key
        return key

    def residency_of(self, scope_id: str) -> ResidencyPolicy | None:
        """Return what the policies of a scope and of all above it permit together; the scope must be there."""
        return self._standing(scope_id).residency

    def with_key(self, digest: bytes, entry: KeyEntry) -> "KeyDirectory":
        """Add a key, or replace the one of this digest.

        Raises:
            ValueError: the digest is not 32 bytes long, or the key's scope is not in the directory.
        """
        return self.with_keys(((digest, entry),))

    def with_keys(self, keys: Iterable[tuple[bytes, KeyEntry]]) -> "KeyDirectory":
        """Add or replace several keys; raises as `with_key` does."""
        count = self._count
        overlay = self._overlay.mutate()
        for digest, entry in keys:
            _check(digest, entry, self._scopes)
            known = overlay[digest] is not None if digest in overlay else self._in_base(digest)
            count += not known
            overlay[digest] = _pack(entry)
        return KeyDirectory(self._base, overlay.finish(), self._scopes, count)

    def without(self, digest: bytes) -> "KeyDirectory":
        """Take a key out; a digest that is not there changes nothing."""
        in_base = self._in_base(digest)
        if self._overlay.get(digest) is None and (digest in self._overlay or not in_base):
            return self
        overlay = self._overlay.set(digest, None) if in_base else self._overlay.delete(digest)
        return KeyDirectory(self._base, overlay, self._scopes, self._count - 1)

    def with_scope(self, scope: ScopeEntry) -> "KeyDirectory":
        """Add a scope, or replace it and so change the path of every key below it."""
        return KeyDirectory(self._base, self._overlay, self._scopes.set(scope.id, scope), self._count)

    def without_scope(self, scope_id: str) -> "KeyDirectory":
        """Take out a scope that no key and no other scope hangs on any more."""
        if scope_id not in self._scopes:
            return self
        return KeyDirectory(self._base, self._overlay, self._scopes.delete(scope_id), self._count)

    def compacted(self) -> "KeyDirectory":
        """The same keys with an empty overlay. Takes most of a second at a million keys: never on the hot path."""
        if not self._overlay:
            return self
        base = self._base
        builder = _Builder(base.scope_ids, base.policies)
        copied = 0
        for digest, packed in sorted(self._overlay.items()):
            place = base.place_of(digest)
            builder.copy(base, copied, place)
            copied = place + base.has_at(place, digest)
            if packed is not None:
                builder.add(digest, _unpack_entry(packed))
        builder.copy(base, copied, len(base))
        return KeyDirectory(builder.finish(), _NO_OVERLAY, self._scopes, self._count)

    def _entry(self, digest: bytes) -> KeyEntry | None:
        if digest in self._overlay:
            packed = self._overlay[digest]
            return None if packed is None else _unpack_entry(packed)
        place = self._base.place_of(digest)
        return self._base.entry(place) if self._base.has_at(place, digest) else None

    def _in_base(self, digest: bytes) -> bool:
        return self._base.has_at(self._base.place_of(digest), digest)

    def _standing(self, scope_id: str) -> _Standing:
        known = self._standings.get(scope_id)
        if known is not None:
            return known
        steps: list[ScopeRef] = []
        blocked = False
        residency: ResidencyPolicy | None = None
        next_id: str | None = scope_id
        while next_id is not None:
            scope = self._scopes[next_id]
            steps.append(ScopeRef(scope.kind, scope.id, scope.slug))
            blocked = blocked or scope.blocked
            residency = narrow(scope.residency, residency)
            next_id = scope.parent_id
        steps.reverse()
        found = self._standings[scope_id] = _Standing(tuple(steps), blocked, residency)
        return found

    def _narrow(self, standing: _Standing, own: ResidencyPolicy) -> ResidencyPolicy | None:
        both = (standing.residency, own)
        if both not in self._narrowed:
            self._narrowed[both] = narrow(*both)
        return self._narrowed[both]


class _Builder:
    """Packs keys that come sorted by digest."""

    def __init__(self, scope_ids: Iterable[str] = (), policies: Iterable[ResidencyPolicy] = ()) -> None:
        self._numbers = {scope_id: number for number, scope_id in enumerate(scope_ids)}
        self._policies = {policy: number for number, policy in enumerate(policies)}
        self._digests = bytearray()
        self._packed = bytearray()
        self._ends = array("Q", (0,))

    def add(self, digest: bytes, entry: KeyEntry) -> None:
        """Append one key, whose digest is above all before it."""
        number = self._numbers.setdefault(entry.scope_id, len(self._numbers))
        own = entry.residency
        row = (
            entry.id,
            entry.name,
            number,
            entry.models,
            entry.sandbox,
            entry.tags,
            entry.expires_at_ms,
            entry.blocked,
            None if own is None else self._policies.setdefault(own, len(self._policies)),
        )
        self._digests += digest
        self._packed += _pack(row)
        self._ends.append(len(self._packed))

    def copy(self, base: _Bulk, first: int, end: int) -> None:
        """Append keys ``first`` to ``end`` of a base whose scopes this builder began with."""
        if first >= end:
            return
        self._digests += memoryview(base.digests)[first * DIGEST_BYTES : end * DIGEST_BYTES]
        moved = len(self._packed) - base.ends[first]
        self._packed += memoryview(base.packed)[base.ends[first] : base.ends[end]]
        self._ends.extend(array("Q", [place + moved for place in base.ends[first + 1 : end + 1]]))

    def finish(self) -> _Bulk:
        """Return the base; the builder is spent."""
        count = len(self._ends) - 1
        bits = count.bit_length()
        shift = 64 - bits
        sizes = [0] * ((1 << bits) + 1)
        for (prefix,) in iter_unpack(">Q24x", self._digests):
            sizes[(prefix >> shift) + 1] += 1
        buckets = array("I", accumulate(sizes))
        return _Bulk(
            bytes(self._digests),
            bytes(self._packed),
            self._ends,
            buckets,
            shift,
            tuple(self._numbers),
            tuple(self._policies),
        )
