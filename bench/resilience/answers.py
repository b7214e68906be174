"""What the provider of these proofs answers: text that follows from the request's name, so that no byte can hide.

``user`` names the request and scripts the answer: ``NAME|PIECES|PACE_MS``.
"""

import json
from collections.abc import Iterator
from hashlib import sha256
from typing import Any, NamedTuple

MODEL = "gpt-4o"
_TOP = {"id": "chatcmpl-proof", "created": 1_764_000_000, "model": MODEL}
DONE = b"data: [DONE]\n\n"


class Script(NamedTuple):
    """One request, as its ``user`` says it."""

    name: str
    pieces: int = 16
    pace_ms: int = 0
    """Between two pieces of a stream."""

    @property
    def user(self) -> str:
        return f"{self.name}|{self.pieces}|{self.pace_ms}"

    @property
    def text(self) -> str:
        return "".join(pieces_of(self))


def script_of(user: str) -> Script:
    name, pieces, pace_ms = user.split("|")
    return Script(name, int(pieces), int(pace_ms))


def pieces_of(script: Script) -> Iterator[str]:
    """The pieces of the answer, no two alike."""
    for place in range(script.pieces):
        yield f" {sha256(f'{script.name}.{place}'.encode()).hexdigest()[:8]}"


def whole(script: Script) -> bytes:
    """The answer as one body."""
    message = {"role": "assistant", "content": script.text}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    return json.dumps({**_TOP, "object": "chat.completion", "choices": [choice], "usage": _usage(script)}).encode()


def opening() -> bytes:
    """The event before any content."""
    return _chunk({"role": "assistant", "content": ""})


def content(piece: str) -> bytes:
    """The event of one piece."""
    return _chunk({"content": piece})


def ending(script: Script) -> bytes:
    """The events behind the last piece."""
    last = {**_TOP, "object": "chat.completion.chunk", "choices": [], "usage": _usage(script)}
    return _chunk({}, "stop") + _event(last) + DONE


def _usage(script: Script) -> dict[str, int]:
    return {"prompt_tokens": 3, "completion_tokens": script.pieces, "total_tokens": 3 + script.pieces}


def _chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
    return _event({**_TOP, "object": "chat.completion.chunk", "choices": [choice]})


def _event(value: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"
