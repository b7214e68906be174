"""A client as lean as it can be: one request, and what of its answer a proof needs."""

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import aiohttp

CHAT = "/v1/chat/completions"
MESSAGES = "/v1/messages"
_TIMEOUT = aiohttp.ClientTimeout(total=60)


class Reply(NamedTuple):
    """What came back."""

    status: int
    """0 where the connection broke before a head arrived."""
    code: str | None
    """Our own code of an error, in the answer or in the event that ended a stream."""
    request_id: str | None = None
    is_whole: bool = False
    """All of the answer arrived; false where the client left, or the connection broke."""
    has_cost: bool = False
    detail: Mapping[str, Any] = MappingProxyType({})
    """``error.headgate`` of an error, and its ``retry-after``."""


def open_session() -> aiohttp.ClientSession:
    """A session without limits of its own."""
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=_TIMEOUT)


async def ask(
    session: aiohttp.ClientSession,
    url: str,
    key: str,
    body: object,
    *,
    leave_after: int | None = None,
    headers: Mapping[str, str] | None = None,
) -> Reply:
    """Send ``body`` and read the answer, of a stream only ``leave_after`` lines where that is given."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    fields = {"authorization": f"Bearer {key}", "content-type": "application/json", **(headers or {})}
    reply = Reply(0, "connection")
    try:
        async with session.post(url, data=data, headers=fields) as answer:
            has_cost = "x-headgate-cost-usd" in answer.headers
            reply = Reply(answer.status, "connection", answer.headers.get("x-request-id"), has_cost=has_cost)
            if leave_after is not None and answer.status == 200:
                for _ in range(leave_after):
                    if not await answer.content.readline():
                        return reply._replace(code=None, is_whole=True)
                answer.close()
                return reply._replace(code="left")
            text = await answer.read()
            code, detail = _error(text, answer.headers.get("content-type", ""))
            if "retry-after" in answer.headers:
                detail = {**detail, "retry_after": answer.headers["retry-after"]}
            return reply._replace(code=code, is_whole=True, detail=detail)
    except (aiohttp.ClientError, TimeoutError, ConnectionError):
        return reply


def _error(text: bytes, content_type: str) -> tuple[str | None, dict[str, Any]]:
    """Return the code of an error in either dialect and what we say of it, in an answer or in a stream's last event."""
    if b'"error"' not in text:
        return None, {}
    if content_type.startswith("text/event-stream"):
        lines = [line.removeprefix(b"data: ") for line in text.splitlines() if line.startswith(b'data: {"')]
        text = lines[-1] if lines else b"{}"
    value: Any = json.loads(text)
    error = value.get("error") if isinstance(value, dict) else None
    if not isinstance(error, dict):
        return None, {}
    detail = error.get("headgate") or {}
    return detail.get("code") or error.get("code") or error.get("type"), detail


def words(count: int) -> str:
    """``count`` words, each of them one token by the sandbox's rule and by OpenAI's, alone or behind a blank."""
    return " ".join(_WORDS[place % len(_WORDS)] for place in range(count))


_WORDS = (
    "water",
    "the",
    "and",
    "open",
    "flows",
    "on",
    "gate",
    "field",
    "time",
    "word",
    "tree",
    "river",
    "light",
    "stone",
)


def chat(model: str, prompt: str, **members: Any) -> dict[str, Any]:
    """A chat request of one message, in OpenAI's dialect and in Anthropic's."""
    return {"model": model, "messages": [{"role": "user", "content": prompt}], **members}
