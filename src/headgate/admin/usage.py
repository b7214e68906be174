"""Requests, tokens and cost, by group and interval."""

from typing import Annotated, Final

from msgspec import Meta, Struct, field

from headgate.admin.endpoint import ROOT, Call, Endpoint
from headgate.admin.times import Moment, to_ms
from headgate.control.reports import report_usage
from headgate.domain.access import Permission
from headgate.domain.errors import ValidationFailedError
from headgate.records import queries
from headgate.records.queries import GroupBy, Interval, UsageRow

DEFAULT_SPAN_MS: Final = 30 * 24 * 3600 * 1000

_BY_WORD: Final = {group.value: group for group in GroupBy}
_GROUPS: Final = ", ".join(_BY_WORD)


class UsageSearch(Struct, frozen=True, forbid_unknown_fields=True):
    """What to report: without ``from`` and ``to``, the last 30 days."""

    group_by: Annotated[str, Meta(max_length=200, description=f"Any of {_GROUPS}, separated by commas.")] = ""
    interval: Interval = Interval.DAY
    start: Moment | None = field(default=None, name="from")
    end: Moment | None = field(default=None, name="to")
    tz: Annotated[str, Meta(max_length=64, description="The IANA time zone in which days begin.")] = "UTC"
    include_sandbox: bool = False


class UsageReport(Struct, frozen=True):
    """Oldest interval first, groups by falling cost."""

    data: tuple[UsageRow, ...]


def parse_groups(text: str) -> tuple[GroupBy, ...]:
    """Read a list such as ``organization,model``.

    Raises:
        ValidationFailedError: a word is no group, or comes twice.
    """
    words = [word.strip() for word in text.split(",")] if text else []
    groups: list[GroupBy] = []
    for word in words:
        if word not in _BY_WORD or _BY_WORD[word] in groups:
            raise ValidationFailedError(
                f"group_by takes each of {_GROUPS} once, separated by commas.", param="group_by"
            )
        groups.append(_BY_WORD[word])
    return tuple(groups)


def _report(call: Call[None, UsageSearch]) -> UsageReport:
    wanted = call.query
    to = to_ms(wanted.end, "to") if wanted.end else call.site.plane.clock_ms()
    query = queries.UsageQuery(
        from_ms=to_ms(wanted.start, "from") if wanted.start else to - DEFAULT_SPAN_MS,
        to_ms=to,
        group_by=parse_groups(wanted.group_by),
        interval=wanted.interval,
        tz=wanted.tz,
        include_sandbox=wanted.include_sandbox,
    )
    return UsageReport(report_usage(call.site.plane, call.actor, query))


ENDPOINTS: Final = (
    Endpoint(
        name="report_usage",
        method="GET",
        path=f"{ROOT}/usage",
        permission=Permission.USAGE_READ,
        handler=_report,
        summary="Report requests, tokens and cost.",
        query=UsageSearch,
        response=UsageReport,
    ),
)
