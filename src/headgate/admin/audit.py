"""The audit log: every management action, done or refused."""

from typing import Final

from headgate.admin.endpoint import ROOT, Call, Endpoint
from headgate.control.audit import AuditEntry, AuditQuery, list_events
from headgate.control.page import Page
from headgate.domain.access import Permission


def _list(call: Call[None, AuditQuery]) -> Page[AuditEntry]:
    return list_events(call.site.plane, call.actor, call.query)


ENDPOINTS: Final = (
    Endpoint(
        name="list_audit_events",
        method="GET",
        path=f"{ROOT}/audit",
        permission=Permission.AUDIT_READ,
        handler=_list,
        summary="Search the audit log, newest first.",
        query=AuditQuery,
        response=Page[AuditEntry],
    ),
)
