"""The hub → Anthropic's requests.

System and developer messages at the start become ``system``. Later ones stay where they stand, as messages of role
``system``: models know them since Claude Opus 4.8 (platform.claude.com, "Mid-conversation system messages"), an older
one refuses them by name, and moving them would change what the model reads. Consecutive tool messages become one turn
of the user with all results, which Anthropic demands behind parallel calls.
"""

from typing import Final

from headgate.domain.chat import (
    AllowedToolsChoice,
    AnyToolChoice,
    ChatRequest,
    CustomTool,
    JsonObjectFormat,
    JsonSchemaFormat,
    Message,
    NamedToolChoice,
    OpaqueTool,
    Part,
    Role,
    TextPart,
    Tool,
    ToolChoiceMode,
)
from headgate.wire.anthropic_messages_blocks import Block, render_cache, render_content
from headgate.wire.anthropic_messages_parts import DIALECT
from headgate.wire.format import Rendered, UpstreamBody
from headgate.wire.members import to_json
from headgate.wire.rendering import Rendering

_MODES: Final = {ToolChoiceMode.AUTO: "auto", ToolChoiceMode.REQUIRED: "any", ToolChoiceMode.NONE: "none"}
_SYSTEM: Final = (Role.SYSTEM, Role.DEVELOPER)
_EFFORTS: Final = frozenset({"low", "medium", "high", "xhigh", "max"})
_HOTTEST: Final = 1.0


def render_request(request: ChatRequest, upstream: UpstreamBody | None = None) -> Rendered:
    """Write a request for a provider; without ``upstream`` as the request itself says.

    Raises:
        UnsupportedFeatureError: the request holds what Anthropic's format cannot carry; ``param`` names it.
    """
    if upstream is None:
        upstream = UpstreamBody(request.model)
    rendering = Rendering(DIALECT, request.dialect)
    system, turns = _split_system(request.messages)
    if not turns:
        raise rendering.refuse("a conversation in which nobody but the system speaks", "messages")
    maximum = request.max_output_tokens
    body: dict[str, object] = {
        "model": upstream.model,
        "max_tokens": upstream.default_max_output_tokens if maximum is None else maximum,
        "messages": _render_messages(turns, len(request.messages) - len(turns), rendering),
    }
    if system:
        body["system"] = _render_system(system, rendering)
    if request.stream:
        body["stream"] = True
    if request.stop:
        body["stop_sequences"] = request.stop
    _render_sampling(body, request, rendering)
    if request.tools:
        body["tools"] = [_render_tool(tool, rendering, f"tools[{i}]") for i, tool in enumerate(request.tools)]
    _render_tool_choice(body, request, rendering)
    _render_thinking(body, request, rendering)
    _render_format(body, request, rendering)
    _render_hints(body, request, rendering)
    _refuse_sound(request, rendering)
    rendering.write_extras(body, request.extras, "")
    return Rendered(to_json(body), rendering.ignored)


def _split_system(messages: tuple[Message, ...]) -> tuple[tuple[Message, ...], tuple[Message, ...]]:
    for index, message in enumerate(messages):
        if message.role not in _SYSTEM:
            return messages[:index], messages[index:]
    return messages, ()


def _render_system(messages: tuple[Message, ...], rendering: Rendering) -> object:
    parts: list[Part] = []
    for index, message in enumerate(messages):
        path = f"messages[{index}]"
        _check_message(message, rendering, path)
        _check_text_only(message, rendering, path)
        parts += message.parts
    return render_content(parts, rendering, "system")


def _check_text_only(message: Message, rendering: Rendering, path: str) -> None:
    if not rendering.is_native and not all(isinstance(part, TextPart) for part in message.parts):
        raise rendering.refuse("anything but text in a system message", f"{path}.content")


def _render_messages(turns: tuple[Message, ...], first: int, rendering: Rendering) -> list[object]:
    messages: list[object] = []
    results: list[Part] = []
    for index, message in enumerate(turns, first):
        path = f"messages[{index}]"
        if message.role is Role.TOOL:
            results += message.parts
            if message.name is not None:
                rendering.ignore(path, "name")  # Of the tool, which the call's id says already.
            rendering.write_extras({}, message.extras, path)
            continue
        if results:
            messages.append({"role": "user", "content": render_content(results, rendering, path)})
            results = []
        messages.append(_render_message(message, rendering, path))
    if results:
        messages.append({"role": "user", "content": render_content(results, rendering, "messages[]")})
    return messages


def _render_message(message: Message, rendering: Rendering, path: str) -> Block:
    role = message.role
    if role in _SYSTEM:
        role = Role.SYSTEM
        _check_text_only(message, rendering, path)
    _check_message(message, rendering, path)
    target: Block = {"role": role.value, "content": render_content(message.parts, rendering, f"{path}.content")}
    rendering.write_extras(target, message.extras, path)
    return target


def _check_message(message: Message, rendering: Rendering, path: str) -> None:
    if message.name is not None:
        raise rendering.refuse("names that tell participants apart", f"{path}.name")


def _render_sampling(body: dict[str, object], request: ChatRequest, rendering: Rendering) -> None:
    sampling = request.sampling
    temperature = sampling.temperature
    if temperature is not None:
        if not rendering.is_native and temperature > _HOTTEST:
            raise rendering.refuse("a temperature above 1", "temperature")
        body["temperature"] = temperature
    if sampling.top_p is not None:
        body["top_p"] = sampling.top_p
    if sampling.top_k is not None:
        body["top_k"] = sampling.top_k
    for name, value in (
        ("frequency_penalty", sampling.frequency_penalty),
        ("presence_penalty", sampling.presence_penalty),
        ("logit_bias", sampling.logit_bias),
        ("logprobs", request.logprobs),
        ("top_logprobs", request.top_logprobs),
    ):
        if value:  # Zero, false and empty say what Anthropic does anyway.
            raise rendering.refuse(f"`{name}`", name)
    if request.choices is not None and request.choices != 1:
        raise rendering.refuse("more than one answer to a request", "choices")
    if sampling.seed is not None:
        rendering.ignore("seed")  # "Best effort" with OpenAI itself: it does not change what is asked for.


def _render_tool(tool: Tool, rendering: Rendering, path: str) -> object:
    if isinstance(tool, OpaqueTool):
        if not rendering.is_native:
            raise rendering.refuse(f"the tool `{tool.kind}` of {rendering.source}", path)
        return tool.raw
    if isinstance(tool, CustomTool):
        raise rendering.refuse("a tool that takes free text", path)
    target: Block = {"name": tool.name}
    if tool.description is not None:
        target["description"] = tool.description
    # A schema must be there; a function without parameters takes an object without members.
    target["input_schema"] = {"type": "object", "properties": {}} if tool.parameters is None else tool.parameters
    if tool.strict is not None:
        target["strict"] = tool.strict
    if tool.cache is not None:
        render_cache(target, tool.cache, rendering, path)
    rendering.write_extras(target, tool.extras, path)
    return target


def _render_tool_choice(body: dict[str, object], request: ChatRequest, rendering: Rendering) -> None:
    choice, parallel = request.tool_choice, request.parallel_tool_calls
    target: Block | None = None
    if isinstance(choice, AnyToolChoice):
        target = {"type": _MODES[choice.mode]}
    elif isinstance(choice, NamedToolChoice):
        if choice.custom:
            raise rendering.refuse("the choice of a tool that takes free text", "tool_choice")
        target = {"type": "tool", "name": choice.name}
    elif isinstance(choice, AllowedToolsChoice):
        raise rendering.refuse("a choice of allowed tools", "tool_choice")
    if parallel is not None:
        if target is None and request.tools:
            target = {"type": "auto"}
        if target is None or target["type"] == "none":
            rendering.ignore("parallel_tool_calls")  # No tool can be called at all.
        else:
            target["disable_parallel_tool_use"] = not parallel
    if target is not None:
        body["tool_choice"] = target


def _render_thinking(body: dict[str, object], request: ChatRequest, rendering: Rendering) -> None:
    """Write ``thinking`` and the effort. OpenAI's effort ``none`` is Anthropic's thinking ``disabled``."""
    mode, budget, effort = request.reasoning.mode, request.reasoning.budget_tokens, request.reasoning.effort
    if effort == "none" and not rendering.is_native:
        mode, effort = "disabled", None
    if mode is not None:
        body["thinking"] = {"type": mode} if budget is None else {"type": mode, "budget_tokens": budget}
    if effort is not None:
        if not rendering.is_native and effort not in _EFFORTS:
            raise rendering.refuse(f"the effort `{effort[:64]}`", "reasoning.effort")
        body["output_config"] = {"effort": effort}


def _render_format(body: dict[str, object], request: ChatRequest, rendering: Rendering) -> None:
    form = request.answer_format
    if isinstance(form, JsonObjectFormat):
        raise rendering.refuse("JSON without a schema", "answer_format")
    if not isinstance(form, JsonSchemaFormat):
        return
    if form.schema is None:
        raise rendering.refuse("a JSON answer without a schema", "answer_format")
    config = body.setdefault("output_config", {})
    assert isinstance(config, dict)
    config["format"] = {"type": "json_schema", "schema": form.schema}
    if rendering.is_native:
        return
    place = f"{rendering.word('answer_format')}.json_schema"
    for name, value in (("name", form.name), ("description", form.description)):
        if value is not None:
            rendering.ignore(place, name)
    if form.strict is False:
        rendering.ignore(place, "strict")  # Anthropic's schemas bind always.


def _render_hints(body: dict[str, object], request: ChatRequest, rendering: Rendering) -> None:
    if request.end_user is not None:
        body["metadata"] = {"user_id": request.end_user}
    if request.metadata:
        rendering.ignore("metadata")
    if request.service_tier is not None:
        if rendering.is_native:
            body["service_tier"] = request.service_tier
        else:
            rendering.ignore("service_tier")  # Another vendor's tiers have other names and other prices.


def _refuse_sound(request: ChatRequest, rendering: Rendering) -> None:
    if any(kind != "text" for kind in request.modalities):
        raise rendering.refuse("an answer that is not text", "modalities")
    if request.audio is not None:
        raise rendering.refuse("a spoken answer", "audio")
