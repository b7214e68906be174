"""A configuration file as a policy to simulate: its routes with their prices, its providers all switched on."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from headgate.catalog.book import load_price_book
from headgate.catalog.table import InvalidPriceTableError
from headgate.providers.build import InvalidProviderError, build_provider, is_switched_off
from headgate.routing.build import build_routes
from headgate.routing.strategies import STRATEGIES
from headgate.routing.table import RouteTable
from headgate.settings.document import MAX_FILE_BYTES
from headgate.settings.load import ConfigurationError, load_settings
from headgate.settings.model import ProviderSettings, Secret

_MARK: Final = "simulated-"
"""What a credential begins with that nobody set."""
_DEMANDED: Final = re.compile(r"(?<!\$)\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
"""A variable without a default."""
_CREDENTIAL: Final = re.compile(r"\b(?:credential|value):\s*[\"']?\$\{([A-Za-z_][A-Za-z0-9_]*):-\}")
"""One whose credential is left out where it is not set."""


class Policy(Struct, frozen=True):
    """What decides where requests go."""

    name: str
    """The file's name as given."""
    routes: RouteTable
    refuse_unpriced: bool
    without_credential: tuple[str, ...]
    """Providers that would be off in a gateway started here; in a simulation they count as on."""


def read_policy(path: Path, environ: Mapping[str, str]) -> Policy:
    """Read a configuration file; credentials need not be set, for nothing is sent.

    Raises:
        ConfigurationError: the file cannot be used; the text names the line.
    """
    loaded = load_settings(str(path), _with_placeholders(path, environ))
    settings = loaded.settings
    absent: list[str] = []
    providers: list[ProviderSettings] = []
    for each in settings.providers:
        provider = each
        try:
            if is_switched_off(each) or _names_unset(each):
                absent.append(each.name)
                provider = _switched_on(each)
            providers.append(provider)
        except InvalidProviderError as error:
            raise loaded.error(f"providers.{error.provider}.{error.field}", error.message) from error
    settings = replace(settings, providers=tuple(providers))
    for number, model in enumerate(settings.models):
        if model.strategy not in STRATEGIES:
            raise loaded.error(f"models[{number}].strategy", f"{model.strategy.value} cannot be simulated")
    try:
        built = {each.name: build_provider(each, settings.timeouts, {}) for each in providers}
    except InvalidProviderError as error:
        raise loaded.error(f"providers.{error.provider}.{error.field}", error.message) from error
    try:
        prices = load_price_book(Path(settings.data_dir), settings.prices.multiplier)
    except InvalidPriceTableError as error:
        raise ConfigurationError(str(Path(settings.data_dir)), str(error)) from error
    routes = build_routes(settings, built, {}, prices)
    return Policy(str(path), routes, settings.prices.unpriced == "refuse", tuple(absent))


def _with_placeholders(path: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """Return ``environ`` with a value for every variable that is not set and that the file cannot do without."""
    try:
        with path.open("rb") as file:
            text = file.read(MAX_FILE_BYTES).decode("utf-8", "replace")
    except OSError:
        text = ""  # Who reads the settings says why it cannot be read.
    names = {*_DEMANDED.findall(text), *_CREDENTIAL.findall(text)}
    unset = {name for name in names if not environ.get(name)}
    # A listener that is open to others needs a token; here nobody listens.
    token = {"HEADGATE_ADMIN_TOKEN": _placeholder("HEADGATE_ADMIN_TOKEN")}
    return {**token, **environ, **{name: _placeholder(name) for name in unset}}


def _placeholder(name: str) -> str:
    """Return what passes as any secret, another for each name."""
    return f"{_MARK}{name}".ljust(40, "x")[:256]


def _names_unset(provider: ProviderSettings) -> bool:
    secrets = (provider.credential, *(each.value for each in provider.credentials))
    return any(secret.reveal().startswith(_MARK) for secret in secrets)


def _switched_on(provider: ProviderSettings) -> ProviderSettings:
    """Return the provider with the credential that it lacks."""
    if provider.credentials or provider.credential:
        return provider
    return replace(provider, credential=Secret(_MARK))
