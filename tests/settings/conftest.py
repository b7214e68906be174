"""Reads a configuration from a text, as `load_settings` would from a file called ``headgate.yaml``."""

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from headgate.settings.document import ConfigurationError
from headgate.settings.load import parse_settings
from headgate.settings.model import Settings

Read = Callable[[str], Settings]
Fail = Callable[[str], str]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Return the settings of a text; relative paths start from ``tmp_path``."""

    def read(text: str) -> Settings:
        return parse_settings(dedent(text), source="headgate.yaml", environ={}, directory=tmp_path).settings

    return read


@pytest.fixture
def fail(read: Read) -> Fail:
    """Return the words of the error that a text meets."""

    def fail(text: str) -> str:
        with pytest.raises(ConfigurationError) as caught:
            read(text)
        return str(caught.value).removeprefix("headgate.yaml:")

    return fail
