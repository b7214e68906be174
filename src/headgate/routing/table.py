"""The route table: model name → route, as a frozen value built from the settings.

Three kinds of name resolve, in this order: an exact alias, ``provider/model`` of any configured provider, and an alias
with a glob (``sandbox/*``), whose deployments' own ``*`` receives what the alias' glob matched.
"""

import re
from collections.abc import Callable, Iterable
from fnmatch import translate
from functools import cached_property
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from headgate.domain.catalog import Capabilities, Price
from headgate.domain.errors import ModelNotFoundError
from headgate.domain.routing import DataHandling, Strategy

SANDBOX: Final = "sandbox"


class Deployment(Struct, frozen=True, dict=True):
    """One callable target: a provider, one of its credentials, and the upstream model it is asked for."""

    provider: str
    upstream_model: str
    price: Price | None
    """``None``: not known. Whether that is refused is the operator's choice (``prices.unpriced``)."""
    capabilities: Capabilities = Capabilities()
    region: str | None = None
    is_sandbox: bool = False
    is_price_stated: bool = False
    """The configuration states the price, so it holds for every model that a glob leads here."""
    credential: str = ""
    """The name of the provider's credential; empty where it has one without a name."""
    weight: int = 1
    priority: int = 0
    """Lower numbers are tried first."""
    rpm: int | None = None
    """What the provider grants a minute, as the configuration says."""
    tpm: int | None = None
    handling: DataHandling = DataHandling()

    @cached_property
    def name(self) -> str:
        """How records, headers and the state of its health call it."""
        if self.credential:
            return f"{self.provider}/{self.upstream_model}#{self.credential}"
        return f"{self.provider}/{self.upstream_model}"


class Fallbacks(Struct, frozen=True):
    """Names of other routes, in the order in which they are tried, by what went wrong."""

    error: tuple[str, ...] = ()
    context_length: tuple[str, ...] = ()
    content_filter: tuple[str, ...] = ()


NO_FALLBACKS: Final = Fallbacks()


class Balance(Struct, frozen=True):
    """What the strategy ``balanced`` weighs: shares that add up to 1."""

    cost: float
    latency: float
    capacity: float
    affinity: float


class Rule(Struct, frozen=True):
    """Leads to the route ``use`` where all that is given holds."""

    use: str
    tags: tuple[tuple[str, re.Pattern[str]], ...] = ()
    user: re.Pattern[str] | None = None
    input_tokens_above: int | None = None
    input_tokens_below: int | None = None


class Route(Struct, frozen=True, dict=True):
    """What a client may send as ``model``, and where it leads; ``off`` says why it leads nowhere at present."""

    name: str
    deployments: tuple[Deployment, ...] = ()
    off: str | None = None
    strategy: Strategy = Strategy.PRIORITY
    fallbacks: Fallbacks = NO_FALLBACKS
    balance: Balance | None = None
    rules: tuple[Rule, ...] = ()
    use: str | None = None
    """Another route that this one stands for; then it has no deployments of its own."""

    @cached_property
    def is_single(self) -> bool:
        """Nothing is to be decided: one deployment, and nothing but it."""
        return len(self.deployments) == 1 and not self.rules and self.use is None and self.fallbacks == NO_FALLBACKS

    @cached_property
    def targets(self) -> str:
        """What answers to it, whichever deployment is chosen: an answer that was kept is one of these models'."""
        return " ".join(sorted({f"{each.provider}/{each.upstream_model}" for each in self.deployments}))


Describe = Callable[[str, str], tuple[Deployment, ...]]
"""Makes the deployments of (provider, upstream model), one for each of the provider's credentials."""


class RouteTable:
    """Immutable lookup from model names to routes."""

    _REMEMBERED: Final = 4096

    def __init__(self, routes: Iterable[Route], providers: Iterable[str], describe: Describe) -> None:
        """Build the table from routes in configured order and the names of the providers that are on."""
        self.routes: Final = tuple(routes)
        self._exact: Final = {route.name: route for route in self.routes if "*" not in route.name}
        self._globs: Final = tuple(
            (re.compile(translate(route.name).replace(".*", "(.*)", 1)), route)
            for route in self.routes
            if "*" in route.name
        )
        self._providers: Final = frozenset(providers)
        self._describe: Final = describe
        self._remembered: Final[dict[str, Route]] = {}
        """Names resolved through a glob or ``provider/model``; bounded, since clients choose the names."""

    def resolve(self, model: str) -> Route:
        """Return the route for ``model``.

        Raises:
            ModelNotFoundError: nothing answers to the name; ``reason`` says why where a route is off.
        """
        route = self._exact.get(model)
        if route is not None:
            if route.off is not None:
                raise ModelNotFoundError(_not_found(model), param="model", reason=route.off)
            return route
        known = self._remembered.get(model)
        if known is None:
            known = self._resolve_slowly(model)
            if len(self._remembered) >= self._REMEMBERED:
                self._remembered.clear()
            self._remembered[model] = known
        return known

    def find(self, name: str) -> Route | None:
        """Return the route for ``name``, ``None`` where nothing answers to it at present."""
        try:
            route = self.resolve(name)
            self.first_of(route)
        except ModelNotFoundError:
            return None
        return route

    def answering(self) -> list[tuple[str, Deployment]]:
        """Return every alias that a client can send as it stands and that leads somewhere, with its first choice."""
        found = ((route.name, self.find(route.name)) for route in self.routes if "*" not in route.name)
        return [(name, self.first_of(route)) for name, route in found if route is not None]

    def first_of(self, route: Route) -> Deployment:
        """Return the deployment that ``route`` tries first where nothing else is known.

        Raises:
            ModelNotFoundError: what it stands for is off.
        """
        while route.use is not None:
            route = self.resolve(route.use)
        return route.deployments[0]

    def _resolve_slowly(self, model: str) -> Route:
        provider, slash, upstream_model = model.partition("/")
        if slash and upstream_model and provider in self._providers:
            return Route(model, self._describe(provider, upstream_model))
        for pattern, route in self._globs:
            match = pattern.match(model)
            if match is None:
                continue
            if route.off is not None:
                raise ModelNotFoundError(_not_found(model), param="model", reason=route.off)
            deployments = tuple(self._filled(target, match[1]) for target in route.deployments)
            return replace(route, name=model, deployments=deployments)
        reason = f"no alias, and no provider named `{shorten(provider)}` is on" if slash else None
        raise ModelNotFoundError(_not_found(model), param="model", reason=reason)

    def _filled(self, target: Deployment, rest: str) -> Deployment:
        """Return a glob's deployment with the upstream model that a name leads to, and that model's own price."""
        upstream_model = target.upstream_model.replace("*", rest, 1)
        if target.is_price_stated:
            return replace(target, upstream_model=upstream_model)
        known = self._describe(target.provider, upstream_model)[0]
        return replace(target, upstream_model=upstream_model, price=known.price, capabilities=known.capabilities)


def shorten(text: str) -> str:
    """Return a name that a client chose, cut to what an error message can hold."""
    return text if len(text) <= 100 else text[:100] + "…"


def _not_found(model: str) -> str:
    return f"The model `{shorten(model)}` does not exist or you do not have access to it."
