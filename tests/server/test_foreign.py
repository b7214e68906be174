"""Errors in dialects whose routes are not built yet."""

import json
from typing import Any

import pytest

from headgate.domain.errors import NotFoundError
from headgate.server.foreign import foreign_renderer

VERSION = [(b"anthropic-version", b"2023-06-01")]


def rendered(path: str, headers: list[tuple[bytes, bytes]]) -> Any:
    render = foreign_renderer(path, headers)
    return json.loads(render(NotFoundError("no such route"), "req_1")) if render is not None else None


@pytest.mark.parametrize(
    ("path", "headers"), [("/v1/messages", []), ("/v1/messages/count_tokens", []), ("/x", VERSION)]
)
def test_anthropics_callers_read_anthropics_shape(path: str, headers: list[tuple[bytes, bytes]]) -> None:
    answer = rendered(path, headers)
    assert answer["type"] == "error"
    assert (answer["error"]["type"], answer["error"]["message"]) == ("not_found_error", "no such route")
    assert answer["request_id"] == "req_1"


def test_googles_callers_read_googles_shape() -> None:
    error = rendered("/v1beta/models/gemini-2.5-pro:generateContent", [])["error"]
    assert (error["code"], error["status"], error["message"]) == (404, "NOT_FOUND", "no such route")


def test_everybody_else_reads_openais() -> None:
    assert rendered("/v1/nothing", []) is None
