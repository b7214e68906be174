"""OpenAI chat requests ⇄ the hub. Answers are in `openai_chat_answer`, streams in `openai_chat_stream`.

What the hub models is read into it; the rest stays in ``extras`` and is written back for OpenAI's own dialect. Two
fields come back under their common name: ``max_tokens`` as the vendor's word for it, and ``safety_identifier`` as
``user``, which every OpenAI-compatible vendor knows.
"""

from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Raw

from headgate.domain.chat import (
    AllowedToolsChoice,
    AnswerFormat,
    AnyToolChoice,
    AudioOutput,
    ChatRequest,
    CustomTool,
    FunctionTool,
    JsonObjectFormat,
    JsonSchemaFormat,
    Message,
    NamedToolChoice,
    OpaqueTool,
    Part,
    Reasoning,
    Role,
    Sampling,
    TextFormat,
    Tool,
    ToolChoice,
    ToolChoiceMode,
    ToolResultPart,
)
from headgate.domain.errors import UnsupportedFeatureError
from headgate.wire.format import Rendered, UpstreamBody
from headgate.wire.json_body import read_value
from headgate.wire.members import Members, to_json
from headgate.wire.openai_chat_parts import (
    DIALECT,
    parse_assistant,
    parse_content,
    render_assistant,
    render_content,
    render_tool_result,
)
from headgate.wire.openai_chat_plain import read_plain_message, read_plain_tool
from headgate.wire.rendering import Rendering

_TEXT: Final = msgspec.json.Decoder(str)
_TEXTS: Final = msgspec.json.Decoder(list[str])
_BIASES: Final = msgspec.json.Decoder(dict[str, int | float])
_TAGS: Final = msgspec.json.Decoder(dict[str, str])
_ROLES: Final = frozenset(Role)
_MODES: Final = frozenset(ToolChoiceMode)


# --- JSON → hub ---------------------------------------------------------------------------------------------------


def parse_request(body: bytes | Mapping[str, Raw]) -> ChatRequest:
    """Read a whole chat request, or its members, into the hub.

    Raises:
        InvalidRequestError: a field has a wrong type; ``param`` names it.
        UnsupportedFeatureError: a message has a role that the hub does not know (the deprecated ``function``).
    """
    members = Members(body)
    model = members.required_text("model")
    messages = tuple(
        [
            read_plain_message(item) or _parse_message(Members(item, f"messages[{index}]"))
            for index, item in enumerate(members.array("messages"))
        ]
    )
    options = members.object("stream_options")
    newer, older = members.integer("max_completion_tokens"), members.integer("max_tokens")
    bias, tags = members.take("logit_bias"), members.take("metadata")
    return ChatRequest(
        dialect=DIALECT,
        model=model,
        messages=messages,
        stream=members.boolean("stream") or False,
        include_usage=options is not None and options.boolean("include_usage") is True,
        max_output_tokens=older if newer is None else newer,
        stop=_parse_stop(members),
        choices=members.integer("n"),
        sampling=Sampling(
            temperature=members.number("temperature"),
            top_p=members.number("top_p"),
            frequency_penalty=members.number("frequency_penalty"),
            presence_penalty=members.number("presence_penalty"),
            seed=members.integer("seed"),
            logit_bias=None if bias is None else read_value(_BIASES, bias, "logit_bias"),
        ),
        logprobs=members.boolean("logprobs"),
        top_logprobs=members.integer("top_logprobs"),
        tools=tuple(
            [
                read_plain_tool(item) or _parse_tool(item, f"tools[{index}]")
                for index, item in enumerate(members.array("tools"))
            ]
        ),
        tool_choice=_parse_tool_choice(members),
        parallel_tool_calls=members.boolean("parallel_tool_calls"),
        answer_format=_parse_answer_format(members),
        reasoning=Reasoning(members.text("reasoning_effort")),
        modalities=tuple(members.texts("modalities")),
        audio=_parse_audio_output(members),
        service_tier=members.text("service_tier"),
        end_user=_parse_end_user(members),
        metadata={} if tags is None else read_value(_TAGS, tags, "metadata"),
        extras=members.rest(),
    )


def _parse_message(members: Members) -> Message:
    word = members.required_text("role")
    if word not in _ROLES:
        raise UnsupportedFeatureError(f"messages of role `{word[:64]}` cannot be translated", param=members.at("role"))
    role, name = Role(word), members.text("name")
    if role is Role.ASSISTANT:
        parts = parse_assistant(members)
    elif role is Role.TOOL:
        content = parse_content(members.take("content"), members.at("content"))
        parts = [ToolResultPart(members.required_text("tool_call_id"), tuple(content))]
    else:
        parts: list[Part] = [*parse_content(members.take("content"), members.at("content"))]
    return Message(role, tuple(parts), name, members.rest())


def _parse_stop(members: Members) -> tuple[str, ...]:
    value = members.take("stop")
    if value is None:
        return ()
    if bytes(value).startswith(b'"'):
        return (read_value(_TEXT, value, "stop"),)
    return tuple(read_value(_TEXTS, value, "stop"))


def _parse_tool(raw: Raw, path: str) -> Tool:
    members = Members(raw, path)
    kind = members.required_text("type")
    if kind == "function":
        inner = members.required_object(kind)
        name, description, parameters = inner.required_text("name"), inner.text("description"), inner.take("parameters")
        return FunctionTool(name, description, parameters, inner.boolean("strict"), extras=members.rest())
    if kind == "custom":
        inner = members.required_object(kind)
        name, description, form = inner.required_text("name"), inner.text("description"), inner.take("format")
        return CustomTool(name, description, form, members.rest())
    return OpaqueTool(kind, raw)


def _parse_tool_choice(members: Members) -> ToolChoice | None:
    value = members.take("tool_choice")
    if value is None:
        return None
    if bytes(value).startswith(b'"'):
        word = read_value(_TEXT, value, "tool_choice")
        if word in _MODES:
            return AnyToolChoice(ToolChoiceMode(word))
    else:
        choice = Members(value, "tool_choice")
        kind = choice.text("type")
        if kind in ("function", "custom"):
            name = choice.required_object(kind).required_text("name")
            if not choice.rest():
                return NamedToolChoice(name, custom=kind == "custom")
        elif kind == "allowed_tools":
            allowed = choice.required_object(kind)
            mode, tools = allowed.required_text("mode"), tuple(allowed.array("tools"))
            if mode in _MODES and not choice.rest():
                return AllowedToolsChoice(ToolChoiceMode(mode), tools)
    members.put_back("tool_choice", value)
    return None


def _parse_answer_format(members: Members) -> AnswerFormat | None:
    value = members.take("response_format")
    if value is None:
        return None
    form = Members(value, "response_format")
    kind = form.text("type")
    found: AnswerFormat | None = None
    if kind == "text":
        found = TextFormat()
    elif kind == "json_object":
        found = JsonObjectFormat()
    elif kind == "json_schema":
        inner = form.required_object(kind)
        name, schema, description = inner.text("name"), inner.take("schema"), inner.text("description")
        found = JsonSchemaFormat(name, schema, description, inner.boolean("strict"))
    if found is None or form.rest():
        members.put_back("response_format", value)
        return None
    return found


def _parse_audio_output(members: Members) -> AudioOutput | None:
    audio = members.object("audio")
    if audio is None:
        return None
    form, voice = audio.required_text("format"), audio.take("voice")
    if voice is None or bytes(voice).startswith(b'"'):
        return AudioOutput(form, None if voice is None else read_value(_TEXT, voice, "audio.voice"))
    return AudioOutput(form, voice_id=Members(voice, "audio.voice").required_text("id"))


def _parse_end_user(members: Members) -> str | None:
    user, identifier = members.text("user"), members.text("safety_identifier")
    if user is not None and identifier is not None and user != identifier:
        members.put_back("safety_identifier", Raw(to_json(identifier)))
    return identifier if user is None else user


# --- hub → JSON ---------------------------------------------------------------------------------------------------


def render_request(request: ChatRequest, upstream: UpstreamBody | None = None) -> Rendered:
    """Write a chat request for a provider; without ``upstream`` as the request itself says.

    Raises:
        UnsupportedFeatureError: the request holds what OpenAI's chat format cannot carry; ``param`` names it.
    """
    if upstream is None:
        upstream = UpstreamBody(request.model)
    rendering = Rendering(DIALECT, request.dialect)
    body: dict[str, object] = {"model": upstream.model, "messages": _render_messages(request, rendering)}
    if request.stream:
        body["stream"] = True
    if request.include_usage or (upstream.include_usage and request.stream):
        body["stream_options"] = {"include_usage": True}
    sampling = request.sampling
    if sampling.top_k is not None:
        raise rendering.refuse("a top-k limit", "top_k")
    if request.max_output_tokens == 0:
        raise rendering.refuse("a maximum of no output tokens", "max_tokens")
    optional: dict[str, object] = {
        upstream.max_output_field or "max_completion_tokens": request.max_output_tokens,
        "stop": request.stop or None,
        "n": request.choices,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "frequency_penalty": sampling.frequency_penalty,
        "presence_penalty": sampling.presence_penalty,
        "seed": sampling.seed,
        "logit_bias": sampling.logit_bias,
        "logprobs": request.logprobs,
        "top_logprobs": request.top_logprobs,
        "tools": [_render_tool(tool, rendering, f"tools[{i}]") for i, tool in enumerate(request.tools)] or None,
        "tool_choice": _render_tool_choice(request.tool_choice, rendering),
        "parallel_tool_calls": request.parallel_tool_calls,
        "response_format": _render_answer_format(request.answer_format),
        "reasoning_effort": _render_effort(request.reasoning, rendering),
        "modalities": request.modalities or None,
        "audio": _render_audio_output(request.audio),
        "service_tier": request.service_tier,
        "user": request.end_user,
        "metadata": request.metadata or None,
    }
    if request.service_tier is not None and not rendering.is_native:
        optional["service_tier"] = None  # Another vendor's tiers have other names and other prices.
        rendering.ignore("service_tier")
    body.update((name, value) for name, value in optional.items() if value is not None)
    rendering.write_extras(body, request.extras, "")
    return Rendered(to_json(body), rendering.ignored)


def _render_effort(reasoning: Reasoning, rendering: Rendering) -> str | None:
    """Return ``reasoning_effort``. How many tokens to think at most is a hint: the maximum of output bounds it too."""
    if reasoning.budget_tokens is not None:
        rendering.ignore("reasoning.budget_tokens")
    if reasoning.mode is not None:
        rendering.ignore("reasoning.mode")
    return reasoning.effort


def _render_messages(request: ChatRequest, rendering: Rendering) -> list[object]:
    messages: list[object] = []
    for index, message in enumerate(request.messages):
        path = f"messages[{index}]"
        # A result stands in a message of its own here, before what the user adds to it.
        results = [part for part in message.parts if isinstance(part, ToolResultPart)]
        for number, part in enumerate(results):
            target = render_tool_result(part, rendering, f"{path}.parts[{number}]")
            if message.role is Role.TOOL:
                _finish_message(target, message, rendering, path)
            messages.append(target)
        if len(results) < len(message.parts) or not results:
            messages.append(_render_message(message, rendering, path))
    return messages


def _render_message(message: Message, rendering: Rendering, path: str) -> dict[str, object]:
    if message.role is Role.TOOL:
        raise rendering.refuse("a tool message without a result, or with more than results", path)
    target: dict[str, object] = {"role": message.role.value}
    if message.role is Role.ASSISTANT:
        render_assistant(target, message.parts, rendering, path)
    else:
        parts = [part for part in message.parts if not isinstance(part, ToolResultPart)]
        content = render_content(parts, rendering, f"{path}.content")
        target["content"] = [] if content is None else content
    _finish_message(target, message, rendering, path)
    return target


def _finish_message(target: dict[str, object], message: Message, rendering: Rendering, path: str) -> None:
    if message.name is not None:
        target["name"] = message.name
    rendering.write_extras(target, message.extras, path)


def _render_tool(tool: Tool, rendering: Rendering, path: str) -> object:
    if isinstance(tool, OpaqueTool):
        if not rendering.is_native:
            raise rendering.refuse(f"the tool `{tool.kind}` of {rendering.source}", path)
        return tool.raw
    inner: dict[str, object] = {"name": tool.name}
    if tool.description is not None:
        inner["description"] = tool.description
    if isinstance(tool, CustomTool):
        kind = "custom"
        if tool.format is not None:
            inner["format"] = tool.format
    else:
        kind = "function"
        if tool.cache is not None:
            rendering.ignore(path, "cache")
        if tool.parameters is not None:
            inner["parameters"] = tool.parameters
        if tool.strict is not None:
            inner["strict"] = tool.strict
    target: dict[str, object] = {"type": kind, kind: inner}
    rendering.write_extras(target, tool.extras, path)
    return target


def _render_tool_choice(choice: ToolChoice | None, rendering: Rendering) -> object:
    if choice is None:
        return None
    if isinstance(choice, AnyToolChoice):
        return choice.mode.value
    if isinstance(choice, NamedToolChoice):
        kind = "custom" if choice.custom else "function"
        return {"type": kind, kind: {"name": choice.name}}
    if not rendering.is_native:
        raise rendering.refuse("a choice of allowed tools", "tool_choice")
    return {"type": "allowed_tools", "allowed_tools": {"mode": choice.mode.value, "tools": choice.tools}}


def _render_answer_format(form: AnswerFormat | None) -> object:
    if form is None:
        return None
    if isinstance(form, TextFormat):
        return {"type": "text"}
    if isinstance(form, JsonObjectFormat):
        return {"type": "json_object"}
    inner = {"name": form.name, "schema": form.schema, "description": form.description, "strict": form.strict}
    if form.name is None:
        inner["name"] = "answer"  # OpenAI demands one, other dialects have none.
    return {"type": "json_schema", "json_schema": {key: value for key, value in inner.items() if value is not None}}


def _render_audio_output(audio: AudioOutput | None) -> object:
    if audio is None:
        return None
    target: dict[str, object] = {"format": audio.format}
    if audio.voice_id is not None:
        target["voice"] = {"id": audio.voice_id}
    elif audio.voice is not None:
        target["voice"] = audio.voice
    return target
