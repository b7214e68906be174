"""What a request weighs: everything about its members that a bound of its input tokens is made of.

Read from the envelope's raw members in one typed pass, without translating and without keeping any text. What is known
is named here and all else is not: a member, a part or a tool that is not in these types brings the model's context
window into the bound, and one that makes the provider call the model again and again (a server's tool) has no bound.

Sources: OpenAI's API description, "Create chat completion" and "Create embeddings"; platform.claude.com, "Create a
Message", "Tool use", "Server tools".
"""

from collections.abc import Mapping
from typing import Any, Final, cast

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from headgate.tokens.media import audio_bound, image_bound
from headgate.tokens.text import text_bound
from headgate.wire.json_body import is_null, mask_lone_surrogates

REQUEST_TOKENS: Final = 128
"""For what a request is wrapped in: OpenAI's cookbook names 3 tokens; Harmony's own system message has about 70."""
MESSAGE_TOKENS: Final = 4
"""For a message beside its JSON, whose 15 bytes at least (``{"role":"user"}``) are counted too. OpenAI's cookbook has 3
and a name's 1; the templates of ChatML and Llama 3 have 5, Harmony's up to 8."""
TOOLS_TOKENS: Final = 1024
"""Once, where there are tools. Claude's system prompt for them has 159 to 530 (platform.claude.com, "Tool use pricing
and tokens"); Hermes' and Qwen's have about 150."""
TOOL_TOKENS: Final = 16
"""For each tool. OpenAI's cookbook ("How to count tokens") has 7 and 12 once."""
CLIENT_TOOL_TOKENS: Final = 2048
"""For a tool that Anthropic defines and the client runs. Named are 245 (bash), 700 (text editor), 735
and 499 (computer)."""
SCHEMA_TOKENS: Final = 512
"""For an answer's schema: what a vendor writes around it is not published."""
STRUCTURED_FACTOR: Final = 2
"""Times the bytes of a schema or a tool call's JSON, because vendors write it anew. The worst that is published are
4 tokens for the 2 bytes of ``1,`` in an ``enum`` (OpenAI's cookbook); indented, ``1,`` makes 3."""
ESCAPED_FACTOR: Final = 3
"""The same where it is not ASCII: written anew as ``\\uXXXX``, two bytes become six."""
INPUT_TOKENS: Final = 8
"""For each text to embed: the marks around it, and a prefix such as ``query:``."""


_ABSENT: Final = Raw(b"null")
_NO_MESSAGES: Final = Raw(b"[]")
_SHORT: Final = 1 << 20
_MAX_OBJECTS: Final = 1 << 17


class Weight(Struct, frozen=True, gc=False):
    """What is in a request. The bound is the sum of the tokens, or what the first of the reasons says."""

    tokens: int
    """Of everything whose size bounds it."""
    messages: int = 0
    """Or texts to embed."""
    media_tokens: int = 0
    """Images and sound by their vendor's arithmetic; part of ``tokens``."""
    window: str | None = None
    """What only the model's context window bounds."""
    unbounded: str | None = None
    """What nothing bounds."""
    has_audio: bool = False
    is_fixed: bool = True
    """Everything the model reads is in the request; nothing is fetched, or left out by the provider."""
    is_batch: bool = False
    """Each of ``messages`` is an input of its own."""


class _Text(Struct, frozen=True, gc=False, tag="text"):
    pass


class _Refusal(Struct, frozen=True, gc=False, tag="refusal"):
    pass


class _Url(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    url: str
    detail: str | None = None


class _ImageUrl(Struct, frozen=True, gc=False, tag="image_url"):
    image_url: _Url


class _Sound(Struct, frozen=True, gc=False):
    data: str


class _InputAudio(Struct, frozen=True, gc=False, tag="input_audio"):
    input_audio: _Sound


class _OpenAIMessage(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """A message of OpenAI's; members of ``Raw`` type are counted with the whole message's bytes."""

    role: str
    content: Raw = _ABSENT
    name: Raw = _ABSENT
    tool_calls: Raw = _ABSENT
    tool_call_id: Raw = _ABSENT
    function_call: Raw = _ABSENT
    refusal: Raw = _ABSENT
    annotations: Raw = _ABSENT
    reasoning: Raw = _ABSENT
    reasoning_content: Raw = _ABSENT
    reasoning_details: Raw = _ABSENT
    cache_control: Raw = _ABSENT
    audio: None = None


class _TextBlock(Struct, frozen=True, gc=False, tag="text"):
    pass


class _Thinking(Struct, frozen=True, gc=False, tag="thinking"):
    pass


class _RedactedThinking(Struct, frozen=True, gc=False, tag="redacted_thinking"):
    pass


class _SearchResult(Struct, frozen=True, gc=False, tag="search_result"):
    citations: Raw = _ABSENT


class _ToolUse(Struct, frozen=True, gc=False, tag="tool_use"):
    input: Raw = _ABSENT


class _Base64Source(Struct, frozen=True, gc=False, tag="base64"):
    data: str


class _UrlSource(Struct, frozen=True, gc=False, tag="url"):
    pass


class _FileSource(Struct, frozen=True, gc=False, tag="file"):
    pass


class _TextSource(Struct, frozen=True, gc=False, tag="text"):
    pass


class _Image(Struct, frozen=True, gc=False, tag="image"):
    source: _Base64Source | _UrlSource | _FileSource


class _Document(Struct, frozen=True, gc=False, tag="document"):
    # A document of another kind (PDF, file, URL) is no text and has pages that are seen as images.
    source: _TextSource
    citations: Raw = _ABSENT


class _ToolResult(Struct, frozen=True, gc=False, tag="tool_result"):
    content: Raw = _ABSENT


_Block = _TextBlock | _Thinking | _RedactedThinking | _SearchResult | _ToolUse | _Image | _Document | _ToolResult


class _AnthropicMessage(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    role: str
    content: str | list[_Block] | None = None


class _Tool(Struct, frozen=True, gc=False):
    type: str | None = None


# Long texts are skipped, not decoded, where the format has them: in messages of OpenAI's, in results of Anthropic's.
_OPENAI: Final = msgspec.json.Decoder(list[_OpenAIMessage])
_PARTS: Final = msgspec.json.Decoder(list[_Text | _Refusal | _ImageUrl | _InputAudio])
_RESULTS: Final = msgspec.json.Decoder(list[_TextBlock | _Image | _Document | _SearchResult])
_ANTHROPIC: Final = msgspec.json.Decoder(list[_AnthropicMessage])
_TEXTS: Final = msgspec.json.Decoder(str | list[str])
_SYSTEM: Final = msgspec.json.Decoder(str | list[_TextBlock] | None)
_TOOLS: Final = msgspec.json.Decoder(list[_Tool] | None)

_CHAT_OPTIONS: Final = frozenset(
    """
    audio frequency_penalty logit_bias logprobs max_completion_tokens max_tokens metadata min_p modalities model n
    parallel_tool_calls presence_penalty prompt_cache_key prompt_cache_options prompt_cache_retention reasoning_effort
    repetition_penalty safety_identifier seed service_tier stop store stream stream_options temperature top_k
    top_logprobs top_p user verbosity
    """.split()  # noqa: SIM905  a block of words reads better than forty lines
)
_MESSAGES_OPTIONS: Final = frozenset(
    """
    cache_control inference_geo max_tokens metadata model service_tier speed stop_sequences stream
    temperature thinking top_k top_p
    """.split()  # noqa: SIM905
)
_EMBEDDING_OPTIONS: Final = frozenset({"dimensions", "encoding_format", "input", "metadata", "model", "stream", "user"})
OPTIONS: Final = {
    "openai_chat": _CHAT_OPTIONS,
    "anthropic_messages": _MESSAGES_OPTIONS,
    "openai_embeddings": _EMBEDDING_OPTIONS,
}
"""Members that put no tokens into the input."""
_PLAIN_CHAT: Final = _CHAT_OPTIONS | {"messages"}
_PLAIN_MESSAGES: Final = _MESSAGES_OPTIONS | {"messages"}
# What the provider runs itself: it feeds results back to the model, and bills each round's input.
_LOOPS: Final = frozenset({"web_search_options", "mcp_servers", "container"})
_CLIENT_TOOLS: Final = ("bash_", "computer_", "memory_", "text_editor_")
_TOOL_MEMBERS: Final = frozenset({"tools", "functions"})
_SCHEMAS: Final = frozenset({"response_format", "output_config", "output_format"})
_CHOICES: Final = frozenset({"tool_choice", "function_call"})


def weigh(wire_format: str, fields: Mapping[str, Raw], model: str) -> Weight:
    """Weigh a request by its members as an `Envelope` has them; ``model`` is the upstream's, for images and sound."""
    if wire_format == "openai_embeddings":
        return _weigh_embeddings(fields)
    messages = fields.get("messages", _NO_MESSAGES)
    weight = weigh_messages(wire_format, messages, model)
    if (_PLAIN_CHAT if wire_format == "openai_chat" else _PLAIN_MESSAGES).issuperset(fields):
        return weight
    return _weigh_members(wire_format, fields, weight)


def weigh_messages(wire_format: str, messages: bytes | Raw, model: str) -> Weight:
    """Weigh a JSON array of messages, which may be the later part of a conversation."""
    raw = bytes(messages)
    tokens = text_bound(raw) + REQUEST_TOKENS
    is_openai = wire_format == "openai_chat"
    decoder: msgspec.json.Decoder[Any] = _OPENAI if is_openai else _ANTHROPIC
    items = _read(decoder, raw)
    if items is None:
        return Weight(tokens, window="messages", is_fixed=False)
    tokens += MESSAGE_TOKENS * len(items)
    load = _Load(model)
    for item in items:
        content = item.content
        if type(content) is Raw:
            # Nearly always left out, and then this very object.
            if item.tool_calls is not _ABSENT and not is_null(item.tool_calls):
                load.add_structured(item.tool_calls)
            load.add_content(_PARTS, content)
        elif type(content) is list:
            load.add_parts(cast("list[Any]", content))
    return Weight(
        tokens + load.tokens, len(items), load.media_tokens, load.window, None, load.has_audio, load.is_fixed
    )  # fmt: skip


class _Load:
    """What the parts of messages add to, or take from, the bytes of their JSON."""

    __slots__ = ("has_audio", "is_fixed", "media_tokens", "model", "tokens", "window")

    def __init__(self, model: str) -> None:
        self.model = model
        self.tokens = 0
        self.media_tokens = 0
        self.window: str | None = None
        self.has_audio = False
        self.is_fixed = True

    def add_structured(self, raw: Raw) -> None:
        """Count again the JSON of tool calls: it is once among the bytes of the messages."""
        self.tokens += structured_bound(raw) - len(raw)

    def add_content(self, decoder: "msgspec.json.Decoder[Any]", raw: Raw) -> None:
        """Add a content that may be a string, which needs no look, an array of parts, or nothing."""
        content = bytes(raw)
        if content[:1] == b'"' or content == b"null":
            return
        parts = _read(decoder, content)
        if parts is None:
            self.window = self.window or "content"
        else:
            self.add_parts(parts)

    def add_parts(self, parts: list[Any]) -> None:
        for part in parts:
            kind = cast("type[object]", type(part))
            if kind is _ToolUse:
                if not is_null(part.input):
                    self.add_structured(part.input)
            elif kind is _ToolResult:
                self.add_content(_RESULTS, part.content)
            elif kind is _Document or kind is _SearchResult:
                if not is_null(part.citations):  # Cut into sentences, for whose marks no figure is published.
                    self.window = self.window or "citations"
            elif kind is _ImageUrl:
                self._add_image_url(part.image_url)
            elif kind is _Image:
                data = part.source.data if type(part.source) is _Base64Source else None
                self._add_media("image", image_bound(self.model, data), data)
            elif kind is _InputAudio:
                self.has_audio = True
                data = part.input_audio.data
                self._add_media("input_audio", audio_bound(self.model, data), data)

    def _add_image_url(self, image: _Url) -> None:
        data = None
        if image.url[:5].lower() == "data:":
            head, comma, data = image.url.partition(",")
            if not comma or not head.endswith(";base64"):
                data = ""
        self._add_media("image_url", image_bound(self.model, data, image.detail), data)

    def _add_media(self, what: str, tokens: int | None, data: str | None) -> None:
        if data is None:
            self.is_fixed = False
        elif data.isascii():
            self.tokens -= len(data)  # These bytes are no text, and JSON never writes them with fewer.
        if tokens is None:
            self.window = self.window or what
            return
        self.tokens += tokens
        self.media_tokens += tokens


def structured_bound(raw: bytes | Raw) -> int:
    """Return how many tokens a JSON value can make at most that the vendor writes anew in its own way."""
    data = bytes(raw)
    plain = data.isascii() and b"\\u" not in data
    return text_bound(data) * (STRUCTURED_FACTOR if plain else ESCAPED_FACTOR)


def _weigh_members(wire_format: str, fields: Mapping[str, Raw], weight: Weight) -> Weight:
    """Add what stands beside the messages."""
    options = OPTIONS.get(wire_format, _MESSAGES_OPTIONS)
    tokens, window, unbounded = weight.tokens, weight.window, weight.unbounded
    for name, value in fields.items():
        if name == "messages" or name in options or is_null(value):
            continue
        added, bounded_by_window, loops = _weigh_member(wire_format, name, value)
        tokens += added
        window = window or (name if bounded_by_window else None)
        unbounded = unbounded or loops
    return replace(weight, tokens=tokens, window=window, unbounded=unbounded)


def _weigh_member(wire_format: str, name: str, value: Raw) -> tuple[int, bool, str | None]:
    """Return a member's tokens, whether only the context window bounds it, and what in it nothing bounds."""
    if name == "system" and wire_format != "openai_chat":
        return text_bound(bytes(value)), _read(_SYSTEM, bytes(value)) is None, None
    if name in _TOOL_MEMBERS:
        tokens, loops = _weigh_tools(wire_format, name, value)
        return tokens, False, loops
    if name in _SCHEMAS:
        return structured_bound(value) + SCHEMA_TOKENS, False, None
    if name in _CHOICES:
        return structured_bound(value), False, None
    if name == "context_management":
        # Clearing only leaves out some of the input. Compaction is a call of the model of its own, billed like one.
        raw = bytes(value)
        clears = b"clear_" in raw and b"compact" not in raw and b"\\u" not in raw
        return 0, False, None if clears else name
    known = name == "prediction" and wire_format == "openai_chat"
    return text_bound(bytes(value)), not known, name if name in _LOOPS else None


def _weigh_tools(wire_format: str, name: str, value: Raw) -> tuple[int, str | None]:
    """Return the tokens of tool definitions, and the kind of one that the provider runs itself."""
    tokens = structured_bound(value) + TOOLS_TOKENS
    tools = _read(_TOOLS, bytes(value))
    if tools is None:
        return tokens, name
    own = ("function", "custom") if wire_format == "openai_chat" else ("custom",)
    for tool in tools:
        tokens += TOOL_TOKENS
        if tool.type is None or tool.type in own:
            continue
        if wire_format == "openai_chat" or not tool.type.startswith(_CLIENT_TOOLS):
            return tokens, f"tool {tool.type[:64]}"
        tokens += CLIENT_TOOL_TOKENS
    return tokens, None


def _weigh_embeddings(fields: Mapping[str, Raw]) -> Weight:
    value = bytes(fields.get("input", Raw(b"[]")))
    inputs = 1
    if b'"' in value:
        tokens = text_bound(value)
        texts = _read(_TEXTS, value)
        if isinstance(texts, list):
            inputs = len(cast("list[str]", texts))
    else:  # Token ids, or lists of them: each is a token, and a comma stands between two.
        tokens = value.count(b",") + 1
        inputs = max(1, value.count(b"[") - 1)
    unknown = next((name for name in fields if name not in _EMBEDDING_OPTIONS), None)
    return Weight(tokens + INPUT_TOKENS * inputs, inputs, window=unknown, is_batch=True)


def _read(decoder: "msgspec.json.Decoder[Any]", raw: bytes) -> Any:
    """Decode a member, in which half a surrogate pair is no error.

    ``None`` for what is not of the decoder's type, or of so many objects that they would take ten times their bytes.
    """
    if len(raw) > _SHORT and raw.count(b"{") > _MAX_OBJECTS:
        return None
    try:
        return decoder.decode(raw)
    except (msgspec.ValidationError, RecursionError):
        return None
    except ValueError:
        masked = mask_lone_surrogates(raw)
    if masked is None:
        return None
    try:
        return decoder.decode(masked[0])
    except (ValueError, RecursionError):
        return None
