"""The hub: one shape for a chat request, its answer and its stream, that every dialect translates to and from.

A dialect's file knows its own JSON and this file, never another dialect. Nothing is lost in silence: what the hub
models is a field here; what it does not model stays in ``extras`` (or an opaque part) under the name of the dialect it
came from, where the same dialect writes it back and another one refuses it by name.

Texts are as they came: arguments of tool calls are JSON in a `str`, because half of it may be all there is; schemas and
extras are `msgspec.Raw`, the caller's own bytes.
"""

from enum import StrEnum

from msgspec import Raw, Struct

from headgate.domain.usage import TokenUsage

Extras = dict[str, Raw]
"""Members the hub does not model, as bytes, by their names in the source dialect.

A slash leads into an object of which the hub models the rest, as in a JSON Pointer (RFC 6901) without its first slash:
``image_url/format``, ``prompt_tokens_details/text_tokens``.
"""


# --- Parts of a message -------------------------------------------------------------------------------------------


class CacheHint(Struct, frozen=True, omit_defaults=True):
    """A breakpoint: the provider may keep the prefix up to and including this part (Anthropic's ``cache_control``)."""

    ttl_s: int | None = None
    """Seconds to keep it; ``None`` is the provider's default."""


class InlineData(Struct, frozen=True, omit_defaults=True, tag="inline"):
    """Media inside the request."""

    data: str
    """Base 64, as it came."""
    media_type: str | None = None


class UrlSource(Struct, frozen=True, omit_defaults=True, tag="url"):
    """Media that the provider fetches. The gateway never does."""

    url: str


class FileIdSource(Struct, frozen=True, omit_defaults=True, tag="file_id"):
    """Media that was uploaded to the provider before."""

    file_id: str


class TextSource(Struct, frozen=True, omit_defaults=True, tag="inline_text"):
    """A document of plain text inside the request (Anthropic's ``source`` of type ``text``)."""

    text: str


Source = InlineData | UrlSource | FileIdSource | TextSource


class TextPart(Struct, frozen=True, omit_defaults=True, tag="text"):
    """Plain text."""

    text: str
    cache: CacheHint | None = None
    extras: Extras = {}


class ImagePart(Struct, frozen=True, omit_defaults=True, tag="image"):
    """An image to look at, or one that was made."""

    source: Source
    detail: str | None = None
    """How closely to look: ``low``, ``high``, ``auto``."""
    cache: CacheHint | None = None
    extras: Extras = {}


class AudioPart(Struct, frozen=True, omit_defaults=True, tag="audio"):
    """Sound to listen to, or an answer that was spoken."""

    source: Source | None
    """``None`` in a stream or an answer whose sound is elsewhere and only the transcript is here."""
    format: str | None = None
    """E.g. ``wav``, ``mp3``."""
    audio_id: str | None = None
    """The provider's name for sound it made, by which a later turn refers to it."""
    transcript: str | None = None
    expires_at_s: int | None = None
    """When ``audio_id`` ends, seconds since the epoch."""
    cache: CacheHint | None = None
    extras: Extras = {}


class FilePart(Struct, frozen=True, omit_defaults=True, tag="file"):
    """A document to read, such as a PDF."""

    source: Source
    filename: str | None = None
    cache: CacheHint | None = None
    extras: Extras = {}


class ThinkingPart(Struct, frozen=True, omit_defaults=True, tag="thinking"):
    """Reasoning that was shown."""

    text: str
    signature: str | None = None
    """Proves to the provider that the text is its own; it must go back unchanged."""
    extras: Extras = {}


class RedactedThinkingPart(Struct, frozen=True, omit_defaults=True, tag="redacted_thinking"):
    """Reasoning that only its provider can read."""

    data: str


class RefusalPart(Struct, frozen=True, omit_defaults=True, tag="refusal"):
    """The model's words for not doing what was asked."""

    text: str
    extras: Extras = {}


class ToolCallPart(Struct, frozen=True, omit_defaults=True, tag="tool_call"):
    """The model asks for a tool to be run."""

    call_id: str
    name: str
    arguments: str
    """JSON of a function's arguments; free text where ``custom``."""
    custom: bool = False
    """The tool takes free text rather than JSON."""
    cache: CacheHint | None = None
    extras: Extras = {}


class OpaquePart(Struct, frozen=True, omit_defaults=True, tag="opaque"):
    """A part of a kind that the hub does not model; only its own dialect can carry it on."""

    kind: str
    raw: Raw


ResultContent = TextPart | ImagePart | AudioPart | FilePart | RefusalPart | OpaquePart


class ToolResultPart(Struct, frozen=True, omit_defaults=True, tag="tool_result"):
    """What a tool gave back."""

    call_id: str
    content: tuple[ResultContent, ...]
    is_error: bool = False
    """The tool failed, and the content says how."""
    cache: CacheHint | None = None
    extras: Extras = {}


Part = (
    TextPart
    | ImagePart
    | AudioPart
    | FilePart
    | ThinkingPart
    | RedactedThinkingPart
    | RefusalPart
    | ToolCallPart
    | ToolResultPart
    | OpaquePart
)


class Role(StrEnum):
    """Who speaks."""

    SYSTEM = "system"
    DEVELOPER = "developer"
    """OpenAI's newer word for instructions above the user's; a dialect without it writes a system message."""
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"
    """Holds `ToolResultPart` alone."""


class Message(Struct, frozen=True, omit_defaults=True):
    """One turn."""

    role: Role
    parts: tuple[Part, ...]
    name: str | None = None
    """Tells participants of the same role apart."""
    extras: Extras = {}


# --- Request ------------------------------------------------------------------------------------------------------


class FunctionTool(Struct, frozen=True, omit_defaults=True, tag="function"):
    """A tool with JSON arguments."""

    name: str
    description: str | None = None
    parameters: Raw | None = None
    """JSON schema."""
    strict: bool | None = None
    cache: CacheHint | None = None
    extras: Extras = {}


class CustomTool(Struct, frozen=True, omit_defaults=True, tag="custom"):
    """A tool that takes free text."""

    name: str
    description: str | None = None
    format: Raw | None = None
    """The grammar its input follows."""
    extras: Extras = {}


class OpaqueTool(Struct, frozen=True, omit_defaults=True, tag="opaque"):
    """A tool that the provider runs itself (search, code); only its own dialect can carry it on."""

    kind: str
    raw: Raw


Tool = FunctionTool | CustomTool | OpaqueTool


class ToolChoiceMode(StrEnum):
    """Whether the model may, must or must not call tools."""

    AUTO = "auto"
    NONE = "none"
    REQUIRED = "required"


class AnyToolChoice(Struct, frozen=True, omit_defaults=True, tag="mode"):
    """No tool is singled out."""

    mode: ToolChoiceMode


class NamedToolChoice(Struct, frozen=True, omit_defaults=True, tag="named"):
    """This tool must be called."""

    name: str
    custom: bool = False


class AllowedToolsChoice(Struct, frozen=True, omit_defaults=True, tag="allowed"):
    """Only these of the tools may be called."""

    mode: ToolChoiceMode
    tools: tuple[Raw, ...]
    """References to tools in the source dialect, e.g. ``{"type":"function","function":{"name":"f"}}``."""


ToolChoice = AnyToolChoice | NamedToolChoice | AllowedToolsChoice


class TextFormat(Struct, frozen=True, omit_defaults=True, tag="text"):
    """Free text, asked for expressly."""


class JsonObjectFormat(Struct, frozen=True, omit_defaults=True, tag="json_object"):
    """Any JSON object."""


class JsonSchemaFormat(Struct, frozen=True, omit_defaults=True, tag="json_schema"):
    """JSON that follows a schema."""

    name: str | None = None
    schema: Raw | None = None
    description: str | None = None
    strict: bool | None = None


AnswerFormat = TextFormat | JsonObjectFormat | JsonSchemaFormat


class Sampling(Struct, frozen=True, omit_defaults=True):
    """How the next token is drawn. ``None`` leaves it to the provider."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    seed: int | None = None
    logit_bias: dict[str, float] | None = None
    """Token id → bias."""


class Reasoning(Struct, frozen=True, omit_defaults=True):
    """How much to think before answering."""

    effort: str | None = None
    """E.g. ``none``, ``minimal``, ``low``, ``medium``, ``high``."""
    mode: str | None = None
    """Whether to think: ``enabled``, ``disabled``, or ``adaptive``, which leaves it to the model (Anthropic)."""
    budget_tokens: int | None = None
    """At most this many tokens of thinking."""


class AudioOutput(Struct, frozen=True, omit_defaults=True):
    """How to speak the answer."""

    format: str
    voice: str | None = None
    voice_id: str | None = None
    """A voice of the caller's own, instead of ``voice``."""


class ChatRequest(Struct, frozen=True, omit_defaults=True):
    """A request for a chat answer."""

    dialect: str
    """The wire format it came from, whose names ``extras`` are."""
    model: str
    messages: tuple[Message, ...]
    stream: bool = False
    include_usage: bool = False
    """The caller wants the usage at the end of the stream."""
    max_output_tokens: int | None = None
    stop: tuple[str, ...] = ()
    choices: int | None = None
    """How many answers to make."""
    sampling: Sampling = Sampling()
    logprobs: bool | None = None
    top_logprobs: int | None = None
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    answer_format: AnswerFormat | None = None
    reasoning: Reasoning = Reasoning()
    modalities: tuple[str, ...] = ()
    """Kinds of output asked for, e.g. ``text``, ``audio``."""
    audio: AudioOutput | None = None
    service_tier: str | None = None
    end_user: str | None = None
    metadata: dict[str, str] = {}
    extras: Extras = {}


# --- Answer -------------------------------------------------------------------------------------------------------


class StopReason(StrEnum):
    """Why an answer ended."""

    END = "end"
    """The model was done."""
    STOP_SEQUENCE = "stop_sequence"
    """One of the caller's stop sequences; OpenAI does not tell this from `END`."""
    MAX_TOKENS = "max_tokens"
    TOOL_CALLS = "tool_calls"
    CONTENT_FILTER = "content_filter"
    REFUSAL = "refusal"
    PAUSE = "pause"
    """The provider paused a long turn, to be continued by sending it back."""
    OTHER = "other"
    """A reason of the dialect's own: ``native_stop`` says which."""


class Choice(Struct, frozen=True, omit_defaults=True):
    """One answer."""

    index: int
    parts: tuple[Part, ...]
    stop: StopReason | None = None
    native_stop: str | None = None
    """The provider's own word, where `stop` does not say it all."""
    logprobs: Raw | None = None
    extras: Extras = {}


class ChatResponse(Struct, frozen=True, omit_defaults=True):
    """A whole answer."""

    dialect: str
    id: str
    model: str
    choices: tuple[Choice, ...]
    created_s: int | None = None
    """Seconds since the epoch."""
    usage: TokenUsage | None = None
    usage_extras: Extras = {}
    """Unmodelled members of the usage object."""
    service_tier: str | None = None
    extras: Extras = {}


# --- Stream -------------------------------------------------------------------------------------------------------


class StreamStart(Struct, frozen=True, omit_defaults=True, tag="start"):
    """The first event of a stream."""

    dialect: str
    id: str
    model: str
    created_s: int | None = None
    service_tier: str | None = None
    extras: Extras = {}


class TextDelta(Struct, frozen=True, omit_defaults=True, tag="text_delta"):
    """More text. ``choice`` is the answer's index, ``part`` the running number of the part inside it."""

    choice: int
    part: int
    text: str


class ThinkingDelta(Struct, frozen=True, omit_defaults=True, tag="thinking_delta"):
    """More shown reasoning."""

    choice: int
    part: int
    text: str


class SignatureDelta(Struct, frozen=True, omit_defaults=True, tag="signature_delta"):
    """The signature of the reasoning in this part."""

    choice: int
    part: int
    signature: str


class RedactedThinking(Struct, frozen=True, omit_defaults=True, tag="redacted_thinking"):
    """A whole part of reasoning that only its provider can read."""

    choice: int
    part: int
    data: str


class RefusalDelta(Struct, frozen=True, omit_defaults=True, tag="refusal_delta"):
    """More of a refusal."""

    choice: int
    part: int
    text: str


class ToolCallStart(Struct, frozen=True, omit_defaults=True, tag="tool_call_start"):
    """A tool call begins."""

    choice: int
    part: int
    call_id: str
    name: str
    custom: bool = False
    extras: Extras = {}


class ToolCallDelta(Struct, frozen=True, omit_defaults=True, tag="tool_call_delta"):
    """More of a tool call's arguments."""

    choice: int
    part: int
    arguments: str
    extras: Extras = {}


class AudioDelta(Struct, frozen=True, omit_defaults=True, tag="audio_delta"):
    """More of a spoken answer: any of sound (base 64), transcript, name and end of life."""

    choice: int
    part: int
    data: str | None = None
    transcript: str | None = None
    audio_id: str | None = None
    expires_at_s: int | None = None


class LogprobsDelta(Struct, frozen=True, omit_defaults=True, tag="logprobs"):
    """Probabilities of the tokens just sent, in the source dialect's shape."""

    choice: int
    logprobs: Raw


class ExtrasDelta(Struct, frozen=True, omit_defaults=True, tag="extras"):
    """Members of an event that the hub does not model; ``choice`` is ``None`` for those of the event itself."""

    choice: int | None
    extras: Extras


class OpaqueEvent(Struct, frozen=True, omit_defaults=True, tag="opaque"):
    """An event of a kind that the hub does not model, of an `OpaquePart` for one; only its dialect can carry it on."""

    choice: int
    part: int | None
    kind: str
    """The dialect's word for the event."""
    raw: Raw
    """The event's data."""


class PartEnd(Struct, frozen=True, omit_defaults=True, tag="part_end"):
    """Nothing more comes for this part."""

    choice: int
    part: int


class Stop(Struct, frozen=True, omit_defaults=True, tag="stop"):
    """A choice is complete."""

    choice: int
    reason: StopReason
    native_stop: str | None = None


class UsageReport(Struct, frozen=True, omit_defaults=True, tag="usage"):
    """What was used so far; the last one counts."""

    usage: TokenUsage
    extras: Extras = {}
    """As `ChatResponse.usage_extras`."""


class StreamFault(Struct, frozen=True, omit_defaults=True, tag="fault"):
    """The provider broke the stream off with an error; nothing follows."""

    message: str
    kind: str | None = None
    """The dialect's word for the family of the error."""
    code: str | None = None
    param: str | None = None


class StreamEnd(Struct, frozen=True, omit_defaults=True, tag="end"):
    """The stream is complete."""


StreamEvent = (
    StreamStart
    | TextDelta
    | ThinkingDelta
    | SignatureDelta
    | RedactedThinking
    | RefusalDelta
    | ToolCallStart
    | ToolCallDelta
    | AudioDelta
    | LogprobsDelta
    | ExtrasDelta
    | OpaqueEvent
    | PartEnd
    | Stop
    | UsageReport
    | StreamFault
    | StreamEnd
)
