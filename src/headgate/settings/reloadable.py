"""What a running gateway can take up from a changed configuration, and what waits for its next start."""

from typing import Any, Final

from msgspec import Struct
from msgspec.structs import fields, replace

from headgate.settings.model import Settings

RELOADABLE: Final = ("timeouts", "providers", "models", "prices", "organizations")
"""The blocks that a reload takes up. Every other one needs a restart."""
_DERIVED: Final = frozenset({"data_dir"})
"""Follows from ``storage.database``, which is named itself where it differs."""


def effective(running: Settings, read: Settings) -> Settings:
    """Return ``running`` with the blocks of ``read`` that a reload takes up."""
    return replace(running, **{name: getattr(read, name) for name in RELOADABLE})


def needing_restart(running: Settings, read: Settings) -> tuple[str, ...]:
    """Return the settings, such as ``server.listen``, that differ and are not taken up before the next start."""
    kept = [each.name for each in fields(running) if each.name not in RELOADABLE and each.name not in _DERIVED]
    return tuple(path for name in kept for path in differing(name, getattr(running, name), getattr(read, name)))


def differing(name: str, old: Any, new: Any) -> list[str]:
    """Return the paths of a block's settings that differ: ``timeouts.idle``."""
    if old == new:
        return []
    if not isinstance(old, Struct) or type(old) is not type(new):
        return [name]
    return [f"{name}.{each.name}" for each in fields(old) if getattr(old, each.name) != getattr(new, each.name)]
