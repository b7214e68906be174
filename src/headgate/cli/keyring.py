"""``headgate keys``: create, rotate, revoke and list virtual keys."""

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


def create(client: GatewayClient, wanted: WantedKey, *, as_json: bool) -> None:
    """Make a key and print it with its secret.

    Raises:
        CommandError: a tag is not ``name=value``, the scope does not exist, or the gateway refuses.
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
    _print_secret(client.send("POST", "/keys", body), as_json=as_json)


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
