"""What Anthropic's Messages API refuses, in its own statuses, types and words where those are public.

Sources, all on platform.claude.com: "Messages" (the reference), "Errors" (statuses and types), "Versions"
(``2026-10-21`` removed the sampling parameters and refuses documents in the assistant's turns), "Thinking
troubleshooting" and "Extended thinking" (which model knows which kind of thinking), "Mid-conversation system
messages", "Handle tool calls" (results stand first in the next turn), "Prompt caching" (at most four marks), "Vision"
(media types), "Structured outputs". Messages that no page spells out are worded as users report them in public
trackers (``anthropics/claude-code`` issues 8210, 18947, 31033; ``Vali-98/ChatterUI`` 564).

Turns need not alternate: consecutive ones of a role are joined. The first one must be the user's.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from tests.fakes import anthropic_turns

VERSIONS = ("2023-06-01", "2026-10-21")
SAMPLING = ("temperature", "top_p", "top_k")


class Model(NamedTuple):
    """What a model can do that another cannot."""

    budget_thinking: bool
    adaptive_thinking: bool
    sampling: bool
    prefill: bool
    effort: bool
    later_system: bool
    thinks_unasked: bool
    """Adaptive thinking is on where a request does not say, and its text is omitted."""


_OLDER = Model(True, False, True, True, False, False, False)
MODELS = {
    "claude-sonnet-4-5": _OLDER,
    "claude-haiku-4-5": _OLDER,
    "claude-sonnet-4-6": Model(True, True, True, False, True, False, False),
    "claude-opus-5-5": Model(False, True, False, False, True, True, True),
}
FAULTY = Model(True, True, True, True, True, True, False)
"""What a model called ``fault-…`` can do: everything, since it is there to fail in other ways."""

_COUNTED = frozenset(
    {
        *("model", "messages", "system", "tools", "tool_choice", "thinking", "output_config", "cache_control"),
        *("speed", "user_profile_id"),
    }
)
_KNOWN = _COUNTED | {
    *("max_tokens", "metadata", "stop_sequences", "stream", "service_tier", "container", "diagnostics"),
    *("inference_geo", *SAMPLING),
}
# Fields of betas, and the header without which they are unknown.
_BETA_FIELDS = {
    "output_format": "structured-outputs-2025-11-13",
    "context_management": "context-management-2025-06-27",
    "mcp_servers": "mcp-client-2025-11-20",
    "betas": "",
}
_TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")


class Refusal(NamedTuple):
    """An error answer in the vendor's words."""

    status: int
    message: str
    type: str = "invalid_request_error"

    def body(self) -> bytes:
        fault = {"type": self.type, "message": self.message}
        return json.dumps({"type": "error", "error": fault, "request_id": "req_fake_anthropic"}).encode()


class Asked(NamedTuple):
    """A request as the rules see it."""

    body: dict[str, Any]
    version: str
    betas: frozenset[str]
    counting: bool = False

    @property
    def model(self) -> Model:
        return MODELS.get(self.body["model"], FAULTY)


def check_headers(headers: Mapping[str, str], credential: str) -> Refusal | None:
    """Judge who asks and by which version; ``x-api-key`` counts where a bearer token comes along.

    The SDKs send the key as a bearer token since their versions of October 2026.
    """
    bearer = headers.get("authorization", "").removeprefix("Bearer ")
    key = headers.get("x-api-key", bearer)
    if not key:
        return Refusal(401, "x-api-key header is required", "authentication_error")
    if key != credential:
        return Refusal(401, "invalid x-api-key", "authentication_error")
    version = headers.get("anthropic-version")
    if version is None:
        return Refusal(400, "anthropic-version: header is required")
    if version not in VERSIONS:
        return Refusal(400, f'anthropic-version: "{version}" is not a valid version')
    return None


def check_messages(asked: Asked) -> Refusal | None:
    """Judge the body of ``POST /v1/messages``, or of ``/v1/messages/count_tokens``."""
    words = (
        _unknown_fields(asked)
        or _required(asked)
        or _wrong_types(asked)
        or _model(asked)
        or anthropic_turns.complaint(asked)
        or _tools(asked)
        or _thinking(asked)
        or _sampling(asked)
        or _format(asked)
        or _cache_marks(asked)
    )
    if isinstance(words, Refusal):
        return words
    return Refusal(400, words) if words else None


def _unknown_fields(asked: Asked) -> str | None:
    known = _COUNTED if asked.counting else _KNOWN
    if asked.version != VERSIONS[0]:
        known = known - frozenset(SAMPLING)
    for name in asked.body:
        if name not in known and _BETA_FIELDS.get(name, "") not in asked.betas:
            return f"{name}: Extra inputs are not permitted"
    return None


def _required(asked: Asked) -> str | None:
    names = ("model", "messages") if asked.counting else ("model", "messages", "max_tokens")
    return next((f"{name}: Field required" for name in names if name not in asked.body), None)


_TYPES: dict[str, tuple[tuple[type, ...], str]] = {
    "model": ((str,), "string"),
    "messages": ((list,), "list"),
    "max_tokens": ((int,), "integer"),
    "stream": ((bool, type(None)), "boolean"),
    "system": ((str, list), "string"),
    "tools": ((list,), "list"),
    "tool_choice": ((dict,), "dictionary"),
    "thinking": ((dict,), "dictionary"),
    "stop_sequences": ((list,), "list"),
    "temperature": ((int, float, type(None)), "number"),
    "top_p": ((int, float, type(None)), "number"),
    "top_k": ((int, type(None)), "integer"),
    "metadata": ((dict,), "dictionary"),
}


def _wrong_types(asked: Asked) -> str | None:
    for name, (kinds, word) in _TYPES.items():
        value = asked.body.get(name)
        wrong = not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds)
        if name in asked.body and wrong:
            return f"{name}: Input should be a valid {word}"
    if asked.body.get("max_tokens", 0) < 0:
        return "max_tokens: Input should be greater than or equal to 0"
    if any(not isinstance(stop, str) or not stop.strip() for stop in asked.body.get("stop_sequences", ())):
        return "stop_sequences: each stop sequence must contain non-whitespace"
    unknown = [name for name in asked.body.get("metadata", ()) if name != "user_id"]
    return f"metadata.{unknown[0]}: Extra inputs are not permitted" if unknown else None


def _model(asked: Asked) -> Refusal | None:
    name = asked.body["model"]
    if name in MODELS or name.startswith("fault-"):
        return None
    return Refusal(404, f"model: {name}", "not_found_error")


def _tools(asked: Asked) -> str | None:
    tools: list[dict[str, Any]] = asked.body.get("tools", [])
    for index, tool in enumerate(tools):
        if tool.get("type", "custom") != "custom":
            continue  # A server's tool, which has no schema of the caller's.
        where = f"tools.{index}.custom"
        if not _TOOL_NAME.fullmatch(tool.get("name", "")):
            return f"{where}.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'"
        if "input_schema" not in tool:
            return f"{where}.input_schema: Field required"
        if tool["input_schema"].get("type") != "object":
            return f"{where}.input_schema.type: Input should be 'object'"
        known = {"type", "name", "description", "input_schema", "cache_control", "strict", "input_examples"}
        unknown = [name for name in tool if name not in known | {"defer_loading", "eager_input_streaming"}]
        if unknown:
            return f"{where}.{unknown[0]}: Extra inputs are not permitted"
    names = [tool.get("name") for tool in tools]
    if len(set(names)) < len(names):
        return "tools: Tool names must be unique."
    return _tool_choice(asked, names)


def _tool_choice(asked: Asked, names: list[str | None]) -> str | None:
    choice = asked.body.get("tool_choice")
    if choice is None:
        return None
    if choice.get("type") not in ("auto", "any", "tool", "none"):
        return (
            f"tool_choice: Input tag '{choice.get('type')}' found using 'type' does not match any of the expected tags"
        )
    if not names:
        return "tool_choice: tool_choice may only be specified while providing tools."
    if choice["type"] == "tool" and choice.get("name") not in names:
        return f"tool_choice.name: Tool '{choice.get('name')}' not found in provided tools"
    return None


def _thinking(asked: Asked) -> str | None:
    thinking = asked.body.get("thinking", {"type": "disabled"})
    kind = thinking.get("type")
    if kind not in ("enabled", "disabled", "adaptive", "between_tools"):
        return f"thinking: Input tag '{kind}' found using 'type' does not match any of the expected tags"
    if kind == "adaptive" and not asked.model.adaptive_thinking:
        return "adaptive thinking is not supported on this model"
    if kind == "enabled":
        if not asked.model.budget_thinking:
            return (
                '"thinking.type.enabled" is not supported for this model. '
                'Use "thinking.type.adaptive" and "output_config.effort" to control thinking behavior.'
            )
        words = _budget(asked, thinking)
        if words:
            return words
    forced = asked.body.get("tool_choice", {}).get("type") in ("any", "tool")
    if kind in ("enabled", "adaptive") and forced:
        return "Thinking may not be enabled when tool_choice forces tool use."
    return None


def _budget(asked: Asked, thinking: dict[str, Any]) -> str | None:
    budget = thinking.get("budget_tokens")
    if not isinstance(budget, int):
        return "thinking.enabled.budget_tokens: Field required"
    if budget < 1024:
        return "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024"
    # With interleaved thinking the budget spans a whole turn of tools, which may exceed one answer.
    interleaved = "interleaved-thinking-2025-05-14" in asked.betas and asked.body.get("tools")
    if not asked.counting and budget >= asked.body["max_tokens"] and not interleaved:
        return (
            "`max_tokens` must be greater than `thinking.budget_tokens`. Please consult our documentation at "
            "https://docs.claude.com/en/docs/build-with-claude/extended-thinking#max-tokens-and-context-window-size"
        )
    return None


def _sampling(asked: Asked) -> str | None:
    given = {name: asked.body[name] for name in SAMPLING if asked.body.get(name) is not None}
    if not 0 <= given.get("temperature", 0) <= 1:
        return "temperature: range: 0..1"
    if not asked.model.sampling:
        # Defaults are accepted by models that know no sampling parameters.
        odd = [name for name, value in given.items() if name == "top_k" or value != 1]
        return f"`{odd[0]}` is deprecated for this model." if odd else None
    if asked.body.get("thinking", {}).get("type") in ("enabled", "adaptive"):
        if given.get("temperature", 1) != 1:
            return "`temperature` may only be set to 1 when thinking is enabled."
        if "top_k" in given:
            return "`top_k` must be unset when thinking is enabled."
        if given.get("top_p", 1) < 0.95:
            return "`top_p` must be greater than or equal to 0.95 or unset when thinking is enabled."
    if "temperature" in given and "top_p" in given:
        return "`temperature` and `top_p` cannot both be specified for this model. Please use only one."
    return None


def _format(asked: Asked) -> str | None:
    config = asked.body.get("output_config") or {}
    unknown = [name for name in config if name not in ("effort", "format", "task_budget")]
    if unknown:
        return f"output_config.{unknown[0]}: Extra inputs are not permitted"
    if config.get("effort") is not None and not asked.model.effort:
        return "This model does not support the effort parameter."
    if config.get("effort") not in (None, "low", "medium", "high", "xhigh", "max"):
        return "output_config.effort: Input should be 'low', 'medium', 'high', 'xhigh' or 'max'"
    wanted = config.get("format") or asked.body.get("output_format")
    if wanted is None:
        return None
    if wanted.get("type") != "json_schema" or "schema" not in wanted:
        return "output_config.format.schema: Field required"
    for node in _objects(wanted["schema"]):
        if node.get("additionalProperties") is not False:
            return (
                "output_config.format.schema: For 'object' type, 'additionalProperties' must be explicitly set to false"
            )
    return None


def _objects(schema: object) -> Iterator[dict[str, Any]]:
    """Every part of a schema that describes an object."""
    if isinstance(schema, dict):
        if schema.get("type") == "object":
            yield schema
        for part in schema.values():
            yield from _objects(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from _objects(part)


def _cache_marks(asked: Asked) -> str | None:
    count = len(list(anthropic_turns.cache_marks(asked.body)))
    return f"A maximum of 4 blocks with cache_control may be provided. Found {count}." if count > 4 else None
