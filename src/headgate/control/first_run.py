"""The first start: an organization, a team and a key with a budget, so that the first request needs no set-up."""

from typing import Final

from msgspec import Struct
from sqlalchemy import exists, select

from headgate.control.budgets import add_budget
from headgate.control.keys import Key, add_key, show_key
from headgate.control.limit_targets import target_of_key
from headgate.control.plane import Plane, change
from headgate.control.scopes import add_scope
from headgate.domain.access import ScopeKind
from headgate.domain.limits import Period
from headgate.domain.money import NANO_PER_USD
from headgate.identity.actor import Actor, ActorKind
from headgate.storage.tables import scopes

SLUG: Final = "default"
BUDGET_NANO_USD: Final = 5 * NANO_PER_USD
"""What the first key may spend a day."""


class FirstKey(Struct, frozen=True, kw_only=True):
    """What the first start made."""

    organization_id: str
    team_id: str
    key: Key
    secret: str
    """The key's secret: print it now, it is kept nowhere."""

    def __repr__(self) -> str:
        return f"FirstKey(key={self.key.id!r})"


def make_first_key(plane: Plane) -> FirstKey | None:
    """Make organization, team, key and budget where there is no organization at all; otherwise do nothing."""
    actor = Actor(kind=ActorKind.SYSTEM, id="first-run")
    with plane.database.read() as connection:
        if connection.execute(select(exists().where(scopes.c.id.is_not(None)))).scalar_one():
            return None
    with change(plane, actor, "first_run", "installation") as current:
        organization = add_scope(current, ScopeKind.ORGANIZATION, None, slug=SLUG, name="Default", time_zone="UTC")
        team = add_scope(current, ScopeKind.TEAM, organization, slug=SLUG, name="Default")
        key, secret = add_key(current, team, name="first-key", models=("*",), sandbox=True)
        target = target_of_key(current.connection, key)
        add_budget(current, target, amount_nano_usd=BUDGET_NANO_USD, period=Period.DAY)
    assert secret is not None, "it was minted here"
    return FirstKey(organization_id=organization.id, team_id=team.id, key=show_key(key), secret=secret)
