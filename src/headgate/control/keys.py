"""Virtual keys: made, changed, rotated and revoked. A secret is shown in one answer and is nowhere after that."""

from typing import Annotated, Any, Final

from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import replace
from sqlalchemy import select

from headgate.audit.event import Facts
from headgate.control import checks
from headgate.control.checks import Globs, Name, TagKey, TagValue, Timestamp
from headgate.control.key_rows import (
    KeyRow,
    digest_is_taken,
    exchange,
    find_key,
    find_live_key,
    insert_key,
    key_of,
    update_key,
)
from headgate.control.page import ListQuery, Page, check_limit, decode_cursor, page_of
from headgate.control.plane import Access, Change, Plane, change, view
from headgate.control.residency import (
    Residency,
    ResidencyPatch,
    check_residency,
    facts_of_residency,
    patched,
    refuse_contradiction,
    show_residency,
)
from headgate.control.timestamps import format_optional_time, format_time
from headgate.control.tree import ScopeRow, find_scope, path_of, visible
from headgate.domain import ids
from headgate.domain.access import ManagedBy, Permission
from headgate.domain.errors import ConflictError, ValidationFailedError
from headgate.identity.actor import Actor
from headgate.identity.secrets import SECRET_BYTES, hash_secret, hint_of, is_provisionable, mint_secret
from headgate.storage.tables import virtual_keys

P = Permission
MAX_GRACE_S: Final = 30 * 24 * 3600


class Key(Struct, frozen=True, kw_only=True):
    """A virtual key without its secret."""

    id: str
    organization_id: str
    scope_id: str
    """The organization, team, project or user it hangs on."""
    name: str
    hint: str
    """The last four characters of its secret; empty where only the secret's SHA-256 was given."""
    models: tuple[str, ...]
    sandbox: bool
    """Whether `*` among its models grants `sandbox/*` too."""
    tags: dict[str, str]
    expires_at: str | None
    blocked: bool
    residency: Residency | None
    """Where its data may go; what is laid on it from above holds too."""
    revoked_at: str | None
    rotated_at: str | None
    grace_until: str | None
    """Until when the secret before the last rotation is good."""
    managed_by: ManagedBy
    created_at: str
    updated_at: str
    version: int


class KeyCreated(Key, frozen=True, kw_only=True):
    """A virtual key with its secret, shown this once."""

    secret: str

    def __repr__(self) -> str:
        return f"KeyCreated(id={self.id!r})"


class KeyCreate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new key."""

    scope_id: str
    name: Name
    models: Globs = ("*",)
    sandbox: bool = False
    tags: dict[TagKey, TagValue] = {}
    expires_at: Timestamp | None = None
    residency: Residency | None = None


class KeyPatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may change; what is absent stays (RFC 7396: null takes out an expiry, a policy or one tag)."""

    name: Name | UnsetType = UNSET
    models: Globs | UnsetType = UNSET
    sandbox: bool | UnsetType = UNSET
    tags: dict[TagKey, TagValue | None] | UnsetType = UNSET
    expires_at: Timestamp | UnsetType | None = UNSET
    blocked: bool | UnsetType = UNSET
    residency: ResidencyPatch | UnsetType | None = UNSET


class KeyRotate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long the present secret stays good beside the new one."""

    grace_seconds: Annotated[int, Meta(ge=0, le=MAX_GRACE_S)] = 0


class KeyQuery(ListQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which keys to list."""

    organization_id: str | None = None
    scope_id: str | None = None
    name: str | None = None
    include_revoked: bool = False


def create_key(plane: Plane, actor: Actor, body: KeyCreate) -> KeyCreated:
    """Make a key on a scope and return it with its secret."""
    with change(plane, actor, "key.create", "key") as current:
        scope = find_scope(current.connection, body.scope_id)
        path = path_of(current.connection, scope)
        current.allow(P.KEYS_WRITE, path, noun="scope", seen_by=P.SCOPES_READ)
        assert scope is not None, "without a scope nothing is allowed"
        key, secret = add_key(
            current,
            scope,
            name=body.name,
            models=body.models,
            sandbox=body.sandbox,
            tags=body.tags,
            expires_at_ms=checks.check_expiry(body.expires_at, current.now_ms),
            residency=body.residency,
        )
        assert secret is not None, "it was minted here"
        return _show_once(key, secret)


def get_key(plane: Plane, actor: Actor, key_id: str) -> Key:
    """Return one key, revoked or not."""
    with view(plane, actor, "key.read", "key", key_id) as access:
        return show_key(_find(access, key_id, P.KEYS_READ))


def list_keys(plane: Plane, actor: Actor, query: KeyQuery) -> Page[Key]:
    """Return the keys that ``actor`` may read, newest first."""
    limit = check_limit(query.limit)
    place = decode_cursor(query.cursor)
    columns = virtual_keys.c
    conditions = [visible(actor, P.KEYS_READ, columns.scope_id)]
    if query.organization_id is not None:
        conditions.append(columns.organization_id == query.organization_id)
    if query.scope_id is not None:
        conditions.append(columns.scope_id == query.scope_id)
    if query.name is not None:
        conditions.append(columns.name == query.name)
    if not query.include_revoked:
        conditions.append(columns.revoked_at_ms.is_(None))
    if place is not None:
        conditions.append(columns.id < place)
    with view(plane, actor, "key.list", "key") as access:
        found = select(virtual_keys).where(*conditions).order_by(columns.id.desc()).limit(limit + 1)
        rows = access.connection.execute(found).mappings().all()
    return page_of([key_of(row) for row in rows], limit, lambda key: key.id, show_key)


def patch_key(plane: Plane, actor: Actor, key_id: str, body: KeyPatch, if_match: int | None = None) -> Key:
    """Change a key that is not revoked."""
    with change(plane, actor, "key.update", "key", key_id) as current:
        key = _find_live(current, key_id, if_match)
        after = key
        if body.name is not UNSET:
            after = replace(after, name=checks.check_name(body.name))
            other = find_live_key(current.connection, key.scope_id, after.name)
            checks.refuse_conflict(other is not None and other.id != key.id, _taken(after.name), "name")
        if body.models is not UNSET:
            after = replace(after, models=checks.check_models(body.models))
        if body.sandbox is not UNSET:
            after = replace(after, sandbox=body.sandbox)
        if body.tags is not UNSET:
            merged = {**dict(key.tags), **body.tags}
            tags = {name: value for name, value in merged.items() if value is not None}
            after = replace(after, tags=checks.check_tags(tags))
        if body.expires_at is not UNSET:
            after = replace(after, expires_at_ms=checks.check_expiry(body.expires_at, current.now_ms))
        if body.blocked is not UNSET:
            after = replace(after, blocked=body.blocked)
        after = replace(after, residency=patched(after.residency, body.residency))
        return show_key(write_key(current, key, after, "update"))


def block_key(plane: Plane, actor: Actor, key_id: str, if_match: int | None = None) -> Key:
    """Stop a key until it is unblocked."""
    return _set_blocked(plane, actor, key_id, True, if_match)


def unblock_key(plane: Plane, actor: Actor, key_id: str, if_match: int | None = None) -> Key:
    """Let a blocked key go on."""
    return _set_blocked(plane, actor, key_id, False, if_match)


def rotate_key(plane: Plane, actor: Actor, key_id: str, body: KeyRotate, if_match: int | None = None) -> KeyCreated:
    """Give a key a new secret; its id, and so its history, stays. The old secret is good until the grace ends.

    At most two secrets are good at once: rotating again within the grace ends the older one at once.
    """
    if not 0 <= body.grace_seconds <= MAX_GRACE_S:
        raise ValidationFailedError(f"`grace_seconds` must be 0 to {MAX_GRACE_S}.", param="grace_seconds")
    with change(plane, actor, "key.rotate", "key", key_id) as current:
        key = _find_live(current, key_id, if_match)
        secret = mint_secret(plane.key_prefix, plane.entropy(SECRET_BYTES))
        graceful = body.grace_seconds > 0
        after = replace(
            key,
            digest=hash_secret(secret),
            hint=hint_of(secret),
            previous_digest=key.digest if graceful else None,
            grace_until_ms=current.now_ms + body.grace_seconds * 1000 if graceful else None,
            rotated_at_ms=current.now_ms,
        )
        return _show_once(write_key(current, key, after, "rotate"), secret)


def revoke_key(plane: Plane, actor: Actor, key_id: str, if_match: int | None = None) -> Key:
    """End a key for good. It is out of the directory when this returns; revoking it again changes nothing."""
    with change(plane, actor, "key.revoke", "key", key_id) as current:
        key = _find(current, key_id, P.KEYS_WRITE)
        checks.refuse_file_managed(key.managed_by)
        checks.check_version(if_match, key.version)
        return show_key(end_key(current, key))


def add_key(
    current: Change,
    scope: ScopeRow,
    *,
    name: str,
    models: tuple[str, ...],
    sandbox: bool = False,
    tags: dict[str, str] | None = None,
    expires_at_ms: int | None = None,
    residency: Residency | None = None,
    secret: str | None = None,
    secret_sha256: str | None = None,
    managed_by: ManagedBy = ManagedBy.API,
) -> tuple[KeyRow, str | None]:
    """Write, audit and publish a new key; the caller has checked the right to.

    Args:
        current: the change it belongs to.
        scope: what the key hangs on.
        name: unique among the scope's keys that are not revoked.
        models: globs of model names.
        sandbox: whether ``*`` grants the sandbox.
        tags: stored on every record.
        expires_at_ms: when it ends by itself.
        residency: where its data may go.
        secret: a provisioned one; without it and without ``secret_sha256`` one is minted.
        secret_sha256: the digest of a secret that only its owner knows.
        managed_by: who owns the row.

    Returns:
        The row, and the secret where it is known.

    Raises:
        ValidationFailedError: a field is malformed.
        ConflictError: the name, or the provisioned secret, is taken.
    """
    checks.check_name(name)
    checks.refuse_conflict(find_live_key(current.connection, scope.id, name) is not None, _taken(name), "name")
    given = given_digest(secret, secret_sha256)
    if given is None:
        secret = mint_secret(current.plane.key_prefix, current.plane.entropy(SECRET_BYTES))
        given = hash_secret(secret)
    digest = check_new_digest(current, given, "secret" if secret is not None else "secret_sha256")
    key = KeyRow(
        id=current.mint_id(ids.KEY),
        scope_id=scope.id,
        organization_id=scope.organization_id,
        name=name,
        digest=digest,
        hint="" if secret is None else hint_of(secret),
        models=checks.check_models(models),
        sandbox=sandbox,
        tags=checks.check_tags(tags or {}),
        expires_at_ms=expires_at_ms,
        residency=check_residency(residency),
        managed_by=managed_by,
        created_at_ms=current.now_ms,
        updated_at_ms=current.now_ms,
    )
    refuse_contradiction(current.keys.residency_of(scope.id), key.residency)
    insert_key(current.connection, key)
    current.keys = exchange(current.keys, None, key)
    current.record(key.id, key.organization_id, None, facts_of(key), action="key.create", object_kind="key")
    return key, secret


def given_digest(secret: str | None, secret_sha256: str | None) -> bytes | None:
    """Return the digest that a key is to be known by, ``None`` where neither it nor a secret was given.

    Raises:
        ValidationFailedError: either is malformed, or both are there.
    """
    if secret_sha256 is not None:
        if secret is not None:
            raise ValidationFailedError("Give `secret` or `secret_sha256`, not both.", param="secret_sha256")
        return checks.check_secret_sha256(secret_sha256)
    if secret is None:
        return None
    if not is_provisionable(secret):
        raise ValidationFailedError("`secret` must be 32 to 256 of A-Z, a-z, 0-9, `_` and `-`.", param="secret")
    return hash_secret(secret)


def check_new_digest(current: Change, digest: bytes, param: str) -> bytes:
    """Return ``digest``, or raise `ConflictError` where a key has or had that secret."""
    taken = digest_is_taken(current.connection, digest)
    checks.refuse_conflict(taken, "This secret belongs or belonged to another key; take a new one.", param)
    return digest


def write_key(current: Change, before: KeyRow, after: KeyRow, verb: str) -> KeyRow:
    """Write, audit and publish a changed key; nothing where nothing differs.

    Raises:
        ValidationFailedError: a new policy lists only what one further up forbids.
    """
    if before == after:
        return before
    if after.residency != before.residency:
        refuse_contradiction(current.keys.residency_of(after.scope_id), after.residency)
    newer = update_key(current.connection, after, current.now_ms)
    current.keys = exchange(current.keys, before, newer)
    current.record(
        newer.id,
        newer.organization_id,
        facts_of(before),
        facts_of(newer),
        action=f"key.{verb}",
        object_kind="key",
    )
    return newer


def end_key(current: Change, key: KeyRow) -> KeyRow:
    """Revoke a key: written, audited, published. A key that is revoked already stays as it is."""
    if key.revoked_at_ms is not None:
        return key
    return write_key(current, key, replace(key, revoked_at_ms=current.now_ms), "revoke")


def facts_of(key: KeyRow) -> Facts:
    """What the audit log keeps of a key: all but its digests."""
    return {
        "scope_id": key.scope_id,
        "name": key.name,
        "hint": key.hint,
        "models": list(key.models),
        "sandbox": key.sandbox,
        "tags": dict(key.tags),
        "expires_at": format_optional_time(key.expires_at_ms),
        "blocked": key.blocked,
        "residency": facts_of_residency(key.residency),
        "revoked_at": format_optional_time(key.revoked_at_ms),
        "grace_until": format_optional_time(key.grace_until_ms),
        "managed_by": key.managed_by.value,
    }


def show_key(key: KeyRow) -> Key:
    """The key as the outside sees it."""
    return Key(**_shown(key))


def _show_once(key: KeyRow, secret: str) -> KeyCreated:
    return KeyCreated(**_shown(key), secret=secret)


def _shown(key: KeyRow) -> dict[str, Any]:
    return {
        "id": key.id,
        "organization_id": key.organization_id,
        "scope_id": key.scope_id,
        "name": key.name,
        "hint": key.hint,
        "models": key.models,
        "sandbox": key.sandbox,
        "tags": dict(key.tags),
        "expires_at": format_optional_time(key.expires_at_ms),
        "blocked": key.blocked,
        "residency": show_residency(key.residency),
        "revoked_at": format_optional_time(key.revoked_at_ms),
        "rotated_at": format_optional_time(key.rotated_at_ms),
        "grace_until": format_optional_time(key.grace_until_ms),
        "managed_by": key.managed_by,
        "created_at": format_time(key.created_at_ms),
        "updated_at": format_time(key.updated_at_ms),
        "version": key.version,
    }


def _set_blocked(plane: Plane, actor: Actor, key_id: str, blocked: bool, if_match: int | None) -> Key:
    verb = "block" if blocked else "unblock"
    with change(plane, actor, f"key.{verb}", "key", key_id) as current:
        key = _find_live(current, key_id, if_match)
        return show_key(write_key(current, key, replace(key, blocked=blocked), verb))


def _find(access: Access, key_id: str, permission: Permission) -> KeyRow:
    key = find_key(access.connection, key_id)
    scope = None if key is None else find_scope(access.connection, key.scope_id)
    access.allow(permission, path_of(access.connection, scope), noun="key", seen_by=P.KEYS_READ)
    assert key is not None, "without a key nothing is allowed"
    return key


def _find_live(current: Change, key_id: str, if_match: int | None) -> KeyRow:
    """Find a key that may be changed."""
    key = _find(current, key_id, P.KEYS_WRITE)
    checks.refuse_file_managed(key.managed_by)
    checks.check_version(if_match, key.version)
    if key.revoked_at_ms is not None:
        raise ConflictError("The key is revoked; make a new one.")
    return key


def _taken(name: str) -> str:
    return f"There is a key `{name}` on this scope already."
