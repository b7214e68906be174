"""OpenAI's ``usage`` object and its dialects, read into one `TokenUsage` whose kinds are parts of their totals.

A count that is missing, negative, fractional or beyond `MAX_COUNT` makes a total unusable and a detail zero: a nonsense
usage object must lead to counting, never to a nonsense bill. Where a dialect's parts stand beside their total the sums
tell.
"""

from typing import Annotated, Any, Final, cast

from msgspec import Meta, Struct

from headgate.domain.usage import TokenUsage

MAX_COUNT: Final = 1_000_000_000
"""A thousand times what any model reads at once; beyond it a count is a provider's mistake, not a bill."""


Count = Annotated[int, Meta(ge=0, le=MAX_COUNT)]


class _PromptDetails(Struct, frozen=True, gc=False):
    cached_tokens: Count | None = None
    audio_tokens: Count | None = None
    cache_write_tokens: Any = None
    cache_creation_tokens: Any = None


class _OutputDetails(Struct, frozen=True, gc=False):
    reasoning_tokens: Count | None = None
    audio_tokens: Count | None = None


class PlainUsage(Struct, frozen=True, gc=False):
    """OpenAI's own shape, decoded in one go; the untyped members are those by which a dialect is known."""

    prompt_tokens: Count
    completion_tokens: Count
    total_tokens: Count
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _OutputDetails | None = None
    prompt_cache_hit_tokens: Any = None
    cache_read_input_tokens: Any = None
    cache_creation_input_tokens: Any = None
    cached_tokens: Any = None
    reasoning_tokens: Any = None


_NO_PROMPT_DETAILS: Final = _PromptDetails()
_NO_OUTPUT_DETAILS: Final = _OutputDetails()


def read_plain_usage(usage: PlainUsage) -> TokenUsage | None:
    """Return what `read_usage` would for OpenAI's own shape, a third of its work; ``None`` for any dialect's."""
    prompt, output = usage.prompt_tokens, usage.completion_tokens
    given = usage.prompt_tokens_details or _NO_PROMPT_DETAILS
    made = usage.completion_tokens_details or _NO_OUTPUT_DETAILS
    cached, reasoning = given.cached_tokens or 0, made.reasoning_tokens or 0
    if (
        usage.total_tokens != prompt + output
        or cached > prompt
        or reasoning > output
        or usage.prompt_cache_hit_tokens is not None
        or usage.cache_read_input_tokens is not None
        or usage.cache_creation_input_tokens is not None
        or usage.cached_tokens is not None
        or usage.reasoning_tokens is not None
        or given.cache_write_tokens is not None
        or given.cache_creation_tokens is not None
    ):
        return None
    audio_in, audio_out = given.audio_tokens or 0, made.audio_tokens or 0
    if audio_in > prompt or audio_out > output:
        return None
    return TokenUsage(prompt, cached, 0, audio_in, output, reasoning, audio_out)


def read_count(value: object) -> int | None:
    """Return a count as it stands in JSON, or ``None`` where it is not one."""
    return value if type(value) is int and 0 <= value <= MAX_COUNT else None


def read_usage(usage: object) -> TokenUsage | None:
    """Return the usage that a provider reports, or ``None`` where it reports none or nothing usable."""
    if not isinstance(usage, dict):
        return None
    get = cast("dict[str, object]", usage).get
    given, completion, total = (
        read_count(get("prompt_tokens")),
        read_count(get("completion_tokens")),
        read_count(get("total_tokens")),
    )
    if given is None:
        return None
    if completion is None:
        if total is None or total < given:
            return None
        completion = total - given
    of_prompt = _details(get("prompt_tokens_details"))
    of_output = _details(get("completion_tokens_details"))
    cached = _first_count(
        of_prompt.get("cached_tokens"),
        get("prompt_cache_hit_tokens"),  # DeepSeek
        get("cache_read_input_tokens"),  # Anthropic's words, as several proxies pass them on
        get("cached_tokens"),  # Moonshot
    )
    written = _first_count(
        of_prompt.get("cache_write_tokens"),
        of_prompt.get("cache_creation_tokens"),
        get("cache_creation_input_tokens"),
    )
    reasoning = _first_count(of_output.get("reasoning_tokens"), get("reasoning_tokens"))  # the latter: Perplexity
    prompt = _whole_input(given, cached + written, total, completion)
    output = _whole_output(completion, reasoning, total, prompt)
    return TokenUsage(
        input_tokens=prompt,
        cached_input_tokens=min(cached, prompt),
        cache_write_tokens=min(written, prompt - min(cached, prompt)),
        input_audio_tokens=min(read_count(of_prompt.get("audio_tokens")) or 0, prompt),
        output_tokens=output,
        reasoning_tokens=min(reasoning, output),
        output_audio_tokens=min(read_count(of_output.get("audio_tokens")) or 0, output),
    )


def _whole_input(prompt: int, cache: int, total: int | None, completion: int) -> int:
    """Return all input tokens where a vendor may count those of the cache beside ``prompt_tokens`` (Anthropic does)."""
    if cache and (cache > prompt or total == prompt + cache + completion):
        return prompt + cache
    return prompt


def _whole_output(completion: int, reasoning: int, total: int | None, prompt: int) -> int:
    """Return all output tokens where a vendor may count reasoning beside ``completion_tokens``.

    xAI reports the reasoning in the details and in the total alone (docs.x.ai, "Reasoning"); Gemini's
    OpenAI-compatible endpoint in the total alone, so what a total has in excess is output that is billed as such.
    """
    if total is not None and total > prompt + completion:
        return total - prompt
    if reasoning > completion:
        return completion + reasoning
    return completion


def _details(value: object) -> dict[str, object]:
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}


def _first_count(*values: object) -> int:
    for value in values:
        count = read_count(value)
        if count is not None:
            return count
    return 0
