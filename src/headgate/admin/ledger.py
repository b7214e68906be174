"""The ledger as a whole: whether it adds up."""

from typing import Final

from headgate.admin.endpoint import ROOT, Call, Endpoint
from headgate.control.statuses import LedgerReport, verify_ledger
from headgate.domain.access import Permission
from headgate.domain.errors import LedgerUnavailableError


def _verify(call: Call[None, None]) -> LedgerReport:
    return verify_ledger(call.site.plane, call.actor)


ENDPOINTS: Final = (
    Endpoint(
        name="verify_ledger",
        method="POST",
        path=f"{ROOT}/ledger/verify",
        permission=Permission.OPERATE,
        handler=_verify,
        summary="Add every account up again from the journal and compare; changes nothing.",
        response=LedgerReport,
        errors=(LedgerUnavailableError,),
    ),
)
