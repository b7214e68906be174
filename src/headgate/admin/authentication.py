"""Who calls, and whether anybody like him may call this endpoint at all."""

import base64
import binascii
import hmac
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from headgate.admin.endpoint import AnyEndpoint
from headgate.admin.site import Site
from headgate.control.plane import record_refusal
from headgate.control.refused_credentials import Refused
from headgate.control.tokens import RefusedToken, authenticate_token
from headgate.domain.errors import InvalidRequestError, PermissionDeniedError
from headgate.identity.actor import Actor, ActorKind, may_somewhere
from headgate.identity.policy import Row
from headgate.identity.secrets import TOKEN_PREFIX, hash_secret

MAX_TOKEN: Final = 512
"""Characters; ours have far fewer."""
OPERATOR: Final = "operator"
REFUSAL: Final = "The admin API takes the admin token or a valid personal access token."
"""The same for a credential that is absent, unknown, expired and revoked: the caller cannot tell which."""


async def authenticate(site: Site, request: Request, *, browser: bool) -> Actor | Refused:
    """Return who presents the token in ``Authorization``, or why nobody is let in.

    Virtual keys are refused like any unknown text: they infer, and nothing else.

    Args:
        site: the gateway's parts.
        request: the request; its URL is not looked at.
        browser: take the password of HTTP Basic for the token, too.

    Raises:
        InvalidRequestError: more than one ``Authorization`` header.
    """
    values = request.headers.getlist("authorization")
    if len(values) > 1:
        raise InvalidRequestError("The request carries more than one Authorization header.", param="authorization")
    if not values:
        return Refused("absent")
    token = presented_token(values[0], browser=browser)
    if token is None or len(token) > MAX_TOKEN:
        return Refused("unknown")
    source_address = source_of(request)
    request_id: str = request.state.request_id
    if hmac.compare_digest(hash_secret(token), site.admin_token_digest):
        return Actor(kind=ActorKind.OPERATOR, id=OPERATOR, request_id=request_id, source_address=source_address)
    if not token.startswith(TOKEN_PREFIX.encode()):
        return Refused("unknown")
    found = await run_in_threadpool(
        authenticate_token, site.plane, token, request_id=request_id, source_address=source_address
    )
    if found is None:
        return Refused("unknown")
    return Refused(found.reason, found) if isinstance(found, RefusedToken) else found


def source_of(request: Request) -> str | None:
    """Return the caller's address, as far as it is known."""
    return None if request.client is None else request.client.host


def presented_token(value: str, *, browser: bool) -> bytes | None:
    """Return the token in the value of an ``Authorization`` header, ``None`` where there is none to read."""
    scheme, _, rest = value.partition(" ")
    rest = rest.strip(" ")
    if scheme.lower() == "bearer" and rest:
        return rest.encode("latin-1")
    if scheme.lower() == "basic" and browser:
        try:
            _, colon, password = base64.b64decode(rest, validate=True).partition(b":")
        except (binascii.Error, ValueError):
            return None
        return password if colon and password else None
    return None


async def authorize(site: Site, actor: Actor, endpoint: AnyEndpoint, row: Row | None, object_id: str | None) -> None:
    """Let through who holds the endpoint's permission on any scope; which object it is about, the use case judges.

    Args:
        site: the gateway's parts.
        actor: who calls.
        endpoint: the row that the request matched.
        row: its row in the policy table; ``None`` where it has none, and then nobody may.
        object_id: the id in the path, for the audit log.

    Raises:
        PermissionDeniedError: as said; the refusal is in the audit log.
    """
    if row is not None and row.permission == endpoint.permission and may_somewhere(actor, row.permission):
        return
    error = PermissionDeniedError(f"This takes the permission {endpoint.permission}.")
    noun, verb = endpoint.tag.removesuffix("s").replace("-", "_"), endpoint.name.partition("_")[0]
    await run_in_threadpool(
        record_refusal, site.plane, actor, f"{noun}.{verb}", error, object_kind=noun, object_id=object_id
    )
    raise error
