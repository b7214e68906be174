"""Options that many commands share, and how a wrong value of one is said."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final, TypeVar

import typer

T = TypeVar("T")

Config = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="Configuration file; without one, the built-in defaults."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Url = Annotated[str, typer.Option("--url", envvar="HEADGATE_URL", help="The gateway's URL.")]
Token = Annotated[
    str | None,
    typer.Option(
        "--token",
        envvar="HEADGATE_ADMIN_TOKEN",
        show_envvar=True,
        help="Admin or personal access token; without one, DATA/admin-token is read.",
    ),
]
DataDir = Annotated[
    str, typer.Option("--data", metavar="DATA", envvar="HEADGATE_DATA_DIR", help="The gateway's data directory.")
]
LogLevel = Annotated[
    str, typer.Option("--log-level", envvar="HEADGATE_LOG_LEVEL", help="debug, info, warning or error.")
]
DEFAULT_URL: Final = "http://127.0.0.1:4100"


def taken(option: str, parse: Callable[[str], T], text: str) -> T:
    """Return what ``parse`` makes of an option's text; what it refuses is wrong usage, said in its words."""
    try:
        return parse(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None
