"""Rate limits: one resource holds all of them of one scope, key, end user, model or tag."""

from typing import Final

from headgate.admin.endpoint import ROOT, Call, Endpoint, IfMatch
from headgate.control import rate_limits as use_cases
from headgate.control.page import Page
from headgate.control.rate_limits import RateLimits, RateLimitsCreate, RateLimitsPatch, RateLimitsQuery
from headgate.domain.access import Permission
from headgate.domain.errors import ConflictError, NotFoundError, ProvisionedReadOnlyError


def _list(call: Call[None, RateLimitsQuery]) -> Page[RateLimits]:
    return use_cases.list_rate_limits(call.site.plane, call.actor, call.query)


def _create(call: Call[RateLimitsCreate, None]) -> RateLimits:
    return use_cases.create_rate_limits(call.site.plane, call.actor, call.body)


def _read(call: Call[None, None]) -> RateLimits:
    return use_cases.get_rate_limits(call.site.plane, call.actor, call.path["id"])


def _patch(call: Call[RateLimitsPatch, None]) -> RateLimits:
    return use_cases.patch_rate_limits(call.site.plane, call.actor, call.path["id"], call.body, call.if_match)


def _delete(call: Call[None, None]) -> None:
    use_cases.delete_rate_limits(call.site.plane, call.actor, call.path["id"], call.if_match)


ENDPOINTS: Final = (
    Endpoint(
        name="list_rate_limits",
        method="GET",
        path=f"{ROOT}/rate-limits",
        permission=Permission.BUDGETS_READ,
        handler=_list,
        summary="List rate limits, newest first.",
        query=RateLimitsQuery,
        response=Page[RateLimits],
    ),
    Endpoint(
        name="create_rate_limits",
        method="POST",
        path=f"{ROOT}/rate-limits",
        permission=Permission.BUDGETS_WRITE,
        handler=_create,
        summary="Set rate limits on a scope or a key, or on an end user, a model or a tag of an organization.",
        body=RateLimitsCreate,
        response=RateLimits,
        status=201,
        errors=(NotFoundError, ConflictError),
    ),
    Endpoint(
        name="read_rate_limits",
        method="GET",
        path=f"{ROOT}/rate-limits/{{id}}",
        permission=Permission.BUDGETS_READ,
        handler=_read,
        summary="Read the rate limits of one thing.",
        response=RateLimits,
    ),
    Endpoint(
        name="update_rate_limits",
        method="PATCH",
        path=f"{ROOT}/rate-limits/{{id}}",
        permission=Permission.BUDGETS_WRITE,
        handler=_patch,
        summary="Change some limits; null takes one out.",
        body=RateLimitsPatch,
        response=RateLimits,
        if_match=IfMatch.REQUIRED,
        errors=(ProvisionedReadOnlyError,),
    ),
    Endpoint(
        name="delete_rate_limits",
        method="DELETE",
        path=f"{ROOT}/rate-limits/{{id}}",
        permission=Permission.BUDGETS_WRITE,
        handler=_delete,
        summary="Take all rate limits of one thing away.",
        status=204,
        if_match=IfMatch.HONOURED,
        errors=(ProvisionedReadOnlyError,),
    ),
)
