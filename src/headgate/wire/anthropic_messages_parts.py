"""Content blocks of Anthropic's Messages format → parts of the hub: what requests and answers have in common.

Source: platform.claude.com, "Messages", ``content``. Blocks of kinds that the hub does not model (server tools and
their results, search results, container uploads) stay opaque, byte for byte.
"""

from typing import Final

import msgspec
from msgspec import Raw

from headgate.domain.chat import (
    CacheHint,
    FileIdSource,
    FilePart,
    ImagePart,
    InlineData,
    OpaquePart,
    Part,
    RedactedThinkingPart,
    ResultContent,
    Source,
    TextPart,
    TextSource,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
    UrlSource,
)
from headgate.wire.json_body import is_null, json_text, read_value
from headgate.wire.members import Members

DIALECT: Final = "anthropic_messages"

_TEXT: Final = msgspec.json.Decoder(str)
_ITEMS: Final = msgspec.json.Decoder(list[Raw])
_CACHE: Final = msgspec.json.Decoder(dict[str, str])
_TTL_S: Final = {"5m": 300, "1h": 3600}
TTL_WORDS: Final = {seconds: word for word, seconds in _TTL_S.items()}
"""Anthropic's words for how long to keep a prompt, by seconds."""


def parse_content(value: Raw | None, path: str) -> list[Part]:
    """Read a ``content`` member: a string, or an array of blocks; null and absent are empty."""
    if value is None:
        return []
    if bytes(value).startswith(b'"'):
        return [TextPart(read_value(_TEXT, value, path))]
    items = read_value(_ITEMS, value, path)
    return [parse_block(item, f"{path}[{index}]") for index, item in enumerate(items)]


def parse_block(raw: Raw, path: str) -> Part:
    """Read one content block."""
    members = Members(raw, path)
    kind = members.required_text("type")
    if kind == "text":
        text, cache = members.required_text("text"), take_cache(members)
        return TextPart(text, cache, members.rest())
    if kind == "tool_use":
        return _parse_tool_use(members)
    if kind == "tool_result":
        return _parse_tool_result(members)
    if kind == "thinking":
        text, signature = members.required_text("thinking"), members.text("signature")
        return ThinkingPart(text, signature, members.rest())
    if kind == "redacted_thinking":
        data = members.required_text("data")
        return OpaquePart(kind, raw) if members.rest() else RedactedThinkingPart(data)
    if kind in ("image", "document"):
        source = _parse_source(members, is_image=kind == "image")
        if source is None:
            return OpaquePart(kind, raw)
        cache = take_cache(members)
        if kind == "image":
            return ImagePart(source, cache=cache, extras=members.rest())
        return FilePart(source, members.text("title"), cache, members.rest())
    return OpaquePart(kind, raw)


def _parse_tool_use(members: Members) -> ToolCallPart:
    call_id, name, given = members.required_text("id"), members.required_text("name"), members.take("input")
    cache = take_cache(members)
    arguments = "{}" if given is None else json_text(given, members.at("input"))
    return ToolCallPart(call_id, name, arguments, cache=cache, extras=members.rest())


def _parse_tool_result(members: Members) -> ToolResultPart:
    call_id, is_error = members.required_text("tool_use_id"), members.boolean("is_error") or False
    cache = take_cache(members)
    content: list[ResultContent] = []
    for part in parse_content(members.take("content"), members.at("content")):
        if isinstance(part, TextPart | ImagePart | FilePart | OpaquePart):
            content.append(part)
        else:  # No result holds it, so its own dialect shall judge.
            content.append(OpaquePart(type(part).__name__, Raw(msgspec.json.encode(part))))
    return ToolResultPart(call_id, tuple(content), is_error, cache, members.rest())


def _parse_source(members: Members, *, is_image: bool) -> Source | None:
    """Take a block's ``source``; ``None`` where the hub does not model its kind, such as blocks inside a document."""
    value = members.take("source")
    if value is None:
        return None
    inner = Members(value, members.at("source"))
    kind = inner.text("type")
    source: Source | None = None
    if kind == "base64":
        source = InlineData(inner.required_text("data"), inner.required_text("media_type"))
    elif kind == "url":
        source = UrlSource(inner.required_text("url"))
    elif kind == "file":
        source = FileIdSource(inner.required_text("file_id"))
    elif kind == "text" and not is_image and inner.text("media_type") == "text/plain":
        source = TextSource(inner.required_text("data"))
    return None if inner.rest() else source


def take_cache(members: Members) -> CacheHint | None:
    """Take ``cache_control``; one of a kind that is not modelled stays where it was."""
    if "cache_control" not in members:
        return None
    value = members.take("cache_control")
    if value is None or is_null(value):
        return None
    try:
        hint = _CACHE.decode(value)
    except (ValueError, RecursionError):
        hint = {}
    ttl = hint.get("ttl")
    if hint.get("type") == "ephemeral" and len(hint) == (1 if ttl is None else 2) and (ttl is None or ttl in _TTL_S):
        return CacheHint(None if ttl is None else _TTL_S[ttl])
    members.put_back("cache_control", value)
    return None
