"""Log lines: one JSON object each on standard error, prompt text and secrets never among them.

Everything a line says is a value of a JSON member, so nothing a client sends can start a line of its own.
"""

import logging
import sys
from typing import Final

import msgspec

LEVELS: Final = ("debug", "info", "warning", "error")
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonLineFormatter(logging.Formatter):
    """Renders a record as one line of JSON; what ``extra`` adds becomes members."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line without its newline."""
        line: dict[str, object] = {
            "at": round(record.created, 3),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: value for name, value in vars(record).items() if name not in _STANDARD}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line, enc_hook=repr).decode()


def configure_logging(level: str) -> None:
    """Send every logger's lines to standard error from ``level`` (one of `LEVELS`) up.

    Raises:
        ValueError: unknown level.
    """
    if level not in LEVELS:
        raise ValueError(f"log level {level!r} is none of {', '.join(LEVELS)}")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLineFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # These two describe sockets and SQL statements at debug level, values included; values may be secrets.
    for chatty in ("asyncio", "sqlalchemy", "alembic", "aiohttp"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
