"""Who is let in, and what his role lets him reach; nothing of another tenant."""

import pytest

from headgate.domain.access import Role
from headgate.identity.policy import ROLE_PERMISSIONS, ROUTES
from headgate.identity.secrets import hash_secret, mint_secret
from tests.admin.calling import GOOD, OPERATOR, Api, call_asgi, is_problem
from tests.admin.people import ANY_VERSION, Tenant, add_limits


async def test_the_operator_is_let_in(api: Api):
    answer = await api("GET", "/me")
    assert answer.status == 200, answer
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer hg_0000000000000000000000000000000000000000000000000",
        "Bearer hgp_0000000000000000000000000000000000000000000000000",
        "Bearer ' OR 1=1--",
        "Bearer \x00",
        "Bearer \xff\xfe",
        "Bearer " + "x" * 100_000,
        f"Basic {OPERATOR}",
        f"bearer{OPERATOR}",
        f"Token {OPERATOR}",
        f"Bearer {OPERATOR}x",
        f"Bearer {OPERATOR[:-1]}",
    ],
)
async def test_any_other_credential_gets_the_same_refusal(api: Api, authorization: str | None):
    headers = [("host", "127.0.0.1")] + ([("authorization", authorization)] if authorization is not None else [])
    answer = await call_asgi(api.app, "GET", "/admin/v1/keys", headers, [b""])
    problem = is_problem(answer, 401, "invalid_api_key")
    assert problem["detail"] == "The admin API takes the admin token or a valid personal access token."
    assert answer.headers["www-authenticate"] == 'Bearer realm="Headgate"'
    assert not authorization or len(authorization) < 20 or authorization[7:] not in answer.body.decode("latin-1")


async def test_two_authorization_headers_are_a_bad_request(api: Api):
    headers = [*GOOD, ("authorization", f"Bearer {OPERATOR}")]
    is_problem(await call_asgi(api.app, "GET", "/admin/v1/me", headers, [b""]), 400, "invalid_request")


def ids_of(tenant: Tenant) -> dict[str, str]:
    return {
        "organizations": tenant.id,
        "teams": tenant.team,
        "projects": tenant.project,
        "keys": tenant.key,
        "users": tenant.people["viewer"]["id"],
    }


async def test_item_18_every_id_of_another_tenant_is_unknown(api: Api, acme: Tenant, globex: Tenant):
    owner = acme.apis["owner"]
    ids = ids_of(globex) | await add_limits(api, globex)
    token = (await api("GET", f"/tokens?user_id={ids['users']}")).json["data"][0]["id"]
    tried = 0
    for row in ROUTES:
        collection = row.path.removeprefix("/admin/v1/").partition("/")[0]
        if not row.path.startswith("/admin/v1/") or "{id}" not in row.path:
            continue
        object_id = {**ids, "tokens": token, "requests": "req_1"}[collection]
        path = row.path.removeprefix("/admin/v1").replace("{id}", object_id)
        path = path.replace("{scope_id}", globex.id).replace("{role}", "viewer")
        body: dict[str, str] = {"scope_id": globex.team, "role": "viewer"} if path.endswith("/roles") else {}
        if path.endswith("/adjustments"):
            body = {"amount_usd": "1", "reason": "a try"}
        sent = body if row.method in ("POST", "PATCH") else None
        answer = await owner(row.method, path, sent, headers=ANY_VERSION)
        assert answer.status == 404, (row, answer)
        assert globex.id.encode() not in answer.body
        tried += 1
    assert tried >= 30


async def test_item_19_lists_show_nothing_of_another_tenant(api: Api, acme: Tenant, globex: Tenant):
    owner = acme.apis["owner"]
    limits = await add_limits(api, globex)
    foreign = [*limits.values(), *ids_of(globex).values(), *(person["id"] for person in globex.people.values())]
    for collection in (
        "organizations",
        "teams",
        "projects",
        "users",
        "keys",
        "tokens",
        "audit",
        "requests",
        "usage",
        *limits,
    ):
        for query in ("", f"?organization_id={globex.id}", "?name=%25%25%25%25"):
            answer = await owner("GET", f"/{collection}{query}")
            assert answer.status in (200, 422), (collection, query, answer)
            assert not [each for each in foreign if each.encode() in answer.body], (collection, query)
    assert len((await owner("GET", "/teams")).json["data"]) == 1
    assert (await owner("GET", f"/teams?organization_id={globex.id}")).json["data"] == []


async def test_nothing_is_made_below_another_tenants_scope(api: Api, acme: Tenant, globex: Tenant):
    owner = acme.apis["owner"]
    user = acme.people["viewer"]["id"]
    tries = [
        ("/teams", {"organization_id": globex.id, "slug": "x", "name": "x"}),
        ("/projects", {"team_id": globex.team, "slug": "x", "name": "x"}),
        ("/users", {"organization_id": globex.id, "email": "x@example.com", "name": "x"}),
        ("/keys", {"scope_id": globex.team, "name": "x"}),
        ("/budgets", {"scope_id": globex.team, "amount_usd": "1", "period": "day"}),
        ("/budgets", {"scope_id": globex.key, "amount_usd": "1", "period": "day"}),
        ("/budgets", {"scope_id": globex.id, "model": "gpt-4o", "amount_usd": "1", "period": "day"}),
        ("/rate-limits", {"scope_id": globex.team, "rpm": 1}),
        ("/tokens", {"name": "x", "user_id": globex.people["owner"]["id"]}),
        (f"/users/{user}/roles", {"scope_id": globex.id, "role": "viewer"}),
    ]
    for path, body in tries:
        answer = await owner("POST", path, body, headers=ANY_VERSION)
        assert answer.status == 404, (path, answer)


async def test_each_role_reaches_exactly_the_collections_of_its_permissions(acme: Tenant):
    lists = {
        row.path.removeprefix("/admin/v1"): row.permission
        for row in ROUTES
        if row.path.startswith("/admin/v1/") and row.method == "GET" and "{" not in row.path
    }
    for role, api in acme.apis.items():
        for path, permission in lists.items():
            allowed = permission in ROLE_PERMISSIONS[Role(role)]
            assert (await api("GET", path)).status == (200 if allowed else 403), (role, path)


async def test_only_the_operator_makes_organizations(acme: Tenant):
    answer = await acme.apis["owner"]("POST", "/organizations", {"slug": "new", "name": "New"})
    assert answer.status == 403


async def test_item_46_a_virtual_key_administers_nothing(api: Api, acme: Tenant):
    secret = (await api.make("/keys", {"scope_id": acme.team, "name": "app"}))["secret"]
    for row in ROUTES:
        if row.path.startswith("/admin/v1/"):
            path = row.path.removeprefix("/admin/v1").replace("{id}", "x").replace("{scope_id}", "x")
            answer = await api.as_(secret)(row.method, path.replace("{role}", "x"), {})
            assert answer.status == 401, row
    assert (await api.as_(mint_secret("hgp_", bytes(32)))("GET", "/me")).status == 401


async def test_a_refused_credential_leaves_an_event_and_nothing_of_itself(api: Api, acme: Tenant):
    await api.as_("hgp_canary-of-a-wrong-token")("GET", "/keys")
    await api.as_("canary-of-a-wrong-secret")("POST", "/keys", {})
    await api.as_(None)("GET", "/me")
    body = (await api("GET", "/audit?action=token.use")).body
    assert b"canary" not in body
    assert hash_secret("hgp_canary-of-a-wrong-token").hex().encode() not in body
    (event,) = (await api("GET", "/audit?action=token.use")).json["data"]
    assert (event["actor_kind"], event["outcome"], event["reason"]) == ("anonymous", "denied", "unknown")
    assert (event["source_address"], event["after"]["refusals"], event["organization_id"]) == ("192.0.2.7", 1, None)
    assert (await acme.apis["owner"]("GET", "/audit?action=token.use")).json["data"] == []


async def test_a_revoked_token_is_told_to_its_owners_organization(api: Api, acme: Tenant, globex: Tenant):
    person = acme.people["viewer"]["id"]
    token = await api.make("/tokens", {"name": "old", "user_id": person})
    assert (await api("DELETE", f"/tokens/{token['id']}")).status in (200, 204)
    answer = await api.as_(token["secret"])("GET", "/me")
    is_problem(answer, 401, "invalid_api_key")
    assert b"revoked" not in answer.body
    (event,) = (await acme.apis["owner"]("GET", "/audit?action=token.use")).json["data"]
    assert (event["reason"], event["actor_id"], event["object_id"]) == ("revoked", person, token["id"])
    assert event["request_id"] == answer.headers["x-request-id"]
    assert (await globex.apis["owner"]("GET", "/audit?action=token.use")).json["data"] == []


async def test_a_browser_that_is_asked_for_its_password_leaves_no_event(api: Api):
    assert (await api.as_(None)("GET", "/docs")).status == 401
    assert (await api("GET", "/audit?action=token.use")).json["data"] == []
    await api.as_("wrong")("GET", "/docs")
    assert len((await api("GET", "/audit?action=token.use")).json["data"]) == 1
