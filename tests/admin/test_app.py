"""What holds for every endpoint: routing, authentication, authorisation by the matched row, problems, headers."""

import json
from typing import Any

import pytest
from msgspec.structs import replace

from headgate.admin.app import AdminApp, PolicyMismatchError, check_policy
from headgate.admin.table import ENDPOINTS
from headgate.domain.access import Permission
from headgate.identity.policy import ROUTES, Row
from tests.admin.calling import GOOD, Api, call_asgi, is_problem
from tests.admin.people import ANY_VERSION, Tenant, add_limits
from tests.admin.records import record, write


@pytest.mark.parametrize("host", ["x/?a#", "x/v1/chat", "a b", "", "x@y"])
async def test_item_07_a_malformed_host_is_a_bad_request_with_and_without_a_token(api: Api, host: str):
    for rest in ([], GOOD[1:]):
        answer = await call_asgi(api.app, "GET", "/admin/v1/keys", [("host", host), *rest], [b""])
        is_problem(answer, 400, "invalid_request")


@pytest.mark.parametrize(
    "target",
    [
        "//admin/v1/keys",
        "/admin//v1/keys",
        "/admin/v1/../v1/keys",
        "/v1/../admin/v1/keys",
        "/admin/v1/keys/",
        "/admin/v1/KEYS",
        "/Admin/v1/keys",
        "/admin/v1/keys;x=1",
        "/admin/v1/keys.",
        "/admin/v1/keys%00",
        "/admin/v2/keys",
        "/admin",
        "/admin/v1",
        "/admin/v1/nothing",
    ],
)
async def test_item_08_another_spelling_of_a_path_is_nothing(api: Api, target: str):
    is_problem(await call_asgi(api.app, "GET", target, GOOD, [b""]), 404, "not_found")


@pytest.mark.parametrize("target", ["/admin/v1/%6beys", "/admin/v1/keys/%2e%2e", "/admin/v1/keys/x%2f..%2fme"])
async def test_item_08_an_encoded_path_still_asks_who_calls(api: Api, target: str):
    answer = await call_asgi(api.app, "GET", target, GOOD[:1], [b""])
    assert answer.status in (401, 404)
    assert (await call_asgi(api.app, "GET", target, GOOD, [b""])).status in (200, 404)


async def test_another_method_is_405_and_says_which_ones_there_are(api: Api):
    answer = await api("PUT", "/keys")
    is_problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "GET, POST"
    for method in ("OPTIONS", "TRACE", "HEAD", "CONNECT"):
        assert (await api(method, "/keys")).status == 405


async def test_item_09_the_app_refuses_to_be_built_where_endpoint_and_policy_differ(api: Api):
    site = api.app._site
    extra = replace(ENDPOINTS[0], path="/admin/v1/unlisted")
    with pytest.raises(PolicyMismatchError, match="unlisted"):
        AdminApp(site, [*ENDPOINTS, extra], ROUTES)
    with pytest.raises(PolicyMismatchError, match="forgotten"):
        AdminApp(site, ENDPOINTS, [*ROUTES, Row("GET", "/admin/v1/forgotten", Permission.ME_READ)])
    weaker = [replace(each, permission=Permission.ME_READ) if each.tag == "models" else each for each in ENDPOINTS]
    with pytest.raises(PolicyMismatchError, match="models"):
        AdminApp(site, weaker, ROUTES)
    with pytest.raises(PolicyMismatchError, match="twice"):
        AdminApp(site, [*ENDPOINTS, ENDPOINTS[0]], ROUTES)
    check_policy(ENDPOINTS, ROUTES)


async def test_item_09_a_route_that_lost_its_row_is_refused_at_run_time(api: Api):
    app = AdminApp(api.app._site, ENDPOINTS, ROUTES)
    del app._policy["GET", "/admin/v1/keys"]
    is_problem(await call_asgi(app, "GET", "/admin/v1/keys", GOOD, [b""]), 403, "permission_denied")
    assert (await call_asgi(app, "GET", "/admin/v1/teams", GOOD, [b""])).status == 200


async def test_a_body_of_another_type_is_415(api: Api):
    for content_type in ("text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""):
        answer = await api("POST", "/organizations", b"{}", headers={"content-type": content_type})
        is_problem(answer, 415, "unsupported_media_type")
    answer = await api("POST", "/organizations", b"{}", headers={"content-encoding": "gzip"})
    is_problem(answer, 415, "unsupported_media_type")


async def test_a_body_beyond_a_mebibyte_is_413_whether_it_says_so_or_not(api: Api):
    headers = [*GOOD, ("content-type", "application/json")]
    piece = b" " * 65_536
    answer = await call_asgi(api.app, "POST", "/admin/v1/organizations", headers, [piece] * 17)
    is_problem(answer, 413, "body_too_large")
    declared = [*headers, ("content-length", "99999999999999999999999999")]
    answer = await call_asgi(api.app, "POST", "/admin/v1/organizations", declared, [b"{}"])
    is_problem(answer, 413, "body_too_large")
    assert (await call_asgi(api.app, "POST", "/admin/v1/organizations", headers, [piece] * 15)).status == 400


async def test_a_wrong_field_is_422_and_named(api: Api):
    answer = await api("POST", "/organizations", {"slug": "acme", "name": "Acme", "role": "owner"})
    assert is_problem(answer, 422, "validation_failed")["param"] == "role"
    answer = await api("POST", "/organizations", {"slug": 7, "name": "Acme"})
    assert is_problem(answer, 422, "validation_failed")["param"] == "slug"
    answer = await api("GET", "/keys?sort=name;drop")
    assert is_problem(answer, 422, "validation_failed")["param"] == "sort"


@pytest.mark.parametrize("body", [b"{", b"[" * 100_000, b'{"name":' * 50_000, b"\xff", b'{"name":"a","name":"b"}'])
async def test_a_body_that_is_not_plain_json_is_400(api: Api, body: bytes):
    is_problem(await api("POST", "/organizations", body), 400, "invalid_request")


async def test_a_client_that_leaves_in_the_middle_of_its_body_changes_nothing(api: Api):
    sent: list[Any] = []
    messages = [{"type": "http.request", "body": b'{"slug":', "more_body": True}, {"type": "http.disconnect"}]

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    path = "/admin/v1/organizations"
    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in GOOD],
        "client": None,
    }
    await api.app(scope, receive, send)
    assert sent == []
    assert (await api("GET", "/organizations")).json["data"] == []


async def test_a_defect_of_ours_is_a_500_that_tells_nothing(api: Api, caplog: pytest.LogCaptureFixture):
    def explode(call: Any) -> Any:
        raise RuntimeError("the secret is hunter2")

    broken = [replace(each, handler=explode) if each.name == "read_me" else each for each in ENDPOINTS]
    app = AdminApp(api.app._site, broken, ROUTES)
    answer = await call_asgi(app, "GET", "/admin/v1/me", GOOD, [b""])
    problem = is_problem(answer, 500, "internal_error")
    assert "hunter2" not in json.dumps(problem)
    assert caplog.records[-1].__dict__["request_id"] == problem["request_id"]


async def test_item_37_no_answer_carries_a_cors_header(api: Api):
    origins = {"origin": "https://evil.example"}
    answers = [
        await api("GET", "/me", headers=origins),
        await api("OPTIONS", "/me", headers=origins | {"access-control-request-method": "GET"}),
        await api.as_("nobody")("GET", "/me", headers=origins | {"origin": "null"}),
    ]
    for answer in answers:
        assert not [name for name, _ in answer.fields if name.startswith("access-control")]


async def test_every_request_has_an_id_of_its_own(api: Api):
    ids = {(await api("GET", "/me")).headers["x-headgate-request-id"] for _ in range(5)}
    assert len(ids) == 5
    assert all(each.startswith("req_") for each in ids)


async def test_everything_that_is_read_has_an_etag_and_is_not_sent_again_to_who_has_it(api: Api, acme: Tenant):
    write(api, record(1, acme.id))
    ids = {
        "organizations": acme.id,
        "teams": acme.team,
        "projects": acme.project,
        "keys": acme.key,
        "users": acme.people["viewer"]["id"],
        "tokens": (await api("GET", "/tokens")).json["data"][0]["id"],
        "requests": f"req_{1:026d}",
        **await add_limits(api, acme),
    }
    span = "?from=2026-11-18T00:00:00Z&to=2026-11-19T00:00:00Z"
    for endpoint in ENDPOINTS:
        if endpoint.method != "GET":
            continue
        path = endpoint.path.removeprefix("/admin/v1").replace("{id}", ids.get(endpoint.tag, ""))
        path += span if endpoint.tag in ("usage", "cache") else ""
        first = await api("GET", path)
        assert first.status == 200, first
        known = await api("GET", path, headers={"if-none-match": f'"other", {first.headers["etag"]}'})
        assert (known.status, known.body, known.headers["etag"]) == (304, b"", first.headers["etag"])
        assert known.headers["cache-control"] == "no-store"
        again = await api("GET", path, headers={"if-none-match": '"other"'})
        assert (again.status, again.body) == (200, first.body)


async def test_an_etag_changes_with_what_it_stands_for(api: Api, acme: Tenant):
    analyst = acme.apis["analyst"]
    me = (await analyst("GET", "/me")).headers["etag"]
    role = {"scope_id": acme.team, "role": "editor"}
    path = f"/users/{acme.people['analyst']['id']}"
    assert (await api("POST", f"{path}/roles", role, headers=ANY_VERSION)).status == 200
    assert (await analyst("GET", "/me", headers={"if-none-match": me})).status == 200
    listed = (await api("GET", "/requests")).headers["etag"]
    write(api, record(1, acme.id))
    assert (await api("GET", "/requests", headers={"if-none-match": listed})).status == 200


async def test_only_reading_heeds_if_none_match(api: Api, acme: Tenant):
    for _ in range(2):
        answer = await api("POST", f"/teams/{acme.team}/block", headers={"if-none-match": "*"})
        assert (answer.status, answer.json["blocked"]) == (200, True)


async def test_a_resource_has_an_etag_and_its_update_demands_it(api: Api):
    made = await api("POST", "/organizations", {"slug": "acme", "name": "Acme"})
    assert made.headers["location"] == f"/admin/v1/organizations/{made.json['id']}"
    path, etag = f"/organizations/{made.json['id']}", made.headers["etag"]
    assert (await api("GET", path)).headers["etag"] == etag == '"v1"'
    is_problem(await api("PATCH", path, {"name": "B"}), 428, "precondition_required")
    newer = await api("PATCH", path, {"name": "B"}, headers={"if-match": etag})
    assert (newer.status, newer.json["name"], newer.headers["etag"]) == (200, "B", '"v2"')
    is_problem(await api("PATCH", path, {"name": "C"}, headers={"if-match": etag}), 412, "precondition_failed")
    assert (await api("PATCH", path, {"name": "C"}, headers={"if-match": "*"})).json["name"] == "C"
    merge = {"if-match": "*", "content-type": "application/merge-patch+json"}
    assert (await api("PATCH", path, {"name": "D"}, headers=merge)).json["name"] == "D"
