"""Who the caller is, and what he may do."""

from typing import Final

from headgate.admin.endpoint import ROOT, Call, Endpoint
from headgate.control.me import Me, get_me
from headgate.domain.access import Permission


def _read(call: Call[None, None]) -> Me:
    return get_me(call.site.plane, call.actor)


ENDPOINTS: Final = (
    Endpoint(
        name="read_me",
        method="GET",
        path=f"{ROOT}/me",
        permission=Permission.ME_READ,
        handler=_read,
        summary="Who the caller is, and what he may do.",
        response=Me,
    ),
)
