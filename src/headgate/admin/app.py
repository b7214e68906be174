"""The REST API as one ASGI application: route, authenticate, authorise, decode, run, encode.

Starlette matches paths and reads headers and bodies; every decision is made here, by the matched endpoint's row and
never by the text of the URL.
"""

import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import Receive, Scope, Send

from headgate.admin import openapi
from headgate.admin.authentication import REFUSAL, authenticate, authorize, source_of
from headgate.admin.decoding import (
    check_host,
    decode_body,
    decode_query,
    entity_tag,
    entity_tag_of,
    expected_version,
    is_known,
    read_body,
)
from headgate.admin.documents import PAGE_POLICY, page
from headgate.admin.endpoint import AnyEndpoint, Call
from headgate.admin.problem import PROBLEM_JSON, problem_of
from headgate.admin.site import Documents, Site
from headgate.admin.table import ENDPOINTS
from headgate.cache.desk import CacheDesk
from headgate.control.plane import Plane
from headgate.control.refused_credentials import Refused, RefusedCredentials
from headgate.control.reload import Reloader
from headgate.domain import ids
from headgate.domain.errors import (
    HeadgateError,
    InternalError,
    InvalidApiKeyError,
    MethodNotAllowedError,
    NotFoundError,
)
from headgate.identity.policy import ROUTES, Row
from headgate.routing.health import Healths
from headgate.snapshot import SnapshotSource

_log: Final = logging.getLogger("headgate.admin")

# Nobody keeps an answer of this API: it names people, and some show a secret once. It is never framed nor sniffed,
# and no other origin may read it: there is no CORS header at all.
_HEADERS: Final = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
}


class PolicyMismatchError(Exception):
    """The endpoint table and the policy table disagree; the API refuses to be built."""


def create_admin_app(
    plane: Plane,
    snapshots: SnapshotSource,
    admin_token_digest: bytes,
    reloader: Reloader,
    *,
    healths: Healths,
    cache: CacheDesk | None = None,
) -> "AdminApp":
    """Build the REST API.

    It serves the absolute paths below ``/admin``: hand it the request as it came, without stripping a prefix.

    Args:
        plane: the control plane.
        snapshots: where the current snapshot lies; the models resource reads it.
        admin_token_digest: SHA-256 of the operator's token.
        reloader: knows the configuration, and takes up its successor.
        healths: tells how deployments are doing.
        cache: answers for the response cache, where there is one.

    Raises:
        PolicyMismatchError: an endpoint has no equal row in the policy table, or a row has no endpoint.
    """
    document = openapi.document(ENDPOINTS)
    documents = Documents(openapi=openapi.render(ENDPOINTS), page=page(document))
    site = Site(
        plane=plane,
        snapshots=snapshots,
        admin_token_digest=admin_token_digest,
        documents=documents,
        refused_credentials=RefusedCredentials(plane),
        reloader=reloader,
        healths=healths,
        cache=cache,
    )
    return AdminApp(site, ENDPOINTS, ROUTES)


class AdminApp:
    """An ASGI application over a table of endpoints."""

    def __init__(self, site: Site, endpoints: Sequence[AnyEndpoint], policy: Sequence[Row]) -> None:
        """Check ``endpoints`` against ``policy``, both ways.

        Raises:
            PolicyMismatchError: they disagree.
        """
        check_policy(endpoints, policy)
        self._site = site
        self._policy: Final = {(row.method, row.path): row for row in policy}
        by_path: dict[str, dict[str, AnyEndpoint]] = {}
        for endpoint in endpoints:
            by_path.setdefault(endpoint.path, {})[endpoint.method] = endpoint
        self._router = Router(
            [Route(path, _PathApp(self, methods)) for path, methods in by_path.items()],
            redirect_slashes=False,
            default=self._nothing_here,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection event of ASGI."""
        if scope["type"] != "http":
            await self._router(scope, receive, send)
            return
        request_id = scope.setdefault("state", {}).get("request_id") or ids.mint(
            ids.REQUEST, self._site.plane.clock_ms(), os.urandom(10)
        )
        scope["state"]["request_id"] = request_id
        await self._router(scope, receive, send)

    async def serve(self, methods: Mapping[str, AnyEndpoint], scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request whose path matched; ``methods`` are the path's endpoints."""
        request = Request(scope, receive)
        try:
            response = await self._answer(methods, request)
        except ClientDisconnect:
            return
        except HeadgateError as error:
            response = _failed(error, request)
        except Exception:
            _log.exception("the admin API failed", extra={"request_id": request.state.request_id})
            words = "Something failed inside the gateway; its log has the details under this request id."
            response = _failed(InternalError(words), request)
        await response(scope, receive, send)

    async def _answer(self, methods: Mapping[str, AnyEndpoint], request: Request) -> Response:
        check_host(request.headers.getlist("host"))
        endpoint = methods.get(request.method)
        if endpoint is None:
            allowed = ", ".join(sorted(methods))
            return _failed(MethodNotAllowedError(f"This path takes {allowed}."), request, {"allow": allowed})
        actor = await authenticate(self._site, request, browser=endpoint.browser)
        if isinstance(actor, Refused):
            return self._turn_away(actor, endpoint, request)
        row = self._policy.get((endpoint.method, endpoint.path))
        await authorize(self._site, actor, endpoint, row, request.path_params.get("id"))
        body = None
        if endpoint.body is not None:
            body = decode_body(await read_body(request, patch=endpoint.method == "PATCH"), endpoint.body)
        call: Call[Any, Any] = Call(
            site=self._site,
            actor=actor,
            path=request.path_params,
            query=decode_query(request.query_params.multi_items(), endpoint.query),
            body=body,
            if_match=expected_version(request.headers.getlist("if-match"), endpoint.if_match),
        )
        return _succeeded(endpoint, await run_in_threadpool(endpoint.handler, call), request)

    def _turn_away(self, refused: Refused, endpoint: AnyEndpoint, request: Request) -> Response:
        scheme = 'Basic realm="Headgate", charset="UTF-8"' if endpoint.browser else 'Bearer realm="Headgate"'
        response = _failed(InvalidApiKeyError(REFUSAL), request, {"www-authenticate": scheme})
        # A browser asks for a page without a credential first, to be told that it takes one.
        if not (endpoint.browser and refused.reason == "absent"):
            credentials = self._site.refused_credentials
            event = credentials.note(refused, request.state.request_id, source_of(request))
            if event is not None:
                # After the answer, whose time would otherwise tell a token that was ours from one that never was.
                response.background = BackgroundTask(credentials.write, event)
        return response

    async def _nothing_here(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = _failed(NotFoundError("There is nothing at this path."), Request(scope, receive))
        await response(scope, receive, send)


class _PathApp:
    """What the router calls for one path."""

    def __init__(self, app: AdminApp, methods: Mapping[str, AnyEndpoint]) -> None:
        self._app = app
        self._methods = methods

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app.serve(self._methods, scope, receive, send)


def check_policy(endpoints: Sequence[AnyEndpoint], policy: Sequence[Row]) -> None:
    """See that every endpoint equals a row of the policy table and every admin row an endpoint.

    Raises:
        PolicyMismatchError: naming all that differ.
    """
    served = {(endpoint.method, endpoint.path, endpoint.permission) for endpoint in endpoints}
    allowed = {(row.method, row.path, row.permission) for row in policy if row.path.startswith("/admin/")}
    if len(served) != len(endpoints) or served != allowed:
        differing = sorted(f"{method} {path} ({permission})" for method, path, permission in served ^ allowed)
        raise PolicyMismatchError("endpoints and policy disagree: " + ("; ".join(differing) or "a route appears twice"))


def _succeeded(endpoint: AnyEndpoint, result: object, request: Request) -> Response:
    headers = _HEADERS | _request_id_headers(request)
    version = getattr(result, "version", None)
    if isinstance(version, int):
        headers["etag"] = entity_tag(version)
    if endpoint.status == 204:
        return Response(status_code=204, headers=headers)
    made = getattr(result, "id", None)
    if endpoint.status == 201 and isinstance(made, str):
        headers["location"] = f"{endpoint.path}/{made}"
    if isinstance(result, bytes) and endpoint.media_type == "text/html":
        headers["content-security-policy"] = PAGE_POLICY
    body = result if isinstance(result, bytes) else msgspec.json.encode(result)
    if endpoint.method == "GET":
        tag = headers.setdefault("etag", entity_tag_of(body))
        if is_known(request.headers.getlist("if-none-match"), tag):
            return Response(status_code=304, headers=headers)
    return Response(body, endpoint.status, headers, endpoint.media_type)


def _failed(error: HeadgateError, request: Request, extra: Mapping[str, str] | None = None) -> Response:
    problem = problem_of(error, request.state.request_id)
    headers = {**_HEADERS, **_request_id_headers(request), **(extra or {})}
    return Response(msgspec.json.encode(problem), error.status, headers, PROBLEM_JSON)


def _request_id_headers(request: Request) -> dict[str, str]:
    return {"x-request-id": request.state.request_id, "x-headgate-request-id": request.state.request_id}
