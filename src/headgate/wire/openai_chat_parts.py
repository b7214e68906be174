"""Message parts and messages between OpenAI's chat format and the hub: what requests and answers have in common.

Two spellings of one thing come back as one: a lone plain text part as a string, vendors' ``reasoning`` as
``reasoning_content``. A cache hint is OpenAI's ``prompt_cache_breakpoint``.
"""

import base64
import re
from collections.abc import Sequence
from typing import Final, TypeGuard

import msgspec
from msgspec import Raw, Struct

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
    ResultContent,
    Source,
    TextPart,
    TextSource,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
    UrlSource,
)
from headgate.wire.json_body import read_value
from headgate.wire.members import Members, add_extras
from headgate.wire.rendering import Rendering

DIALECT: Final = "openai_chat"


class _Signed(Struct, frozen=True, tag="reasoning.text", tag_field="type", forbid_unknown_fields=True):
    signature: str
    text: str | None = None


class _Encrypted(Struct, frozen=True, tag="reasoning.encrypted", tag_field="type", forbid_unknown_fields=True):
    data: str


_PROOFS: Final = msgspec.json.Decoder(list[_Signed | _Encrypted])
_TEXT: Final = msgspec.json.Decoder(str)
_ITEMS: Final = msgspec.json.Decoder(list[Raw])
_DATA_URL: Final = re.compile(r"data:([^;,]+);base64,")
_BREAKPOINT: Final = {"mode": "explicit"}
_TOOL_CALL: Final = "tool_calls."  # In front of an opaque part's kind: it stood among the tool calls.
_AUDIO_FORMATS: Final = {"audio/wav": "wav", "audio/x-wav": "wav", "audio/mpeg": "mp3", "audio/mp3": "mp3"}


# --- JSON → hub ---------------------------------------------------------------------------------------------------


def parse_content(value: Raw | None, path: str) -> list[ResultContent]:
    """Read a ``content`` member: a string, or an array of parts; null and absent are empty."""
    if value is None:
        return []
    if bytes(value).startswith(b'"'):
        return [TextPart(read_value(_TEXT, value, path))]
    items = read_value(_ITEMS, value, path)
    return [_parse_part(item, f"{path}[{index}]") for index, item in enumerate(items)]


def _parse_part(raw: Raw, path: str) -> ResultContent:
    members = Members(raw, path)
    kind = members.required_text("type")
    if kind == "text":
        text = members.required_text("text")
        return TextPart(text, _take_cache(members), members.rest())
    if kind == "refusal":
        text = members.required_text("refusal")
        return RefusalPart(text, members.rest())
    if kind == "image_url":
        inner = members.required_object("image_url")
        source, detail = _parse_url(inner.required_text("url")), inner.text("detail")
        return ImagePart(source, detail, _take_cache(members), members.rest())
    if kind == "input_audio":
        inner = members.required_object("input_audio")
        data = InlineData(inner.required_text("data"))
        return AudioPart(data, inner.text("format"), cache=_take_cache(members), extras=members.rest())
    if kind == "file":
        inner = members.required_object("file")
        data, filename = inner.text("file_data"), inner.text("filename")
        source = FileIdSource(inner.required_text("file_id")) if data is None else _parse_url(data)
        if isinstance(source, UrlSource):
            source = InlineData(source.url)
        return FilePart(source, filename, _take_cache(members), members.rest())
    return OpaquePart(kind, raw)


def _parse_url(url: str) -> Source:
    match = _DATA_URL.match(url)
    return UrlSource(url) if match is None else InlineData(url[match.end() :], match[1])


def _take_cache(members: Members) -> CacheHint | None:
    value = members.take("prompt_cache_breakpoint")
    if value is None:
        return None
    try:
        if msgspec.json.decode(value) == _BREAKPOINT:
            return CacheHint()
    except (ValueError, RecursionError):
        pass  # What the hub cannot read is not its own to judge.
    members.put_back("prompt_cache_breakpoint", value)
    return None


def parse_assistant(members: Members) -> list[Part]:
    """Read an assistant's message, of a request or an answer: reasoning, content, refusal, audio, tool calls."""
    parts: list[Part] = []
    thought, other = members.text("reasoning_content"), _take_reasoning(members)
    if thought is None:
        thought = other
    elif other is not None and other != thought:
        members.put_back("reasoning", Raw(msgspec.json.encode(other)))
    parts += _take_thinking(members, thought)
    parts += parse_content(members.take("content"), members.at("content"))
    refusal = members.text("refusal")
    if refusal is not None:
        parts.append(RefusalPart(refusal))
    audio = members.object("audio")
    if audio is not None:
        parts.append(_parse_audio(audio))
    for index, item in enumerate(members.array("tool_calls")):
        parts.append(_parse_tool_call(item, f"{members.at('tool_calls')}[{index}]"))
    return parts


def _take_thinking(members: Members, thought: str | None) -> list[Part]:
    """Return the thinking of a message: with its proofs, where they are the ones that `render_proof` wrote.

    A caller who sends our answer back thus gives a provider its own thinking, which Anthropic demands between a tool's
    call and its result. ``reasoning_content`` holds the same text for those who know no proofs.
    """
    plain: list[Part] = [] if thought is None else [ThinkingPart(thought)]
    value = members.take("reasoning_details")
    if value is None:
        return plain
    proven = _read_proofs(value, thought)
    if proven is None:
        members.put_back("reasoning_details", value)
        return plain
    return proven


def _read_proofs(value: Raw, thought: str | None) -> list[Part] | None:
    parts: list[Part] = []
    texts: list[str] = []
    try:
        proofs = _PROOFS.decode(value)
    except (ValueError, RecursionError):
        return None
    for proof in proofs:
        if isinstance(proof, _Encrypted):
            parts.append(RedactedThinkingPart(proof.data))
            continue
        if proof.text is None and sum(isinstance(each, _Signed) for each in proofs) > 1:
            return None  # Nobody knows which part of the text this signature is for.
        text = (thought or "") if proof.text is None else proof.text
        texts.append(text)
        parts.append(ThinkingPart(text, proof.signature))
    return parts if "".join(texts) == (thought or "") else None


def _take_reasoning(members: Members) -> str | None:
    value = members.take("reasoning")
    if value is None:
        return None
    if bytes(value).startswith(b'"'):
        return read_value(_TEXT, value, members.at("reasoning"))
    members.put_back("reasoning", value)
    return None


def _parse_audio(audio: Members) -> AudioPart:
    data = audio.text("data")
    return AudioPart(
        None if data is None else InlineData(data),
        audio_id=audio.text("id"),
        transcript=audio.text("transcript"),
        expires_at_s=audio.integer("expires_at"),
    )


def _parse_tool_call(raw: Raw, path: str) -> ToolCallPart | OpaquePart:
    members = Members(raw, path)
    kind = members.text("type") or "function"
    if kind not in ("function", "custom"):
        return OpaquePart(_TOOL_CALL + kind, raw)
    call = members.required_object(kind)
    custom = kind == "custom"
    call_id, name = members.required_text("id"), call.required_text("name")
    arguments = call.required_text("input" if custom else "arguments")
    return ToolCallPart(call_id, name, arguments, custom, extras=members.rest())


# --- hub → JSON ---------------------------------------------------------------------------------------------------


def render_content(parts: Sequence[Part], rendering: Rendering, path: str) -> object:
    """Return the ``content`` member: a string for a lone plain text, else an array; ``None`` for nothing."""
    if not parts:
        return None
    first = parts[0]
    if len(parts) == 1 and isinstance(first, TextPart) and first.cache is None and not first.extras:
        return first.text
    return [_render_part(part, rendering, f"{path}[{index}]") for index, part in enumerate(parts)]


def _render_part(part: Part, rendering: Rendering, path: str) -> object:
    if isinstance(part, OpaquePart):
        if not rendering.is_native:
            raise rendering.refuse(f"a `{part.kind}` part of {rendering.source}", path)
        return part.raw
    if isinstance(part, TextPart):
        target: dict[str, object] = {"type": "text", "text": part.text}
    elif isinstance(part, RefusalPart):
        target = {"type": "refusal", "refusal": part.text}
    elif isinstance(part, ImagePart):
        image: dict[str, object] = {"url": _render_url(part.source, rendering, f"{path}.image_url.url")}
        if part.detail is not None:
            image["detail"] = part.detail
        target = {"type": "image_url", "image_url": image}
    elif isinstance(part, AudioPart):
        target = {"type": "input_audio", "input_audio": _render_sound(part, rendering, f"{path}.input_audio")}
    elif isinstance(part, FilePart):
        target = {"type": "file", "file": _render_file(part, rendering, f"{path}.file")}
    else:
        raise rendering.refuse(f"a {type(part).__name__} in this place", path)
    if not isinstance(part, RefusalPart) and part.cache is not None:
        target["prompt_cache_breakpoint"] = _BREAKPOINT
        if part.cache.ttl_s is not None:
            rendering.ignore(path, "cache.ttl_s")
    rendering.write_extras(target, part.extras, path)
    return target


def _render_url(source: Source, rendering: Rendering, path: str) -> str:
    if isinstance(source, UrlSource):
        return source.url
    if isinstance(source, InlineData) and source.media_type is not None:
        return f"data:{source.media_type};base64,{source.data}"
    raise rendering.refuse("an image by file id, or without its media type", path)


def _render_sound(part: AudioPart, rendering: Rendering, path: str) -> dict[str, object]:
    if not isinstance(part.source, InlineData) or part.audio_id is not None or part.transcript is not None:
        raise rendering.refuse("sound by URL, file id or transcript", path)
    sound: dict[str, object] = {"data": part.source.data}
    form = part.format or _AUDIO_FORMATS.get(part.source.media_type or "")
    if form is not None:
        sound["format"] = form
    return sound


def _render_file(part: FilePart, rendering: Rendering, path: str) -> dict[str, object]:
    file: dict[str, object] = {}
    source = part.source
    if isinstance(source, TextSource):
        source = InlineData(base64.b64encode(source.text.encode()).decode(), "text/plain")
    if isinstance(source, InlineData):
        kind = source.media_type
        file["file_data"] = source.data if kind is None else f"data:{kind};base64,{source.data}"
    elif isinstance(source, FileIdSource) and (rendering.is_native or rendering.is_answer):
        file["file_id"] = source.file_id
    else:
        raise rendering.refuse("a file by URL, or by the id that another provider gave it", path)
    if part.filename is not None:
        file["filename"] = part.filename
    return file


def render_assistant(target: dict[str, object], parts: tuple[Part, ...], rendering: Rendering, path: str) -> None:
    """Write an assistant's parts into its message; ``content`` is always written, null where there is none.

    An answer to a caller carries what proves a provider's thinking in ``reasoning_details``, the word that OpenRouter
    coined, and takes it back in a request. No provider of this format takes it of another vendor: a request of another
    dialect leaves it out, as a hint, for the thinking itself is there as text.
    """
    if rendering.is_answer and not rendering.is_native:
        parts = _carry_apart(target, parts, rendering)
    content: list[Part] = []
    target["content"] = None
    refusals = sum(isinstance(part, RefusalPart) for part in parts)
    for index, part in enumerate(parts):
        at = f"{path}.parts[{index}]"
        if isinstance(part, ThinkingPart):
            _render_thinking(target, part, rendering, at)
        elif isinstance(part, RefusalPart) and refusals == 1 and not part.extras:
            target["refusal"] = part.text
        elif isinstance(part, AudioPart):
            _render_spoken(target, part, rendering, at)
        elif isinstance(part, ToolResultPart):
            raise rendering.refuse("a tool result in an assistant's message", at)
        elif not isinstance(part, RedactedThinkingPart) and not _is_call(part):
            content.append(part)
    target["content"] = render_content(content, rendering, f"{path}.content")
    calls = [
        _render_part(part, rendering, path)
        if isinstance(part, OpaquePart)
        else _render_tool_call(part, rendering, path)
        for part in parts
        if _is_call(part)
    ]
    if calls:
        target["tool_calls"] = calls
    proofs = [proof for part in parts if (proof := _render_proof(part)) is not None]
    if proofs and (rendering.is_answer or rendering.is_native):
        target["reasoning_details"] = proofs
        return
    for proof in proofs:
        rendering.ignore(path, "signature" if "signature" in proof else "redacted_thinking")


def _carry_apart(target: dict[str, object], parts: tuple[Part, ...], rendering: Rendering) -> tuple[Part, ...]:
    """Make an answer of another dialect one that OpenAI's clients can read: its texts joined to one string.

    What they cannot read travels apart: parts of kinds that are not OpenAI's, and what stood beside a text.
    """
    kept: list[Part] = []
    texts: list[str] = []
    apart: list[object] = []
    for index, part in enumerate(parts):
        if isinstance(part, OpaquePart):
            apart.append(part.raw)
            continue
        if isinstance(part, TextPart):
            texts.append(part.text)
        elif isinstance(part, ImagePart | FilePart | ToolResultPart):
            apart.append(part)
            continue
        elif not isinstance(part, TextPart):
            kept.append(part)
        if isinstance(part, TextPart | ThinkingPart) and (extras := rendering.telling(part.extras)):
            beside: dict[str, object] = {"index": index}
            add_extras(beside, extras)
            apart.append(beside)
            if isinstance(part, ThinkingPart):
                kept[-1] = ThinkingPart(part.text, part.signature)
    if texts:
        kept.append(TextPart("".join(texts)))
    if apart:
        rendering.carry_members(target, {"content": apart})
    return tuple(kept)


def _is_call(part: Part) -> TypeGuard[ToolCallPart | OpaquePart]:
    return isinstance(part, ToolCallPart) or (isinstance(part, OpaquePart) and part.kind.startswith(_TOOL_CALL))


def _render_proof(part: Part) -> dict[str, object] | None:
    if isinstance(part, ThinkingPart) and part.signature:
        return {**render_signature(part.signature), "text": part.text}
    return render_redacted(part.data) if isinstance(part, RedactedThinkingPart) else None


def render_signature(signature: str) -> dict[str, object]:
    """Return the entry of ``reasoning_details`` for a signature (openrouter.ai/docs, "Reasoning tokens")."""
    return {"type": "reasoning.text", "signature": signature}


def render_redacted(data: str) -> dict[str, object]:
    """Return the entry of ``reasoning_details`` for thinking that only its provider can read."""
    return {"type": "reasoning.encrypted", "data": data}


def _render_thinking(target: dict[str, object], part: ThinkingPart, rendering: Rendering, path: str) -> None:
    before = target.get("reasoning_content", "")
    target["reasoning_content"] = f"{before}{part.text}"
    if part.extras:
        raise rendering.refuse(f"a field of a thinking part of {rendering.source}", path)


def _render_tool_call(part: ToolCallPart, rendering: Rendering, path: str) -> dict[str, object]:
    if part.cache is not None:
        rendering.ignore(path, "cache")
    kind, argument = ("custom", "input") if part.custom else ("function", "arguments")
    call: dict[str, object] = {"id": part.call_id, "type": kind, kind: {"name": part.name, argument: part.arguments}}
    rendering.write_extras(call, part.extras, path)
    return call


def _render_spoken(target: dict[str, object], part: AudioPart, rendering: Rendering, path: str) -> None:
    if "audio" in target:
        raise rendering.refuse("more than one spoken answer in a message", path)
    audio: dict[str, object] = {}
    if part.audio_id is not None:
        audio["id"] = part.audio_id
    if isinstance(part.source, InlineData):
        audio["data"] = part.source.data
    elif part.source is not None:
        raise rendering.refuse("a spoken answer by URL or file id", path)
    if part.transcript is not None:
        audio["transcript"] = part.transcript
    if part.expires_at_s is not None:
        audio["expires_at"] = part.expires_at_s
    rendering.write_extras(audio, part.extras, path)
    target["audio"] = audio


def render_tool_result(part: ToolResultPart, rendering: Rendering, path: str) -> dict[str, object]:
    """Return the tool message for one result.

    That it is an error is a hint: its content says how the tool failed. So is where to cache it.
    """
    if part.is_error:
        rendering.ignore(path, "is_error")
    if part.cache is not None:
        rendering.ignore(path, "cache")
    if not rendering.is_native and any(not isinstance(item, TextPart) for item in part.content):
        raise rendering.refuse("anything but text in a tool result", f"{path}.content")
    content = render_content(part.content, rendering, f"{path}.content")
    message: dict[str, object] = {"role": "tool", "tool_call_id": part.call_id, "content": content or ""}
    rendering.write_extras(message, part.extras, path)
    return message
