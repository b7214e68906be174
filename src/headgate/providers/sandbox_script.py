"""What the sandbox is told to do: the grammar of its model names, and its own rule for counting tokens.

A name is one answer and any number of behaviours, joined with ``+``: ``lorem-500+slow-200+pace-10``. Behaviours alone
(``status-429``) go with ``echo``.

    echo                the last user message
    lorem-N             N tokens of filler
    tool-call           a call of the first tool (of every tool where ``parallel_tool_calls`` is true)
    thinking            reasoning, then the last user message
    json                the smallest instance of the requested JSON schema
    embed-D             D dimensions, derived from the text

    slow-MS             milliseconds before the answer's head
    pace-MS             milliseconds before every event but the first
    stall               after the first content event of a stream, or instead of a whole answer: nothing more, ever
    cut-after-N         the connection ends after N tokens of content
    status-CODE         an error answer, 400 to 599
    flaky-P             P % of all calls fail with 503
    malformed           a whole answer that is HTML; a stream whose second content event is cut JSON
    no-usage            neither answers nor streams report usage

A token is up to six characters of a word together with the white space before it: a rule simple enough to check by
hand. A message costs the tokens of its text plus three; an image or a file part counts 85 in addition.
"""

import re
from typing import Any, Final, cast

from msgspec import Struct

MESSAGE_OVERHEAD_TOKENS: Final = 3
PART_TOKENS: Final = 85
MAX_TOKENS: Final = 100_000
MAX_DIMENSIONS: Final = 4096
MAX_DELAY_MS: Final = 3_600_000

# Possessive, so that a megabyte of blanks is read once and not once per blank.
_PIECE: Final = re.compile(r"\s*+\S{1,6}+|\s++")
_NUMBERED: Final = re.compile(r"([a-z]+(?:-[a-z]+)*)-([0-9]{1,7})")


class Script(Struct, frozen=True):
    """A model name, read."""

    answer: str
    """``echo``, ``lorem``, ``tool-call``, ``thinking``, ``json`` or ``embed``."""
    amount: int = 0
    """Tokens of ``lorem``, dimensions of ``embed``."""
    slow_ms: int = 0
    pace_ms: int = 0
    stall: bool = False
    cut_after: int | None = None
    status: int | None = None
    flaky_percent: int = 0
    malformed: bool = False
    usage: bool = True


_PLAIN_ANSWERS: Final = frozenset({"echo", "tool-call", "thinking", "json"})
_NUMBERED_ANSWERS: Final = {"lorem": (0, MAX_TOKENS), "embed": (1, MAX_DIMENSIONS)}
_PLAIN_BEHAVIOURS: Final[dict[str, tuple[str, bool]]] = {
    "stall": ("stall", True),
    "malformed": ("malformed", True),
    "no-usage": ("usage", False),
}
_NUMBERED_BEHAVIOURS: Final[dict[str, tuple[str, int, int]]] = {
    "slow": ("slow_ms", 0, MAX_DELAY_MS),
    "pace": ("pace_ms", 0, MAX_DELAY_MS),
    "cut-after": ("cut_after", 0, MAX_TOKENS),
    "status": ("status", 400, 599),
    "flaky": ("flaky_percent", 0, 100),
}


def parse_script(model: str) -> Script | None:
    """Return what ``model`` asks for, ``None`` where it is no script: the sandbox then has no such model."""
    words = model.split("+")
    members = _parse_answer(words[0])
    behaviours = words if members is None else words[1:]
    members = members or {"answer": "echo"}
    for behaviour in behaviours:
        plain = _PLAIN_BEHAVIOURS.get(behaviour)
        if plain is not None:
            name, value = plain[0], plain[1]
        else:
            found = _parse_numbered(behaviour)
            row = None if found is None else _NUMBERED_BEHAVIOURS.get(found[0])
            if found is None or row is None or not row[1] <= found[1] <= row[2]:
                return None
            name, value = row[0], found[1]
        if name in members:
            return None
        members[name] = value
    return Script(**members)


def _parse_answer(word: str) -> dict[str, Any] | None:
    if word in _PLAIN_ANSWERS:
        return {"answer": word}
    found = _parse_numbered(word)
    if found is None or found[0] not in _NUMBERED_ANSWERS:
        return None
    lowest, highest = _NUMBERED_ANSWERS[found[0]]
    return {"answer": found[0], "amount": found[1]} if lowest <= found[1] <= highest else None


def _parse_numbered(word: str) -> tuple[str, int] | None:
    match = _NUMBERED.fullmatch(word)
    return None if match is None else (match[1], int(match[2]))


def pieces(text: str) -> list[str]:
    """Split ``text`` into the sandbox's tokens; joined they are the text again."""
    return _PIECE.findall(text)


def count(text: str) -> int:
    """Count the sandbox's tokens of ``text``."""
    return sum(1 for _ in _PIECE.finditer(text))


def text_of(content: object) -> str:
    """Return the text of a message's ``content``: a string, a list of parts, or nothing."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    parts = cast(list[Any], content)
    texts = (_member(part, "text") or _member(part, "refusal") for part in parts)
    return " ".join(text for text in texts if isinstance(text, str))


def count_message(message: dict[str, Any]) -> int:
    """Count a message: its text, what its tool calls say, its other parts, and the overhead."""
    content = message.get("content")
    total = MESSAGE_OVERHEAD_TOKENS + count(text_of(content))
    if isinstance(content, list):
        parts = cast(list[Any], content)
        total += PART_TOKENS * sum(1 for part in parts if _member(part, "type") not in (None, "text", "refusal"))
    for call in _list(message.get("tool_calls")):
        function = _member(call, "function")
        for name in ("name", "arguments"):
            text = _member(function, name)
            total += count(text) if isinstance(text, str) else 0
    return total


def _member(value: object, name: str) -> Any:
    return cast(dict[str, Any], value).get(name) if isinstance(value, dict) else None


def _list(value: object) -> list[Any]:
    return cast(list[Any], value) if isinstance(value, list) else []
