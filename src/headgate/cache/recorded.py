"""An answer as it is kept: what was said in the hub's own form, so that any format can say it again, and what it took.

JSON, because the hub carries what it does not model as the JSON that it came as.
"""

from typing import Final

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from headgate.domain.chat import ChatResponse, StreamEvent
from headgate.domain.usage import TokenUsage


class Recorded(Struct, frozen=True, omit_defaults=True):
    """A complete answer. One of ``answer``, ``events`` and ``body`` is there."""

    provider: str
    deployment: str
    usage: TokenUsage
    """As it was billed."""
    finish_reason: str | None = None
    answer: ChatResponse | None = None
    """It came whole."""
    events: tuple[StreamEvent, ...] = ()
    """It came as a stream: its events, with the pieces of text as the provider cut them."""
    logprobs: dict[int, Raw] = {}
    """Of the answer's choices, by their index: only here can they be read again as the bytes that they are."""
    body: str | None = None
    """It is of a format without a way to the hub, and stays as it came."""


_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(Recorded).decode


def pack(recorded: Recorded) -> bytes:
    """Return an answer as bytes to keep.

    Raises:
        ValueError: it holds text that has no UTF-8 (half of a surrogate pair).
    """
    answer = recorded.answer
    if answer is not None and any(choice.logprobs is not None for choice in answer.choices):
        found = {choice.index: choice.logprobs for choice in answer.choices if choice.logprobs is not None}
        bare = tuple([replace(choice, logprobs=None) for choice in answer.choices])
        recorded = replace(recorded, answer=replace(answer, choices=bare), logprobs=found)
    return _encode(recorded)


def unpack(payload: bytes) -> Recorded:
    """Return the answer that `pack` made ``payload`` from.

    Raises:
        ValueError: it is something else.
    """
    recorded = _decode(payload)
    answer, found = recorded.answer, recorded.logprobs
    if answer is None or not found:
        return recorded
    choices = tuple([replace(choice, logprobs=found.get(choice.index)) for choice in answer.choices])
    return replace(recorded, answer=replace(answer, choices=choices), logprobs={})
