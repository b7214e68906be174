"""Two organizations with people, for tests of who may do what."""

from typing import Any, NamedTuple

from tests.admin.calling import Api


class Tenant(NamedTuple):
    """One organization and a way in for each of its people."""

    id: str
    team: str
    project: str
    key: str
    people: dict[str, Any]
    """Role → the user."""
    apis: dict[str, Api]
    """Role → the API as that person calls it."""


ANY_VERSION = {"if-match": "*"}


async def add_person(api: Api, organization: str, role: str, scope: str) -> tuple[Any, Api]:
    """Make a person with one role; return him and the API with his token."""
    body = {"organization_id": organization, "email": f"{role}-{scope}@example.com".lower(), "name": role}
    user = await api.make("/users", body)
    granted = await api("POST", f"/users/{user['id']}/roles", {"scope_id": scope, "role": role}, headers=ANY_VERSION)
    assert granted.status == 200, granted
    token = await api.make("/tokens", {"name": "test", "user_id": user["id"]})
    return granted.json, api.as_(token["secret"])


async def add_limits(api: Api, tenant: Tenant) -> dict[str, str]:
    """Give the tenant's key a budget and its team rate limits; return their ids by collection."""
    budget = await api.make("/budgets", {"scope_id": tenant.key, "amount_usd": "5", "period": "day"})
    rates = await api.make("/rate-limits", {"scope_id": tenant.team, "rpm": 60})
    return {"budgets": budget["id"], "rate-limits": rates["id"]}


async def add_tenant(api: Api, slug: str) -> Tenant:
    """Make an organization with a team, a project, a key, and a person of every role."""
    organization = (await api.make("/organizations", {"slug": slug, "name": slug}))["id"]
    team = (await api.make("/teams", {"organization_id": organization, "slug": "ml", "name": "ML"}))["id"]
    project = (await api.make("/projects", {"team_id": team, "slug": "search", "name": "Search"}))["id"]
    key = (await api.make("/keys", {"scope_id": team, "name": "prod"}))["id"]
    people: dict[str, Any] = {}
    apis: dict[str, Api] = {}
    for role in ("owner", "admin", "publisher", "editor", "analyst", "viewer"):
        people[role], apis[role] = await add_person(api, organization, role, organization)
    return Tenant(organization, team, project, key, people, apis)
