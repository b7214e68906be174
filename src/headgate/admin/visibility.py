"""Which organizations' requests and usage a caller may see."""

from typing import Any, Final

from headgate.admin.endpoint import Call
from headgate.domain import ids
from headgate.domain.access import Permission
from headgate.identity.actor import grants_of

_ORGANIZATION: Final = f"{ids.ORGANIZATION}_"


def visible_organizations(call: Call[Any, Any], permission: Permission) -> tuple[str, ...] | None:
    """Return the organizations whose every record the actor may read; ``None``: all of them.

    A role on a team alone opens no report: a report is an organization's, and would show the other teams too.
    """
    grants = grants_of(call.actor, permission)
    if grants is None:
        return None
    return tuple(sorted(scope for scope in grants if scope.startswith(_ORGANIZATION)))
