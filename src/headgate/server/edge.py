"""The application of the data plane: which path means what, and what a head alone decides.

Routes are literal and matched on the path exactly as it was sent: nothing is normalised, so nothing can be hidden
behind ``//``, ``/../`` or an escaped slash. `headgate.identity.policy.ROUTES` lists every route with its permission,
and `Edge` refuses to be built when the two differ.
"""

import asyncio
import zlib
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final
from urllib.parse import unquote

import msgspec
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
from headgate.pipeline.handle import error_headers, handle, refuse, shutting_down
from headgate.pipeline.load import Seat
from headgate.pipeline.prepare import authenticate
from headgate.pipeline.shedding import SHED, PreparedRefusal, enter, is_shed, record_shed
from headgate.server.asgi import AsgiApp, serve_asgi
from headgate.server.foreign import foreign_renderer
from headgate.server.head import Head, read_head
from headgate.server.inbound import Inbound
from headgate.server.models import render_models
from headgate.wire import WIRE_FORMATS
from headgate.wire.format import WireFormat

Operate = Callable[[bytes | None], bool]
"""Whether a presented credential is the operator's."""

_CHAT: Final = WIRE_FORMATS["openai_chat"]
_EMBEDDINGS: Final = WIRE_FORMATS["openai_embeddings"]
_MESSAGES: Final = WIRE_FORMATS["anthropic_messages"]
_INFERENCE: Final[Mapping[bytes, WireFormat]] = {
    b"/v1/chat/completions": _CHAT,
    b"/chat/completions": _CHAT,
    b"/v1/embeddings": _EMBEDDINGS,
    b"/embeddings": _EMBEDDINGS,
    b"/v1/messages": _MESSAGES,
    b"/v1/messages/count_tokens": WIRE_FORMATS["anthropic_count_tokens"],
}
_DEPLOYMENTS: Final = b"/openai/deployments/"
_BY_DEPLOYMENT: Final[Mapping[bytes, WireFormat]] = {b"/chat/completions": _CHAT, b"/embeddings": _EMBEDDINGS}
_MODELS: Final = ("/v1/models", "/models")
_JSON: Final = (b"content-type", b"application/json")
_NO_HEAD: Final = Head(None)
_GZIP_OFF_LOOP_BYTES: Final = 64 * 1024


class Draining:
    """Whether the gateway is going away; `headgate.app` sets it, readiness and new requests look at it."""

    def __init__(self) -> None:
        """Start as a gateway that stays."""
        self.on = False


class Edge:
    """The data plane's application; also the way to the admin API where both share a listener."""

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
        self._shed = {name: PreparedRefusal(each) for name, each in WIRE_FORMATS.items()}
        _check_routes()

    def admit(self, inbound: Inbound) -> None:
        """Find the route of a head and say whether its body may come (`server.inbound.Application.admit`)."""
        inbound.max_body = self._max_body
        gateway = self._gateway
        started, started_at_ms = gateway.clock(), gateway.clock_ms()
        request_id = mint(REQUEST, started_at_ms, self._entropy(10))
        path_model: str | None = None
        wire_format = self._inference.get(inbound.raw_path)
        if wire_format is None and inbound.raw_path.startswith(_DEPLOYMENTS):
            wire_format, path_model = _by_deployment(inbound.raw_path, self._by_deployment)
        matter = inbound.matter = _Matter(request_id, started, started_at_ms, wire_format, path_model)
        if wire_format is None:
            return
        try:
            head = matter.head = read_head(inbound.found)
            self._check(inbound, head)
        except HeadgateError as error:
            inbound.refusal = error
            return
        # Whoever is shed hears it now: its body would only be read to be thrown away.
        if gateway.load.is_crowded and is_shed(gateway, head.presented_key, started_at_ms):
            inbound.refusal = SHED

    def answer(self, inbound: Inbound) -> Coroutine[Any, Any, None]:
        """Answer one request that is complete, or that `admit` refused."""
        matter: _Matter = inbound.matter
        if matter.wire_format is None:
            return self._answer_otherwise(inbound, matter.request_id)
        head, call = matter.head, _call(matter, matter.wire_format, inbound)
        if inbound.refusal is not None:
            return refuse(self._gateway, call, inbound.refusal, inbound)
        if head.content_encoding is not None:
            return self._decompress_and_handle(call, head.content_encoding, inbound)
        return handle(self._gateway, call, inbound)

    def answer_at_once(self, inbound: Inbound) -> bool:
        """Shed a request before anything is done for it (`server.inbound.Application.answer_at_once`)."""
        gateway, matter = self._gateway, inbound.matter
        wire_format = matter.wire_format
        if inbound.refusal is not SHED:
            if not gateway.load.is_tight or wire_format is None or inbound.refusal is not None:
                return False
            # Many may be read in one turn of the loop, and their tasks begin in the next.
            entered = enter(gateway, matter.head.presented_key, matter.started_at_ms)
            if entered is not SHED:
                matter.seat = entered
                return False
        if gateway.load.takes_record():
            record_shed(gateway, _call(matter, wire_format, inbound))
        inbound.whole_prepared(SHED.status, self._shed[wire_format.name].tell(matter.request_id))
        return True

    def _check(self, inbound: Inbound, head: Head) -> None:
        """Refuse what needs no body to be refused."""
        if inbound.method != "POST":
            raise _method_not_allowed("POST")
        if self._draining.on:
            raise shutting_down()
        kind = head.content_type
        if kind != b"application/json" and kind is not None and not _is_json(kind):
            raise UnsupportedMediaTypeError("The body must be JSON: send `content-type: application/json`.")
        if head.content_length is not None and head.content_length > self._max_body:
            raise _too_large(self._max_body)

    async def _answer_otherwise(self, inbound: Inbound, request_id: str) -> None:
        """Everything that is not inference: the admin API, health, models, the meter, 404."""
        path = inbound.raw_path.decode("ascii", "replace")
        if self._admin is not None and (path == "/admin" or path.startswith("/admin/")):
            await serve_asgi(self._admin, inbound)
            return
        try:
            if inbound.refusal is not None:
                raise inbound.refusal
            status, answer = self._look_up(path, inbound, request_id)
        except HeadgateError as error:
            dialect = _MESSAGES if _is_anthropic(path, inbound) else _CHAT
            render = foreign_renderer(path) or dialect.render_error
            headers = error_headers(error, request_id, dialect.id_headers)
            waiting = inbound.whole(error.status, headers, render(error, request_id))
        else:
            dialect = _MESSAGES if _is_anthropic(path, inbound) else _CHAT
            headers = [_JSON, *[(name, request_id.encode()) for name in dialect.id_headers]]
            waiting = inbound.whole(status, headers, msgspec.json.encode(answer))
        if waiting is not None:
            await waiting

    def _look_up(self, path: str, inbound: Inbound, request_id: str) -> tuple[int, object]:
        meter = self._meter if path == "/sandbox/meter" else None
        known = path in ("/healthz", "/readyz", *self._models_paths) or self._model_of(path) is not None
        if not known and meter is None:
            raise NotFoundError(f"No route answers to `{path[:200]}`.")
        if inbound.method not in ("GET", "HEAD"):
            raise _method_not_allowed("GET, HEAD")
        if path == "/healthz":
            return 200, {"status": "ok"}
        if path == "/readyz":
            if self._draining.on:
                return 503, {"status": "draining"}
            ready: dict[str, object] = {"status": "ready", "revision": self._gateway.snapshots.current.revision}
            if self._is_operator(_presented(inbound)):
                ready["load"] = self._gateway.load.read()
            return 200, ready
        head = read_head(inbound.found)
        if meter is not None:
            if not self._is_operator(head.presented_key):
                raise InvalidApiKeyError("This route takes the admin token.")
            return 200, meter()
        name = self._model_of(path)
        models = self._models(head, name, request_id)
        return 200, render_models(models, is_list=name is None, is_anthropic=_is_anthropic(path, inbound))

    def _models(self, head: Head, name: str | None, request_id: str) -> list[tuple[str, str]]:
        """The models that the caller may use, or the one it named, each with its provider."""
        snapshot = self._gateway.snapshots.current
        routes = snapshot.routes
        try:
            key = authenticate(snapshot, head.presented_key, self._gateway.clock_ms())
        except InvalidApiKeyError:
            if head.presented_key is not None:
                self._gateway.note_refused_key(head.presented_key, request_id)
            raise
        if name is not None:
            first = routes.first_of(routes.resolve(name))
            if not may_use_model(key, name, is_sandbox=first.is_sandbox):
                raise ModelNotFoundError(f"The model `{name}` does not exist or you do not have access to it.")
            return [(name, first.provider)]
        return [
            (listed, first.provider)
            for listed, first in routes.answering()
            if may_use_model(key, listed, is_sandbox=first.is_sandbox)
        ]

    def _model_of(self, path: str) -> str | None:
        """The model id of ``/v1/models/{id}``; ids may hold slashes."""
        for prefix in self._models_paths:
            if path.startswith(prefix + "/") and len(path) > len(prefix) + 1:
                return unquote(path[len(prefix) + 1 :])
        return None

    async def _decompress_and_handle(self, call: Call, coding: bytes, inbound: Inbound) -> None:
        try:
            body = await _decompressed(call.body, coding, self._max_body)
        except HeadgateError as error:
            await refuse(self._gateway, call, error, inbound)
        except asyncio.CancelledError:
            # The drain is over; the task goes on, to say so.
            task = asyncio.current_task()
            assert task is not None
            task.uncancel()
            await refuse(self._gateway, call, shutting_down(), inbound)
        else:
            await handle(self._gateway, replace(call, body=body), inbound)


class _Matter:
    """What a head says, from `Edge.admit` to `Edge.answer`."""

    __slots__ = ("head", "path_model", "request_id", "seat", "started", "started_at_ms", "wire_format")

    def __init__(
        self,
        request_id: str,
        started: float,
        started_at_ms: int,
        wire_format: WireFormat | None,
        path_model: str | None,
    ) -> None:
        self.request_id = request_id
        self.started = started
        self.started_at_ms = started_at_ms
        self.wire_format = wire_format
        """``None`` where the route is not one of inference."""
        self.path_model = path_model
        self.head = _NO_HEAD
        self.seat: Seat | None = None
        """What `Edge.answer_at_once` has taken for it; `Edge.answer` hands it on."""


def _call(matter: _Matter, wire_format: WireFormat, inbound: Inbound) -> Call:
    head = matter.head
    # In the order of the fields: so many by name would take eight times as long.
    return Call(
        matter.request_id,
        wire_format,
        inbound.body,
        head.presented_key,
        matter.started_at_ms,
        matter.started,
        matter.path_model,
        head.end_user,
        head.session,
        head.tags,
        head.timeout_s,
        head.may_clamp,
        head.strategy,
        head.providers,
        _forwarded(wire_format, inbound),
        head.idempotency_key,
        head.cache_control,
        matter.seat,
    )


def _check_routes() -> None:
    """Every path this module answers is declared with its permission, and every declared one is answered."""
    answered = {("POST", path.decode(), Permission.INFER) for path in _INFERENCE}
    answered |= {
        ("POST", f"{_DEPLOYMENTS.decode()}{{model}}{end.decode()}", Permission.INFER) for end in _BY_DEPLOYMENT
    }
    answered |= {("GET", path, Permission.INFER) for path in _MODELS}
    answered |= {("GET", f"{path}/{{id}}", Permission.INFER) for path in _MODELS}
    answered |= {("GET", path, Permission.PUBLIC) for path in ("/healthz", "/readyz")}
    answered.add(("GET", "/sandbox/meter", Permission.OPERATE))
    declared = {(route.method, route.path, route.permission) for route in ROUTES if route.plane is not Plane.ADMIN}
    if answered != declared:
        raise InternalError(f"routes without a declaration, or the reverse: {sorted(answered ^ declared)}")


def _is_anthropic(path: str, inbound: Inbound) -> bool:
    return path.startswith("/v1/messages") or b"anthropic-version" in inbound.found


def _presented(inbound: Inbound) -> bytes | None:
    """What is presented on a route that asks for nothing: there, what cannot be read is nothing."""
    try:
        return read_head(inbound.found).presented_key
    except HeadgateError:
        return None


def _forwarded(wire_format: WireFormat, inbound: Inbound) -> tuple[tuple[bytes, bytes], ...]:
    names, found = wire_format.forwarded_headers, inbound.found
    return tuple([(name, found[name]) for name in names if name in found]) if names else ()


def _by_deployment(path: bytes, ends: Mapping[bytes, WireFormat]) -> tuple[WireFormat | None, str | None]:
    """Azure's older form, ``/openai/deployments/{model}/chat/completions``; the model may hold slashes."""
    for end, wire_format in ends.items():
        if path.endswith(end) and len(path) > len(_DEPLOYMENTS) + len(end):
            return wire_format, unquote(path[len(_DEPLOYMENTS) : -len(end)].decode("ascii"))
    return None, None


def _is_json(content_type: bytes) -> bool:
    kind = content_type.partition(b";")[0].strip().lower()
    return kind == b"application/json" or kind.endswith(b"+json")


async def _decompressed(body: bytes, coding: bytes, limit: int) -> bytes:
    """Return the plain body.

    Raises:
        BodyTooLargeError: more than ``limit`` bytes.
        UnsupportedMediaTypeError: a coding other than gzip.
    """
    if coding == b"identity":
        return body
    if coding != b"gzip":
        raise UnsupportedMediaTypeError("The body may be compressed with gzip, and with nothing else.")
    if len(body) > _GZIP_OFF_LOOP_BYTES:
        return await asyncio.to_thread(_gunzip, body, limit)
    return _gunzip(body, limit)


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
