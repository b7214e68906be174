"""Personal access tokens: a person's own rights, for a script. Each ends by itself within a year."""

from typing import Any, Final

from msgspec import Struct
from msgspec.structs import asdict, replace
from sqlalchemy import ColumnElement, Connection, RowMapping, insert, or_, select, update

from headgate.audit.event import Facts
from headgate.control import checks
from headgate.control.checks import Name, Timestamp
from headgate.control.page import ListQuery, Page, check_limit, decode_cursor, page_of
from headgate.control.plane import Access, Change, Plane, change, view
from headgate.control.timestamps import format_optional_time, format_time
from headgate.control.tree import ScopeRow, find_scope, path_of, visible
from headgate.control.users import bindings_of, refuse_superiors
from headgate.domain import ids
from headgate.domain.access import ManagedBy, Permission, ScopeKind
from headgate.domain.errors import NotFoundError, PermissionDeniedError, ValidationFailedError
from headgate.identity.actor import Actor, ActorKind, Binding, may_somewhere
from headgate.identity.secrets import SECRET_BYTES, TOKEN_PREFIX, hash_secret, hint_of, mint_secret
from headgate.storage.tables import access_tokens

P = Permission

_DAY_MS: Final = 24 * 3600 * 1000
DEFAULT_LIFE_MS: Final = 90 * _DAY_MS
MAX_LIFE_MS: Final = 366 * _DAY_MS
USE_RESOLUTION_MS: Final = 5 * 60 * 1000
"""How exactly the last use is known: noting each would be a disk write for every management request."""


class Token(Struct, frozen=True, kw_only=True):
    """A personal access token without its secret."""

    id: str
    user_id: str
    name: str
    hint: str
    """The last four characters of its secret."""
    expires_at: str
    revoked_at: str | None
    last_used_at: str | None
    """To within five minutes."""
    managed_by: ManagedBy
    created_at: str
    updated_at: str
    version: int


class TokenCreated(Token, frozen=True, kw_only=True):
    """A token with its secret, shown this once."""

    secret: str

    def __repr__(self) -> str:
        return f"TokenCreated(id={self.id!r})"


class TokenCreate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new token, for oneself; the operator makes one for anybody."""

    name: Name
    user_id: str | None = None
    expires_at: Timestamp | None = None
    """At most 366 days from now; 90 days where it is absent."""


class TokenQuery(ListQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which tokens to list."""

    user_id: str | None = None
    include_revoked: bool = False


class _TokenRow(Struct, frozen=True, kw_only=True):
    id: str
    user_id: str
    name: str
    digest: bytes
    hint: str
    expires_at_ms: int
    revoked_at_ms: int | None = None
    last_used_at_ms: int | None = None
    created_at_ms: int
    updated_at_ms: int
    version: int = 1


class RefusedToken(Struct, frozen=True):
    """A token of ours that opens nothing now, and why: for the audit log, never for the caller."""

    id: str
    user_id: str
    organization_id: str
    reason: str


def authenticate_token(
    plane: Plane, presented: str | bytes, *, request_id: str | None = None, source_address: str | None = None
) -> Actor | RefusedToken | None:
    """Return who presents this token, with his rights as they are now; `None` where no token is like it."""
    digest = hash_secret(presented)
    now_ms = plane.clock_ms()
    with plane.database.read() as connection:
        row = connection.execute(select(access_tokens).where(access_tokens.c.digest == digest)).mappings().one_or_none()
        if row is None:
            return None
        token = _token_of(row)
        user = find_scope(connection, token.user_id)
        organization = None if user is None else find_scope(connection, user.organization_id)
        assert user is not None, "a token has its user as long as it exists"
        assert organization is not None, "a user has an organization as long as he exists"
        reason = _why_refused(token, user, organization, now_ms)
        if reason is not None:
            return RefusedToken(token.id, user.id, organization.id, reason)
        bindings = tuple(Binding(found.scope_id, found.role) for found in bindings_of(connection, user.id))
    if token.last_used_at_ms is None or now_ms - token.last_used_at_ms >= USE_RESOLUTION_MS:
        with plane.database.write() as connection:
            noted = {"last_used_at_ms": now_ms, "version": access_tokens.c.version + 1}
            connection.execute(update(access_tokens).where(access_tokens.c.id == token.id).values(noted))
    return Actor(
        kind=ActorKind.USER,
        id=user.id,
        organization_id=organization.id,
        bindings=bindings,
        request_id=request_id,
        source_address=source_address,
    )


def _why_refused(token: _TokenRow, user: ScopeRow, organization: ScopeRow, now_ms: int) -> str | None:
    if token.revoked_at_ms is not None:
        return "revoked"
    if token.expires_at_ms <= now_ms:
        return "expired"
    if user.blocked:
        return "user_blocked"
    return "organization_blocked" if organization.blocked else None


def create_token(plane: Plane, actor: Actor, body: TokenCreate) -> TokenCreated:
    """Make a token and return it with its secret."""
    user_id = body.user_id or actor.id
    with change(plane, actor, "token.create", "token") as current:
        user = _find_user(current, user_id)
        if actor.kind is ActorKind.USER and user_id != actor.id:
            # Whoever could make a token of another person would act in his name.
            raise PermissionDeniedError("Only the operator makes a token for somebody else.")
        token, secret = _add_token(current, user, body)
        return TokenCreated(**_shown(token), secret=secret)


def get_token(plane: Plane, actor: Actor, token_id: str) -> Token:
    """Return one token: one's own, or one of a person whom one administers."""
    with view(plane, actor, "token.read", "token", token_id) as access:
        return Token(**_shown(_find(access, token_id)))


def list_tokens(plane: Plane, actor: Actor, query: TokenQuery) -> Page[Token]:
    """Return one's own tokens and those of the people whom one administers, newest first."""
    limit = check_limit(query.limit)
    place = decode_cursor(query.cursor)
    columns = access_tokens.c
    conditions: list[ColumnElement[bool]] = [
        or_(columns.user_id == actor.id, visible(actor, P.USERS_WRITE, columns.user_id))
    ]
    if not query.include_revoked:
        conditions.append(columns.revoked_at_ms.is_(None))
    if query.user_id is not None:
        conditions.append(columns.user_id == query.user_id)
    if place is not None:
        conditions.append(columns.id < place)
    with view(plane, actor, "token.list", "token") as access:
        found = select(access_tokens).where(*conditions).order_by(columns.id.desc()).limit(limit + 1)
        rows = [_token_of(row) for row in access.connection.execute(found).mappings()]
    return page_of(rows, limit, lambda token: token.id, lambda token: Token(**_shown(token)))


def revoke_token(plane: Plane, actor: Actor, token_id: str, if_match: int | None = None) -> Token:
    """End a token for good; revoking it again changes nothing."""
    with change(plane, actor, "token.revoke", "token", token_id) as current:
        token = _find(current, token_id)
        checks.check_version(if_match, token.version)
        if token.user_id != actor.id:
            refuse_superiors(current, token.user_id)
        if token.revoked_at_ms is None:
            token = _revoke(current, token)
        return Token(**_shown(token))


def _add_token(current: Change, user: ScopeRow, body: TokenCreate) -> tuple[_TokenRow, str]:
    secret = mint_secret(TOKEN_PREFIX, current.plane.entropy(SECRET_BYTES))
    expires_at_ms = checks.check_expiry(body.expires_at, current.now_ms) or current.now_ms + DEFAULT_LIFE_MS
    if expires_at_ms > current.now_ms + MAX_LIFE_MS:
        raise ValidationFailedError("`expires_at` must lie within 366 days.", param="expires_at")
    token = _TokenRow(
        id=current.mint_id(ids.TOKEN),
        user_id=user.id,
        name=checks.check_name(body.name),
        digest=hash_secret(secret),
        hint=hint_of(secret),
        expires_at_ms=expires_at_ms,
        created_at_ms=current.now_ms,
        updated_at_ms=current.now_ms,
    )
    current.connection.execute(insert(access_tokens).values(asdict(token)))
    current.record(token.id, user.organization_id, None, _facts_of(token))
    return token, secret


def _revoke(current: Change, token: _TokenRow) -> _TokenRow:
    revoked = replace(token, revoked_at_ms=current.now_ms, updated_at_ms=current.now_ms, version=token.version + 1)
    values = {"revoked_at_ms": current.now_ms, "updated_at_ms": current.now_ms, "version": revoked.version}
    current.connection.execute(update(access_tokens).where(access_tokens.c.id == token.id).values(values))
    user = find_scope(current.connection, token.user_id)
    assert user is not None, "a token has its user as long as it exists"
    current.record(token.id, user.organization_id, _facts_of(token), _facts_of(revoked))
    return revoked


def _find_user(access: Access, user_id: str) -> ScopeRow:
    user = find_scope(access.connection, user_id, ScopeKind.USER)
    if user is not None and user_id == access.actor.id and may_somewhere(access.actor, P.TOKENS_WRITE):
        access.organization_id = user.organization_id
        return user
    path = path_of(access.connection, user)
    access.allow(P.TOKENS_WRITE, path, noun="user", seen_by=P.USERS_READ)
    assert user is not None, "without a user nothing is allowed"
    return user


def _find(access: Access, token_id: str) -> _TokenRow:
    row = _find_row(access.connection, token_id)
    if row is None:
        raise NotFoundError("No such token.")
    if row.user_id != access.actor.id:
        path = path_of(access.connection, find_scope(access.connection, row.user_id))
        access.allow(P.USERS_WRITE, path, noun="token", seen_by=P.USERS_WRITE)
    return row


def _find_row(connection: Connection, token_id: str) -> _TokenRow | None:
    query = select(access_tokens).where(access_tokens.c.id == token_id)
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else _token_of(row)


def _token_of(row: RowMapping) -> _TokenRow:
    values: dict[str, Any] = {name: row[access_tokens.c[name]] for name in _TokenRow.__struct_fields__}
    return _TokenRow(**values)


def _facts_of(token: _TokenRow) -> Facts:
    return {
        "user_id": token.user_id,
        "name": token.name,
        "hint": token.hint,
        "expires_at": format_time(token.expires_at_ms),
        "revoked_at": format_optional_time(token.revoked_at_ms),
    }


def _shown(token: _TokenRow) -> dict[str, Any]:
    return {
        "id": token.id,
        "user_id": token.user_id,
        "name": token.name,
        "hint": token.hint,
        "expires_at": format_time(token.expires_at_ms),
        "revoked_at": format_optional_time(token.revoked_at_ms),
        "last_used_at": format_optional_time(token.last_used_at_ms),
        "managed_by": ManagedBy.API,
        "created_at": format_time(token.created_at_ms),
        "updated_at": format_time(token.updated_at_ms),
        "version": token.version,
    }
