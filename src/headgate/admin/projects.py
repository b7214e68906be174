"""Projects of a team."""

from typing import Final

from headgate.admin.endpoint import ROOT, Call, Endpoint, IfMatch
from headgate.control import projects as use_cases
from headgate.control.page import Page
from headgate.control.projects import Project, ProjectCreate, ProjectPatch, ProjectQuery
from headgate.domain.access import Permission
from headgate.domain.errors import ConflictError, NotFoundError, ProvisionedReadOnlyError


def _list(call: Call[None, ProjectQuery]) -> Page[Project]:
    return use_cases.list_projects(call.site.plane, call.actor, call.query)


def _create(call: Call[ProjectCreate, None]) -> Project:
    return use_cases.create_project(call.site.plane, call.actor, call.body)


def _read(call: Call[None, None]) -> Project:
    return use_cases.get_project(call.site.plane, call.actor, call.path["id"])


def _patch(call: Call[ProjectPatch, None]) -> Project:
    return use_cases.patch_project(call.site.plane, call.actor, call.path["id"], call.body, call.if_match)


def _block(call: Call[None, None]) -> Project:
    return use_cases.block_project(call.site.plane, call.actor, call.path["id"], call.if_match)


def _unblock(call: Call[None, None]) -> Project:
    return use_cases.unblock_project(call.site.plane, call.actor, call.path["id"], call.if_match)


def _delete(call: Call[None, None]) -> None:
    use_cases.delete_project(call.site.plane, call.actor, call.path["id"], call.if_match)


ENDPOINTS: Final = (
    Endpoint(
        name="list_projects",
        method="GET",
        path=f"{ROOT}/projects",
        permission=Permission.SCOPES_READ,
        handler=_list,
        summary="List projects, newest first.",
        query=ProjectQuery,
        response=Page[Project],
    ),
    Endpoint(
        name="create_project",
        method="POST",
        path=f"{ROOT}/projects",
        permission=Permission.SCOPES_WRITE,
        handler=_create,
        summary="Create a project.",
        body=ProjectCreate,
        response=Project,
        status=201,
        errors=(
            NotFoundError,
            ConflictError,
        ),
    ),
    Endpoint(
        name="read_project",
        method="GET",
        path=f"{ROOT}/projects/{{id}}",
        permission=Permission.SCOPES_READ,
        handler=_read,
        summary="Read one project.",
        response=Project,
    ),
    Endpoint(
        name="update_project",
        method="PATCH",
        path=f"{ROOT}/projects/{{id}}",
        permission=Permission.SCOPES_WRITE,
        handler=_patch,
        summary="Rename a project, or change where its data may go.",
        body=ProjectPatch,
        response=Project,
        if_match=IfMatch.REQUIRED,
        errors=(ProvisionedReadOnlyError,),
    ),
    Endpoint(
        name="block_project",
        method="POST",
        path=f"{ROOT}/projects/{{id}}/block",
        permission=Permission.SCOPES_WRITE,
        handler=_block,
        summary="Stop every key below it.",
        response=Project,
        if_match=IfMatch.HONOURED,
        errors=(ProvisionedReadOnlyError,),
    ),
    Endpoint(
        name="unblock_project",
        method="POST",
        path=f"{ROOT}/projects/{{id}}/unblock",
        permission=Permission.SCOPES_WRITE,
        handler=_unblock,
        summary="Let the keys below it go on.",
        response=Project,
        if_match=IfMatch.HONOURED,
        errors=(ProvisionedReadOnlyError,),
    ),
    Endpoint(
        name="delete_project",
        method="DELETE",
        path=f"{ROOT}/projects/{{id}}",
        permission=Permission.SCOPES_WRITE,
        handler=_delete,
        summary="Delete a project that nothing hangs on.",
        status=204,
        if_match=IfMatch.HONOURED,
        errors=(ConflictError, ProvisionedReadOnlyError),
    ),
)
