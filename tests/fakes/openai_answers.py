"""Deterministic answers in OpenAI's words: the same request always gets the same bytes.

Tokens are counted in a way a test can redo in its head: one input token a word of text, one output token a piece of
text or of tool arguments.
"""

import base64
import json
import struct
from typing import Any, NamedTuple

CREATED = 1_764_000_000
WORDS = ("The", " sluice", " is", " open", ":", " Grüße", " aus", " Köln", ", 世界", " 🌊", " flows", " on", ".")
"""The default answer; its multi-byte pieces let a stream be cut inside a character."""


class Made(NamedTuple):
    """An honest answer in both shapes."""

    whole: bytes
    events: list[bytes]
    """Server-sent events, each with its blank line, ``[DONE]`` not included."""
    input_tokens: int
    output_tokens: int


def chat(body: dict[str, Any]) -> Made:
    """Answer a valid chat request."""
    message, finish = _message(body)
    pieces = _pieces(message)
    usage = _usage(_input_tokens(body), len(pieces), body["model"])
    count = body.get("n") or 1
    whole = {
        "id": "chatcmpl-fake1",
        "object": "chat.completion",
        "created": CREATED,
        "model": _snapshot(body["model"]),
        "choices": [
            {"index": index, "message": message, "logprobs": None, "finish_reason": finish} for index in range(count)
        ],
        "usage": usage,
        "service_tier": "default",
        "system_fingerprint": "fp_fake",
    }
    return Made(
        json.dumps(whole, indent=2, ensure_ascii=False).encode(),
        _events(body, pieces, finish, usage),
        usage["prompt_tokens"],
        usage["completion_tokens"],
    )


def embeddings(body: dict[str, Any]) -> Made:
    """Answer a valid embeddings request; every vector is a plain function of its text."""
    inputs = body["input"]
    if not isinstance(inputs, list) or not isinstance(inputs[0], (str, list)):
        inputs = [inputs]
    size = body.get("dimensions") or 8
    data = []
    for index, text in enumerate(inputs):
        vector = [((len(text) + place) % 7) / 8 for place in range(size)]
        packed = base64.b64encode(struct.pack(f"<{size}f", *vector)).decode()
        coded = packed if body.get("encoding_format") == "base64" else vector
        data.append({"object": "embedding", "index": index, "embedding": coded})
    tokens = sum(len(text.split()) if isinstance(text, str) else len(text) for text in inputs)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    whole = {"object": "list", "data": data, "model": body["model"], "usage": usage}
    return Made(json.dumps(whole, indent=2).encode(), [], tokens, 0)


def _snapshot(model: str) -> str:
    return f"{model}-2026-08-01" if not model.startswith("fault-") else model


def _message(body: dict[str, Any]) -> tuple[dict[str, Any], str]:
    last = body["messages"][-1]
    text = _text(last)
    if body.get("tools") and last["role"] != "tool" and body.get("tool_choice") != "none":
        names = [tool["function"]["name"] for tool in body["tools"]]
        wanted = names if "parallel" in text else names[:1]
        calls = [
            {
                "id": f"call_{index}",
                "type": "function",
                "function": {
                    "name": name,
                    "arguments": json.dumps({"place": "Köln", "call": index}, ensure_ascii=False),
                },
            }
            for index, name in enumerate(wanted)
        ]
        return {
            "role": "assistant",
            "content": None,
            "tool_calls": calls,
            "refusal": None,
            "annotations": [],
        }, "tool_calls"
    answer = "".join(WORDS)
    response_format = body.get("response_format") or {}
    if response_format.get("type") == "json_schema":
        answer = json.dumps(_example(response_format["json_schema"]["schema"]))
    images = _images(body)
    if images:
        answer = f"I see {images} image{'s' if images > 1 else ''}."
    return {"role": "assistant", "content": answer, "refusal": None, "annotations": []}, "stop"


def _text(message: dict[str, Any]) -> str:
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return " ".join(part.get("text", "") for part in content)


def _images(body: dict[str, Any]) -> int:
    parts = [
        part for message in body["messages"] if isinstance(message.get("content"), list) for part in message["content"]
    ]
    return sum(part.get("type") == "image_url" for part in parts)


def _input_tokens(body: dict[str, Any]) -> int:
    return sum(len(_text(message).split()) for message in body["messages"]) + 10 * _images(body)


def _example(schema: dict[str, Any]) -> Any:
    """The smallest value that fits a schema of the kind the SDK draws from a model."""
    if "$ref" in schema or "anyOf" in schema:
        return None
    kind = schema.get("type")
    if kind == "object":
        return {name: _example(part) for name, part in schema.get("properties", {}).items()}
    if kind == "array":
        return [_example(schema["items"])]
    if "enum" in schema:
        return schema["enum"][0]
    return {"string": "Köln", "integer": 7, "number": 0.5, "boolean": True}.get(str(kind))


def _pieces(message: dict[str, Any]) -> list[dict[str, Any]]:
    """The deltas that make up a message."""
    calls = message.get("tool_calls")
    if not calls:
        content = message["content"]
        words = list(WORDS) if content == "".join(WORDS) else [content[at : at + 6] for at in range(0, len(content), 6)]
        return [{"content": word} for word in words]
    deltas: list[dict[str, Any]] = []
    for index, call in enumerate(calls):
        opening = {"name": call["function"]["name"], "arguments": ""}
        deltas.append({"tool_calls": [{"index": index, "id": call["id"], "type": "function", "function": opening}]})
        arguments = call["function"]["arguments"]
        parts = [arguments[at : at + 5] for at in range(0, len(arguments), 5)]
        deltas += [{"tool_calls": [{"index": index, "function": {"arguments": part}}]} for part in parts]
    return deltas


def _usage(input_tokens: int, output_tokens: int, model: str) -> dict[str, Any]:
    return {
        "prompt_tokens": input_tokens,
        "completion_tokens": output_tokens,
        "total_tokens": input_tokens + output_tokens,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 2 if model.startswith("o3") else 0, "audio_tokens": 0},
    }


def _events(body: dict[str, Any], pieces: list[dict[str, Any]], finish: str, usage: dict[str, Any]) -> list[bytes]:
    wants_usage = (body.get("stream_options") or {}).get("include_usage") is True
    deltas: list[tuple[dict[str, Any], str | None]] = [({"role": "assistant", "content": "", "refusal": None}, None)]
    deltas += [(piece, None) for piece in pieces]
    deltas.append(({}, finish))
    events = []
    for delta, reason in deltas:
        chunk = _chunk(body, [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}])
        events.append(chunk | {"usage": None} if wants_usage else chunk)
    if wants_usage:
        events.append(_chunk(body, []) | {"usage": usage})
    return [event(chunk) for chunk in events]


def _chunk(body: dict[str, Any], choices: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": "chatcmpl-fake1",
        "object": "chat.completion.chunk",
        "created": CREATED,
        "model": _snapshot(body["model"]),
        "service_tier": "default",
        "system_fingerprint": "fp_fake",
        "choices": choices,
    }


def event(data: object) -> bytes:
    """One server-sent event, as compact as OpenAI writes it."""
    return b"data: " + json.dumps(data, separators=(",", ":"), ensure_ascii=False).encode() + b"\n\n"
