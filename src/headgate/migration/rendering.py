"""Plain values → YAML that our own reader takes back: block style, no anchors, no tags, texts quoted unless plain."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, cast

from msgspec import Struct

_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
# What YAML 1.1 takes for something other than text, though it looks like a word.
_WORDS: Final = frozenset(("y", "n", "yes", "no", "on", "off", "true", "false", "null", "none"))
_INDENT: Final = "  "


class Noted(Struct, frozen=True):
    """A value with a comment on the line above it."""

    note: str
    value: Any


def render(document: Mapping[str, Any], head: Sequence[str]) -> str:
    """Return the text of a file: comment lines, then the document. Empty blocks and lists are left out."""
    lines = [_comment("", line) for line in head]
    for key, value in document.items():
        if value not in ({}, [], None):
            lines += ["", *_member(key, value, "")]
    return "\n".join(lines).lstrip("\n") + "\n"


def scalar(value: str | bool | int) -> str:
    """Return one value as YAML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    # JSON's quoted text is YAML's too, but for characters that YAML does not take as they are.
    return "".join(_escaped(letter) for letter in json.dumps(value, ensure_ascii=False))


def _escaped(letter: str) -> str:
    if letter.isprintable():
        return letter
    return f"\\u{ord(letter):04x}" if ord(letter) < 0x10000 else f"\\U{ord(letter):08x}"


def _member(key: str, value: Any, indent: str) -> Iterator[str]:
    if isinstance(value, Noted):
        yield _comment(indent, value.note)
        value = value.value
    name = scalar(key)
    if isinstance(value, Mapping) and value:
        yield f"{indent}{name}:"
        for below, inner in cast("Mapping[str, Any]", value).items():
            yield from _member(below, inner, indent + _INDENT)
    elif isinstance(value, list | tuple) and value:
        values = cast("Sequence[Any]", value)
        if all(isinstance(each, str) for each in values):
            yield f"{indent}{name}: [{', '.join(scalar(each) for each in values)}]"
            return
        yield f"{indent}{name}:"
        for each in values:
            yield from _item(each, indent + _INDENT)
    else:
        assert isinstance(value, str | bool | int), "a block or list that is empty is left out before"
        yield f"{indent}{name}: {scalar(value)}"


def _item(value: Any, indent: str) -> Iterator[str]:
    if isinstance(value, Noted):
        yield _comment(indent, value.note)
        value = value.value
    first = f"{indent}- "
    for key, inner in cast("Mapping[str, Any]", value).items():
        for line in _member(key, inner, indent + _INDENT):
            # The first line of an item carries its dash in the place of two blanks.
            yield line if first == "" else first + line[len(indent) + len(_INDENT) :]
            first = ""


def _comment(indent: str, text: str) -> str:
    printable = "".join(letter if letter.isprintable() else "\ufffd" for letter in text)
    return f"{indent}# {printable}".rstrip()
