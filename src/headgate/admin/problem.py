"""Problems: every error of the REST API as RFC 9457 ``application/problem+json``."""

from typing import Final

from msgspec import UNSET, Struct, UnsetType

from headgate.domain.errors import ConfigFinding, ConfigRejectedError, HeadgateError

PROBLEM_JSON: Final = "application/problem+json"


class Problem(Struct, frozen=True):
    """What went wrong, for people and for programs."""

    type: str
    """The page that explains the code."""
    title: str
    """The kind of problem, the same for every occurrence."""
    status: int
    """The HTTP status."""
    detail: str
    """What happened this time."""
    code: str
    """A stable word for programs."""
    param: str | None
    """The field to blame, e.g. ``tags.team``."""
    request_id: str
    """Names this request in the log and in the audit trail."""
    doc_url: str
    """The page that explains the code: ``type``, under the name that errors have it by everywhere else."""
    findings: tuple[ConfigFinding, ...] | UnsetType = UNSET
    """Of a configuration that was rejected: every reason."""


def problem_of(error: HeadgateError, request_id: str) -> Problem:
    """Describe ``error`` to the caller."""
    return Problem(
        type=error.doc_url,
        title=error.code.replace("_", " ").capitalize(),
        status=error.status,
        detail=error.message,
        code=error.code,
        param=error.param,
        request_id=request_id,
        doc_url=error.doc_url,
        findings=error.findings if isinstance(error, ConfigRejectedError) else UNSET,
    )
