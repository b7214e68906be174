"""People of an organization, and the roles they hold."""

from typing import Final

from headgate.admin.endpoint import ROOT, Call, Endpoint, IfMatch
from headgate.control import users as use_cases
from headgate.control.page import Page
from headgate.control.users import RoleBinding, User, UserCreate, UserPatch, UserQuery
from headgate.domain.access import Permission, Role
from headgate.domain.errors import ConflictError, NotFoundError, ProvisionedReadOnlyError


def _list(call: Call[None, UserQuery]) -> Page[User]:
    return use_cases.list_users(call.site.plane, call.actor, call.query)


def _create(call: Call[UserCreate, None]) -> User:
    return use_cases.create_user(call.site.plane, call.actor, call.body)


def _read(call: Call[None, None]) -> User:
    return use_cases.get_user(call.site.plane, call.actor, call.path["id"])


def _patch(call: Call[UserPatch, None]) -> User:
    return use_cases.patch_user(call.site.plane, call.actor, call.path["id"], call.body, call.if_match)


def _block(call: Call[None, None]) -> User:
    return use_cases.block_user(call.site.plane, call.actor, call.path["id"], call.if_match)


def _unblock(call: Call[None, None]) -> User:
    return use_cases.unblock_user(call.site.plane, call.actor, call.path["id"], call.if_match)


def _delete(call: Call[None, None]) -> None:
    use_cases.delete_user(call.site.plane, call.actor, call.path["id"], call.if_match)


def _grant(call: Call[RoleBinding, None]) -> User:
    return use_cases.grant_role(call.site.plane, call.actor, call.path["id"], call.body, call.if_match)


def _revoke(call: Call[None, None]) -> User:
    try:
        role = Role(call.path["role"])
    except ValueError:
        raise NotFoundError("No such role binding.") from None
    binding = RoleBinding(scope_id=call.path["scope_id"], role=role)
    return use_cases.revoke_role(call.site.plane, call.actor, call.path["id"], binding, call.if_match)


ENDPOINTS: Final = (
    Endpoint(
        name="list_users",
        method="GET",
        path=f"{ROOT}/users",
        permission=Permission.USERS_READ,
        handler=_list,
        summary="List users, newest first.",
        query=UserQuery,
        response=Page[User],
    ),
    Endpoint(
        name="create_user",
        method="POST",
        path=f"{ROOT}/users",
        permission=Permission.USERS_WRITE,
        handler=_create,
        summary="Add a person to an organization, without roles yet.",
        body=UserCreate,
        response=User,
        status=201,
        errors=(
            NotFoundError,
            ConflictError,
        ),
    ),
    Endpoint(
        name="read_user",
        method="GET",
        path=f"{ROOT}/users/{{id}}",
        permission=Permission.USERS_READ,
        handler=_read,
        summary="Read one user.",
        response=User,
    ),
    Endpoint(
        name="update_user",
        method="PATCH",
        path=f"{ROOT}/users/{{id}}",
        permission=Permission.USERS_WRITE,
        handler=_patch,
        summary="Rename a person, or change where the data of the keys on this person may go.",
        body=UserPatch,
        response=User,
        if_match=IfMatch.REQUIRED,
        errors=(ProvisionedReadOnlyError,),
    ),
    Endpoint(
        name="block_user",
        method="POST",
        path=f"{ROOT}/users/{{id}}/block",
        permission=Permission.USERS_WRITE,
        handler=_block,
        summary="Stop every token and every key of a person.",
        response=User,
        if_match=IfMatch.HONOURED,
        errors=(ProvisionedReadOnlyError,),
    ),
    Endpoint(
        name="unblock_user",
        method="POST",
        path=f"{ROOT}/users/{{id}}/unblock",
        permission=Permission.USERS_WRITE,
        handler=_unblock,
        summary="Let a blocked person go on.",
        response=User,
        if_match=IfMatch.HONOURED,
        errors=(ProvisionedReadOnlyError,),
    ),
    Endpoint(
        name="delete_user",
        method="DELETE",
        path=f"{ROOT}/users/{{id}}",
        permission=Permission.USERS_WRITE,
        handler=_delete,
        summary="Delete a person without keys, with all roles and tokens.",
        status=204,
        if_match=IfMatch.HONOURED,
        errors=(ConflictError, ProvisionedReadOnlyError),
    ),
    Endpoint(
        name="grant_role",
        method="POST",
        path=f"{ROOT}/users/{{id}}/roles",
        permission=Permission.USERS_WRITE,
        handler=_grant,
        summary="Give a person a role on a scope; nobody grants one above his own, or to himself.",
        body=RoleBinding,
        response=User,
        if_match=IfMatch.REQUIRED,
        errors=(ProvisionedReadOnlyError,),
    ),
    Endpoint(
        name="revoke_role",
        method="DELETE",
        path=f"{ROOT}/users/{{id}}/roles/{{scope_id}}/{{role}}",
        permission=Permission.USERS_WRITE,
        handler=_revoke,
        summary="Take a role away.",
        response=User,
        if_match=IfMatch.REQUIRED,
        errors=(ProvisionedReadOnlyError,),
    ),
)
