"""Attacks on authentication. The numbers are those of the must-withstand list."""

import gc
import json
import sys
import time
from types import FrameType
from typing import Any

import pytest

from headgate.domain.access import ScopeKind
from headgate.domain.errors import InvalidApiKeyError
from headgate.identity.directory import KeyDirectory, KeyEntry, ScopeEntry, _Bulk
from headgate.identity.secrets import hash_secret
from headgate.pipeline.prepare import authenticate
from headgate.routing.table import RouteTable
from headgate.snapshot import Snapshot
from tests.fakes.openai_api import FakeOpenAI
from tests.gateway import EXPIRED_KEY, KEY, LIMITED_KEY, OTHER_KEY, Gateway, hello

BODY = json.dumps(hello()).encode()


def request_with(*lines: bytes, body: bytes = BODY) -> bytes:
    """A raw chat request with these header lines."""
    head = [b"POST /v1/chat/completions HTTP/1.1", b"host: x", b"connection: close", b"content-type: application/json"]
    return b"\r\n".join([*head, b"content-length: %d" % len(body), *lines, b"", b""]) + body


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def body_without_request_id(answer: bytes) -> bytes:
    head, _, body = answer.partition(b"\r\n\r\n")
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b": ")
        if name.lower() == b"x-request-id":
            return body.replace(value, b"REQUEST-ID")
    return body


def test_item_01_sql_in_a_key_is_a_bad_key_like_any_other(gateway: Gateway) -> None:
    attack = gateway.exchange(request_with(b"authorization: Bearer ' OR 1=1--"))
    ordinary = gateway.exchange(request_with(b"authorization: Bearer some-key-that-does-not-exist"))
    assert (status_of(attack), status_of(ordinary)) == (401, 401)
    assert body_without_request_id(attack) == body_without_request_id(ordinary)
    assert b"sql" not in attack.lower()


@pytest.mark.parametrize(
    ("key", "statuses"),
    [
        (b"k" * 1_000_000, {400, 401, 431}),  # as a header of 1 MB it falls under item 29
        (b"k" * 8_000, {400, 401}),
        (b"abc\x00def", {400, 401}),
        (b"\xff\xfe\xfd" * 12, {400, 401}),
        (b"abc\r\nx-injected: yes", {400, 401}),
        (b"abc\rdef", {400, 401}),
        (b"", {400, 401}),
    ],
    ids=["1MB", "8KB", "NUL", "not-utf8", "CRLF", "CR", "empty"],
)
def test_item_02_monstrous_keys_are_refused(gateway: Gateway, key: bytes, statuses: set[int]) -> None:
    answer = gateway.exchange(request_with(b"authorization: Bearer " + key))
    assert status_of(answer) in statuses
    assert b"x-injected" not in answer
    assert gateway.chat(hello()).status == 200


@pytest.mark.parametrize(
    "lines",
    [
        (f"authorization: Bearer {KEY}", f"authorization: Bearer {OTHER_KEY}"),
        (f"authorization: Bearer {KEY}", f"x-api-key: {OTHER_KEY}"),
        (f"x-api-key: {KEY}", f"api-key: {LIMITED_KEY}"),
        (f"x-headgate-api-key: {KEY}", f"x-headgate-api-key: {OTHER_KEY}"),
    ],
)
def test_item_03_credentials_that_contradict_each_other_are_refused(gateway: Gateway, lines: tuple[str, ...]) -> None:
    answer = gateway.exchange(request_with(*(line.encode() for line in lines)))
    assert status_of(answer) == 400
    assert KEY.encode() not in answer
    assert OTHER_KEY.encode() not in answer


def test_item_03_our_own_header_wins_over_a_credential_meant_for_somebody_else(gateway: Gateway) -> None:
    own, foreign = f"x-headgate-api-key: {KEY}".encode(), b"authorization: Bearer sk-for-the-vendor"
    assert status_of(gateway.exchange(request_with(own, foreign))) == 200


@pytest.mark.parametrize("name", ["authorization", "x-api-key", "api-key", "x-goog-api-key", "x-headgate-api-key"])
def test_item_04_a_restricted_key_is_as_restricted_in_every_header(gateway: Gateway, name: str) -> None:
    prefix = "Bearer " if name == "authorization" else ""
    headers = {name: prefix + LIMITED_KEY}
    assert gateway.chat(hello(), key=None, headers=headers).status == 200
    refused = gateway.chat(hello(model="fault-html"), key=None, headers=headers)
    assert (refused.status, refused.code) == (403, "model_not_allowed")


def steps_of(snapshot: Snapshot, presented: bytes) -> list[tuple[str, int]]:
    """Every line of Python that runs while a key is judged, but for the search among digests.

    The search takes more or fewer steps by the digest alone, which says nothing about how much of a key was right.
    """
    steps: list[tuple[str, int]] = []

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        # Finalizers of other tests' objects may run in between; they are none of the gateway's steps.
        is_ours = frame.f_globals.get("__name__", "").startswith("headgate.")
        if event == "line" and is_ours and frame.f_code is not _Bulk.place_of.__code__:
            steps.append((frame.f_code.co_qualname, frame.f_lineno))
        return trace

    before = sys.gettrace()
    gc.disable()
    sys.settrace(trace)
    try:
        authenticate(snapshot, presented, 0)
    except InvalidApiKeyError:
        pass
    finally:
        sys.settrace(before)
        gc.enable()
    return steps


def test_item_05_a_near_miss_takes_the_same_path_as_a_random_key() -> None:
    """Structural: the digest is looked up, so how much of a key is right cannot steer anything that takes time."""
    scope = ScopeEntry(id="org_1", kind=ScopeKind.ORGANIZATION, slug="acme", parent_id=None)
    entry = KeyEntry(id="key_1", name="k", scope_id="org_1", models=("*",))
    directory = KeyDirectory.build([(hash_secret(KEY.encode()), entry)], [scope])
    routes = RouteTable((), (), lambda provider, model: pytest.fail("nothing is resolved"))
    snapshot = Snapshot(revision=1, keys=directory, routes=routes)
    assert authenticate(snapshot, KEY.encode(), 0).id == "key_1"
    near = [KEY[:length] + "x" * (len(KEY) - length) for length in range(0, len(KEY), 5)]
    paths = [steps_of(snapshot, presented.encode()) for presented in near]
    assert paths[0]
    assert all(path == paths[0] for path in paths)


def test_item_06_an_expired_key_is_refused_and_not_echoed(gateway: Gateway) -> None:
    answer = gateway.chat(hello(), key=EXPIRED_KEY)
    assert (answer.status, answer.code) == (401, "invalid_api_key")
    assert EXPIRED_KEY.encode() not in answer.body
    assert EXPIRED_KEY not in gateway.log()


def test_item_06_a_revoked_key_is_refused_within_a_second(gateway: Gateway) -> None:
    organization = gateway.admin("POST", "/organizations", {"slug": "revoking", "name": "Revoking"}).json
    created = gateway.admin("POST", "/keys", {"name": "short-lived", "scope_id": organization["id"], "models": ["*"]})
    assert created.status == 201, created.body
    key_id, secret = created.json["id"], created.json["secret"]
    assert gateway.chat(hello(), key=secret).status == 200
    assert gateway.admin("DELETE", f"/keys/{key_id}").status in (200, 204)
    revoked = time.monotonic()
    answer = gateway.chat(hello(), key=secret)
    while answer.status != 401:
        assert time.monotonic() - revoked < 1, "a revoked key still works after a second"
        answer = gateway.chat(hello(), key=secret)
    unknown = gateway.chat(hello(), key="some-key-that-does-not-exist")
    assert answer.json["error"]["message"] == unknown.json["error"]["message"]
    assert secret.encode() not in answer.body
    assert secret not in gateway.log()


def test_item_46_the_admin_token_cannot_infer(gateway: Gateway, fake: FakeOpenAI) -> None:
    before = len(fake.exchanges)
    for header in ("authorization", "x-api-key", "x-headgate-api-key"):
        value = f"Bearer {gateway.admin_token}" if header == "authorization" else gateway.admin_token
        answer = gateway.chat(hello(), key=None, headers={header: value})
        assert (answer.status, answer.code) == (401, "invalid_api_key")
    assert len(fake.exchanges) == before


def test_item_46_a_virtual_key_cannot_administer(gateway: Gateway) -> None:
    for path in ("/admin/v1/keys", "/admin/v1/requests", "/admin/v1/openapi.json", "/sandbox/meter"):
        assert gateway.request("GET", path, key=KEY).status == 401, path
    # Where it is not built yet it is not found.
    assert gateway.request("GET", "/metrics", key=KEY).status in (401, 404)


def test_item_46_a_personal_access_token_cannot_infer(gateway: Gateway, fake: FakeOpenAI) -> None:
    organization = gateway.admin("POST", "/organizations", {"slug": "people", "name": "People"}).json
    user = gateway.admin(
        "POST", "/users", {"organization_id": organization["id"], "email": "o@people.example", "name": "O"}
    )
    owner = {"scope_id": organization["id"], "role": "owner"}
    roles = f"/users/{user.json['id']}/roles"
    assert gateway.admin("POST", roles, owner, headers={"if-match": user.headers["etag"]}).status in (200, 201)
    token = gateway.admin("POST", "/tokens", {"name": "t", "user_id": user.json["id"]}).json["secret"]
    assert gateway.request("GET", "/admin/v1/keys", key=token).status == 200
    before = len(fake.exchanges)
    answer = gateway.chat(hello(), key=token)
    assert (answer.status, answer.code) == (401, "invalid_api_key")
    assert gateway.request("GET", "/v1/models", key=token).status == 401
    assert len(fake.exchanges) == before


@pytest.mark.parametrize("way", ["block the key", "block the team", "block the organization", "rotate without grace"])
def test_item_06_every_way_to_stop_a_key_stops_it_within_a_second(gateway: Gateway, way: str) -> None:
    name = way.replace(" ", "-")
    organization = gateway.admin("POST", "/organizations", {"slug": name, "name": name}).json
    team = gateway.admin("POST", "/teams", {"organization_id": organization["id"], "slug": "t", "name": "T"}).json
    key = gateway.admin("POST", "/keys", {"name": "k", "scope_id": team["id"], "models": ["*"]}).json
    assert gateway.chat(hello(), key=key["secret"]).status == 200
    stop = {
        "block the key": (f"/keys/{key['id']}/block", None),
        "block the team": (f"/teams/{team['id']}/block", None),
        "block the organization": (f"/organizations/{organization['id']}/block", None),
        "rotate without grace": (f"/keys/{key['id']}/rotate", {"grace_seconds": 0}),
    }
    answer = gateway.admin("POST", *stop[way], headers={"if-match": "*"})
    assert answer.status == 200, answer.body
    stopped = time.monotonic()
    while gateway.chat(hello(), key=key["secret"]).status != 401:
        assert time.monotonic() - stopped < 1, "the key still works after a second"
    if way.startswith("rotate"):
        assert gateway.chat(hello(), key=answer.json["secret"]).status == 200
    else:
        undo = stop[way][0].replace("/block", "/unblock")
        assert gateway.admin("POST", undo, headers={"if-match": "*"}).status == 200
        assert gateway.chat(hello(), key=key["secret"]).status == 200


def test_item_06_why_a_key_was_refused_is_in_the_audit_log_and_not_in_the_answer(gateway: Gateway) -> None:
    answer = gateway.chat(hello(), key=EXPIRED_KEY)
    unknown = gateway.chat(hello(), key="some-key-that-does-not-exist")
    assert answer.json["error"]["message"] == unknown.json["error"]["message"]
    assert b"expired" not in answer.body
    deadline = time.monotonic() + 10
    while True:
        events = gateway.admin("GET", "/audit?limit=200").json["data"]
        refusals = [event for event in events if event["action"] == "key.use"]
        if any((event["outcome"], event["reason"]) == ("denied", "expired") for event in refusals):
            break
        assert time.monotonic() < deadline, "the audit log does not say why the key was refused"
        time.sleep(0.05)
    assert EXPIRED_KEY not in json.dumps(events)
