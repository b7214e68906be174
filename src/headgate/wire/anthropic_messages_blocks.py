"""Parts of the hub → content blocks of Anthropic's Messages format, in requests and answers.

Source: platform.claude.com, "Messages", ``content``.
"""

import base64
import binascii
from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Raw

from headgate.domain.chat import (
    AudioPart,
    CacheHint,
    FileIdSource,
    FilePart,
    ImagePart,
    InlineData,
    OpaquePart,
    Part,
    RedactedThinkingPart,
    RefusalPart,
    TextPart,
    TextSource,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
    UrlSource,
)
from headgate.wire.anthropic_messages_parts import TTL_WORDS
from headgate.wire.rendering import Rendering

Block = dict[str, object]

_OBJECT: Final = msgspec.json.Decoder(dict[str, Raw])
_PDF: Final = "application/pdf"
_PLAIN: Final = "text/plain"


def render_content(parts: Sequence[Part], rendering: Rendering, path: str) -> object:
    """Return the ``content`` member: a string for a lone plain text, else an array of blocks.

    An empty text beside other parts says nothing, and Anthropic refuses empty blocks, so those of another dialect
    (OpenAI's clients send ``""`` beside tool calls) are left out.
    """
    if not rendering.is_native and len(parts) > 1:
        parts = [part for part in parts if not _is_empty(part)]
    if len(parts) == 1:
        only = parts[0]
        if isinstance(only, TextPart) and only.cache is None and not only.extras:
            return only.text
    blocks: list[object] = []
    for index, part in enumerate(parts):
        block = render_part(part, rendering, f"{path}[{index}]")
        if block is not None:
            blocks.append(block)
    return blocks


def _is_empty(part: Part) -> bool:
    return isinstance(part, TextPart) and not part.text and part.cache is None and not part.extras


def render_part(part: Part, rendering: Rendering, path: str) -> object:
    """Return the block for a part of a request; ``None`` for thinking whose proof is not Anthropic's.

    Raises:
        UnsupportedFeatureError: no block can carry it.
    """
    block: Block
    if isinstance(part, OpaquePart) and rendering.is_native:
        return part.raw
    if isinstance(part, RedactedThinkingPart):
        return {"type": "redacted_thinking", "data": part.data}
    if isinstance(part, ThinkingPart):
        if not part.signature and not rendering.is_native:
            rendering.ignore(path, "thinking")  # Anthropic takes no thinking that it did not sign.
            return None
        block = render_thinking(part)
        if part.signature is None:
            del block["signature"]  # As it came.
    elif isinstance(part, RefusalPart):
        rendering.ignore(path, "refusal")  # The words are carried; that they were a refusal, they say themselves.
        block = {"type": "text", "text": part.text}
    elif isinstance(part, OpaquePart | AudioPart):
        kind = f"a `{part.kind}` part" if isinstance(part, OpaquePart) else "sound"
        raise rendering.refuse(f"{kind} of {rendering.source}", path)
    else:
        block = _render_cacheable(part, rendering, path)
        if part.cache is not None:
            render_cache(block, part.cache, rendering, path)
    rendering.write_extras(block, part.extras, path)
    return block


def _render_cacheable(
    part: TextPart | ImagePart | FilePart | ToolCallPart | ToolResultPart, rendering: Rendering, path: str
) -> Block:
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text}
    if isinstance(part, ToolCallPart):
        return render_tool_use(part, rendering, path)
    if isinstance(part, ToolResultPart):
        return _render_tool_result(part, rendering, path)
    if isinstance(part, ImagePart):
        return {"type": "image", "source": _render_image(part, rendering, path)}
    block: Block = {"type": "document", "source": _render_document(part, rendering, path)}
    if part.filename is not None:
        block["title"] = part.filename
    return block


def render_cache(block: Block, cache: CacheHint, rendering: Rendering, path: str) -> None:
    """Write ``cache_control``; how long to keep is a hint where Anthropic has no word for it."""
    hint = {"type": "ephemeral"}
    if cache.ttl_s is not None:
        if cache.ttl_s in TTL_WORDS:
            hint["ttl"] = TTL_WORDS[cache.ttl_s]
        else:
            rendering.ignore(path, "cache.ttl_s")
    block["cache_control"] = hint


def render_thinking(part: ThinkingPart) -> Block:
    """Return a block of thinking. Every one has a signature; an empty one says that nobody signed it."""
    return {"type": "thinking", "thinking": part.text, "signature": part.signature or ""}


def render_tool_use(part: ToolCallPart, rendering: Rendering, path: str) -> Block:
    """Return the block for a tool call, the model's JSON byte for byte.

    Arguments that are no JSON object (cut by the maximum of output, or free text of a custom tool) have no place in a
    block: a request with them is refused, an answer carries them apart.
    """
    block: Block = {"type": "tool_use", "id": part.call_id, "name": part.name, "input": {}}
    text = part.arguments.strip()
    if rendering.is_native or (text and not part.custom and is_object(text)):
        block["input"] = Raw(text.encode())
    elif text or part.custom:
        if not rendering.is_answer:
            raise rendering.refuse("a tool call whose arguments are no JSON object", f"{path}.arguments")
        rendering.carry_members(block, {"arguments": part.arguments})
    return block


def is_object(text: str) -> bool:
    """Say whether a text is a JSON object."""
    try:
        _OBJECT.decode(text)
    except (ValueError, RecursionError):
        return False
    return True


def _render_tool_result(part: ToolResultPart, rendering: Rendering, path: str) -> Block:
    block: Block = {"type": "tool_result", "tool_use_id": part.call_id}
    content = render_content(part.content, rendering, f"{path}.content")
    if content:
        block["content"] = content
    if part.is_error:
        block["is_error"] = True
    return block


def _render_image(part: ImagePart, rendering: Rendering, path: str) -> Block:
    if part.detail is not None:
        rendering.ignore(f"{path}.image_url" if rendering.source == "openai_chat" else path, "detail")
    source = part.source
    if isinstance(source, InlineData) and source.media_type is not None:
        return {"type": "base64", "media_type": source.media_type, "data": source.data}
    if isinstance(source, UrlSource):
        return {"type": "url", "url": source.url}
    if isinstance(source, FileIdSource) and rendering.is_native:
        return {"type": "file", "file_id": source.file_id}
    raise rendering.refuse("an image without its media type, or by the id that another provider gave it", path)


def _render_document(part: FilePart, rendering: Rendering, path: str) -> Block:
    source = part.source
    if isinstance(source, InlineData):
        kind = source.media_type
        if kind == _PDF or (rendering.is_native and kind is not None):
            return {"type": "base64", "media_type": kind, "data": source.data}
        if kind == _PLAIN:
            return {"type": "text", "media_type": _PLAIN, "data": _decode_text(source.data, rendering, path)}
    elif isinstance(source, TextSource):
        return {"type": "text", "media_type": _PLAIN, "data": source.text}
    elif isinstance(source, UrlSource):
        return {"type": "url", "url": source.url}
    elif rendering.is_native:
        return {"type": "file", "file_id": source.file_id}
    raise rendering.refuse("a file that is neither PDF nor plain text, or by another provider's file id", path)


def _decode_text(data: str, rendering: Rendering, path: str) -> str:
    try:
        return base64.b64decode(data, validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise rendering.refuse("a text file that is not Base 64 of UTF-8", path) from error
