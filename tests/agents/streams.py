"""Streams as an agent reads them: events one by one from a socket, and an answer put together from them."""

import http.client
import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple


class Listened(NamedTuple):
    """A stream as far as it was read."""

    status: int
    headers: dict[str, str]
    events: list[dict[str, Any]]
    body: bytes
    """Of an answer that is no stream."""


def listen(
    port: int, path: str, body: object, headers: Mapping[str, str], *, stop_after: int | None = None
) -> Listened:
    """Send a request and read its stream, to the end or until ``stop_after`` events; then the connection closes."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("POST", path, json.dumps(body), {"content-type": "application/json", **headers})
        answer = connection.getresponse()
        fields = {name.lower(): value for name, value in answer.getheaders()}
        if answer.status != 200 or "text/event-stream" not in fields["content-type"]:
            return Listened(answer.status, fields, [], answer.read())
        events: list[dict[str, Any]] = []
        for event in _events(answer):
            events.append(event)
            if len(events) == stop_after:
                break
        return Listened(answer.status, fields, events, b"")
    finally:
        connection.close()


def _events(answer: http.client.HTTPResponse) -> Iterator[dict[str, Any]]:
    while line := answer.readline():
        if line.startswith(b"data: ") and line.strip() != b"data: [DONE]":
            yield json.loads(line[6:])


def anthropic_message(events: list[dict[str, Any]]) -> dict[str, Any]:
    """The message that a stream of Anthropic's adds up to."""
    assert events[0]["type"] == "message_start", events[:1]
    assert events[-1]["type"] == "message_stop", events[-1:]
    message: dict[str, Any] = events[0]["message"]
    for event in events:
        match event["type"]:
            case "content_block_start":
                message["content"].append(dict(event["content_block"]))
            case "content_block_delta":
                _add_delta(message["content"][event["index"]], event["delta"])
            case "message_delta":
                message |= event["delta"]
                message["usage"] |= event["usage"]
            case "error":
                raise AssertionError(event)
            case _:
                pass
    for block in message["content"]:
        if block["type"] == "tool_use":
            block["input"] = json.loads(block.pop("json", "") or "{}")
    return message


def _add_delta(block: dict[str, Any], delta: dict[str, Any]) -> None:
    match delta["type"]:
        case "input_json_delta":
            block["json"] = block.get("json", "") + delta["partial_json"]
        case "text_delta":
            block["text"] += delta["text"]
        case "thinking_delta":
            block["thinking"] += delta["thinking"]
        case "signature_delta":
            block["signature"] = delta["signature"]
        case kind:
            raise AssertionError(f"a delta of kind {kind}")


def openai_message(events: list[dict[str, Any]]) -> tuple[dict[str, Any], str, dict[str, Any]]:
    """The message that a stream of OpenAI's adds up to, its finish reason and its usage."""
    message: dict[str, Any] = {"role": "assistant", "content": None}
    calls: dict[int, dict[str, Any]] = {}
    finish, usage = "", {}
    for event in events:
        assert "error" not in event, event
        usage = event.get("usage") or usage
        for choice in event["choices"]:
            finish = choice["finish_reason"] or finish
            delta = choice["delta"]
            if delta.get("content"):
                message["content"] = (message["content"] or "") + delta["content"]
            if delta.get("reasoning_details"):
                message.setdefault("reasoning_details", []).extend(delta["reasoning_details"])
            for piece in delta.get("tool_calls") or ():
                call = calls.setdefault(piece["index"], {"type": "function", "function": {"name": "", "arguments": ""}})
                call["id"] = piece.get("id") or call["id"]
                call["function"]["name"] += piece["function"].get("name") or ""
                call["function"]["arguments"] += piece["function"].get("arguments") or ""
    if calls:
        message["tool_calls"] = [calls[index] for index in sorted(calls)]
    return message, finish, usage
