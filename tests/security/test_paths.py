"""Attacks by URL, Host and route. The numbers are those of the must-withstand list."""

import pytest

from headgate.domain.access import Permission
from headgate.identity.policy import ROUTES
from tests.gateway import KEY, Gateway, receive_all

REFUSED = {400, 401, 404, 405}


def raw(
    gateway: Gateway, target: str, *, method: str = "GET", host: str = "x", authorization: str = ""
) -> tuple[int, bytes]:
    head = f"{method} {target} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{authorization}\r\n"
    answer = gateway.exchange(head.encode("latin-1"))
    return int(answer.split(b" ", 2)[1]), answer


@pytest.mark.parametrize("host", ["x/?a#", "x y", "x@y", "", "a" * 300, "x\tz"])
def test_item_07_a_malformed_host_is_refused_on_the_admin_path(gateway: Gateway, host: str) -> None:
    token = f"authorization: Bearer {gateway.admin_token}\r\n"
    assert raw(gateway, "/admin/v1/keys", host=host, authorization=token)[0] == 400
    assert raw(gateway, "/admin/v1/keys", host=host)[0] in (400, 401)


@pytest.mark.parametrize(
    "target",
    [
        "//admin/v1/keys",
        "/admin//v1/keys",
        "/v1/../admin/v1/keys",
        "/v1/models/../../admin/v1/keys",
        "/%2e%2e/admin/v1/keys",
        "/v1/%2e%2e/admin/v1/keys",
        "/%61dmin/v1/keys",
        "/admin%2fv1%2fkeys",
        "/admin/v1/keys;x=1",
        "/admin;/v1/keys",
        "/ADMIN/v1/keys",
        "/Admin/v1/Keys",
        "/admin/v1/keys.",
        "/admin./v1/keys",
        "/admin/v1/keys/",
        "/admin/v1/keys%00",
        "/admin\\v1\\keys",
        "http://x/admin/v1/keys",
        "/healthz/../admin/v1/keys",
        "/v1/models/..%2f..%2fadmin%2fv1%2fkeys",
    ],
)
def test_item_08_no_spelling_of_a_path_slips_past_authorisation(gateway: Gateway, target: str) -> None:
    for authorization in ("", f"authorization: Bearer {KEY}\r\n"):
        status, answer = raw(gateway, target, authorization=authorization)
        assert status in REFUSED, answer
        assert b'"data"' not in answer


def test_item_08_a_target_of_another_form_is_refused(gateway: Gateway) -> None:
    for line in (b"CONNECT x:443 HTTP/1.1", b"OPTIONS * HTTP/1.1", b"GET keys HTTP/1.1", b"TRACE / HTTP/1.1"):
        answer = gateway.exchange(line + b"\r\nhost: x\r\nconnection: close\r\n\r\n")
        assert answer == b"" or int(answer.split(b" ", 2)[1]) in REFUSED, answer


def test_item_09_every_declared_route_but_the_public_ones_demands_a_credential(gateway: Gateway) -> None:
    assert len(ROUTES) > 20
    for row in ROUTES:
        path = row.path.replace("{id}", "x").replace("{model}", "gpt-4o").replace("{", "").replace("}", "")
        status, answer = raw(gateway, path, method=row.method)
        if row.permission is Permission.PUBLIC:
            assert status == 200, (row, answer)
        else:
            assert status in (401, 404), (row, answer)
            assert status == 401 or b"data" not in answer


def test_item_09_a_data_route_without_a_declaration_stops_the_build(monkeypatch: pytest.MonkeyPatch) -> None:
    from headgate.domain.errors import InternalError
    from headgate.server import edge

    edge._check_routes()
    monkeypatch.setattr(edge, "ROUTES", tuple(row for row in ROUTES if row.path != "/v1/embeddings"))
    with pytest.raises(InternalError, match="embeddings"):
        edge._check_routes()


def test_item_09_an_admin_route_without_a_declaration_stops_the_build() -> None:
    from headgate.admin.app import PolicyMismatchError, check_policy
    from headgate.admin.requests import ENDPOINTS

    with pytest.raises(PolicyMismatchError, match="requests"):
        check_policy(ENDPOINTS, ())


def test_a_connection_that_was_refused_is_closed(gateway: Gateway) -> None:
    import socket

    with socket.create_connection(("127.0.0.1", gateway.port), timeout=5) as line:
        line.sendall(b"GET /healthz HTTP/1.1\r\nhost: x/?a#\r\n\r\n")
        assert receive_all(line).startswith(b"HTTP/1.1 400")


async def test_item_09_a_request_that_matches_no_row_is_refused_and_on_record(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At run time: an endpoint whose row is gone lets nobody in, the operator neither."""
    from headgate.admin import authentication
    from headgate.admin.requests import ENDPOINTS
    from headgate.domain.errors import PermissionDeniedError
    from headgate.identity.actor import Actor, ActorKind

    refused: list[str] = []
    monkeypatch.setattr(authentication, "record_refusal", lambda plane, actor, action, *_, **__: refused.append(action))
    operator = Actor(kind=ActorKind.OPERATOR, id="operator", request_id="req_1", source_address=None)

    class _Site:
        plane = None

    for endpoint in ENDPOINTS:
        with pytest.raises(PermissionDeniedError):
            await authentication.authorize(_Site(), operator, endpoint, None, None)  # type: ignore[arg-type]
    assert len(refused) == len(ENDPOINTS)
