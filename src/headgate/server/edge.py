"""The ASGI application of the data plane: which path means what, and the body that comes with it.

Routes are literal and matched on the path exactly as it was sent: nothing is normalised, so nothing can be hidden
behind ``//``, ``/../`` or an escaped slash. `headgate.identity.policy.ROUTES` lists every route with its permission,
and `Edge` refuses to be built when the two differ.
"""

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final
from urllib.parse import unquote

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from headgate.domain.access import Permission
from headgate.domain.errors import (
    BodyTooLargeError,
    HeadgateError,
    InternalError,
    InvalidApiKeyError,
    InvalidRequestError,
    MethodNotAllowedError,
    ModelNotFoundError,
    NotFoundError,
    UnsupportedMediaTypeError,
)
from headgate.domain.ids import REQUEST, mint
from headgate.identity.keys import may_use_model
from headgate.identity.policy import ROUTES, Plane
from headgate.pipeline.call import Call, Gateway
from headgate.pipeline.handle import authenticate, error_headers, handle, refuse, shutting_down
from headgate.pipeline.reply import Receive, Reply, Send
from headgate.server.cycle import EdgeCycle
from headgate.server.foreign import foreign_renderer
from headgate.server.head import Head, read_head
from headgate.wire import WIRE_FORMATS
from headgate.wire.format import WireFormat

AsgiApp = Callable[[dict[str, Any], Receive, Send], Awaitable[None]]
Operate = Callable[[bytes | None], bool]
"""Whether a presented credential is the operator's."""

_CHAT: Final = WIRE_FORMATS["openai_chat"]
_EMBEDDINGS: Final = WIRE_FORMATS["openai_embeddings"]
_INFERENCE: Final[Mapping[str, WireFormat]] = {
    "/v1/chat/completions": _CHAT,
    "/chat/completions": _CHAT,
    "/v1/embeddings": _EMBEDDINGS,
    "/embeddings": _EMBEDDINGS,
}
_DEPLOYMENTS: Final = "/openai/deployments/"
_BY_DEPLOYMENT: Final[Mapping[str, WireFormat]] = {"/chat/completions": _CHAT, "/embeddings": _EMBEDDINGS}
_MODELS: Final = ("/v1/models", "/models")
_JSON: Final = (b"content-type", b"application/json")
_GZIP_OFF_LOOP_BYTES: Final = 64 * 1024


class Draining:
    """Whether the gateway is going away; `headgate.app` sets it, readiness and new requests look at it."""

    def __init__(self) -> None:
        """Start as a gateway that stays."""
        self.on = False


class Edge:
    """The data plane's ASGI application; also the way to the admin API where both share a listener."""

    def __init__(
        self,
        gateway: Gateway,
        *,
        max_body: int,
        draining: Draining,
        entropy: Callable[[int], bytes],
        is_operator: Operate,
        meter: Callable[[], object] | None,
        admin: AsgiApp | None,
        infer: bool = True,
    ) -> None:
        """Build the application of one listener.

        ``meter`` answers ``/sandbox/meter`` and ``admin`` everything below ``/admin``; both are ``None`` where
        ``server.admin_listen`` moves them to a listener of their own, which then does not ``infer``.
        """
        self._gateway = gateway
        self._max_body = max_body
        self._draining = draining
        self._entropy = entropy
        self._is_operator = is_operator
        self._meter = meter
        self._admin = admin
        self._inference = _INFERENCE if infer else {}
        self._by_deployment = _BY_DEPLOYMENT if infer else {}
        self._models_paths = _MODELS if infer else ()
        _check_routes()

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request (ASGI)."""
        if scope["type"] != "http":
            return
        gateway = self._gateway
        started, started_at_ms = gateway.clock(), gateway.clock_ms()
        request_id = mint(REQUEST, started_at_ms, self._entropy(10))
        path: str = scope["raw_path"].decode("ascii", "replace")
        wire_format = self._inference.get(path)
        path_model: str | None = None
        if wire_format is None and path.startswith(_DEPLOYMENTS):
            wire_format, path_model = _by_deployment(path, self._by_deployment)
        owner = getattr(receive, "__self__", None)
        if isinstance(owner, EdgeCycle):
            # Our own server has a shorter way than ASGI's messages for what happens at every event.
            reply = Reply(receive, send, notify=owner.on_disconnect, push=owner.push)
        else:
            reply = Reply(receive, send)
        if wire_format is None:
            if self._admin is not None and (path == "/admin" or path.startswith("/admin/")):
                await self._admin(scope, receive, send)
            else:
                await self._answer_lookup(path, scope, reply, request_id)
            return
        call = Call(
            request_id=request_id,
            wire_format=wire_format,
            body=b"",
            presented_key=None,
            started_at_ms=started_at_ms,
            started=started,
            path_model=path_model,
        )
        try:
            head = read_head(scope["headers"])
            call = _with_head(call, head)
            if scope["method"] != "POST":
                raise _method_not_allowed("POST")
            if self._draining.on:
                raise shutting_down()
            body = await self._read_body(head, receive)
        except HeadgateError as error:
            await refuse(gateway, call, error, reply)
            return
        except _ClientLeftError:
            return
        except asyncio.CancelledError:
            # The drain is over while the body is still on its way.
            task = asyncio.current_task()
            assert task is not None
            task.uncancel()
            await refuse(gateway, call, shutting_down(), reply)
            return
        await handle(gateway, replace(call, body=body), reply)

    async def _answer_lookup(self, path: str, scope: dict[str, Any], reply: Reply, request_id: str) -> None:
        """Everything that is neither inference nor the admin API: health, models, the meter, 404."""
        try:
            status, answer = self._look_up(path, scope, request_id)
        except HeadgateError as error:
            render = foreign_renderer(path, scope["headers"]) or _CHAT.render_error
            await reply.whole(error.status, error_headers(error, request_id), render(error, request_id))
            return
        headers = [_JSON, (b"x-request-id", request_id.encode()), (b"x-headgate-request-id", request_id.encode())]
        body = msgspec.json.encode(answer)
        if scope["method"] == "HEAD":
            headers.append((b"content-length", b"%d" % len(body)))
            waiting = reply.begin(status, headers)
            if waiting is not None:
                await waiting
            await reply.end()
            return
        await reply.whole(status, headers, body)

    def _look_up(self, path: str, scope: dict[str, Any], request_id: str) -> tuple[int, object]:
        meter = self._meter if path == "/sandbox/meter" else None
        known = path in ("/healthz", "/readyz", *self._models_paths) or self._model_of(path) is not None
        if not known and meter is None:
            raise NotFoundError(f"No route answers to `{path[:200]}`.")
        if scope["method"] not in ("GET", "HEAD"):
            raise _method_not_allowed("GET, HEAD")
        if path == "/healthz":
            return 200, {"status": "ok"}
        if path == "/readyz":
            if self._draining.on:
                return 503, {"status": "draining"}
            return 200, {"status": "ready", "revision": self._gateway.snapshots.current.revision}
        head = read_head(scope["headers"])
        if meter is not None:
            if not self._is_operator(head.presented_key):
                raise InvalidApiKeyError("This route takes the admin token.")
            return 200, meter()
        return 200, self._models(head, self._model_of(path), request_id)

    def _models(self, head: Head, name: str | None, request_id: str) -> object:
        snapshot = self._gateway.snapshots.current
        try:
            key = authenticate(snapshot, head.presented_key, self._gateway.clock_ms())
        except InvalidApiKeyError:
            if head.presented_key is not None:
                self._gateway.note_refused_key(head.presented_key, request_id)
            raise
        if name is not None:
            deployment = snapshot.routes.resolve(name)
            if not may_use_model(key, name, is_sandbox=deployment.is_sandbox):
                raise ModelNotFoundError(f"The model `{name}` does not exist or you do not have access to it.")
            return _Model(id=name, owned_by=deployment.provider)
        return _ModelList(
            data=[
                _Model(id=alias.name, owned_by=alias.deployment.provider)
                for alias in snapshot.routes.aliases
                if alias.deployment is not None
                and "*" not in alias.name
                and may_use_model(key, alias.name, is_sandbox=alias.deployment.is_sandbox)
            ]
        )

    def _model_of(self, path: str) -> str | None:
        """The model id of ``/v1/models/{id}``; ids may hold slashes."""
        for prefix in self._models_paths:
            if path.startswith(prefix + "/") and len(path) > len(prefix) + 1:
                return unquote(path[len(prefix) + 1 :])
        return None

    async def _read_body(self, head: Head, receive: Receive) -> bytes:
        """Return the whole body, decompressed.

        Raises:
            BodyTooLargeError: more than ``server.max_body``, on the wire or after decompression.
            UnsupportedMediaTypeError: not JSON, or in a coding other than gzip.
        """
        if head.content_type is not None and not _is_json(head.content_type):
            raise UnsupportedMediaTypeError("The body must be JSON: send `content-type: application/json`.")
        limit = self._max_body
        if head.content_length is not None and head.content_length > limit:
            raise _too_large(limit)
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _ClientLeftError
        body: bytes = message["body"]
        if message["more_body"]:
            pieces = [body]
            size = len(body)
            while message["more_body"]:
                if size > limit:
                    raise _too_large(limit)
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise _ClientLeftError
                pieces.append(message["body"])
                size += len(message["body"])
            body = b"".join(pieces)
        if len(body) > limit:
            raise _too_large(limit)
        coding = head.content_encoding
        if coding is None or coding == b"identity":
            return body
        if coding != b"gzip":
            raise UnsupportedMediaTypeError("The body may be compressed with gzip, and with nothing else.")
        if len(body) > _GZIP_OFF_LOOP_BYTES:
            return await asyncio.to_thread(_gunzip, body, limit)
        return _gunzip(body, limit)


class _ClientLeftError(Exception):
    """The client closed its connection before its request was complete: nobody to answer, nothing to record."""


class _Model(Struct, frozen=True):
    """One model in OpenAI's shape (platform.openai.com/docs/api-reference/models/object)."""

    id: str
    owned_by: str
    object: str = "model"
    created: int = 0


class _ModelList(Struct, frozen=True):
    """OpenAI's list of models."""

    data: list[_Model]
    object: str = "list"


def _check_routes() -> None:
    """Every path this module answers is declared with its permission, and every declared one is answered."""
    answered = {("POST", path, Permission.INFER) for path in _INFERENCE}
    answered |= {("POST", f"{_DEPLOYMENTS}{{model}}{end}", Permission.INFER) for end in _BY_DEPLOYMENT}
    answered |= {("GET", path, Permission.INFER) for path in _MODELS}
    answered |= {("GET", f"{path}/{{id}}", Permission.INFER) for path in _MODELS}
    answered |= {("GET", path, Permission.PUBLIC) for path in ("/healthz", "/readyz")}
    answered.add(("GET", "/sandbox/meter", Permission.OPERATE))
    declared = {(route.method, route.path, route.permission) for route in ROUTES if route.plane is not Plane.ADMIN}
    if answered != declared:
        raise InternalError(f"routes without a declaration, or the reverse: {sorted(answered ^ declared)}")


def _with_head(call: Call, head: Head) -> Call:
    if head.presented_key is None and head.end_user is head.session is head.timeout_s is None and not head.tags:
        return call
    return replace(
        call,
        presented_key=head.presented_key,
        end_user=head.end_user,
        session=head.session,
        tags=head.tags,
        timeout_s=head.timeout_s,
    )


def _by_deployment(path: str, ends: Mapping[str, WireFormat]) -> tuple[WireFormat | None, str | None]:
    """Azure's older form, ``/openai/deployments/{model}/chat/completions``; the model may hold slashes."""
    for end, wire_format in ends.items():
        if path.endswith(end) and len(path) > len(_DEPLOYMENTS) + len(end):
            return wire_format, unquote(path[len(_DEPLOYMENTS) : -len(end)])
    return None, None


def _is_json(content_type: bytes) -> bool:
    kind = content_type.partition(b";")[0].strip().lower()
    return kind == b"application/json" or kind.endswith(b"+json")


def _gunzip(body: bytes, limit: int) -> bytes:
    """Decompress gzip (RFC 1952), never making more than ``limit`` bytes and one."""
    decompressor = zlib.decompressobj(wbits=31)
    try:
        plain = decompressor.decompress(body, limit + 1)
    except zlib.error as error:
        raise InvalidRequestError("The body is not valid gzip.") from error
    if len(plain) > limit:
        raise _too_large(limit)
    if not decompressor.eof or decompressor.unused_data:
        raise InvalidRequestError("The body is not one complete gzip member.")
    return plain


def _too_large(limit: int) -> BodyTooLargeError:
    return BodyTooLargeError(f"The body is larger than {limit} bytes.")


def _method_not_allowed(allowed: str) -> MethodNotAllowedError:
    return MethodNotAllowedError(f"This route takes {allowed}.", reason=allowed)
