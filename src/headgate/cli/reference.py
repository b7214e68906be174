"""docs/reference/cli.md, drawn from the commands themselves: ``python -m headgate.cli.reference``."""

import sys
from collections.abc import Iterator
from typing import Any, Final

import typer
from typer.main import get_command

from headgate.cli.commands import app

_WIDTH: Final = 100
_HEAD: Final = """\
# Command line

Drawn from `headgate --help` by `python -m headgate.cli.reference`; a test keeps it true.

`serve`, `demo`, `migrate`, `check-config`, `doctor`, `import`, `prices`, `simulate` (without `--from-records`) and
`ledger verify` (without `--live`) work on this machine. All others are clients of a running gateway's
[admin API](admin-api.md), so that only one process ever writes the database: they take `--url` and `--token`. Exit
codes: 0 fine, 1 failed, 2 wrong usage. `--json` prints data for programs.
"""


def reference() -> str:
    """Return the page."""
    parts = [_HEAD]
    for name, text in _helps(get_command(app), "headgate", None):
        parts.append(f"## `{name}`\n\n```text\n{text}\n```\n")
    return "\n".join(parts)


def _helps(command: Any, name: str, parent: Any) -> Iterator[tuple[str, str]]:
    # A width of our own: the page must not depend on the terminal it was drawn in.
    context = typer.Context(command, info_name=name.rpartition(" ")[2], parent=parent, max_content_width=_WIDTH)
    context.terminal_width = _WIDTH
    lines: str = command.get_help(context)
    yield name, "\n".join(line.rstrip() for line in lines.splitlines())
    for child_name, child in getattr(command, "commands", {}).items():
        yield from _helps(child, f"{name} {child_name}", context)


if __name__ == "__main__":
    sys.stdout.write(reference())
