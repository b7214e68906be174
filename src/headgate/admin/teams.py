"""Teams of an organization."""

from typing import Final

from headgate.admin.endpoint import ROOT, Call, Endpoint, IfMatch
from headgate.control import teams as use_cases
from headgate.control.page import Page
from headgate.control.teams import Team, TeamCreate, TeamPatch, TeamQuery
from headgate.domain.access import Permission
from headgate.domain.errors import ConflictError, NotFoundError, ProvisionedReadOnlyError


def _list(call: Call[None, TeamQuery]) -> Page[Team]:
    return use_cases.list_teams(call.site.plane, call.actor, call.query)


def _create(call: Call[TeamCreate, None]) -> Team:
    return use_cases.create_team(call.site.plane, call.actor, call.body)


def _read(call: Call[None, None]) -> Team:
    return use_cases.get_team(call.site.plane, call.actor, call.path["id"])


def _patch(call: Call[TeamPatch, None]) -> Team:
    return use_cases.patch_team(call.site.plane, call.actor, call.path["id"], call.body, call.if_match)


def _block(call: Call[None, None]) -> Team:
    return use_cases.block_team(call.site.plane, call.actor, call.path["id"], call.if_match)


def _unblock(call: Call[None, None]) -> Team:
    return use_cases.unblock_team(call.site.plane, call.actor, call.path["id"], call.if_match)


def _delete(call: Call[None, None]) -> None:
    use_cases.delete_team(call.site.plane, call.actor, call.path["id"], call.if_match)


ENDPOINTS: Final = (
    Endpoint(
        name="list_teams",
        method="GET",
        path=f"{ROOT}/teams",
        permission=Permission.SCOPES_READ,
        handler=_list,
        summary="List teams, newest first.",
        query=TeamQuery,
        response=Page[Team],
    ),
    Endpoint(
        name="create_team",
        method="POST",
        path=f"{ROOT}/teams",
        permission=Permission.SCOPES_WRITE,
        handler=_create,
        summary="Create a team.",
        body=TeamCreate,
        response=Team,
        status=201,
        errors=(
            NotFoundError,
            ConflictError,
        ),
    ),
    Endpoint(
        name="read_team",
        method="GET",
        path=f"{ROOT}/teams/{{id}}",
        permission=Permission.SCOPES_READ,
        handler=_read,
        summary="Read one team.",
        response=Team,
    ),
    Endpoint(
        name="update_team",
        method="PATCH",
        path=f"{ROOT}/teams/{{id}}",
        permission=Permission.SCOPES_WRITE,
        handler=_patch,
        summary="Rename a team, or change where its data may go.",
        body=TeamPatch,
        response=Team,
        if_match=IfMatch.REQUIRED,
        errors=(ProvisionedReadOnlyError,),
    ),
    Endpoint(
        name="block_team",
        method="POST",
        path=f"{ROOT}/teams/{{id}}/block",
        permission=Permission.SCOPES_WRITE,
        handler=_block,
        summary="Stop every key below it.",
        response=Team,
        if_match=IfMatch.HONOURED,
        errors=(ProvisionedReadOnlyError,),
    ),
    Endpoint(
        name="unblock_team",
        method="POST",
        path=f"{ROOT}/teams/{{id}}/unblock",
        permission=Permission.SCOPES_WRITE,
        handler=_unblock,
        summary="Let the keys below it go on.",
        response=Team,
        if_match=IfMatch.HONOURED,
        errors=(ProvisionedReadOnlyError,),
    ),
    Endpoint(
        name="delete_team",
        method="DELETE",
        path=f"{ROOT}/teams/{{id}}",
        permission=Permission.SCOPES_WRITE,
        handler=_delete,
        summary="Delete a team that nothing hangs on.",
        status=204,
        if_match=IfMatch.HONOURED,
        errors=(ConflictError, ProvisionedReadOnlyError),
    ),
)
