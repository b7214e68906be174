"""Organizations: tenants, the roots of the scope tree."""

from typing import Final

from headgate.admin.endpoint import ROOT, Call, Endpoint, IfMatch
from headgate.control import organizations as use_cases
from headgate.control.organizations import Organization, OrganizationCreate, OrganizationPatch
from headgate.control.page import ListQuery, Page
from headgate.domain.access import Permission
from headgate.domain.errors import ConflictError, ProvisionedReadOnlyError


def _list(call: Call[None, ListQuery]) -> Page[Organization]:
    return use_cases.list_organizations(call.site.plane, call.actor, call.query)


def _create(call: Call[OrganizationCreate, None]) -> Organization:
    return use_cases.create_organization(call.site.plane, call.actor, call.body)


def _read(call: Call[None, None]) -> Organization:
    return use_cases.get_organization(call.site.plane, call.actor, call.path["id"])


def _patch(call: Call[OrganizationPatch, None]) -> Organization:
    return use_cases.patch_organization(call.site.plane, call.actor, call.path["id"], call.body, call.if_match)


def _block(call: Call[None, None]) -> Organization:
    return use_cases.block_organization(call.site.plane, call.actor, call.path["id"], call.if_match)


def _unblock(call: Call[None, None]) -> Organization:
    return use_cases.unblock_organization(call.site.plane, call.actor, call.path["id"], call.if_match)


def _delete(call: Call[None, None]) -> None:
    use_cases.delete_organization(call.site.plane, call.actor, call.path["id"], call.if_match)


ENDPOINTS: Final = (
    Endpoint(
        name="list_organizations",
        method="GET",
        path=f"{ROOT}/organizations",
        permission=Permission.SCOPES_READ,
        handler=_list,
        summary="List organizations, newest first.",
        query=ListQuery,
        response=Page[Organization],
    ),
    Endpoint(
        name="create_organization",
        method="POST",
        path=f"{ROOT}/organizations",
        permission=Permission.ORGANIZATIONS_WRITE,
        handler=_create,
        summary="Create an organization; only the operator may.",
        body=OrganizationCreate,
        response=Organization,
        status=201,
        errors=(ConflictError,),
    ),
    Endpoint(
        name="read_organization",
        method="GET",
        path=f"{ROOT}/organizations/{{id}}",
        permission=Permission.SCOPES_READ,
        handler=_read,
        summary="Read one organization.",
        response=Organization,
    ),
    Endpoint(
        name="update_organization",
        method="PATCH",
        path=f"{ROOT}/organizations/{{id}}",
        permission=Permission.ORGANIZATIONS_WRITE,
        handler=_patch,
        summary="Rename an organization, move its time zone, or change where its data may go.",
        body=OrganizationPatch,
        response=Organization,
        if_match=IfMatch.REQUIRED,
        errors=(ProvisionedReadOnlyError,),
    ),
    Endpoint(
        name="block_organization",
        method="POST",
        path=f"{ROOT}/organizations/{{id}}/block",
        permission=Permission.ORGANIZATIONS_WRITE,
        handler=_block,
        summary="Stop every key below it.",
        response=Organization,
        if_match=IfMatch.HONOURED,
        errors=(ProvisionedReadOnlyError,),
    ),
    Endpoint(
        name="unblock_organization",
        method="POST",
        path=f"{ROOT}/organizations/{{id}}/unblock",
        permission=Permission.ORGANIZATIONS_WRITE,
        handler=_unblock,
        summary="Let the keys below it go on.",
        response=Organization,
        if_match=IfMatch.HONOURED,
        errors=(ProvisionedReadOnlyError,),
    ),
    Endpoint(
        name="delete_organization",
        method="DELETE",
        path=f"{ROOT}/organizations/{{id}}",
        permission=Permission.ORGANIZATIONS_WRITE,
        handler=_delete,
        summary="Delete an organization that nothing hangs on.",
        status=204,
        if_match=IfMatch.HONOURED,
        errors=(ConflictError, ProvisionedReadOnlyError),
    ),
)
