"""Bytes ⇄ domain: one file per wire format, sans-io. `WIRE_FORMATS` lists them."""

from typing import Final

from headgate.wire.anthropic_count_tokens import ANTHROPIC_COUNT_TOKENS
from headgate.wire.anthropic_messages import ANTHROPIC_MESSAGES
from headgate.wire.format import WireFormat
from headgate.wire.openai_chat import OPENAI_CHAT
from headgate.wire.openai_embeddings import OPENAI_EMBEDDINGS

WIRE_FORMATS: Final[dict[str, WireFormat]] = {
    "anthropic_count_tokens": ANTHROPIC_COUNT_TOKENS,
    "anthropic_messages": ANTHROPIC_MESSAGES,
    "openai_chat": OPENAI_CHAT,
    "openai_embeddings": OPENAI_EMBEDDINGS,
}
"""Every wire format by its name."""
