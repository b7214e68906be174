"""The usual messages and tools of OpenAI's chat format, read into the hub in one typed step each.

A message or tool with anything unusual (other parts than text, fields beyond these, wrong types) gives ``None``: then
`openai_chat_hub` reads it member by member, and keeps or refuses what it finds. Both ways lead to the same value.
"""

from typing import Final, Literal

import msgspec
from msgspec import Raw, Struct

from headgate.domain.chat import FunctionTool, Message, Part, Role, TextPart, ToolCallPart, ToolResultPart


class _Function(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    name: str
    arguments: str


class _Call(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    id: str
    type: Literal["function"]
    function: _Function


class _Text(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    type: Literal["text"]
    text: str


class _Message(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    role: Role
    content: str | list[_Text] | None = None
    tool_calls: list[_Call] | None = None
    tool_call_id: str | None = None


class _Definition(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    name: str
    description: str | None = None
    parameters: Raw = Raw(b"null")
    strict: bool | None = None


class _Tool(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    type: Literal["function"]
    function: _Definition


_MESSAGE: Final = msgspec.json.Decoder(_Message)
_TOOL: Final = msgspec.json.Decoder(_Tool)


def read_plain_message(raw: Raw) -> Message | None:
    """Return a message of text, tool calls or one tool's result; ``None`` for any other."""
    try:
        message = _MESSAGE.decode(raw)
    except (ValueError, RecursionError):
        return None
    role, content = message.role, message.content
    texts: tuple[TextPart, ...] = ()
    if type(content) is str:
        texts = (TextPart(content),)
    elif content:
        assert not isinstance(content, str)
        texts = tuple([TextPart(part.text) for part in content])
    if role is Role.TOOL:
        if message.tool_call_id is None or message.tool_calls is not None:
            return None
        return Message(role, (ToolResultPart(message.tool_call_id, texts),))
    if message.tool_call_id is not None:
        return None
    if message.tool_calls is None:
        return Message(role, texts)
    if role is not Role.ASSISTANT:
        return None
    parts: list[Part] = [*texts]
    parts += [ToolCallPart(call.id, call.function.name, call.function.arguments) for call in message.tool_calls]
    return Message(role, tuple(parts))


def read_plain_tool(raw: Raw) -> FunctionTool | None:
    """Return a function with no more than OpenAI describes; ``None`` for any other tool."""
    try:
        inner = _TOOL.decode(raw).function
    except (ValueError, RecursionError):
        return None
    schema = inner.parameters
    return FunctionTool(
        inner.name,
        inner.description,
        None if len(schema) == 4 and bytes(schema) == b"null" else schema,
        inner.strict,
    )
