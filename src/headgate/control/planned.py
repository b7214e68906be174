"""What a run over a desired tree did, step by step."""

from enum import StrEnum

from msgspec import Struct


class ChangeAction(StrEnum):
    """What was done, or would be."""

    CREATE = "create"
    UPDATE = "update"
    BLOCK = "block"
    PRUNE = "prune"
    """A key revoked, an empty scope or a limit deleted."""


class PlannedChange(Struct, frozen=True, kw_only=True):
    """One step from the present state to the desired one."""

    action: ChangeAction
    kind: str
    """organization, team, project, user, key, budget or rate_limits."""
    path: str
    """Slugs from the organization down; a key's name or a person's e-mail address comes last. A budget's ends in its
    period, and in `audit` where it refuses nothing."""
    fields: tuple[str, ...] = ()
    """What differs, for updates."""
    id: str | None = None
    """`None` in a plan for what does not exist yet."""
    secret: str | None = None
    """Of a key that was made with a minted secret: shown this once."""

    def __repr__(self) -> str:
        return f"PlannedChange({self.action.value} {self.kind} {self.path})"
