"""The most that a request can use: input and output tokens, known before anything is sent.

`input_bound` is cheap and needs no tokenizer; `tokenizer_bound` is tighter for OpenAI's models and costs milliseconds,
so it is asked only where the cheap one is what refuses. ``None`` is "no bound is known": where money is limited, the
caller refuses such a request.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Struct

from headgate.domain.catalog import Capabilities, Price
from headgate.tokens.counting import OFF_LOOP_CHARACTERS, count_texts, family_of, is_loaded
from headgate.tokens.text import text_bound
from headgate.tokens.weight import (
    MESSAGE_TOKENS,
    REQUEST_TOKENS,
    SCHEMA_TOKENS,
    STRUCTURED_FACTOR,
    TOOL_TOKENS,
    TOOLS_TOKENS,
    Weight,
    weigh,
)
from headgate.wire.format import DEFAULT_MAX_OUTPUT_TOKENS, Envelope, WireFormat

WIDENED_WINDOW: Final = 1_000_000
"""Claude's context window under the beta ``context-1m-2025-08-07`` (platform.claude.com, "Context windows")."""
MAX_CHOICES: Final = 128

_INT: Final = msgspec.json.Decoder(int | None)


def window_of(capabilities: Capabilities, price: Price | None) -> int | None:
    """Return the longest input that the model takes, in tokens; ``None`` where that is not known.

    A price for inputs longer than the catalogue's window says that the window can be widened, as Claude Sonnet 4.5's
    can. Then the catalogue's figure bounds nothing.
    """
    window = capabilities.context_window
    if window is None or price is None or not price.tiers:
        return window
    if any(tier.above_input_tokens >= window for tier in price.tiers):
        return max(window, WIDENED_WINDOW)
    return window


def close_bound(weight: Weight, window: int | None) -> int | None:
    """Return the bound of the input that a weight amounts to.

    ``window`` is the longest input that the model takes: providers refuse what is longer, and bill nothing for it.
    Embeddings have a window for each text.
    """
    if weight.unbounded is not None:
        return None
    whole = None if window is None else window * max(1, weight.messages if weight.is_batch else 1)
    if weight.window is not None:
        return whole
    return weight.tokens if whole is None else min(weight.tokens, whole)


def input_bound(wire_format: WireFormat, envelope: Envelope, model: str, window: int | None) -> int | None:
    """Return how many input tokens a request can be billed for at most; ``None`` where nothing bounds it.

    ``model`` is the upstream's name, for what its images cost; ``window`` comes from `window_of`.
    """
    return close_bound(weigh(wire_format.name, envelope.fields, model), window)


def has_exact_tokenizer(model: str) -> bool:
    """Say whether `tokenizer_bound` knows the model's own tokenizer: OpenAI's alone."""
    return family_of(model).name.startswith("OpenAI")


async def tokenizer_bound(wire_format: WireFormat, envelope: Envelope, model: str, window: int | None) -> int | None:
    """Return a bound as `input_bound` does, by the model's own tokenizer where that is known.

    Never more than `input_bound`. Long texts are counted in a thread; 500 KB take about 30 ms there.
    """
    weight = weigh(wire_format.name, envelope.fields, model)
    bound = close_bound(weight, window)
    if bound is None or weight.window is not None or not has_exact_tokenizer(model):
        return bound
    fields = envelope.fields
    structured = [name for name in _STRUCTURED if name in fields]
    texts = wire_format.input_text(envelope)
    again = wire_format.input_text(Envelope(envelope.model, {name: fields[name] for name in structured}))
    # `input_text` leaves these out. It leaves out the ids of tool calls too, of which OpenAI's Harmony knows none.
    rest = sum(text_bound(bytes(fields[name])) for name in ("tool_choice", "function_call") if name in fields)
    long = sum(map(len, texts)) + sum(map(len, again)) > OFF_LOOP_CHARACTERS
    if long or not is_loaded(model):
        counted = await asyncio.to_thread(_count, model, texts, again)
    else:
        counted = _count(model, texts, again)
    overhead = REQUEST_TOKENS + (2 * MESSAGE_TOKENS) * weight.messages + weight.media_tokens
    if structured:
        overhead += TOOLS_TOKENS + SCHEMA_TOKENS + TOOL_TOKENS * (len(again) + 1)
    return min(bound, counted + overhead + rest)


_STRUCTURED: Final = ("tools", "functions", "response_format", "output_config", "output_format")


def _count(model: str, texts: Sequence[str], again: Sequence[str]) -> int:
    """Count texts, and once more those of them that the vendor writes anew."""
    counted = count_texts(model, texts) + (STRUCTURED_FACTOR - 1) * count_texts(model, again)
    # A long text is counted in pieces, and where it is cut a token more or less is possible.
    return counted + counted // 256 + 1


class OutputBound(Struct, frozen=True, gc=False):
    """The most that an answer can have."""

    max_tokens: int
    """To be sent upstream for each choice, under the vendor's name. It is what makes ``tokens`` true."""
    is_ours: bool
    """Whether ``max_tokens`` differs from what the client said, or the client said nothing."""
    tokens: int | None
    """Of all choices together, reasoning included; ``None`` where reasoning is without bound."""
    has_audio: bool = False
    """Sound was asked for, which has rates of its own."""


def output_bound(
    wire_format: WireFormat, envelope: Envelope, capabilities: Capabilities, reasoning_beyond: int | None = 0
) -> OutputBound:
    """Return the maximum of output to send upstream, and how many output tokens can be billed at most.

    The lesser of the client's maximum and the model's; where neither is known, `DEFAULT_MAX_OUTPUT_TOKENS`.
    ``reasoning_beyond`` is how many tokens the model may think outside of that maximum: none at providers whose maximum
    counts reasoning (OpenAI's ``max_completion_tokens``, Anthropic's ``max_tokens``), ``None`` where it is not known.
    A prediction's rejected tokens are billed as output (OpenAI, "Predicted outputs") and stand beside the maximum here.
    """
    if wire_format.operation != "chat":
        return OutputBound(0, False, 0)
    asked, most = envelope.max_output_tokens, capabilities.max_output_tokens
    maximum = most if asked is None or (most is not None and most < asked) else asked
    if maximum is None:
        maximum = DEFAULT_MAX_OUTPUT_TOKENS
    fields, choices, beyond = envelope.fields, 1, 0
    has_audio = False
    if wire_format.name == "openai_chat":
        if "n" in fields:
            choices = _choices(bytes(fields["n"]))
        if "prediction" in fields:
            beyond = text_bound(bytes(fields["prediction"]))
        has_audio = "audio" in fields or "modalities" in fields
    tokens = None if reasoning_beyond is None else (maximum + reasoning_beyond + beyond) * choices
    return OutputBound(maximum, maximum != asked, tokens, has_audio)


def _choices(raw: bytes) -> int:
    try:
        count = _INT.decode(raw)
    except ValueError:
        return MAX_CHOICES
    return 1 if count is None else min(max(count, 1), MAX_CHOICES)
