"""The configuration as commands read it: file, environment, and the vendors whose credentials are set."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from headgate.cli.failure import CommandError

if TYPE_CHECKING:
    from headgate.settings.load import Loaded


def load(config: Path | None, *, listen: str | None = None) -> "Loaded":
    """Do what `read` does for a command.

    Raises:
        CommandError: the file cannot be used; the text names the line.
    """
    from headgate.settings.load import ConfigurationError

    try:
        return read(config, listen=listen)
    except ConfigurationError as error:
        raise CommandError(str(error)) from None


def read(config: Path | None, *, listen: str | None = None) -> "Loaded":
    """Read ``config``; without one, return the settings of a first start.

    Raises:
        ConfigurationError: the file cannot be used.
    """
    from headgate.providers.compatible import VENDORS
    from headgate.settings.load import load_settings

    vendors = {variable: (kind, kind) for kind, vendor in VENDORS.items() for variable in vendor.credential_env}
    return load_settings(None if config is None else str(config), os.environ, vendors=vendors, listen=listen)
