"""Anthropic's requests → the hub. `anthropic_messages_render` writes them; answers are in `anthropic_messages_answer`.

What the hub models is read into it; the rest stays in ``extras`` and is written back for this dialect. ``system``
becomes the first message, and a deprecated ``output_format`` comes back as ``output_config.format``
(platform.claude.com, "Structured outputs").
"""

from collections.abc import Mapping
from typing import Final

from msgspec import Raw

from headgate.domain.chat import (
    AnswerFormat,
    AnyToolChoice,
    ChatRequest,
    FunctionTool,
    JsonSchemaFormat,
    Message,
    NamedToolChoice,
    OpaqueTool,
    Reasoning,
    Role,
    Sampling,
    Tool,
    ToolChoice,
    ToolChoiceMode,
)
from headgate.domain.errors import UnsupportedFeatureError
from headgate.wire.anthropic_messages_parts import DIALECT, parse_content, take_cache
from headgate.wire.anthropic_messages_plain import read_plain_message, read_plain_texts, read_plain_tool
from headgate.wire.members import Members

_ROLES: Final = {"user": Role.USER, "assistant": Role.ASSISTANT, "system": Role.SYSTEM}
_MODES: Final = {"auto": ToolChoiceMode.AUTO, "any": ToolChoiceMode.REQUIRED, "none": ToolChoiceMode.NONE}
_THINKING: Final = frozenset({"enabled", "adaptive", "disabled"})


def parse_request(body: bytes | Mapping[str, Raw]) -> ChatRequest:
    """Read a whole request, or its members, into the hub.

    Raises:
        InvalidRequestError: a field has a wrong type; ``param`` names it.
        UnsupportedFeatureError: a message has a role that the hub does not know.
    """
    members = Members(body)
    model = members.required_text("model")
    messages: list[Message] = []
    instructions = members.take("system")
    if instructions is not None:
        system = read_plain_texts(instructions) or parse_content(instructions, "system")
        if system:
            messages.append(Message(Role.SYSTEM, tuple(system)))
    for index, item in enumerate(members.array("messages")):
        messages.append(read_plain_message(item) or _parse_message(Members(item, f"messages[{index}]")))
    choice, parallel = _parse_tool_choice(members)
    thinking, metadata = _parse_thinking(members), members.object("metadata")
    config = members.object("output_config")
    effort = None if config is None else config.text("effort")
    return ChatRequest(
        dialect=DIALECT,
        model=model,
        messages=tuple(messages),
        stream=members.boolean("stream") or False,
        max_output_tokens=members.integer("max_tokens"),
        stop=tuple(members.texts("stop_sequences")),
        sampling=Sampling(members.number("temperature"), members.number("top_p"), members.integer("top_k")),
        tools=tuple(
            [
                read_plain_tool(item) or _parse_tool(Members(item, f"tools[{index}]"), item)
                for index, item in enumerate(members.array("tools"))
            ]
        ),
        tool_choice=choice,
        parallel_tool_calls=parallel,
        answer_format=_parse_format(members, config),
        reasoning=Reasoning(effort, *thinking),
        service_tier=members.text("service_tier"),
        end_user=None if metadata is None else metadata.text("user_id"),
        extras=members.rest(),
    )


def _parse_message(members: Members) -> Message:
    word = members.required_text("role")
    role = _ROLES.get(word)
    if role is None:
        raise UnsupportedFeatureError(f"messages of role `{word[:64]}` cannot be translated", param=members.at("role"))
    parts = parse_content(members.take("content"), members.at("content"))
    return Message(role, tuple(parts), extras=members.rest())


def _parse_tool(members: Members, raw: Raw) -> Tool:
    kind = members.text("type")
    if kind not in (None, "custom") or "input_schema" not in members:
        return OpaqueTool(kind or "custom", raw)
    name, description = members.required_text("name"), members.text("description")
    schema, strict, cache = members.take("input_schema"), members.boolean("strict"), take_cache(members)
    return FunctionTool(name, description, schema, strict, cache, members.rest())


def _parse_tool_choice(members: Members) -> tuple[ToolChoice | None, bool | None]:
    """Return the choice of tools, and whether several may be called at once."""
    value = members.take("tool_choice")
    if value is None:
        return None, None
    inner = Members(value, "tool_choice")
    kind = inner.text("type")
    one_only = inner.boolean("disable_parallel_tool_use") if kind != "none" else None
    choice: ToolChoice | None = None
    if kind in _MODES:
        choice = AnyToolChoice(_MODES[kind])
    elif kind == "tool":
        choice = NamedToolChoice(inner.required_text("name"))
    if choice is None or inner.rest():
        members.put_back("tool_choice", value)
        return None, None
    return choice, None if one_only is None else not one_only


def _parse_thinking(members: Members) -> tuple[str | None, int | None]:
    """Return whether to think and with how many tokens at most; what else is said of it stays in the extras."""
    value = members.take("thinking")
    if value is None:
        return None, None
    mode = Members(value, "thinking").text("type")
    members.put_back("thinking", value)
    if mode not in _THINKING:
        return None, None
    thinking = members.required_object("thinking")
    return thinking.text("type"), thinking.integer("budget_tokens") if mode == "enabled" else None


def _parse_format(members: Members, config: Members | None) -> AnswerFormat | None:
    """Read how to shape the answer. Anthropic's schemas are binding always, which OpenAI calls strict."""
    place, name = (config, "format") if config is not None and "format" in config else (members, "output_format")
    value = place.take(name)
    if value is None:
        return None
    form = Members(value, place.at(name))
    schema = form.take("schema")
    if form.text("type") == "json_schema" and schema is not None and not form.rest():
        return JsonSchemaFormat(schema=schema, strict=True)
    place.put_back(name, value)
    return None
