"""Anthropic's ``usage`` object, read into one `TokenUsage` whose kinds are parts of their totals, and written back.

Anthropic counts disjointly: "Total input tokens in a request is the summation of ``input_tokens``,
``cache_creation_input_tokens``, and ``cache_read_input_tokens``" (platform.claude.com, "Messages", ``usage``). A count
that is negative, fractional or beyond `MAX_COUNT` makes the sum unusable, and then there is no usage at all: nonsense
must lead to counting, never to a bill.
"""

from typing import Annotated, Any, Final, cast

import msgspec
from msgspec import Meta, Struct

from headgate.domain.chat import Extras
from headgate.domain.usage import TokenUsage
from headgate.wire.json_body import member_of
from headgate.wire.members import Members
from headgate.wire.openai_usage import MAX_COUNT, read_count
from headgate.wire.rendering import Rendering

_Count = Annotated[int, Meta(ge=0, le=MAX_COUNT)]
_COUNTS: Final = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "output_tokens")


class PlainUsage(Struct, frozen=True, gc=False):
    """The counts of a whole answer, decoded in one go."""

    input_tokens: _Count
    output_tokens: _Count
    cache_read_input_tokens: _Count | None = None
    cache_creation_input_tokens: _Count | None = None
    output_tokens_details: Any = None


def read_plain_usage(usage: PlainUsage) -> TokenUsage | None:
    """Return what `read_usage` would for a usage object whose counts are good, for less work."""
    read, written = usage.cache_read_input_tokens or 0, usage.cache_creation_input_tokens or 0
    return _sum(usage.input_tokens, read, written, usage.output_tokens, usage.output_tokens_details)


def read_usage(usage: object) -> TokenUsage | None:
    """Return the usage that a provider reports, or ``None`` where it reports none or nothing usable."""
    if not isinstance(usage, dict):
        return None
    get = cast("dict[str, object]", usage).get
    fresh, output = read_count(get("input_tokens")), read_count(get("output_tokens"))
    read, written = (
        0 if get(name) is None else read_count(get(name))
        for name in ("cache_read_input_tokens", "cache_creation_input_tokens")
    )
    if fresh is None or output is None or read is None or written is None:
        return None
    return _sum(fresh, read, written, output, get("output_tokens_details"))


def _sum(fresh: int, read: int, written: int, output: int, details: object) -> TokenUsage | None:
    total = fresh + read + written
    if total > MAX_COUNT:
        return None
    thought = read_count(member_of(details, "thinking_tokens")) or 0
    return TokenUsage(total, read, written, 0, output, min(thought, output))


def merge_usage(before: object, now: object) -> dict[str, object]:
    """Return a stream's usage so far: counts of ``message_delta`` are cumulative and replace those of before.

    What it leaves out, or gives as null, keeps its value from ``message_start`` (so do Anthropic's own SDKs).
    """
    merged = dict(cast("dict[str, object]", before)) if isinstance(before, dict) else {}
    if isinstance(now, dict):
        merged.update((name, value) for name, value in cast("dict[str, object]", now).items() if value is not None)
    return merged


def parse_usage(usage: dict[str, object]) -> tuple[TokenUsage | None, Extras]:
    """Return a usage object's counts and its unmodelled members."""
    counts = read_usage(usage)
    if counts is None:
        return None, {}
    members = Members(msgspec.json.encode(usage), "usage")
    for name in _COUNTS:
        members.take(name)
    if "output_tokens_details" in members and isinstance(usage["output_tokens_details"], dict):
        details = members.object("output_tokens_details")
        if details is not None:
            details.take("thinking_tokens")
    return counts, members.rest()


def render_usage(usage: TokenUsage, extras: Extras, rendering: Rendering) -> dict[str, object]:
    """Return Anthropic's usage object."""
    cached = min(usage.cached_input_tokens, usage.input_tokens)
    written = min(usage.cache_write_tokens, usage.input_tokens - cached)
    target: dict[str, object] = {
        "input_tokens": usage.input_tokens - cached - written,
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": cached,
        "output_tokens": usage.output_tokens,
    }
    if usage.reasoning_tokens:
        target["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}
    spoken = {"input_audio_tokens": usage.input_audio_tokens, "output_audio_tokens": usage.output_audio_tokens}
    if not rendering.is_native:
        rendering.carry_members(target, {name: count for name, count in spoken.items() if count})
    rendering.carry(target, extras)
    return target
