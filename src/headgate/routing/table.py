"""The route table: model alias → deployment, as a frozen value built from the settings.

Three kinds of name resolve, in this order: an exact alias, ``provider/model`` of any configured provider, and an alias
with a glob (``sandbox/*``), whose deployment's own ``*`` receives what the alias' glob matched.
"""

import re
from collections.abc import Callable, Iterable
from fnmatch import translate
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from headgate.domain.catalog import Capabilities, Price
from headgate.domain.errors import ModelNotFoundError

SANDBOX: Final = "sandbox"


class Deployment(Struct, frozen=True):
    """One callable target: a provider and the upstream model it is asked for."""

    provider: str
    upstream_model: str
    price: Price | None
    """``None``: not known. Whether that is refused is the operator's choice (``prices.unpriced``)."""
    capabilities: Capabilities = Capabilities()
    region: str | None = None
    is_sandbox: bool = False
    is_price_stated: bool = False
    """The configuration states the price, so it holds for every model that a glob leads here."""

    @property
    def name(self) -> str:
        """How records and headers call it."""
        return f"{self.provider}/{self.upstream_model}"


class Alias(Struct, frozen=True):
    """What a client may send as ``model``, and where it leads; ``off`` says why it leads nowhere at present."""

    name: str
    deployment: Deployment | None
    off: str | None = None


Describe = Callable[[str, str, str | None], Deployment]
"""Makes the deployment of (provider, upstream model, region) with its price and capabilities."""


class RouteTable:
    """Immutable lookup from model names to deployments."""

    _REMEMBERED: Final = 4096

    def __init__(self, aliases: Iterable[Alias], providers: Iterable[str], describe: Describe) -> None:
        """Build the table from aliases in configured order and the names of the providers that are on."""
        self.aliases: Final = tuple(aliases)
        self._exact: Final = {alias.name: alias for alias in self.aliases if "*" not in alias.name}
        self._globs: Final = tuple(
            (re.compile(translate(alias.name).replace(".*", "(.*)", 1)), alias)
            for alias in self.aliases
            if "*" in alias.name
        )
        self._providers: Final = frozenset(providers)
        self._describe: Final = describe
        self._remembered: Final[dict[str, Deployment]] = {}
        """Names resolved through a glob or ``provider/model``; bounded, since clients choose the names."""

    def resolve(self, model: str) -> Deployment:
        """Return the deployment for ``model``.

        Raises:
            ModelNotFoundError: nothing answers to the name; ``reason`` says why where an alias is off.
        """
        alias = self._exact.get(model)
        if alias is not None:
            if alias.deployment is None:
                raise ModelNotFoundError(_not_found(model), param="model", reason=alias.off)
            return alias.deployment
        known = self._remembered.get(model)
        if known is None:
            known = self._resolve_slowly(model)
            if len(self._remembered) >= self._REMEMBERED:
                self._remembered.clear()
            self._remembered[model] = known
        return known

    def _resolve_slowly(self, model: str) -> Deployment:
        provider, slash, upstream_model = model.partition("/")
        if slash and upstream_model and provider in self._providers:
            return self._describe(provider, upstream_model, None)
        for pattern, alias in self._globs:
            match = pattern.match(model)
            if match is None:
                continue
            if alias.deployment is None:
                raise ModelNotFoundError(_not_found(model), param="model", reason=alias.off)
            target = alias.deployment
            upstream_model = target.upstream_model.replace("*", match[1], 1)
            if target.is_price_stated:
                return replace(target, upstream_model=upstream_model)
            return self._describe(target.provider, upstream_model, target.region)
        reason = f"no alias, and no provider named `{shorten(provider)}` is on" if slash else None
        raise ModelNotFoundError(_not_found(model), param="model", reason=reason)


def shorten(text: str) -> str:
    """Return a name that a client chose, cut to what an error message can hold."""
    return text if len(text) <= 100 else text[:100] + "…"


def _not_found(model: str) -> str:
    return f"The model `{shorten(model)}` does not exist or you do not have access to it."
