"""The usual messages and tools of Anthropic's format, read into the hub in one typed step each.

A message or tool with anything unusual (media, thinking, server tools, fields beyond these, wrong types) gives
``None``: then `anthropic_messages_hub` reads it member by member, and keeps or refuses what it finds. Both ways lead to
the same value.
"""

from typing import Final, Literal

import msgspec
from msgspec import Raw, Struct

from headgate.domain.chat import CacheHint, FunctionTool, Message, Part, Role, TextPart, ToolCallPart, ToolResultPart

_ROLES: Final = {"user": Role.USER, "assistant": Role.ASSISTANT, "system": Role.SYSTEM}
_FIVE_MINUTES: Final = CacheHint(300)
_HOUR: Final = CacheHint(3600)
_DEFAULT: Final = CacheHint()


class _Cache(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    type: Literal["ephemeral"]
    ttl: Literal["5m", "1h"] | None = None


class _Text(Struct, frozen=True, gc=False, tag="text", tag_field="type", forbid_unknown_fields=True):
    text: str
    cache_control: _Cache | None = None


class _ToolUse(Struct, frozen=True, gc=False, tag="tool_use", tag_field="type", forbid_unknown_fields=True):
    id: str
    name: str
    input: Raw
    cache_control: _Cache | None = None


class _ToolResult(Struct, frozen=True, gc=False, tag="tool_result", tag_field="type", forbid_unknown_fields=True):
    tool_use_id: str
    content: str | None = None
    is_error: bool | None = None
    cache_control: _Cache | None = None


class _Message(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    role: Literal["user", "assistant", "system"]
    content: str | list[_Text | _ToolUse | _ToolResult]


class _Tool(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    name: str
    input_schema: Raw
    description: str | None = None
    type: Literal["custom"] | None = None
    strict: bool | None = None
    cache_control: _Cache | None = None


_MESSAGE: Final = msgspec.json.Decoder(_Message)
_TOOL: Final = msgspec.json.Decoder(_Tool)
_TEXTS: Final = msgspec.json.Decoder(list[_Text])


def read_plain_message(raw: Raw) -> Message | None:
    """Return a message of text, tool calls and results of text; ``None`` for any other."""
    try:
        message = _MESSAGE.decode(raw)
    except (ValueError, RecursionError):
        return None
    role, content = _ROLES[message.role], message.content
    if isinstance(content, str):
        return Message(role, (TextPart(content),))
    parts: list[Part] = []
    for block in content:
        cache = _read_cache(block.cache_control)
        if type(block) is _Text:
            parts.append(TextPart(block.text, cache))
        elif type(block) is _ToolUse:
            try:
                arguments = _arguments(block.input)
            except UnicodeDecodeError:
                return None
            parts.append(ToolCallPart(block.id, block.name, arguments, cache=cache))
        else:
            assert isinstance(block, _ToolResult)
            result = () if block.content is None else (TextPart(block.content),)
            parts.append(ToolResultPart(block.tool_use_id, result, block.is_error or False, cache))
    return Message(role, tuple(parts))


def read_plain_texts(raw: Raw) -> list[Part] | None:
    """Return a list of text blocks, as ``system`` is one; ``None`` for any other value."""
    try:
        blocks = _TEXTS.decode(raw)
    except (ValueError, RecursionError):
        return None
    return [TextPart(block.text, _read_cache(block.cache_control)) for block in blocks]


def _arguments(given: Raw) -> str:
    return "{}" if len(given) == 4 and bytes(given) == b"null" else bytes(given).decode()


def _read_cache(cache: _Cache | None) -> CacheHint | None:
    if cache is None:
        return None
    if cache.ttl is None:
        return _DEFAULT
    return _HOUR if cache.ttl == "1h" else _FIVE_MINUTES


def read_plain_tool(raw: Raw) -> FunctionTool | None:
    """Return a client's tool with no more than its description; ``None`` for any other tool."""
    try:
        tool = _TOOL.decode(raw)
    except (ValueError, RecursionError):
        return None
    if len(tool.input_schema) == 4 and bytes(tool.input_schema) == b"null":
        return None
    return FunctionTool(tool.name, tool.description, tool.input_schema, tool.strict, _read_cache(tool.cache_control))
