"""``headgate budgets`` and ``headgate limits``: what may be spent and how fast, as the running gateway has it."""

from typing import Any, Final
from urllib.parse import quote

from msgspec import Struct

from headgate.cli.client import GatewayClient
from headgate.cli.failure import CommandError
from headgate.cli.keyring import find_scope
from headgate.cli.output import print_fields, print_json, print_table
from headgate.domain.limits import MAX_TOKENS, BudgetMode, Period, WindowMode
from headgate.settings.values import parse_amount, parse_count

COUNTS: Final = ("rpm", "tpm", "tph", "tpd", "concurrency")
MODES: Final = ("tpm_mode", "tph_mode", "tpd_mode")
NONE: Final = "none"
"""On the command line: take this limit out."""

_BUDGETS: Final = {
    "id": "id",
    "scope_id": "on",
    "of": "of",
    "amount_usd": "USD",
    "period": "period",
    "mode": "mode",
    "for_now": "for now",
    "managed_by": "by",
}
_LIMITS: Final = {"id": "id", "scope_id": "on", "of": "of", **{name: name for name in COUNTS}, "managed_by": "by"}
_OPTIONAL: Final = ("managed_by",)
_NAMED: Final = ("end_user", "model", "tag")
_EVERY: Final = 1_000_000
_ANY_VERSION: Final = "*"
"""As ``If-Match``: a command sets a value, it does not change what somebody read before."""


class Hanging(Struct, frozen=True):
    """What a limit hangs on, as the command line says it: a scope or key, or a name that requests bring."""

    scope: str
    end_user: str | None = None
    model: str | None = None
    tag: str | None = None

    def named(self) -> dict[str, str | None]:
        """The name that requests bring, by its field; ``None`` where a limit hangs on the scope or key itself."""
        return {"end_user": self.end_user, "model": self.model, "tag": self.tag}


class WantedBudget(Struct, frozen=True):
    """An amount of USD as the operator wrote it, and its period."""

    amount_usd: str
    period: str


def parse_budget(text: str) -> WantedBudget:
    """Return the budget of ``20/day``.

    Raises:
        ValueError: it is none; the text says what one looks like.
    """
    amount, slash, period = text.partition("/")
    if not slash or period not in set(Period):
        raise ValueError(f"{text!r} is not AMOUNT/PERIOD such as 20/day; a period is {', '.join(Period)}")
    return WantedBudget(check_amount_usd(amount), period)


def check_amount_usd(text: str) -> str:
    """Return ``text`` where it is an amount of money that is kept exactly. Raises `ValueError` that says why not."""
    try:
        parse_amount(text)
    except ValueError as error:
        raise ValueError(f"{text!r} {str(error) or 'is not an amount in USD such as 20 or 0.25'}") from None
    return text


def check_mode(text: str) -> str:
    """Return ``text`` where it is the mode of a budget. Raises `ValueError` otherwise."""
    return _one_of(text, tuple(BudgetMode))


def check_window_mode(text: str) -> str:
    """Return ``text`` where it is the mode of a window. Raises `ValueError` otherwise."""
    return _one_of(text, tuple(WindowMode))


def parse_limit(text: str) -> int | None:
    """Return the count of ``100000``, and ``None`` of ``none``. Raises `ValueError` that says what it expects."""
    if text == NONE:
        return None
    try:
        return parse_count(text, 0, MAX_TOKENS)
    except ValueError as error:
        raise ValueError(f"{text!r} {str(error) or f'is neither a whole number nor {NONE}'}") from None


def list_budgets(
    client: GatewayClient, scope: str | None, organization: str | None, limit: int, *, as_json: bool
) -> None:
    """Print the newest ``limit`` budgets."""
    found = _listed(client, "/budgets", scope, organization, limit)
    if as_json:
        print_json({"data": found})
        return
    rows = [{**budget, "of": _of(budget), "for_now": _for_now(budget)} for budget in found]
    print_table(rows, _BUDGETS, empty="there are no budgets", optional=_OPTIONAL)


def create_budget(
    client: GatewayClient, wanted: WantedBudget, hanging: Hanging, mode: str | None, *, as_json: bool
) -> None:
    """Make a budget and print it."""
    body = {"scope_id": find_limited(client, hanging.scope), "amount_usd": wanted.amount_usd, "period": wanted.period}
    given = {**hanging.named(), "mode": mode}
    body |= {name: value for name, value in given.items() if value is not None}
    _print(client.send("POST", "/budgets", body), as_json=as_json)


def update_budget(client: GatewayClient, budget_id: str, changes: dict[str, Any], *, as_json: bool) -> None:
    """Change an amount or a mode, set an override (another amount until a time) or take it off."""
    path = f"/budgets/{quote(client.whole_id('/budgets', budget_id), safe='')}"
    _print(client.send("PATCH", path, changes, if_match=_ANY_VERSION), as_json=as_json)


def delete_budget(client: GatewayClient, budget_id: str, *, as_json: bool) -> None:
    """Take a budget off. What was posted stays in the journal."""
    budget_id = client.whole_id("/budgets", budget_id)
    client.send("DELETE", f"/budgets/{quote(budget_id, safe='')}", if_match=_ANY_VERSION)
    _print_deleted(budget_id, as_json=as_json)


def list_limits(
    client: GatewayClient, scope: str | None, organization: str | None, limit: int, *, as_json: bool
) -> None:
    """Print the newest ``limit`` rate limits."""
    found = _listed(client, "/rate-limits", scope, organization, limit)
    if as_json:
        print_json({"data": found})
        return
    rows = [{**limits, "of": _of(limits), **{name: _rate(limits, name) for name in COUNTS}} for limits in found]
    print_table(rows, _LIMITS, empty="there are no rate limits", optional=_OPTIONAL)


def set_limits(client: GatewayClient, hanging: Hanging, changes: dict[str, Any], *, as_json: bool) -> None:
    """Set what ``changes`` names, and leave the other limits of the same thing as they are."""
    scope_id = find_limited(client, hanging.scope)
    present = _limits_of(client, scope_id, hanging)
    if present is not None:
        path = f"/rate-limits/{quote(present['id'], safe='')}"
        answer = client.send("PATCH", path, changes, if_match=_ANY_VERSION)
    else:
        body = {"scope_id": scope_id, **hanging.named(), **changes}
        answer = client.send("POST", "/rate-limits", {name: value for name, value in body.items() if value is not None})
    _print(answer, as_json=as_json)


def clear_limits(client: GatewayClient, hanging: Hanging, *, as_json: bool) -> None:
    """Take all rate limits off one thing.

    Raises:
        CommandError: it has none, or the gateway refuses.
    """
    present = _limits_of(client, find_limited(client, hanging.scope), hanging)
    if present is None:
        raise CommandError(f"{hanging.scope} has no rate limits of that kind")
    client.send("DELETE", f"/rate-limits/{quote(present['id'], safe='')}", if_match=_ANY_VERSION)
    _print_deleted(present["id"], as_json=as_json)


def find_limited(client: GatewayClient, scope: str) -> str:
    """Return the id of what a limit hangs on: a scope by id or slugs, or a key by its id.

    Raises:
        CommandError: there is no such scope.
    """
    return client.whole_id("/keys", scope) if scope.startswith("key_") else find_scope(client, scope)


def _listed(client: GatewayClient, path: str, scope: str | None, organization: str | None, limit: int) -> list[Any]:
    return client.pages(
        path,
        limit,
        scope_id=find_limited(client, scope) if scope else None,
        organization_id=find_scope(client, organization) if organization else None,
    )


def _limits_of(client: GatewayClient, scope_id: str, hanging: Hanging) -> dict[str, Any] | None:
    named = hanging.named()
    for limits in client.pages("/rate-limits", _EVERY, scope_id=scope_id):
        if all(limits.get(name) == value for name, value in named.items()):
            return limits
    return None


def _of(limit: dict[str, Any]) -> str:
    """Return the name that requests bring, with its kind, such as ``end_user *``."""
    return " ".join(f"{kind} {limit[kind]}" for kind in _NAMED if limit.get(kind) is not None)


def _for_now(budget: dict[str, Any]) -> str:
    override = budget.get("override")
    return f"{override['amount_usd']} until {override['until']}" if override else ""


def _rate(limits: dict[str, Any], name: str) -> str:
    """Return a limit, with the mode where it counts tokens, such as ``100000 strict``."""
    if limits.get(name) is None:
        return ""
    mode = limits.get(f"{name}_mode")
    return f"{limits[name]} {mode}" if mode else str(limits[name])


def _one_of(text: str, words: tuple[str, ...]) -> str:
    if text not in words:
        raise ValueError(f"{text!r} is not {' or '.join(words)}")
    return text


def _print(answer: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(answer)
    else:
        print_fields(answer)


def _print_deleted(limit_id: str, *, as_json: bool) -> None:
    if as_json:
        print_json({"id": limit_id, "deleted": True})
    else:
        print(f"{limit_id} is deleted")
