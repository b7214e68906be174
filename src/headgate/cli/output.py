"""What commands print: a table for people, or JSON for programs.

In a pipe a table is whole: every column, every id in full, one line a row, which is what grep and awk expect. On a
terminal it is made to fit, by leaving out what matters least there; `--json` always has everything.
"""

import re
import shutil
import sys
import textwrap
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, cast

import msgspec

_ID: Final = re.compile(r"([a-z]{2,5}_)[0-9a-f]{24}([0-9a-f]{8})")
_TIME: Final = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d)(:\d\d)(?:\.\d+)?(Z|[+-]\d\d:\d\d)")
_BLANKS: Final = "  "
_NARROWEST: Final = 14
"""Texts are not cut to fewer columns than this, nor is the last one wrapped at fewer."""


def print_json(value: object) -> None:
    """Print ``value`` as indented JSON."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")


def print_table(
    rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str], *, empty: str, optional: Sequence[str] = ()
) -> None:
    """Print ``rows`` as a table; ``columns`` maps a field to its heading.

    Args:
        rows: What to show.
        columns: The fields, in order. The last one may hold sentences: on a terminal it is wrapped.
        empty: What is said where there are no rows.
        optional: Fields that a narrow terminal does without, the first of them first.
    """
    if not rows:
        print(empty)
        return
    numeric = {name for name in columns if all(_is_number(row.get(name)) for row in rows)}
    cells = {name: [shown(row.get(name)) for row in rows] for name in columns}
    if not sys.stdout.isatty():
        lines = lay_out(cells, columns, numeric, None)
    else:
        today = datetime.now(UTC).date().isoformat()
        width = shutil.get_terminal_size().columns
        lines = lay_out(fitted(cells, columns, optional, width, today), columns, numeric, width)
    sys.stdout.writelines(line + "\n" for line in lines)


def fitted(
    cells: Mapping[str, Sequence[str]], columns: Mapping[str, str], optional: Sequence[str], width: int, today: str
) -> dict[str, list[str]]:
    """Return what of ``cells`` a terminal of ``width`` shows.

    Empty columns go and times lose today's date always; ids their middle and ``optional`` fields go only where that is
    needed. ``today`` is a date in UTC, as times are.
    """
    kept = {name: [short_time(text, today) for text in texts] for name, texts in cells.items() if any(texts)}
    kept = kept or {name: list(texts) for name, texts in cells.items()}
    if _total(kept, columns) > width:
        kept = {name: [short_id(text) for text in texts] for name, texts in kept.items()}
    for name in optional:
        if _total(kept, columns) > width:
            kept.pop(name, None)
    return kept


def lay_out(
    cells: Mapping[str, Sequence[str]], columns: Mapping[str, str], numeric: set[str], width: int | None
) -> Iterator[str]:
    """Yield the lines of a table, its headings first; ``width`` of ``None`` is boundless.

    Where it is too wide, texts before the last column are cut, the longest first, and the last column is wrapped.
    Figures are never cut: half a price is a wrong price.
    """
    names = list(cells)
    widths = {name: max(_columns_of(columns[name]), *map(_columns_of, cells[name])) for name in names}
    last = names[-1]
    if width is not None:
        over = sum(widths.values()) + len(_BLANKS) * (len(names) - 1) - width
        shrinking = [last] if last not in numeric and any(" " in text for text in cells[last]) else []
        shrinking += sorted((name for name in names if name not in numeric), key=lambda name: -widths[name])
        for name in shrinking:
            room = max(widths[name] - _NARROWEST, 0)
            widths[name] -= min(max(over, 0), room)
            over -= room
    for row in [[columns[name] for name in names], *zip(*cells.values(), strict=True)]:
        before = ""
        for name, text in zip(names, row[:-1], strict=False):
            before += _aligned(text, widths[name], right=name in numeric) + _BLANKS
        pieces = [row[-1]]
        if width is not None and last not in numeric:
            pieces = textwrap.wrap(row[-1], widths[last], break_on_hyphens=False) or [""]
        elif last in numeric:
            pieces = [_aligned(row[-1], widths[last], right=True)]
        for piece in pieces:
            yield (before + piece).rstrip()
            before = " " * _columns_of(before)


def print_fields(fields: Mapping[str, Any]) -> None:
    """Print one thing, a field a line; what is empty is left out, and what has parts is shown by its parts."""
    flat = dict(_flat(fields))
    width = max((len(name) for name in flat), default=0)
    for name, value in flat.items():
        print(f"{name:<{width}}  {value}")


def shown(value: object) -> str:
    """Return ``value`` as one line of printable text."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        items = cast("Sequence[object]", value)
        if all(isinstance(item, str) for item in items):
            value = " ".join(map(str, items))
    text = str(value) if isinstance(value, (str, int, float)) else msgspec.json.encode(value).decode()
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)


def short_id(text: str) -> str:
    """Return an id without its middle (``key_…cc32f37c``; its start is a time, much the same in each row)."""
    match = _ID.fullmatch(text)
    return text if match is None else f"{match[1]}…{match[2]}"


def short_time(text: str, today: str) -> str:
    """Return a time to the second, without its date where that is ``today``; other texts as they are.

    A time with an offset is the start of an interval in a time zone that was asked for: a date, or an hour of one.
    """
    match = _TIME.fullmatch(text)
    if match is None:
        return text
    date, minutes, seconds, zone = match.groups()
    if zone != "Z":
        if minutes == "00:00":
            return date
        return minutes if date == today else f"{date} {minutes}"
    return f"{minutes}{seconds}Z" if date == today else f"{date} {minutes}{seconds}Z"


def _flat(fields: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    for name, value in fields.items():
        if isinstance(value, Mapping):
            yield from _flat(cast("Mapping[str, Any]", value), f"{above}{name}.")
            continue
        items = cast("list[Any]", value) if isinstance(value, list) else []
        if items and all(isinstance(item, Mapping) for item in items):
            for number, item in enumerate(items, 1):
                yield from _flat(item, f"{above}{name}.{number}.")
            continue
        text = shown(cast("object", value))
        if text:
            yield above + shown(name), text


def _total(cells: Mapping[str, Sequence[str]], columns: Mapping[str, str]) -> int:
    widest = (max(_columns_of(columns[name]), *map(_columns_of, texts)) for name, texts in cells.items())
    return sum(widest) + len(_BLANKS) * (len(cells) - 1)


def _aligned(text: str, width: int, *, right: bool) -> str:
    if not right and _columns_of(text) > width:
        while _columns_of(text) >= width:
            text = text[:-1]
        text += "…"
    blanks = " " * (width - _columns_of(text))
    return blanks + text if right else text + blanks


def _columns_of(text: str) -> int:
    """Return how many columns of a terminal ``text`` takes (unicode.org/reports/tr11)."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    return len(text) + wide - sum(unicodedata.combining(letter) > 0 for letter in text)


def _is_number(value: object) -> bool:
    if isinstance(value, str):
        return value.replace(".", "", 1).isdigit()
    return isinstance(value, (int, float)) and not isinstance(value, bool)
