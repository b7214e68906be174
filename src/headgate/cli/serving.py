"""``headgate serve``."""

import errno
import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from headgate.cli.banner import banner, greeting_of
from headgate.cli.configuration import load, read
from headgate.cli.failure import CommandError

if TYPE_CHECKING:
    from headgate.app import Running
    from headgate.settings.load import Loaded


def serve(config: Path | None, listen: str | None, port: int | None, log_level: str) -> int:
    """Run the gateway; return its exit code.

    Raises:
        typer.BadParameter: an unknown log level, or both ``listen`` and ``port``.
        CommandError: the configuration cannot be used, or the gateway cannot start.
    """
    check_log_level(log_level)
    if port is not None:
        if listen is not None:
            raise typer.BadParameter("give --listen or --port, not both")
        listen = f"127.0.0.1:{port}"
    return run_gateway(
        load(config, listen=listen), log_level, read_again=functools.partial(read, config, listen=listen)
    )


def run_gateway(loaded: "Loaded", log_level: str, *, read_again: Callable[[], "Loaded"]) -> int:
    """Run a gateway until it is told to stop; return its exit code. A reload takes what ``read_again`` returns.

    Raises:
        CommandError: it cannot start: the text says what stands in the way.
    """
    import sqlite3

    from headgate.app import run
    from headgate.assembly import InvalidProvidersError, Source
    from headgate.control.reload import ConfigurationFile
    from headgate.ledger.journal_file import LedgerCorruptError
    from headgate.storage.engine import StorageError
    from headgate.storage.lock import DatabaseLockedError

    source = Source(ConfigurationFile(source=loaded.source, sha256=loaded.sha256), read_again)
    try:
        return run(loaded.settings, source=source, log_level=log_level, on_ready=functools.partial(_greet, loaded))
    except InvalidProvidersError as error:
        found = [loaded.error(f"providers.{each.provider}.{each.field}", each.message) for each in error.errors]
        raise CommandError("\n".join(map(str, found))) from error
    except (StorageError, DatabaseLockedError, LedgerCorruptError) as error:
        raise CommandError(str(error)) from error
    except sqlite3.Error as error:
        raise CommandError(f"the ledger's journal in {loaded.settings.data_dir} cannot be opened: {error}") from error
    except OSError as error:
        raise CommandError(_words_of(error)) from error


def check_log_level(log_level: str) -> None:
    """Refuse a word that is no log level as wrong usage.

    Raises:
        typer.BadParameter: as said.
    """
    from headgate.telemetry.log import LEVELS

    if log_level not in LEVELS:
        raise typer.BadParameter(f"{log_level!r} is none of {', '.join(LEVELS)}", param_hint="--log-level")


def _words_of(error: OSError) -> str:
    """Return what the system said, without its number, and what to do where that is known."""
    words = error.strerror or str(error)
    if error.errno == errno.EADDRINUSE:
        return f"{words}; stop what listens there, or take another port with --port"
    return f"{error.filename}: {words}" if error.filename else words


def _greet(loaded: "Loaded", running: "Running") -> None:
    sys.stdout.write(banner(greeting_of(running, loaded)))
    sys.stdout.flush()
