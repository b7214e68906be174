"""What is never cached: requests whose answer depends on more than the request, and answers that are no good twice.

Every reason is one stable word, for the record. Doubt is a reason too.
"""

import re
from itertools import pairwise
from typing import Any, Final

from headgate.domain.caching import CachePolicy, CacheSampling, CacheScope
from headgate.domain.chat import (
    AudioPart,
    ChatRequest,
    ChatResponse,
    Choice,
    FileIdSource,
    OpaquePart,
    OpaqueTool,
    Part,
    RedactedThinkingPart,
    RefusalPart,
    Role,
    StopReason,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
    UrlSource,
)

MOST_REQUEST_BYTES: Final = 1024 * 1024
"""Larger requests are not looked for: to read them whole would hold up everybody else."""
TIME_BOUND_TTL_S: Final = 300.0
"""The longest that an answer is kept to a question about the present."""

_STATEFUL: Final = frozenset({"previous_response_id", "conversation", "background", "container", "context_management"})
"""Members that refer to what a provider keeps."""
_SERVER_TOOLS: Final = frozenset({"web_search_options", "mcp_servers", "search_parameters", "plugins"})
"""Members that let a provider look something up."""
_WORD: Final = re.compile(r"[^\W\d_]+|\b20\d\d\b")
_TIME_BOUND: Final = frozenset(
    (
        *("today", "tonight", "tomorrow", "yesterday", "now", "current", "currently", "latest", "newest", "recent"),
        *("recently", "news", "weather", "forecast", "price", "prices", "stock", "score", "date", "time"),
        *("heute", "morgen", "gestern", "jetzt", "aktuell", "aktuelle", "aktuellen", "neueste", "neuesten", "wetter"),
        *("preis", "preise"),
    )
)
_THIS: Final = frozenset({"this", "next", "last"})
_SPANS: Final = frozenset({"week", "month", "year", "morning", "evening", "quarter"})
_NO_REASON: Final[dict[StopReason, str]] = {
    StopReason.CONTENT_FILTER: "content_filter",
    StopReason.REFUSAL: "refusal",
    StopReason.PAUSE: "paused",
    StopReason.OTHER: "odd_stop",
}


def why_not_sought(request: ChatRequest, policy: CachePolicy) -> str | None:
    """Return why a chat request is not looked for; ``None`` where it may be."""
    extras = request.extras
    if not _STATEFUL.isdisjoint(extras) or _is_true(extras.get("store")):
        return "stateful"
    if not _SERVER_TOOLS.isdisjoint(extras) or any(isinstance(tool, OpaqueTool) for tool in request.tools):
        return "server_tools"
    if request.audio is not None or any(kind != "text" for kind in request.modalities):
        return "modality"
    if policy.sampling is CacheSampling.DETERMINISTIC_ONLY and request.sampling.temperature != 0:
        return "sampling"
    for message in request.messages:
        if message.role is Role.TOOL:
            return "tool_results"
        for part in message.parts:
            if type(part) is not TextPart and (reason := _why_not_part(part, policy)) is not None:
                return reason
    return None


def _why_not_part(part: Part, policy: CachePolicy) -> str | None:
    if isinstance(part, ToolResultPart):
        return "tool_results"
    if isinstance(part, AudioPart):
        return "modality"
    if isinstance(part, OpaquePart):
        return "unknown_part"
    source = getattr(part, "source", None)
    if isinstance(source, UrlSource):
        return "remote_url"
    if isinstance(source, FileIdSource):
        return "stateful"
    return _why_not_reasoning(part, policy)


def _why_not_reasoning(part: Part, policy: CachePolicy) -> str | None:
    """Sealed reasoning is good for whom it was made; within one key that is the same caller."""
    is_sealed = isinstance(part, RedactedThinkingPart) or (isinstance(part, ThinkingPart) and part.signature)
    return "sealed_reasoning" if is_sealed and policy.scope is not CacheScope.KEY else None


def why_not_kept(answer: ChatResponse, policy: CachePolicy) -> str | None:
    """Return why a complete answer is not kept; ``None`` where it may be."""
    if not answer.choices:
        return "empty"
    for choice in answer.choices:
        reason = _why_not_choice(choice, policy)
        if reason is not None:
            return reason
    return None


def _why_not_choice(choice: Choice, policy: CachePolicy) -> str | None:
    if choice.stop is None:
        return "odd_stop"
    if choice.stop in _NO_REASON:
        return _NO_REASON[choice.stop]
    if choice.stop is StopReason.MAX_TOKENS and not policy.cut_answers:
        return "cut_at_max_tokens"
    has_content = False
    for part in choice.parts:
        if isinstance(part, RefusalPart):
            return "refusal"
        if isinstance(part, ToolCallPart) and not policy.tool_calls:
            return "tool_calls"
        if isinstance(part, AudioPart):
            return "modality"
        if isinstance(part, OpaquePart):
            return "unknown_part"
        reason = _why_not_reasoning(part, policy)
        if reason is not None:
            return reason
        has_content = has_content or not isinstance(part, TextPart | ThinkingPart) or _says_something(part)
    return None if has_content else "empty"


def _says_something(part: Part) -> bool:
    return isinstance(part, TextPart) and bool(part.text.strip())


def is_time_bound(request: ChatRequest, this_year: int) -> bool:
    """Whether what is asked last may have another answer soon."""
    for message in reversed(request.messages):
        if message.role is Role.USER:
            return any(_is_bound(part.text, this_year) for part in message.parts if isinstance(part, TextPart))
    return False


def _is_bound(text: str, this_year: int) -> bool:
    words = _WORD.findall(text.lower())
    if not _TIME_BOUND.isdisjoint(words):
        return True
    if any(word.isdigit() and int(word) >= this_year for word in words):
        return True
    return any(one in _THIS and other in _SPANS for one, other in pairwise(words))


def _is_true(raw: Any) -> bool:
    return raw is not None and bytes(raw) != b"false" and bytes(raw) != b"null"
