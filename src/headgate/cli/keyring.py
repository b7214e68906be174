"""``headgate keys``: create, rotate, revoke and list virtual keys, and what is left of their limits."""

from typing import Any, Final
from urllib.parse import quote

from msgspec import Struct

from headgate.cli.client import GatewayClient
from headgate.cli.failure import CommandError
from headgate.cli.output import print_fields, print_json, print_table
from headgate.settings.values import parse_duration

_COLUMNS: Final = {
    "id": "id",
    "name": "name",
    "scope_id": "scope",
    "hint": "ends in",
    "models": "models",
    "state": "state",
    "expires_at": "expires",
    "created_at": "created",
}
_OPTIONAL: Final = ("created_at", "scope_id")
_BUDGETS: Final = {
    "kind": "of",
    "scope_id": "on",
    "period": "period",
    "mode": "mode",
    "limit_usd": "limit USD",
    "posted_usd": "posted",
    "held_usd": "held",
    "free_usd": "free",
    "resets_at": "begins anew",
}
_WINDOWS: Final = {
    "kind": "of",
    "scope_id": "on",
    "limit_name": "limit",
    "limit": "at most",
    "remaining": "left",
    "resets_at": "free again",
}

# Each level's collection, and the query parameter that names the level above.
_LEVELS: Final = (("/organizations", ""), ("/teams", "organization_id"), ("/projects", "team_id"))
_ALL: Final = 1_000_000


class WantedKey(Struct, frozen=True):
    """What the operator asked for on the command line."""

    name: str
    scope: str
    models: str
    tags: tuple[str, ...]
    expires: str | None
    sandbox: bool
    budgets: tuple[tuple[str, str], ...] = ()
    """Amounts in USD, each with its period."""
    rate_limits: tuple[tuple[str, int], ...] = ()


def create(client: GatewayClient, wanted: WantedKey, *, as_json: bool) -> None:
    """Make a key, then its limits, and print it with its secret.

    Raises:
        CommandError: a tag is not ``name=value``, the scope does not exist, or the gateway refuses. Where it refuses a
            limit the key is there, and printed: its secret is shown only once.
    """
    body: dict[str, object] = {
        "name": wanted.name,
        "scope_id": find_scope(client, wanted.scope),
        "models": [model.strip() for model in wanted.models.split(",") if model.strip()],
        "tags": _tags(wanted.tags),
        "sandbox": wanted.sandbox,
    }
    if wanted.expires is not None:
        body["expires_at"] = wanted.expires
    key = client.send("POST", "/keys", body)
    try:
        _limit(client, key, wanted)
    except CommandError as error:
        why = str(error).rstrip(".")
        raise CommandError(
            f"{key['id']} was made and WORKS WITHOUT a limit that was asked for: {why}. Give it one with `headgate "
            f"budgets create` or `headgate limits set`, or end it with `headgate keys revoke {key['id']}`"
        ) from error
    finally:
        _print_secret(key, as_json=as_json)


def _limit(client: GatewayClient, key: dict[str, Any], wanted: WantedKey) -> None:
    """Make the limits that the command line asks for, and note them in ``key``, which is printed."""
    for amount_usd, period in wanted.budgets:
        body = {"scope_id": key["id"], "amount_usd": amount_usd, "period": period}
        key["budgets"] = [*key.get("budgets", ()), client.send("POST", "/budgets", body)]
    if wanted.rate_limits:
        key["rate_limits"] = client.send("POST", "/rate-limits", {"scope_id": key["id"], **dict(wanted.rate_limits)})


def status(client: GatewayClient, key_id: str, *, as_json: bool) -> None:
    """Print every budget and window of a key's path, with what is posted, held and free."""
    found = client.get(f"/keys/{quote(client.whole_id('/keys', key_id), safe='')}/status")
    if as_json:
        print_json(found)
        return
    print_table(found["budgets"], _BUDGETS, empty="no budget is on its path", optional=("scope_id", "mode"))
    print()
    print_table(found["windows"], _WINDOWS, empty="no rate limit is on its path", optional=("scope_id",))


def rotate(client: GatewayClient, key_id: str, grace: str, *, as_json: bool) -> None:
    """Give a key a new secret and print it.

    Raises:
        CommandError: ``grace`` is no duration, or the gateway refuses.
    """
    try:
        grace_s = parse_duration(grace)
    except ValueError as error:
        raise CommandError(f"{grace!r} is not a duration such as 0s, 15m or 24h") from error
    path = f"/keys/{quote(client.whole_id('/keys', key_id), safe='')}/rotate"
    _print_secret(client.send("POST", path, {"grace_seconds": round(grace_s)}), as_json=as_json)


def revoke(client: GatewayClient, key_id: str, *, as_json: bool) -> None:
    """End a key for good."""
    key_id = client.whole_id("/keys", key_id)
    client.send("DELETE", f"/keys/{quote(key_id, safe='')}")
    if as_json:
        print_json({"id": key_id, "revoked": True})
    else:
        print(f"{key_id} is revoked")


def list_keys(client: GatewayClient, scope: str | None, limit: int, *, as_json: bool) -> None:
    """Print the newest ``limit`` keys."""
    found = client.pages("/keys", limit, scope_id=find_scope(client, scope) if scope else None)
    if as_json:
        print_json({"data": found})
        return
    rows = [{**key, "state": _state(key)} for key in found]
    print_table(rows, _COLUMNS, empty="there are no keys", optional=_OPTIONAL)


def find_scope(client: GatewayClient, scope: str) -> str:
    """Return the id of ``scope``: an id already, or slugs from the organization down such as ``acme/ml-platform``.

    Raises:
        CommandError: no scope has these slugs.
    """
    if "_" in scope:
        return scope
    slugs = scope.strip("/").split("/")
    if len(slugs) > len(_LEVELS):
        raise CommandError(f"{scope!r} has more levels than organization/team/project")
    parent: str | None = None
    for slug, (collection, parent_field) in zip(slugs, _LEVELS, strict=False):
        query = {parent_field: parent} if parent_field else {}
        found = [item for item in client.pages(collection, _ALL, **query) if item["slug"] == slug]
        if not found:
            raise CommandError(f"there is no scope {scope!r}: {collection.strip('/')} have no {slug!r}")
        parent = found[0]["id"]
    assert parent is not None, "splitting a text gives at least one slug"
    return parent


def _tags(given: tuple[str, ...]) -> dict[str, str]:
    tags: dict[str, str] = {}
    for tag in given:
        name, equals, value = tag.partition("=")
        if not equals or not name:
            raise CommandError(f"{tag!r} is not a tag of the form name=value")
        tags[name] = value
    return tags


def _state(key: dict[str, Any]) -> str:
    if key.get("revoked_at"):
        return "revoked"
    return "blocked" if key.get("blocked") else "active"


def _print_secret(key: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(key)
        return
    print_fields(key)
    print()
    print("The secret is shown this once; keep it now.")
