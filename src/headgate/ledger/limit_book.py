"""The limits as the snapshot carries them: an immutable value that says what binds a request, and costs O(1) to change.

`LimitBook.path` puts together the budgets and rate limits of a key's scopes, the key itself and, where an organization
has such limits, the end user, model and tags that a request names. What it puts together is remembered by that one
book and goes with it, so a path can never show a limit as it was before a change (the idea of
`headgate.identity.directory`).
"""

from collections.abc import Iterable
from typing import Final

from immutables import Map
from msgspec import Struct

from headgate.domain.access import Path, ScopeKind
from headgate.domain.limits import (
    Budget,
    BudgetMode,
    LimitedKind,
    RateLimits,
    check_budget,
    check_rate_limits,
)
from headgate.ledger.periods import check_time_zone

EACH: Final = "*"
"""As the name of an end user, model or tag: every one of them has this limit, each for itself."""
REMEMBERED: Final = 16_384
"""Paths that a book keeps at most; then it forgets them all and starts again."""
DEFAULT_TIME_ZONE: Final = "UTC"

_KINDS: Final = {
    ScopeKind.ORGANIZATION: LimitedKind.ORGANIZATION,
    ScopeKind.TEAM: LimitedKind.TEAM,
    ScopeKind.PROJECT: LimitedKind.PROJECT,
    ScopeKind.USER: LimitedKind.USER,
}
_NAMED: Final = (LimitedKind.END_USER, LimitedKind.MODEL, LimitedKind.TAG)


class Limits(Struct, frozen=True):
    """What hangs on one limited thing.

    ``id`` is the id of a scope or key. An end user, model or tag belongs to an organization: see `named_id`.
    """

    kind: LimitedKind
    id: str
    budgets: tuple[Budget, ...] = ()
    rates: RateLimits | None = None


class BudgetLine(Struct, frozen=True):
    """A budget and what it hangs on."""

    kind: LimitedKind
    scope_id: str
    budget: Budget


class RateLine(Struct, frozen=True):
    """Rate limits and what they hang on."""

    kind: LimitedKind
    scope_id: str
    rates: RateLimits


class LimitPath(Struct, frozen=True):
    """Everything that binds one request, the outermost first."""

    name: str
    """Names this set of limited things, whatever their limits are at the moment."""
    time_zone: str = DEFAULT_TIME_ZONE
    budgets: tuple[BudgetLine, ...] = ()
    rates: tuple[RateLine, ...] = ()
    has_enforced_money: bool = False
    """Whether a budget may refuse: only then must an intent be durable before anything is sent."""


def named_id(organization_id: str, name: str) -> str:
    """The id that the limits of an end user, model or tag of this organization have; ``name`` may be `EACH`.

    A tag's name is ``key=value``.
    """
    return f"{organization_id}/{name}"


def check_limits(limits: Limits) -> Limits:
    """Return ``limits`` where every one of them can be kept. Raises `InvalidLimitError`, which names the field."""
    for budget in limits.budgets:
        check_budget(budget)
    if limits.rates is not None:
        check_rate_limits(limits.rates)
    return limits


_NO_LIMITS: Final[Map[tuple[LimitedKind, str], Limits]] = Map()
_NO_ZONES: Final[Map[str, str]] = Map()
_NO_NAMED: Final[Map[str, int]] = Map()


class LimitBook:
    """Immutable; every change returns a new book and leaves this one as it was. Safe to read from any thread."""

    __slots__ = ("_limits", "_named", "_of_keys", "_of_requests", "_zones")

    def __init__(
        self,
        limits: Map[tuple[LimitedKind, str], Limits] = _NO_LIMITS,
        zones: Map[str, str] = _NO_ZONES,
        named: Map[str, int] = _NO_NAMED,
    ) -> None:
        """An empty book; `build` makes a full one."""
        self._limits = limits
        self._zones = zones
        self._named = named
        """Organization → how many limits on end users, models and tags it has."""
        self._of_keys: dict[str, tuple[Path, LimitPath]] = {}
        self._of_requests: dict[tuple[str, ...], tuple[LimitPath, LimitPath]] = {}

    @classmethod
    def build(cls, limits: Iterable[Limits], time_zones: Iterable[tuple[str, str]] = ()) -> "LimitBook":
        """Make a book of all limits at once; ``time_zones`` are pairs of organization and IANA name.

        Raises:
            InvalidLimitError: a limit cannot be kept, or a zone does not exist.
        """
        book = cls()
        for each in limits:
            book = book.with_limits(each)
        for organization_id, time_zone in time_zones:
            book = book.with_time_zone(organization_id, time_zone)
        return book

    def __len__(self) -> int:
        return len(self._limits)

    @property
    def is_empty(self) -> bool:
        """Nothing is limited anywhere: no request needs to ask."""
        return not self._limits

    def with_limits(self, limits: Limits) -> "LimitBook":
        """Put these limits in the place of whatever hangs on the same thing; empty ones take them off.

        Raises:
            InvalidLimitError: a limit cannot be kept.
        """
        check_limits(limits)
        place = (limits.kind, limits.id)
        known = place in self._limits
        empty = not limits.budgets and limits.rates is None
        if empty and not known:
            return self
        named = self._named
        if limits.kind in _NAMED and known == empty:
            organization_id = limits.id.partition("/")[0]
            named = named.set(organization_id, named.get(organization_id, 0) + (-1 if empty else 1))
        changed = self._limits.delete(place) if empty else self._limits.set(place, limits)
        return LimitBook(changed, self._zones, named)

    def with_time_zone(self, organization_id: str, time_zone: str) -> "LimitBook":
        """Let the organization's periods be cut in this zone. Raises `InvalidLimitError` where there is none such."""
        check_time_zone(time_zone)
        return LimitBook(self._limits, self._zones.set(organization_id, time_zone), self._named)

    def path(
        self,
        scopes: Path,
        key_id: str,
        *,
        end_user: str | None = None,
        model: str | None = None,
        tags: Iterable[tuple[str, str]] = (),
    ) -> LimitPath:
        """Return what binds a request of this key. The hot path: O(length of the path), and remembered."""
        remembered = self._of_keys.get(key_id)
        if remembered is None or (remembered[0] is not scopes and remembered[0] != scopes):
            if len(self._of_keys) >= REMEMBERED:
                self._of_keys.clear()
            remembered = self._of_keys[key_id] = (scopes, self._path_of_key(scopes, key_id))
        found = remembered[1]
        if not scopes or not self._named.get(scopes[0].id):
            return found
        return self._path_of_request(found, scopes[0].id, end_user, model, tags)

    def _path_of_key(self, scopes: Path, key_id: str) -> LimitPath:
        places = [(_KINDS[scope.kind], scope.id) for scope in scopes]
        places.append((LimitedKind.KEY, key_id))
        hanging = [limits for place in places if (limits := self._limits.get(place)) is not None]
        zone = self._zones.get(scopes[0].id, DEFAULT_TIME_ZONE) if scopes else DEFAULT_TIME_ZONE
        return _grown(LimitPath(key_id, zone), [(limits.id, limits) for limits in hanging])

    def _path_of_request(
        self,
        path: LimitPath,
        organization_id: str,
        end_user: str | None,
        model: str | None,
        tags: Iterable[tuple[str, str]],
    ) -> LimitPath:
        wanted = [(LimitedKind.END_USER, end_user), (LimitedKind.MODEL, model)]
        wanted += [(LimitedKind.TAG, f"{name}={value}") for name, value in tags]
        hanging: list[tuple[str, Limits]] = []
        for kind, name in wanted:
            # A caller who is called `*` must not get the account of everybody's limit for his own.
            if name is None or name == EACH:
                continue
            # Half a surrogate pair has no UTF-8, and a name that cannot be written down would stop the journal.
            own = named_id(organization_id, name.encode("utf-8", "replace").decode())
            limits = self._limits.get((kind, own)) or self._limits.get((kind, named_id(organization_id, EACH)))
            if limits is not None:
                hanging.append((own, limits))
        if not hanging:
            return path
        place = (path.name, *(f"{limits.kind}/{own}" for own, limits in hanging))
        remembered = self._of_requests.get(place)
        if remembered is None or remembered[0] is not path:
            if len(self._of_requests) >= REMEMBERED:
                self._of_requests.clear()
            remembered = self._of_requests[place] = (path, _grown(path, hanging, "\n".join(place)))
        return remembered[1]


def _grown(path: LimitPath, hanging: Iterable[tuple[str, Limits]], name: str | None = None) -> LimitPath:
    budgets = list(path.budgets)
    rates = list(path.rates)
    for own, limits in hanging:
        budgets += [BudgetLine(limits.kind, own, budget) for budget in limits.budgets]
        if limits.rates is not None:
            rates.append(RateLine(limits.kind, own, limits.rates))
    enforced = any(line.budget.mode is BudgetMode.ENFORCE for line in budgets)
    return LimitPath(name or path.name, path.time_zone, tuple(budgets), tuple(rates), enforced)
