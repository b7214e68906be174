"""What Anthropic's Messages API demands of the turns of a conversation, and helpers that read them.

The sources are those of `anthropic_rules`.
"""

import base64
import binascii
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.fakes.anthropic_rules import Asked

MEDIA_TYPES = ("image/jpeg", "image/png", "image/gif", "image/webp")
_ROLES = ("user", "assistant", "system")
_BLOCKS = {
    "user": frozenset({"text", "image", "document", "search_result", "tool_result", "container_upload"}),
    "assistant": frozenset({"text", "tool_use", "thinking", "redacted_thinking", "document", "server_tool_use"}),
    "system": frozenset({"text"}),
}
_MEMBERS = {
    "text": frozenset({"type", "text", "cache_control", "citations"}),
    "tool_use": frozenset({"type", "id", "name", "input", "cache_control", "caller", "toolset_name"}),
    "tool_result": frozenset({"type", "tool_use_id", "content", "is_error", "cache_control"}),
    "thinking": frozenset({"type", "thinking", "signature"}),
    "image": frozenset({"type", "source", "cache_control", "transformations"}),
}


def blocks(message: dict[str, Any]) -> list[dict[str, Any]]:
    """The blocks of a turn; a string is one of text."""
    content = message["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def words(message: dict[str, Any]) -> str:
    """All text of a turn, that of tools' results included."""
    return " ".join(_text_of(block) for block in blocks(message))


def _text_of(block: dict[str, Any]) -> str:
    if block["type"] == "tool_result":
        content = block.get("content", "")
        return content if isinstance(content, str) else " ".join(_text_of(part) for part in content)
    return block.get("text", "")


def cache_marks(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every block or tool that carries ``cache_control``, in the order in which they make up the prompt."""
    yield from (tool for tool in body.get("tools", ()) if tool.get("cache_control"))
    if isinstance(body.get("system"), list):
        yield from (block for block in body["system"] if block.get("cache_control"))
    for message in body.get("messages", ()):
        yield from (block for block in blocks(message) if block.get("cache_control"))


def complaint(asked: "Asked") -> str | None:
    """The first thing that is wrong with the conversation."""
    messages = asked.body["messages"]
    if not messages:
        return "messages: at least one message is required"
    for index, message in enumerate(messages):
        found = _message(asked, message, f"messages.{index}")
        if found:
            return found
    if messages[0]["role"] != "user":
        return 'messages: first message must use the "user" role'
    if messages[-1]["role"] == "assistant":
        if not asked.model.prefill:
            return (
                "This model does not support assistant message prefill. The conversation must end with a user message."
            )
        if words(messages[-1]) != words(messages[-1]).rstrip():
            return "messages: final assistant content cannot end with trailing whitespace"
    return _system(asked) or _tool_turns(messages) or _thoughts_first(asked)


def _message(asked: "Asked", message: object, where: str) -> str | None:
    if not isinstance(message, dict) or not isinstance(message.get("content"), str | list):
        return f"{where}.content: Field required"
    role = message.get("role")
    if role not in _ROLES:
        return f"{where}.role: Input should be 'user', 'assistant' or 'system'"
    if role == "system" and not asked.model.later_system:
        return "role 'system' is not supported on this model"
    unknown = [name for name in message if name not in ("role", "content")]
    if unknown:
        return f"{where}.{unknown[0]}: Extra inputs are not permitted"
    if not message["content"] and message is not asked.body["messages"][-1]:
        return f"{where}: all messages must have non-empty content except for the optional final assistant message"
    for place, block in enumerate(message["content"] if isinstance(message["content"], list) else ()):
        found = _block(asked, block, role, f"{where}.content.{place}")
        if found:
            return found
    return None


def _block(asked: "Asked", block: dict[str, Any], role: str, where: str) -> str | None:
    kind = block.get("type")
    if not isinstance(kind, str) or kind not in _BLOCKS["user"] | _BLOCKS["assistant"]:
        return f"{where}: Input tag '{kind}' found using 'type' does not match any of the expected tags"
    if kind not in _BLOCKS[role] or (kind == "document" and role == "assistant" and asked.version != "2023-06-01"):
        return f"{where}: `{kind}` blocks are not allowed in `{role}` messages"
    unknown = [name for name in block if name not in _MEMBERS.get(kind, block.keys())]
    if unknown:
        return f"{where}.{kind}.{unknown[0]}: Extra inputs are not permitted"
    if kind == "text":
        if block.get("text") == "":
            return "messages: text content blocks must be non-empty"
        if role == "user" and block.get("citations") and asked.version != "2023-06-01":
            return f"{where}.text.citations: Extra inputs are not permitted"
    if kind == "image":
        return _image(block.get("source") or {}, where)
    if kind == "thinking" and not block.get("signature"):
        return f"{where}.thinking.signature: Field required"
    if kind == "thinking" and not block["signature"].startswith("sig-"):
        return f"{where}: Invalid `signature` in `thinking` block"
    if kind == "tool_use" and not isinstance(block.get("input"), dict):
        return f"{where}.tool_use.input: Input should be a valid dictionary"
    return None


def _image(source: dict[str, Any], where: str) -> str | None:
    if source.get("type") == "url":
        return None if source.get("url", "").startswith("https://") else "Only HTTPS URLs are supported."
    if source.get("type") != "base64":
        return f"{where}.image.source: Input tag '{source.get('type')}' found using 'type' does not match"
    if source.get("media_type") not in MEDIA_TYPES:
        expected = ", ".join(repr(kind) for kind in MEDIA_TYPES[:-1])
        return f"{where}.image.source.base64.media_type: Input should be {expected} or {MEDIA_TYPES[-1]!r}"
    try:
        base64.b64decode(source.get("data", ""), validate=True)
    except (binascii.Error, ValueError):
        return f"{where}.image.source.base64.data: invalid base64 data"
    return None


def _system(asked: "Asked") -> str | None:
    """Later system messages follow a turn of the user's, and end the request or precede the assistant's turn."""
    messages = asked.body["messages"]
    for index, message in enumerate(messages):
        if message["role"] == "system" and (index == 0 or messages[index - 1]["role"] != "user"):
            return f"messages.{index}: a `system` message must immediately follow a `user` message"
    for index, block in enumerate(asked.body["system"] if isinstance(asked.body.get("system"), list) else ()):
        if block.get("type") != "text":
            return f"system.{index}.type: Input should be 'text'"
        if block.get("text") == "":
            return "system: text content blocks must be non-empty"
    return None


def _thoughts_first(asked: "Asked") -> str | None:
    """While tools are at work, a turn of the assistant's that thinks by a budget begins with its thoughts."""
    turns = _joined(asked.body["messages"])
    if asked.body.get("thinking", {}).get("type") != "enabled" or len(turns) < 2:
        return None
    index, role, parts = turns[-2]
    at_work = any(part["type"] == "tool_result" for part in turns[-1][2])
    first = parts[0]["type"]
    if role != "assistant" or not at_work or first in ("thinking", "redacted_thinking"):
        return None
    return (
        f"messages.{index}.content.0.type: Expected `thinking` or `redacted_thinking`, but found `{first}`. When "
        "`thinking` is enabled, a final `assistant` message must start with a thinking block (preceeding the lastmost "
        "set of `tool_use` and `tool_result` blocks)."
    )


def _tool_turns(messages: list[dict[str, Any]]) -> str | None:
    """Each call is answered in the very next turn, results first; each result answers a call of the turn before."""
    joined = _joined(messages)
    calls = [part["id"] for _, _, parts in joined for part in parts if part["type"] == "tool_use"]
    if len(set(calls)) < len(calls):
        return "messages: `tool_use` ids must be unique"
    open_ids: list[str] = []
    caller = 0
    for index, role, parts in joined:
        answered = [part["tool_use_id"] for part in parts if part["type"] == "tool_result"]
        for place, part in enumerate(parts):
            if part["type"] == "tool_result" and part["tool_use_id"] not in open_ids:
                return (
                    f"messages.{index}.content.{place}: unexpected `tool_use_id` found in `tool_result` blocks: "
                    f"{part['tool_use_id']}. Each `tool_result` block must have a corresponding `tool_use` block in "
                    "the previous message."
                )
        missing = [each for each in open_ids if each not in answered]
        late = [part["type"] == "tool_result" for part in parts]
        if missing or (answered and late != sorted(late, reverse=True)):
            named = ", ".join(missing or open_ids)
            return (
                f"messages.{caller}: `tool_use` ids were found without `tool_result` blocks immediately after: "
                f"{named}. Each `tool_use` block must have a corresponding `tool_result` block in the next message."
            )
        open_ids = [part["id"] for part in parts if part["type"] == "tool_use"] if role == "assistant" else []
        caller = index
    if open_ids:
        return (
            f"messages.{caller}: `tool_use` ids were found without `tool_result` blocks immediately after: "
            f"{', '.join(open_ids)}. Each `tool_use` block must have a corresponding `tool_result` block in the next "
            "message."
        )
    return None


def _joined(messages: list[dict[str, Any]]) -> list[tuple[int, str, list[dict[str, Any]]]]:
    """Consecutive turns of one role as one, with the place of the first."""
    joined: list[tuple[int, str, list[dict[str, Any]]]] = []
    for index, message in enumerate(messages):
        if message["role"] == "system":
            continue
        if joined and joined[-1][1] == message["role"]:
            joined[-1][2].extend(blocks(message))
        else:
            joined.append((index, message["role"], list(blocks(message))))
    return joined
