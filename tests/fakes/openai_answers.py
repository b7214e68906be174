"""Deterministic answers in OpenAI's words: the same request always gets the same bytes.

Tokens are counted in a way a test can redo in its head: one input token a word of text, one output token a piece of
text or of tool arguments.
"""

import base64
import json
import struct
from typing import Any, NamedTuple

from tests.fakes import examples

CREATED = 1_764_000_000
WORDS = ("The", " sluice", " is", " open", ":", " Grüße", " aus", " Köln", ", 世界", " 🌊", " flows", " on", ".")
"""The default answer; its multi-byte pieces let a stream be cut inside a character."""
REFUSAL = "This request was declined."


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
    usage = _usage(body, len(pieces))
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
    """The assistant's message and its finish reason."""
    blank = {"role": "assistant", "content": None, "refusal": None, "annotations": []}
    text = _text(_last(body))
    if "refuse" in text:
        return blank | {"refusal": REFUSAL}, "stop"
    calls = _calls(body, text)
    if calls:
        # The reason is "stop" where the caller named the function ("The chat completion object", finish_reason).
        forced = isinstance(body.get("tool_choice"), dict)
        return blank | {"tool_calls": calls}, "stop" if forced else "tool_calls"
    stops = body.get("stop") or []
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    pieces, _, cut = examples.cut_text(_words(body), [stops] if isinstance(stops, str) else stops, limit)
    return blank | {"content": "".join(pieces)}, "length" if cut else "stop"


def _last(body: dict[str, Any]) -> dict[str, Any]:
    """The last message that is no instruction."""
    spoken = [message for message in body["messages"] if message["role"] not in ("system", "developer")]
    return spoken[-1] if spoken else body["messages"][-1]


def _words(body: dict[str, Any]) -> list[str]:
    """The pieces of an answer of text."""
    response_format = body.get("response_format") or {}
    if response_format.get("type") == "json_schema":
        return examples.chop(json.dumps(examples.example(response_format["json_schema"]["schema"])), 6)
    images = _images(body)
    if images:
        return examples.chop(f"I see {images} image{'s' if images > 1 else ''}.", 6)
    return list(WORDS)


def _calls(body: dict[str, Any], text: str) -> list[dict[str, Any]]:
    tools = {tool["function"]["name"]: tool["function"] for tool in body.get("tools") or ()}
    choice = body.get("tool_choice")
    if not tools or choice == "none":
        return []
    chosen = examples.wanted_tools(
        text,
        list(tools),
        after_result=_last(body)["role"] == "tool" and choice in (None, "auto"),
        forced=choice["function"]["name"] if isinstance(choice, dict) else None,
        single=body.get("parallel_tool_calls") is False,
    )
    earlier = sum(len(message.get("tool_calls") or ()) for message in body["messages"])
    return [
        {
            "id": f"call_{earlier + index}",
            "type": "function",
            "function": {
                "name": name,
                "arguments": json.dumps(
                    examples.arguments(tools[name].get("parameters", {}), index), ensure_ascii=False
                ),
            },
        }
        for index, name in enumerate(chosen)
    ]


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


def _pieces(message: dict[str, Any]) -> list[dict[str, Any]]:
    """The deltas that make up a message."""
    if message["refusal"]:
        return [{"refusal": piece} for piece in examples.chop(message["refusal"], 6)]
    calls = message.get("tool_calls")
    if not calls:
        content, pieces = message["content"], list(WORDS)
        while pieces and "".join(pieces) != content:
            pieces.pop()
        return [{"content": piece} for piece in pieces or examples.chop(content, 6)]
    deltas: list[dict[str, Any]] = []
    for index, call in enumerate(calls):
        opening = {"name": call["function"]["name"], "arguments": ""}
        deltas.append({"tool_calls": [{"index": index, "id": call["id"], "type": "function", "function": opening}]})
        arguments = call["function"]["arguments"]
        parts = [arguments[at : at + 5] for at in range(0, len(arguments), 5)]
        deltas += [{"tool_calls": [{"index": index, "function": {"arguments": part}}]} for part in parts]
    return deltas


def _usage(body: dict[str, Any], output_tokens: int) -> dict[str, Any]:
    """Usage in which every message but the last has been sent before: OpenAI caches prefixes from 1024 tokens on."""
    input_tokens = _input_tokens(body)
    before = _input_tokens(body | {"messages": body["messages"][:-1]})
    cached = before // 128 * 128 if before >= 1024 else 0
    thinks = body["model"].startswith("o3")
    if body.get("reasoning_effort") not in (None, "none"):
        # Tokens of reasoning are part of the completion's.
        thinks, output_tokens = True, output_tokens + 2
    return {
        "prompt_tokens": input_tokens,
        "completion_tokens": output_tokens,
        "total_tokens": input_tokens + output_tokens,
        "prompt_tokens_details": {"cached_tokens": cached, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 2 if thinks else 0, "audio_tokens": 0},
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
