"""Personal access tokens: a person's own rights, for a script. A secret is shown once."""

from typing import Final

from headgate.admin.endpoint import ROOT, Call, Endpoint, IfMatch
from headgate.control import tokens as use_cases
from headgate.control.page import Page
from headgate.control.tokens import Token, TokenCreate, TokenCreated, TokenQuery
from headgate.domain.access import Permission
from headgate.domain.errors import NotFoundError


def _list(call: Call[None, TokenQuery]) -> Page[Token]:
    return use_cases.list_tokens(call.site.plane, call.actor, call.query)


def _create(call: Call[TokenCreate, None]) -> TokenCreated:
    return use_cases.create_token(call.site.plane, call.actor, call.body)


def _read(call: Call[None, None]) -> Token:
    return use_cases.get_token(call.site.plane, call.actor, call.path["id"])


def _revoke(call: Call[None, None]) -> None:
    use_cases.revoke_token(call.site.plane, call.actor, call.path["id"], call.if_match)


ENDPOINTS: Final = (
    Endpoint(
        name="list_tokens",
        method="GET",
        path=f"{ROOT}/tokens",
        permission=Permission.TOKENS_READ,
        handler=_list,
        summary="List one's own tokens and those of the people whom one administers, newest first.",
        query=TokenQuery,
        response=Page[Token],
    ),
    Endpoint(
        name="create_token",
        method="POST",
        path=f"{ROOT}/tokens",
        permission=Permission.TOKENS_WRITE,
        handler=_create,
        summary="Make a token for oneself; the operator makes one for anybody. Its secret is never shown again.",
        body=TokenCreate,
        response=TokenCreated,
        status=201,
        errors=(NotFoundError,),
    ),
    Endpoint(
        name="read_token",
        method="GET",
        path=f"{ROOT}/tokens/{{id}}",
        permission=Permission.TOKENS_READ,
        handler=_read,
        summary="Read one token.",
        response=Token,
    ),
    Endpoint(
        name="revoke_token",
        method="DELETE",
        path=f"{ROOT}/tokens/{{id}}",
        permission=Permission.TOKENS_WRITE,
        handler=_revoke,
        summary="End a token for good, at once.",
        status=204,
        if_match=IfMatch.HONOURED,
    ),
)
