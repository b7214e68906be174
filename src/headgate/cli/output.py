"""What commands print: a table for people, or JSON for programs."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

import msgspec

_PIPE_WIDTH: Final = 10_000


def print_json(value: object) -> None:
    """Print ``value`` as indented JSON."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")


def print_table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str], *, empty: str) -> None:
    """Print ``rows`` as a table; ``columns`` maps a field to its heading. ``empty`` is said where there are none."""
    if not rows:
        print(empty)
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    numeric = {name for name in columns if all(_is_number(row.get(name)) for row in rows)}
    for name, heading in columns.items():
        table.add_column(heading, justify="right" if name in numeric else "left", overflow="fold")
    for row in rows:
        # Text, not markup: a key named "[red]" is shown as it is, and control characters never reach the terminal.
        table.add_row(*(Text(shown(row.get(name))) for name in columns))
    # In a pipe a row stays one line, however long: that is what grep and awk expect.
    Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH).print(table)


def print_fields(fields: Mapping[str, Any]) -> None:
    """Print one thing, a field a line."""
    width = max((len(name) for name in fields), default=0)
    for name, value in fields.items():
        print(f"{name:<{width}}  {shown(value)}")


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


def _is_number(value: object) -> bool:
    if isinstance(value, str):
        return value.replace(".", "", 1).isdigit()
    return isinstance(value, (int, float)) and not isinstance(value, bool)
