"""What a route of the REST API is: one row that says everything the gateway needs to serve and to describe it."""

from collections.abc import Callable
from enum import StrEnum
from typing import Any, Final, Generic, TypeVar

from msgspec import Struct

from headgate.admin.site import Site
from headgate.domain.access import Permission
from headgate.domain.errors import HeadgateError
from headgate.identity.actor import Actor

ROOT: Final = "/admin/v1"
JSON: Final = "application/json"

BodyT = TypeVar("BodyT")
QueryT = TypeVar("QueryT")


class IfMatch(StrEnum):
    """What an endpoint makes of the ``If-Match`` header (RFC 9110, 13.1.1)."""

    UNUSED = "unused"
    """Nothing: there is no earlier version to protect."""
    HONOURED = "honoured"
    """A stale one is 412; without one the change is made."""
    REQUIRED = "required"
    """Two writers matter here: without one the answer is 428 (RFC 6585)."""


class Call(Struct, Generic[BodyT, QueryT], frozen=True):
    """One request after authentication, authorisation and decoding: all that a handler sees of it."""

    site: Site
    actor: Actor
    path: dict[str, str]
    """Values of the path template's names."""
    query: QueryT
    body: BodyT
    if_match: int | None
    """The version named by ``If-Match``; ``None`` where the header is absent or ``*``."""


class Endpoint(Struct, Generic[BodyT, QueryT], frozen=True, kw_only=True):
    """One route. Its method, path and permission must equal a row of `headgate.identity.policy.ROUTES`."""

    name: str
    """The operation's id in the OpenAPI document, unique, e.g. ``create_key``."""
    method: str
    path: str
    """A template such as ``/admin/v1/keys/{id}``."""
    permission: Permission
    handler: Callable[[Call[BodyT, QueryT]], object]
    """Runs in a worker thread. Its result is encoded as ``response``; ``bytes`` are sent as they are."""
    summary: str
    body: type[BodyT] | None = None
    query: type[QueryT] | None = None
    response: object = None
    """The result's type; ``None``: no content, or ``bytes`` of ``media_type``."""
    status: int = 200
    if_match: IfMatch = IfMatch.UNUSED
    errors: tuple[type[HeadgateError], ...] = ()
    """Beyond those that follow from the row itself (401, 403, 404 of an id, 412, 413, 415, 422, 428)."""
    media_type: str = JSON
    browser: bool = False
    """Read by people: the token may also come as the password of HTTP Basic, which a browser asks for."""

    @property
    def tag(self) -> str:
        """The collection it belongs to: the first segment below `ROOT`."""
        return self.path.removeprefix(ROOT + "/").partition("/")[0]


AnyEndpoint = Endpoint[Any, Any]
"""An endpoint as the table holds it, whatever its handler's body and query are."""
