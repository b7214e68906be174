"""What the sandbox answers: a request body and a script in, an answer's events out. No I/O, no clock, no asyncio.

It speaks OpenAI's chat completions and embeddings and refuses what the real API refuses, in the real API's words.
"""

import array
import base64
import hashlib
import math
import sys
from collections.abc import Iterator
from typing import Any, Final, cast

import msgspec
from msgspec import Struct

from headgate.providers.sandbox_schema import dig, smallest_instance
from headgate.providers.sandbox_script import Script, count, count_message, parse_script, pieces, text_of

MAX_CHOICES: Final = 8
DONE: Final = b"data: [DONE]\n\n"
_LOREM: Final = ("lorem", "ipsum", "dolor", "sit", "amet", "nullam", "elit", "sed", "do", "magna", "tempor", "ut")
_ROLES: Final = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
_THOUGHT: Final = "The caller wants an answer. I will repeat what was said."
_HTML: Final = b"<html><body><h1>502 Bad Gateway</h1></body></html>"


class ApiError(Exception):
    """An answer that is an error object of OpenAI's API."""

    def __init__(self, status: int, message: str, param: str | None = None, code: str | None = None) -> None:
        """Hold the status and the members of the error object."""
        super().__init__(message)
        self.status = status
        kind = {429: "rate_limit_error", 401: "authentication_error"}.get(status, "invalid_request_error")
        self.body = msgspec.json.encode(
            {
                "error": {
                    "message": message,
                    "type": "server_error" if status >= 500 else kind,
                    "param": param,
                    "code": code,
                }
            }
        )


class Event(Struct, frozen=True):
    """A piece of an answer that is sent at once."""

    data: bytes
    output_tokens: int = 0
    """Tokens of content that it carries."""


class Reply(Struct, frozen=True):
    """An answer that has not been produced yet."""

    script: Script
    input_tokens: int
    stream: bool
    events: Iterator[Event]
    """Lazy: nothing is produced that is not taken. A whole answer is one event at the end of its tokens' events."""


class _Item(Struct, frozen=True):
    """One token on its way: which member of the delta it belongs to."""

    kind: str
    """``content``, ``reasoning_content``, ``call`` (opens a tool call) or ``arguments``."""
    text: str
    call: int = 0


class _Chat(Struct, frozen=True):
    """A chat request, checked."""

    id: str
    created: int
    model: str
    script: Script
    items: tuple[_Item, ...]
    finish_reason: str
    choices: int
    input_tokens: int
    include_usage: bool

    @property
    def tool_calls(self) -> int:
        """How many tool calls the items open."""
        return sum(1 for item in self.items if item.kind == "call")


def reply_to(path: str, body: bytes, serial: int, created: int) -> Reply:
    """Return the answer to a request.

    Args:
        path: The request's path; its end says which endpoint is meant.
        body: The request's body.
        serial: A number that makes the answer's id.
        created: Seconds since the epoch, for the answer's ``created``.

    Raises:
        ApiError: the real API would refuse this.
    """
    fields = _decode(body)
    model = fields.get("model")
    if not isinstance(model, str) or not model:
        raise ApiError(400, "you must provide a model parameter")
    script = parse_script(model)
    endpoint = path.partition("?")[0].rpartition("/")[2]
    if script is None or (script.answer == "embed") != (endpoint == "embeddings"):
        raise ApiError(
            404, f"The model `{model}` does not exist or you do not have access to it.", code="model_not_found"
        )
    if endpoint == "embeddings":
        return _embeddings(fields, script)
    if endpoint != "completions":
        raise ApiError(404, f"Invalid URL (POST {path})")
    stream = _boolean(fields, "stream")
    chat = _read_chat(fields, script, serial, created=created, stream=stream)
    events = _stream_events(chat) if stream else _whole_events(chat)
    return Reply(script=script, input_tokens=chat.input_tokens, stream=stream, events=events)


def _decode(body: bytes) -> dict[str, Any]:
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise ApiError(400, "We could not parse the JSON body of your request.") from None
    if not isinstance(value, dict):
        raise ApiError(400, "The body of your request must be a JSON object.")
    return cast(dict[str, Any], value)


def _read_chat(fields: dict[str, Any], script: Script, serial: int, *, created: int, stream: bool) -> _Chat:
    messages = _messages(fields)
    tools = _tools(fields)
    limit = _max_tokens(fields)
    options = fields.get("stream_options")
    if options is not None and not stream:
        raise ApiError(
            400, "The 'stream_options' parameter is only allowed when 'stream' is enabled.", "stream_options"
        )
    items, finish_reason = _items(script, fields, messages, tools)
    if limit is not None and len(items) > limit:
        items, finish_reason = items[:limit], "length"
    input_tokens = sum(count_message(message) for message in messages)
    input_tokens += sum(count(msgspec.json.encode(tool).decode()) for tool in tools)
    return _Chat(
        id=f"chatcmpl-sandbox-{serial}",
        created=created,
        model=fields["model"],
        script=script,
        items=tuple(items),
        finish_reason=finish_reason,
        choices=_whole_number(fields, "n", 1, MAX_CHOICES) or 1,
        input_tokens=input_tokens,
        include_usage=isinstance(options, dict) and cast(dict[str, Any], options).get("include_usage") is True,
    )


def _messages(fields: dict[str, Any]) -> list[dict[str, Any]]:
    messages = fields.get("messages")
    if messages is None:
        raise ApiError(400, "Missing required parameter: 'messages'.", "messages", "missing_required_parameter")
    if not isinstance(messages, list):
        raise ApiError(400, "Invalid type for 'messages': expected an array of objects.", "messages", "invalid_type")
    if not messages:
        raise ApiError(
            400, "Invalid 'messages': empty array. Expected an array with minimum length 1.", "messages", "empty_array"
        )
    for index, message in enumerate(cast(list[Any], messages)):
        param = f"messages[{index}]"
        if not isinstance(message, dict):
            raise ApiError(400, f"Invalid type for '{param}': expected an object.", param, "invalid_type")
        role = cast(dict[str, Any], message).get("role")
        if role is None:
            param += ".role"
            raise ApiError(400, f"Missing required parameter: '{param}'.", param, "missing_required_parameter")
        if role not in _ROLES:
            raise ApiError(400, f"Invalid value: '{role}'.", f"{param}.role", "invalid_value")
    return cast(list[dict[str, Any]], messages)


def _tools(fields: dict[str, Any]) -> list[dict[str, Any]]:
    tools = fields.get("tools")
    if tools is None:
        return []
    if not isinstance(tools, list) or not tools:
        raise ApiError(400, "Invalid 'tools': expected a non-empty array.", "tools", "invalid_type")
    for index, tool in enumerate(cast(list[Any], tools)):
        if not isinstance(dig(tool, "function", "name"), str):
            param = f"tools[{index}].function"
            raise ApiError(400, f"Missing required parameter: '{param}'.", param, "missing_required_parameter")
    return cast(list[dict[str, Any]], tools)


def _max_tokens(fields: dict[str, Any]) -> int | None:
    new = _whole_number(fields, "max_completion_tokens", 1, sys.maxsize)
    return new if new is not None else _whole_number(fields, "max_tokens", 1, sys.maxsize)


def _whole_number(fields: dict[str, Any], name: str, lowest: int, highest: int) -> int | None:
    value = fields.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool):
        raise ApiError(400, f"Invalid type for '{name}': expected an integer.", name, "invalid_type")
    if value < lowest:
        raise ApiError(
            400, f"Invalid '{name}': integer below minimum value. Expected a value >= {lowest}.", name,
            "integer_below_min_value",
        )  # fmt: skip
    if value > highest:
        raise ApiError(
            400, f"Invalid '{name}': integer above maximum value. Expected a value <= {highest}.", name,
            "integer_above_max_value",
        )  # fmt: skip
    return value


def _boolean(fields: dict[str, Any], name: str) -> bool:
    value = fields.get(name)
    if value is not None and not isinstance(value, bool):
        raise ApiError(400, f"Invalid type for '{name}': expected a boolean.", name, "invalid_type")
    return bool(value)


def _items(
    script: Script, fields: dict[str, Any], messages: list[dict[str, Any]], tools: list[dict[str, Any]]
) -> tuple[list[_Item], str]:
    """Return the tokens of the answer and why it ends."""
    said = next((text_of(message.get("content")) for message in reversed(messages) if message["role"] == "user"), "")
    if script.answer == "lorem":
        words = (_LOREM[index % len(_LOREM)] for index in range(script.amount))
        return [_Item("content", word if index == 0 else " " + word) for index, word in enumerate(words)], "stop"
    if script.answer == "json":
        return _content(msgspec.json.encode(_json_answer(fields, said)).decode()), "stop"
    if script.answer == "thinking":
        return [_Item("reasoning_content", piece) for piece in pieces(_THOUGHT)] + _content(said), "stop"
    if script.answer == "tool-call" and messages[-1]["role"] == "tool":
        return _content(f"The tool said: {text_of(messages[-1].get('content'))}"), "stop"
    if script.answer == "tool-call":
        return _tool_call_items(fields, tools), "tool_calls"
    return _content(said), "stop"


def _content(text: str) -> list[_Item]:
    return [_Item("content", piece) for piece in pieces(text)]


def _tool_call_items(fields: dict[str, Any], tools: list[dict[str, Any]]) -> list[_Item]:
    if not tools:
        raise ApiError(400, "The model `tool-call` needs a tool to call: give it 'tools'.", "tools")
    wanted = dig(fields.get("tool_choice"), "function", "name")
    chosen = [tool for tool in tools if wanted is None or dig(tool, "function", "name") == wanted]
    if not chosen:
        raise ApiError(400, "Invalid 'tool_choice': no such tool.", "tool_choice", "invalid_value")
    if fields.get("parallel_tool_calls") is not True:
        chosen = chosen[:1]
    items: list[_Item] = []
    for index, tool in enumerate(chosen):
        items.append(_Item("call", dig(tool, "function", "name"), index))
        arguments = msgspec.json.encode(smallest_instance(dig(tool, "function", "parameters"))).decode()
        items.extend(_Item("arguments", piece, index) for piece in pieces(arguments))
    return items


def _json_answer(fields: dict[str, Any], said: str) -> Any:
    schema = dig(fields.get("response_format"), "json_schema", "schema")
    return {"answer": said} if schema is None else smallest_instance(schema)


def _usage(chat: _Chat) -> dict[str, Any]:
    output = len(chat.items) * chat.choices
    reasoning = sum(item.kind == "reasoning_content" for item in chat.items) * chat.choices
    return {
        "prompt_tokens": chat.input_tokens,
        "completion_tokens": output,
        "total_tokens": chat.input_tokens + output,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": reasoning, "audio_tokens": 0},
    }


def _whole_events(chat: _Chat) -> Iterator[Event]:
    """Yield an empty event per token, so that pace and meter see it made, then the body."""
    for _ in range(chat.choices):
        for _ in chat.items:
            yield Event(b"", 1)
    if chat.script.malformed:
        yield Event(_HTML)
        return
    message = _message(chat)
    body: dict[str, Any] = {
        "id": chat.id,
        "object": "chat.completion",
        "created": chat.created,
        "model": chat.model,
        "choices": [
            {"index": index, "message": message, "logprobs": None, "finish_reason": chat.finish_reason}
            for index in range(chat.choices)
        ],
    }
    if chat.script.usage:
        body["usage"] = _usage(chat)
    yield Event(msgspec.json.encode(body))


def _message(chat: _Chat) -> dict[str, Any]:
    def joined(kind: str, call: int = 0) -> str:
        return "".join(item.text for item in chat.items if item.kind == kind and item.call == call)

    message: dict[str, Any] = {"role": "assistant", "content": joined("content"), "refusal": None}
    if chat.script.answer == "thinking":
        message["reasoning_content"] = joined("reasoning_content")
    if chat.tool_calls:
        message["content"] = None
        message["tool_calls"] = [
            {
                "id": _call_id(chat, index),
                "type": "function",
                "function": {"name": joined("call", index), "arguments": joined("arguments", index)},
            }
            for index in range(chat.tool_calls)
        ]
    return message


def _call_id(chat: _Chat, index: int) -> str:
    return f"call_{chat.id.rpartition('-')[2]}_{index}"


def _stream_events(chat: _Chat) -> Iterator[Event]:
    for index in range(chat.choices):
        yield Event(_chunk(chat, index, {"role": "assistant", "content": "", "refusal": None}))
    sent = 0
    for item in chat.items:
        for index in range(chat.choices):
            if chat.script.malformed and sent == 1:
                yield Event(_chunk(chat, index, _delta(chat, item))[:40] + b"\n\n")
                return
            yield Event(_chunk(chat, index, _delta(chat, item)), 1)
            sent += 1
    if chat.script.malformed:
        yield Event(b"data: {" + _HTML + b"\n\n")
        return
    for index in range(chat.choices):
        yield Event(_chunk(chat, index, {}, chat.finish_reason))
    if chat.include_usage and chat.script.usage:
        yield Event(_encode_chunk(chat, [], _usage(chat)))
    yield Event(DONE)


def _delta(chat: _Chat, item: _Item) -> dict[str, Any]:
    if item.kind == "call":
        function = {"name": item.text, "arguments": ""}
        call = {"index": item.call, "id": _call_id(chat, item.call), "type": "function", "function": function}
        return {"tool_calls": [call]}
    if item.kind == "arguments":
        return {"tool_calls": [{"index": item.call, "function": {"arguments": item.text}}]}
    return {item.kind: item.text}


def _chunk(chat: _Chat, index: int, delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
    choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    return _encode_chunk(chat, [choice], None)


def _encode_chunk(chat: _Chat, choices: list[dict[str, Any]], usage: dict[str, Any] | None) -> bytes:
    chunk: dict[str, Any] = {
        "id": chat.id,
        "object": "chat.completion.chunk",
        "created": chat.created,
        "model": chat.model,
        "choices": choices,
    }
    if chat.include_usage and chat.script.usage:
        chunk["usage"] = usage
    return b"data: " + msgspec.json.encode(chunk) + b"\n\n"


def _embeddings(fields: dict[str, Any], script: Script) -> Reply:
    inputs = _embedding_inputs(fields.get("input"))
    dimensions = _whole_number(fields, "dimensions", 1, script.amount) or script.amount
    encoding = fields.get("encoding_format", "float")
    if encoding not in ("float", "base64"):
        raise ApiError(400, f"Invalid value: '{encoding}'.", "encoding_format", "invalid_value")
    input_tokens = sum(count(text) if isinstance(text, str) else len(text) for text in inputs)
    usage = {"prompt_tokens": input_tokens, "total_tokens": input_tokens}
    outside: dict[str, Any] = {"object": "list", "model": fields["model"]} | ({"usage": usage} if script.usage else {})
    if script.malformed:
        events = iter((Event(_HTML),))
    else:
        events = _embedding_events(inputs, outside, dimensions, str(encoding))
    return Reply(script=script, input_tokens=input_tokens, stream=False, events=events)


def _embedding_events(
    inputs: list[str | list[int]], outside: dict[str, Any], dimensions: int, encoding: str
) -> Iterator[Event]:
    rows: list[dict[str, Any]] = []
    for index, text in enumerate(inputs):
        vector = embed(text if isinstance(text, str) else " ".join(map(str, text)), dimensions)
        value = base64.b64encode(_little_endian(vector)).decode() if encoding == "base64" else vector
        rows.append({"object": "embedding", "index": index, "embedding": value})
    yield Event(msgspec.json.encode({**outside, "data": rows}))


def _embedding_inputs(value: object) -> list[str | list[int]]:
    """Return the texts or token lists of ``input``, each of the four shapes the API takes as a list."""
    if isinstance(value, str) and value:
        return [value]
    if isinstance(value, list) and 0 < len(cast(list[Any], value)) <= 2048:
        members = cast(list[Any], value)
        if all(isinstance(member, str) and member for member in members):
            return cast(list[str | list[int]], members)
        if _is_token_list(members):
            return [cast(list[int], members)]
        if all(_is_token_list(member) for member in members):
            return cast(list[str | list[int]], members)
    raise ApiError(400, "'$.input' is invalid. Please check the API reference.", "input")


def _is_token_list(value: object) -> bool:
    members = cast(list[Any], value) if isinstance(value, list) else []
    return bool(members) and all(type(member) is int for member in members)


def embed(text: str, dimensions: int) -> list[float]:
    """Return a unit vector that depends on nothing but ``text``."""
    seed = hashlib.shake_256(text.encode("utf-8", "surrogatepass")).digest(2 * dimensions)
    raw = [int.from_bytes(seed[2 * index : 2 * index + 2]) / 32767.5 - 1 for index in range(dimensions)]
    length = math.sqrt(sum(value * value for value in raw)) or 1.0
    return [value / length for value in raw]


def _little_endian(vector: list[float]) -> bytes:
    packed = array.array("f", vector)
    if sys.byteorder == "big":
        packed.byteswap()
    return packed.tobytes()
