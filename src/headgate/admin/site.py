"""What the REST API works on: made once by whoever builds the app, handed to every handler."""

from msgspec import Struct

from headgate.cache.desk import CacheDesk
from headgate.control.plane import Plane
from headgate.control.refused_credentials import RefusedCredentials
from headgate.control.reload import Reloader
from headgate.routing.health import Healths
from headgate.snapshot import SnapshotSource


class Documents(Struct, frozen=True):
    """The API's description of itself, rendered once."""

    openapi: bytes
    page: bytes


class Site(Struct, frozen=True):
    """The gateway's parts that the REST API needs."""

    plane: Plane
    snapshots: SnapshotSource
    admin_token_digest: bytes
    """SHA-256 of the operator's token; the token itself is nowhere in memory."""
    documents: Documents
    refused_credentials: RefusedCredentials
    reloader: Reloader
    healths: Healths
    cache: CacheDesk | None = None
    """``None``: no answer is kept."""
