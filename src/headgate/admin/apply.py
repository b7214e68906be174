"""The desired state of scopes and keys: compared with what is there, or carried out."""

from typing import Final

from headgate.admin.endpoint import ROOT, Call, Endpoint
from headgate.control import apply as use_cases
from headgate.control.apply import ApplyRequest, ApplyResult
from headgate.domain.access import Permission
from headgate.domain.errors import ConflictError, NotFoundError, ProvisionedReadOnlyError


def _apply(call: Call[ApplyRequest, None]) -> ApplyResult:
    return use_cases.apply(call.site.plane, call.actor, call.body)


ENDPOINTS: Final = (
    Endpoint(
        name="apply",
        method="POST",
        path=f"{ROOT}/apply",
        permission=Permission.APPLY,
        handler=_apply,
        summary="Plan a desired state, or carry it out in one transaction. Secrets of new keys are shown once.",
        body=ApplyRequest,
        response=ApplyResult,
        errors=(NotFoundError, ConflictError, ProvisionedReadOnlyError),
    ),
)
