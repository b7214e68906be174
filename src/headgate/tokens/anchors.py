"""What a conversation was billed for when it was shorter: the tightest bound of its input, and the cheapest.

An agent sends its whole context again with every turn. Bytes bound 150,000 tokens of it by 600,000; but the provider
has just said what all but the last turn makes. So the bound is that figure, plus the bytes of what was added, plus
`SLACK_TOKENS`.

A conversation is known by fingerprints, one after each message, each a keyed hash of the one before it and of the
message's own bytes; the first is of everything else that the model reads (tools, system, options). No text is kept. The
key is the tenant's, so that none finds or guesses what another has sent.

Why the bound holds: a message is tokenized by itself between marks of its own, so tokens add up over messages. Requests
are left out where they would not: where the provider fetches something (an image's URL, a file, a server's tool), where
it leaves something out (context management), and where anything is unknown.
"""

import re
from collections import OrderedDict
from collections.abc import Mapping
from hashlib import blake2b
from typing import Final

import msgspec
from msgspec import Raw, Struct

from headgate.tokens.weight import OPTIONS, REQUEST_TOKENS, Weight, weigh_messages

SLACK_TOKENS: Final = 64
"""For what a provider adds around a conversation that may differ from turn to turn: the answer's opening, a date."""
MAX_MESSAGES: Final = 4096
"""A longer conversation has no anchor: each of its messages costs a hash."""
FINGERPRINT_BYTES: Final = 16
ENTRIES: Final = 32_768
"""Conversations that `Anchors` keeps unless told otherwise: about 8 MB."""

# Clients move their cache breakpoints from turn to turn; the model never sees them. Outside of strings alone can these
# bytes stand in JSON, for a quote inside of one is escaped.
_BREAKPOINT: Final = re.compile(rb',\s?"cache_control":\s?\{"type":\s?"ephemeral"(?:,\s?"ttl":\s?"(?:5m|1h)")?\}')
_BREAKPOINT_MARK: Final = b'"cache_control"'
# Options of which a model reads something, or on which it depends what a model reads.
_READ: Final = frozenset({"thinking", "reasoning_effort", "modalities", "verbosity"})
_MESSAGES: Final = msgspec.json.Decoder(list[Raw])


class Conversation(Struct, frozen=True, gc=False):
    """The fingerprints of one request."""

    fingerprints: tuple[bytes, ...]
    """One for each message: of it and all before it."""
    messages: tuple[Raw, ...]
    breakpoint_bytes: tuple[int, ...]
    """For each message, how many bytes of cache breakpoints were left out of it and all before it."""


class Anchor(Struct, frozen=True, gc=False):
    """The longest beginning of a conversation that was settled before."""

    messages: int
    """How many of its messages."""
    input_tokens: int
    """What the provider reported for them, with tools and system."""


def fingerprint(
    key: bytes, wire_format: str, fields: Mapping[str, Raw], model: str, weight: Weight
) -> Conversation | None:
    """Return the fingerprints of a chat request; ``None`` for one that can have no anchor.

    ``key`` is the tenant's secret, up to 64 bytes. ``model`` tells the upstream model from any other: where two
    providers serve one name, the caller puts the provider's name into it. ``weight`` is the request's own.
    """
    if weight.is_batch or not weight.is_fixed or weight.window is not None or weight.unbounded is not None:
        return None
    if not 0 < weight.messages <= MAX_MESSAGES or "context_management" in fields:
        return None
    try:
        messages = _MESSAGES.decode(fields["messages"])
    except (KeyError, ValueError, RecursionError):
        return None
    state, left_out = _fingerprint_rest(key, wire_format, fields, model)
    fingerprints: list[bytes] = []
    breakpoints: list[int] = []
    for message in messages:
        digest = blake2b(state, digest_size=FINGERPRINT_BYTES, key=key)
        raw = bytes(message)
        if _BREAKPOINT_MARK in raw:
            kept = _BREAKPOINT.sub(b"", raw)
            left_out += len(raw) - len(kept)
            raw = kept
        digest.update(raw)
        state = digest.digest()
        fingerprints.append(state)
        breakpoints.append(left_out)
    return Conversation(tuple(fingerprints), tuple(messages), tuple(breakpoints))


def _fingerprint_rest(key: bytes, wire_format: str, fields: Mapping[str, Raw], model: str) -> tuple[bytes, int]:
    """Return the fingerprint of all that stands before the messages, and the bytes left out of it."""
    digest = blake2b(digest_size=FINGERPRINT_BYTES, key=key)
    left_out = 0
    parts = [wire_format.encode(), model.encode("utf-8", "surrogatepass")]
    ignored = OPTIONS.get(wire_format, OPTIONS["anthropic_messages"]) - _READ
    for name in sorted(fields):
        if name == "messages" or name in ignored:
            continue
        raw = bytes(fields[name])
        kept = _BREAKPOINT.sub(b"", raw) if _BREAKPOINT_MARK in raw else raw
        left_out += len(raw) - len(kept)
        parts += [name.encode("utf-8", "surrogatepass"), kept]
    for part in parts:  # With their lengths, so that no two requests run together to the same bytes.
        digest.update(len(part).to_bytes(8))
        digest.update(part)
    return digest.digest(), left_out


class Anchors:
    """The settled conversations of every tenant, as fingerprints and token counts; the least recently used go first.

    Not thread-safe: one event loop owns it.
    """

    __slots__ = ("_entries", "_limit")

    def __init__(self, entries: int = ENTRIES) -> None:
        """Keep up to so many ``entries``, of about 250 bytes each."""
        self._entries: OrderedDict[bytes, int] = OrderedDict()
        self._limit = max(1, entries)

    def __len__(self) -> int:
        """How many conversations are kept."""
        return len(self._entries)

    def find(self, conversation: Conversation) -> Anchor | None:
        """Return the longest settled beginning; one look-up for each message that is newer."""
        entries = self._entries
        fingerprints = conversation.fingerprints
        for index in range(len(fingerprints) - 1, -1, -1):
            tokens = entries.get(fingerprints[index])
            if tokens is not None:
                entries.move_to_end(fingerprints[index])
                return Anchor(index + 1, tokens)
        return None

    def learn(self, conversation: Conversation, input_tokens: int) -> None:
        """Keep what the provider itself reported for a conversation: all input, cached and cache writes included.

        Of two reports the greater is kept. Counts of our own are no reports and must not come here.
        """
        if input_tokens <= 0 or not conversation.fingerprints:
            return
        entries, last = self._entries, conversation.fingerprints[-1]
        entries[last] = max(input_tokens, entries.get(last, 0))
        entries.move_to_end(last)
        if len(entries) > self._limit:
            entries.popitem(last=False)


def anchored_bound(wire_format: str, conversation: Conversation, anchor: Anchor, model: str) -> int | None:
    """Return the bound of a request's input from its anchor; ``None`` where what was added has none.

    What was added is weighed by its bytes like a request of its own. Left-out cache breakpoints are added as bytes,
    because such bytes may also stand in a tool's arguments, where they are read.
    """
    left_out = conversation.breakpoint_bytes[anchor.messages - 1]
    bound = anchor.input_tokens + SLACK_TOKENS + left_out
    added = conversation.messages[anchor.messages :]
    if not added:
        return bound
    weight = weigh_messages(wire_format, b"[%b]" % b",".join(map(bytes, added)), model)
    if weight.window is not None:
        return None
    return bound + weight.tokens - REQUEST_TOKENS
