"""Virtual keys: what applications authenticate with. A secret is in the answer that makes it, and nowhere after."""

from typing import Final

from headgate.admin.endpoint import ROOT, Call, Endpoint, IfMatch
from headgate.control import keys as use_cases
from headgate.control.keys import Key, KeyCreate, KeyCreated, KeyPatch, KeyQuery, KeyRotate
from headgate.control.page import Page
from headgate.control.statuses import Adjustment, AdjustmentCreate, KeyStatus, adjust_key, get_key_status
from headgate.domain.access import Permission
from headgate.domain.errors import ConflictError, LedgerUnavailableError, NotFoundError, ProvisionedReadOnlyError


def _list(call: Call[None, KeyQuery]) -> Page[Key]:
    return use_cases.list_keys(call.site.plane, call.actor, call.query)


def _create(call: Call[KeyCreate, None]) -> KeyCreated:
    return use_cases.create_key(call.site.plane, call.actor, call.body)


def _read(call: Call[None, None]) -> Key:
    return use_cases.get_key(call.site.plane, call.actor, call.path["id"])


def _patch(call: Call[KeyPatch, None]) -> Key:
    return use_cases.patch_key(call.site.plane, call.actor, call.path["id"], call.body, call.if_match)


def _rotate(call: Call[KeyRotate, None]) -> KeyCreated:
    return use_cases.rotate_key(call.site.plane, call.actor, call.path["id"], call.body, call.if_match)


def _block(call: Call[None, None]) -> Key:
    return use_cases.block_key(call.site.plane, call.actor, call.path["id"], call.if_match)


def _unblock(call: Call[None, None]) -> Key:
    return use_cases.unblock_key(call.site.plane, call.actor, call.path["id"], call.if_match)


def _revoke(call: Call[None, None]) -> None:
    use_cases.revoke_key(call.site.plane, call.actor, call.path["id"], call.if_match)


def _status(call: Call[None, None]) -> KeyStatus:
    return get_key_status(call.site.plane, call.actor, call.path["id"])


def _adjust(call: Call[AdjustmentCreate, None]) -> Adjustment:
    return adjust_key(call.site.plane, call.actor, call.path["id"], call.body, call.if_match)


ENDPOINTS: Final = (
    Endpoint(
        name="list_keys",
        method="GET",
        path=f"{ROOT}/keys",
        permission=Permission.KEYS_READ,
        handler=_list,
        summary="List keys, newest first; revoked ones only where asked for.",
        query=KeyQuery,
        response=Page[Key],
    ),
    Endpoint(
        name="create_key",
        method="POST",
        path=f"{ROOT}/keys",
        permission=Permission.KEYS_WRITE,
        handler=_create,
        summary="Make a key. The answer holds its secret, which is never shown again.",
        body=KeyCreate,
        response=KeyCreated,
        status=201,
        errors=(NotFoundError, ConflictError),
    ),
    Endpoint(
        name="read_key",
        method="GET",
        path=f"{ROOT}/keys/{{id}}",
        permission=Permission.KEYS_READ,
        handler=_read,
        summary="Read one key, revoked or not.",
        response=Key,
    ),
    Endpoint(
        name="update_key",
        method="PATCH",
        path=f"{ROOT}/keys/{{id}}",
        permission=Permission.KEYS_WRITE,
        handler=_patch,
        summary="Change a key's name, models, tags, expiry, block, or where its data may go.",
        body=KeyPatch,
        response=Key,
        if_match=IfMatch.HONOURED,
        errors=(ConflictError, ProvisionedReadOnlyError),
    ),
    Endpoint(
        name="rotate_key",
        method="POST",
        path=f"{ROOT}/keys/{{id}}/rotate",
        permission=Permission.KEYS_WRITE,
        handler=_rotate,
        summary="Give a key a new secret, shown this once. The old one is good until the grace ends.",
        body=KeyRotate,
        response=KeyCreated,
        if_match=IfMatch.HONOURED,
        errors=(ConflictError, ProvisionedReadOnlyError),
    ),
    Endpoint(
        name="block_key",
        method="POST",
        path=f"{ROOT}/keys/{{id}}/block",
        permission=Permission.KEYS_WRITE,
        handler=_block,
        summary="Stop a key until it is unblocked.",
        response=Key,
        if_match=IfMatch.HONOURED,
        errors=(ConflictError, ProvisionedReadOnlyError),
    ),
    Endpoint(
        name="unblock_key",
        method="POST",
        path=f"{ROOT}/keys/{{id}}/unblock",
        permission=Permission.KEYS_WRITE,
        handler=_unblock,
        summary="Let a blocked key go on.",
        response=Key,
        if_match=IfMatch.HONOURED,
        errors=(ConflictError, ProvisionedReadOnlyError),
    ),
    Endpoint(
        name="revoke_key",
        method="DELETE",
        path=f"{ROOT}/keys/{{id}}",
        permission=Permission.KEYS_WRITE,
        handler=_revoke,
        summary="End a key for good, at once.",
        status=204,
        if_match=IfMatch.HONOURED,
        errors=(ProvisionedReadOnlyError,),
    ),
    Endpoint(
        name="read_key_status",
        method="GET",
        path=f"{ROOT}/keys/{{id}}/status",
        permission=Permission.KEYS_READ,
        handler=_status,
        summary="Read every account and window that binds a key, those of its scopes included.",
        response=KeyStatus,
        errors=(LedgerUnavailableError,),
    ),
    Endpoint(
        name="adjust_key",
        method="POST",
        path=f"{ROOT}/keys/{{id}}/adjustments",
        permission=Permission.BUDGETS_WRITE,
        handler=_adjust,
        summary="Post a correction on every account that binds a key, in the present period.",
        body=AdjustmentCreate,
        response=Adjustment,
        if_match=IfMatch.HONOURED,
        errors=(ConflictError, LedgerUnavailableError),
    ),
)
