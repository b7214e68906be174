"""Virtual keys as LiteLLM exports them: JSON → rows that know their lines.

An export is a list of rows, an object with such a list as ``keys`` (what ``GET /key/list?return_full_object=true``
answers) or one answer of ``GET /key/info``. Numbers stay text.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, Final, cast

from msgspec import Struct

_BLANKS: Final = re.compile(r"[ \t\r\n]*")


class ExportError(ValueError):
    """An export that cannot be read; the text says where and why, and shows nothing of it."""


class Row(Struct, frozen=True):
    """One row of the export."""

    number: int
    line: int
    end_line: int
    value: Any


class Export(Struct, frozen=True):
    """Everything that an export holds."""

    rows: tuple[Row, ...]
    missing: str | None
    """That there are more keys than these, where the export says so."""


def read_export(text: str) -> Export:
    """Return the rows of an export.

    Raises:
        ExportError: not JSON, or not of a shape that LiteLLM exports.
    """
    try:
        start = _skip(text, 0)
        if text.startswith("[", start):
            return Export(tuple(_rows(text, start)), None)
        if text.startswith("{", start):
            return _of_object(text, start)
    except json.JSONDecodeError as error:
        raise ExportError(f"line {error.lineno}: not valid JSON: {error.msg}") from None
    except RecursionError:
        raise ExportError("nested too deep") from None
    raise ExportError("expected a list of keys, or an object with such a list as keys")


def _of_object(text: str, start: int) -> Export:
    rows: tuple[Row, ...] | None = None
    others: dict[str, Any] = {}
    position = _skip(text, start + 1)
    while not text.startswith("}", position):
        key, position = _value(text, position)
        position = _expect(text, position, ":")
        if key == "keys" and text.startswith("[", position):
            found = list(_rows(text, position))
            _, position = _value(text, position)
            rows = tuple(found)
        else:
            others[str(key)], position = _value(text, position)
        position = _skip(text, position)
        if not text.startswith("}", position):
            position = _expect(text, position, ",")
    _end(text, position + 1)
    if rows is None and "info" in others:
        last = text.count("\n", 0, position) + 1
        rows = (Row(0, text.count("\n", 0, start) + 1, last, others),)
    if rows is None:
        raise ExportError("expected a list of keys, or an object with such a list as keys")
    return Export(rows, _missing(len(rows), others))


def _missing(count: int, others: dict[str, Any]) -> str | None:
    total = str(others.get("total_count") or count)
    if total.isdecimal() and len(total) < 12 and int(total) > count:
        return f"the export holds {count} of {total} keys: ask for every page of /key/list and join them"
    return None


def _rows(text: str, start: int) -> Iterator[Row]:
    position, number, line, counted = _skip(text, start + 1), 0, 1, 0
    while not text.startswith("]", position):
        line += text.count("\n", counted, position)
        counted = position
        value, end = _value(text, position)
        end_line = line + text.count("\n", position, end)
        yield Row(number, line, end_line, value)
        number += 1
        position = _skip(text, end)
        if not text.startswith("]", position):
            position = _expect(text, position, ",")


def _value(text: str, position: int) -> tuple[Any, int]:
    return _decoder().raw_decode(text, position)


def _decoder() -> json.JSONDecoder:
    return json.JSONDecoder(object_pairs_hook=_object, parse_float=str, parse_int=str)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ExportError("a member stands twice in one object, so that readers differ about its value")
    return found


def _skip(text: str, position: int) -> int:
    match = _BLANKS.match(text, position)
    assert match is not None, "no blanks are blanks too"
    return match.end()


def _expect(text: str, position: int, sign: str) -> int:
    position = _skip(text, position)
    if not text.startswith(sign, position):
        raise json.JSONDecodeError(f"expected {sign}", text, position)
    return _skip(text, position + 1)


def _end(text: str, position: int) -> None:
    if _skip(text, position) != len(text):
        raise json.JSONDecodeError("something follows the end", text, position)


def as_row(value: Any) -> dict[str, Any] | None:
    """Return a row as one object, also where ``/key/info`` wraps it; ``None`` where it is none."""
    if not isinstance(value, dict):
        return None
    row = cast("dict[str, Any]", value)
    info = row.get("info")
    if isinstance(info, dict) and "key" in row:
        inner = cast("dict[str, Any]", info)
        return {
            "token": inner.get("token") or row["key"],
            **{name: each for name, each in inner.items() if name != "token"},
        }
    return row
