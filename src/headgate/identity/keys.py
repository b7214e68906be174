"""Decisions about a virtual key: is it usable now, and may it send this model. Plain functions of facts."""

import re
from fnmatch import translate
from functools import lru_cache
from typing import Final

from headgate.domain.access import PRIORITY_TAG, Priority, VirtualKey

SANDBOX_PREFIX: Final = "sandbox/"
_ANY: Final = "*"
_PRIORITIES: Final = {priority.value: priority for priority in Priority}
_WILD: Final = re.compile(r"[*?\[]")


def is_usable(key: VirtualKey, now_ms: int) -> bool:
    """Whether the key opens anything at ``now_ms``: neither expired nor blocked, itself or by a scope above it.

    A rotated key's old secret is, until its grace ends, a key of the same id that expires then.
    """
    return not key.blocked and (key.expires_at_ms is None or now_ms < key.expires_at_ms)


def may_use_model(key: VirtualKey, model: str, *, is_sandbox: bool = False) -> bool:
    """Whether one of the key's globs grants ``model``.

    Args:
        key: whose ``models`` are matched, case counting, as `fnmatch.fnmatchcase` does.
        model: the name the client sent.
        is_sandbox: the name leads to the sandbox by an alias. Names below ``sandbox/`` always do.

    The sandbox is granted by ``key.sandbox``, or by a glob that names it: one that has in plain letters all of the
    model's name up to its slash. So ``sandbox/*`` grants it, and ``*`` or ``s*`` do not.
    """
    models = key.models
    if model in models:
        return True
    if (is_sandbox or model.startswith(SANDBOX_PREFIX)) and not key.sandbox:
        named = model[: model.find("/") + 1] or model
        models = tuple(glob for glob in models if glob.startswith(named) and not _WILD.search(named))
        return bool(models) and _matcher(models).match(model) is not None
    if _ANY in models:
        return True
    return bool(models) and _matcher(models).match(model) is not None


def priority_of(key: VirtualKey) -> Priority:
    """Return the priority that the key's own tags give it; what a caller sends as tags has no say."""
    for name, value in key.tags:
        if name == PRIORITY_TAG:
            return _PRIORITIES.get(value, Priority.NORMAL)
    return Priority.NORMAL


@lru_cache(maxsize=4096)
def _matcher(globs: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(translate(glob) for glob in globs))
