"""Errors in dialects whose routes are not built yet."""

import json

from headgate.domain.errors import NotFoundError
from headgate.server.foreign import foreign_renderer


def test_googles_callers_read_googles_shape() -> None:
    render = foreign_renderer("/v1beta/models/gemini-2.5-pro:generateContent")
    assert render is not None
    error = json.loads(render(NotFoundError("no such route"), "req_1"))["error"]
    assert (error["code"], error["status"], error["message"]) == (404, "NOT_FOUND", "no such route")


def test_everybody_else_reads_a_wire_formats_own() -> None:
    assert foreign_renderer("/v1/nothing") is None
    assert foreign_renderer("/v1/messages") is None
