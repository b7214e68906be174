"""Rows of virtual keys, and what each of them is in the key directory."""

from typing import Any

from msgspec import Struct, json
from msgspec.structs import asdict, replace
from sqlalchemy import Connection, RowMapping, exists, insert, or_, select, update

from headgate.control.residency import decode_residency, encode_residency
from headgate.domain.access import ManagedBy
from headgate.domain.residency import ResidencyPolicy
from headgate.identity.directory import KeyDirectory, KeyEntry
from headgate.storage.tables import virtual_keys


class KeyRow(Struct, frozen=True, kw_only=True):
    """One row of ``virtual_keys``. It holds digests: never show it, show the `headgate.control.keys.Key` made of it."""

    id: str
    scope_id: str
    organization_id: str
    name: str
    digest: bytes
    hint: str
    previous_digest: bytes | None = None
    """The secret before the last rotation, good until ``grace_until_ms``."""
    grace_until_ms: int | None = None
    models: tuple[str, ...]
    sandbox: bool = False
    tags: tuple[tuple[str, str], ...] = ()
    expires_at_ms: int | None = None
    blocked: bool = False
    residency: ResidencyPolicy | None = None
    revoked_at_ms: int | None = None
    rotated_at_ms: int | None = None
    managed_by: ManagedBy = ManagedBy.API
    created_at_ms: int
    updated_at_ms: int
    version: int = 1


def key_of(row: RowMapping) -> KeyRow:
    """Read a row of ``select(virtual_keys)``."""
    values: dict[str, Any] = {name: row[virtual_keys.c[name]] for name in KeyRow.__struct_fields__}
    values["models"] = tuple(json.decode(values["models"], type=list[str]))
    values["tags"] = tuple(json.decode(values["tags"], type=dict[str, str]).items())
    values["managed_by"] = ManagedBy(values["managed_by"])
    values["residency"] = decode_residency(values["residency"])
    return KeyRow(**values)


def find_key(connection: Connection, key_id: str) -> KeyRow | None:
    """Return the key of this id, revoked or not."""
    row = connection.execute(select(virtual_keys).where(virtual_keys.c.id == key_id)).mappings().one_or_none()
    return None if row is None else key_of(row)


def find_live_key(connection: Connection, scope_id: str, name: str) -> KeyRow | None:
    """Return the key of this name on a scope that is not revoked: there is at most one."""
    columns = virtual_keys.c
    query = select(virtual_keys).where(
        columns.scope_id == scope_id, columns.name == name, columns.revoked_at_ms.is_(None)
    )
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else key_of(row)


def digest_is_taken(connection: Connection, digest: bytes) -> bool:
    """Whether any key, also a revoked one, has or had this secret."""
    columns = virtual_keys.c
    query = select(exists().where(or_(columns.digest == digest, columns.previous_digest == digest)))
    return bool(connection.execute(query).scalar_one())


def insert_key(connection: Connection, key: KeyRow) -> None:
    """Write a new row."""
    connection.execute(insert(virtual_keys).values(_values(key)))


def update_key(connection: Connection, key: KeyRow, now_ms: int) -> KeyRow:
    """Write a changed row as its next version and return it."""
    newer = replace(key, updated_at_ms=now_ms, version=key.version + 1)
    values = _values(newer)
    del values["id"]
    connection.execute(update(virtual_keys).where(virtual_keys.c.id == key.id).values(values))
    return newer


def entries_of(key: KeyRow) -> dict[bytes, KeyEntry]:
    """What the directory holds of a key: nothing once it is revoked, two entries while a rotation's grace lasts."""
    if key.revoked_at_ms is not None:
        return {}
    entry = KeyEntry(
        key.id,
        key.name,
        key.scope_id,
        key.models,
        key.sandbox,
        key.tags,
        key.expires_at_ms,
        key.blocked,
        key.residency,
    )
    if key.previous_digest is None or key.grace_until_ms is None:
        return {key.digest: entry}
    ends = [at_ms for at_ms in (key.grace_until_ms, key.expires_at_ms) if at_ms is not None]
    previous = replace(entry, expires_at_ms=min(ends))
    return {key.digest: entry, key.previous_digest: previous}


def exchange(keys: KeyDirectory, before: KeyRow | None, after: KeyRow) -> KeyDirectory:
    """Return the directory with ``after`` in the place of ``before``."""
    entries = entries_of(after)
    for digest in entries_of(before) if before is not None else ():
        if digest not in entries:
            keys = keys.without(digest)
    return keys.with_keys(entries.items())


def _values(key: KeyRow) -> dict[str, Any]:
    values = asdict(key)
    values["models"] = json.encode(key.models).decode()
    values["tags"] = json.encode(dict(key.tags)).decode()
    values["residency"] = encode_residency(key.residency)
    return values
