"""From settings to what a snapshot has of them: providers, routes, prices. What did not change is not built again.

Beside the composition root, because it builds long-lived objects: transports and their pooled connections. One that is
no longer used is retired, not closed: requests that began with an older snapshot may still send by it.
"""

import asyncio
import contextlib
import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final
from weakref import WeakSet

from msgspec import Struct, UnsetType

from headgate.catalog.book import OVERRIDE_FILE, PriceBook, load_price_book
from headgate.catalog.table import InvalidPriceTableError
from headgate.control.reload import Candidate, ConfigurationFile, Names, rejected
from headgate.domain.caching import Caching
from headgate.domain.errors import ConfigFinding
from headgate.providers.build import InvalidProviderError, build_provider, is_switched_off
from headgate.providers.provider import Provider
from headgate.providers.sandbox import Meter
from headgate.routing.build import build_routes
from headgate.settings.load import DEFAULTS, ConfigurationError, Loaded
from headgate.settings.model import ProviderSettings, Settings, TimeoutSettings
from headgate.settings.reloadable import differing, effective, needing_restart
from headgate.snapshot import Configured
from headgate.upstream.transport import Transport

_FREE_BLOCKS: Final = ("timeouts", "prices")
"""Blocks whose settings are told by name; those with names of their own are told by these."""


class Source(Struct, frozen=True):
    """Where settings come from, and how they are read again."""

    file: ConfigurationFile
    read: Callable[[], Loaded]
    """Raises `ConfigurationError`."""


class _Origin(Struct, frozen=True):
    """All that a provider is built from: where two are equal, so are the providers."""

    settings: ProviderSettings
    timeouts: TimeoutSettings
    tls_files: str
    """A digest of their contents: a certificate is renewed under the same name."""


class _Built(Struct, frozen=True):
    """A provider and what it was built from; ``None`` where it is switched off."""

    origin: _Origin
    provider: Provider | None


class _Prices(Struct, frozen=True):
    """The price book and what it was read from."""

    origin: tuple[object, ...]
    book: PriceBook


class Assembled(Struct, frozen=True):
    """Everything that was built from one configuration."""

    settings: Settings
    built: Mapping[str, _Built]
    prices: _Prices
    off: Mapping[str, str]
    """Providers without a credential, and the words for it."""
    configured: Configured


class InvalidProvidersError(ValueError):
    """Providers that cannot be built from their settings: ``errors`` are all of them, one each."""

    def __init__(self, errors: tuple[InvalidProviderError, ...]) -> None:
        """Say what each of them says."""
        super().__init__("; ".join(map(str, errors)))
        self.errors = errors


class Assembly:
    """Builds from settings, and keeps what it built last. Make it within the event loop that the transports serve."""

    def __init__(self, settings: Settings, environ: Mapping[str, str], meter: Meter) -> None:
        """Build what the gateway starts with.

        Raises:
            InvalidProvidersError: settings of providers cannot work.
            InvalidPriceTableError: the operator's table of prices cannot be read.
        """
        self._environ = environ
        self._meter = meter
        self._loop = asyncio.get_running_loop()
        self._started_with = settings
        self._opened: WeakSet[Transport] = WeakSet()
        self.current = self._build(settings, None)

    def candidate(self, source: Source) -> Candidate:
        """Read ``source`` again and build what changed; nothing is in use before its ``adopt``.

        Raises:
            ConfigRejectedError: it cannot be used.
        """
        try:
            loaded = source.read()
        except ConfigurationError as error:
            raise rejected([_finding_of(each) for each in (error, *error.more)]) from error
        settings = effective(self._started_with, loaded.settings)
        try:
            new = self._build(settings, self.current)
        except InvalidProvidersError as error:
            errors = [loaded.error(f"providers.{each.provider}.{each.field}", each.message) for each in error.errors]
            raise rejected([_finding_of(each) for each in errors]) from error
        except InvalidPriceTableError as error:
            finding = ConfigFinding(file=str(_override_of(settings)), line=None, path="", message=str(error))
            raise rejected([finding]) from error
        old = self.current
        changed = [path for name in _FREE_BLOCKS for path in _changed(name, old.settings, settings)]
        if old.prices.origin[:1] != new.prices.origin[:1]:
            changed.append(OVERRIDE_FILE)
        return Candidate(
            file=ConfigurationFile(
                source=loaded.source,
                sha256=loaded.sha256,
                needs_restart=needing_restart(self._started_with, loaded.settings),
            ),
            configured=new.configured,
            organizations=settings.organizations if settings.organizations != old.settings.organizations else None,
            providers=_names(
                {name: each.origin for name, each in old.built.items()},
                {name: each.origin for name, each in new.built.items()},
            ),
            models=_names(
                {each.alias: each for each in old.settings.models}, {each.alias: each for each in settings.models}
            ),
            settings=tuple(changed),
            adopt=lambda: self._adopt(new),
        )

    async def aclose(self) -> None:
        """Close every transport that is still there, those that were retired too."""
        for transport in tuple(self._opened):
            await transport.aclose()

    def _adopt(self, new: Assembled) -> None:
        """Let go of the providers that ``new`` does not use. From any thread but the loop's."""
        kept = {id(each.provider) for each in new.built.values()}
        gone = [each.provider for each in self.current.built.values() if id(each.provider) not in kept]
        self.current = new
        for provider in gone:
            if provider is not None:
                asyncio.run_coroutine_threadsafe(_retire(provider.transport), self._loop).result()

    def _build(self, settings: Settings, old: Assembled | None) -> Assembled:
        prices = _prices(settings, None if old is None else old.prices)
        built: dict[str, _Built] = {}
        errors: list[InvalidProviderError] = []
        for each in settings.providers:
            origin = _Origin(each, each.timeouts or settings.timeouts, _digest_of_files(each))
            before = None if old is None else old.built.get(each.name)
            if before is not None and before.origin == origin:
                built[each.name] = before
                continue
            try:
                built[each.name] = _Built(origin, self._build_provider(each, settings.timeouts))
            except InvalidProviderError as error:
                errors.append(error)
        if errors:
            raise InvalidProvidersError(tuple(errors))
        on = {name: each.provider for name, each in built.items() if each.provider is not None}
        off = {name: f"the provider `{name}` has no credential" for name in built if name not in on}
        configured = Configured(
            routes=build_routes(settings, on, off, prices.book),
            providers=on,
            refuse_unpriced=settings.prices.unpriced == "refuse",
            caching=_caching(settings),
        )
        return Assembled(settings, built, prices, off, configured)

    def _build_provider(self, settings: ProviderSettings, defaults: TimeoutSettings) -> Provider | None:
        if is_switched_off(settings):
            return None
        provider = build_provider(settings, defaults, self._environ, self._meter)
        self._opened.add(provider.transport)
        return provider


def _caching(settings: Settings) -> Caching:
    if settings.cache is None:
        return Caching()
    by_alias = {each.alias: each.cache for each in settings.models if not isinstance(each.cache, UnsetType)}
    return Caching(settings.cache.exact, by_alias)


def unread(settings: Settings) -> Source:
    """Return the source of settings that came from no file: read again, they are the same."""
    return Source(ConfigurationFile(source=DEFAULTS, sha256=None), lambda: Loaded(settings, DEFAULTS, {}))


async def _retire(transport: Transport) -> None:
    await transport.retire()


def _prices(settings: Settings, old: _Prices | None) -> _Prices:
    """Return the price book: the one in use, unless it was read from something else.

    Raises:
        InvalidPriceTableError: as said.
    """
    path = _override_of(settings)
    try:
        status = os.stat(path)
        mark: object = (status.st_mtime_ns, status.st_size, status.st_ino)
    except OSError:
        mark = None
    origin = (mark, settings.prices.multiplier)
    if old is not None and old.origin == origin:
        return old
    try:
        return _Prices(origin, load_price_book(Path(settings.data_dir), settings.prices.multiplier))
    except OSError as error:
        raise InvalidPriceTableError(f"cannot be read: {error.strerror}") from error


def _override_of(settings: Settings) -> Path:
    return Path(settings.data_dir) / OVERRIDE_FILE


def _digest_of_files(settings: ProviderSettings) -> str:
    """Return a digest of the provider's TLS files; one that cannot be read is found out when it is built."""
    tls = settings.tls
    digest = hashlib.sha256()
    for path in (tls.ca, tls.cert, tls.key) if tls is not None else ():
        with contextlib.suppress(OSError):
            digest.update(b"" if path is None else Path(path).read_bytes())
        digest.update(b"\0")
    return digest.hexdigest()


def _changed(name: str, old: Settings, new: Settings) -> list[str]:
    return differing(name, getattr(old, name), getattr(new, name))


def _names(old: Mapping[str, object], new: Mapping[str, object]) -> Names:
    return Names(
        added=tuple(name for name in new if name not in old),
        changed=tuple(name for name in new if name in old and new[name] != old[name]),
        removed=tuple(name for name in old if name not in new),
    )


def _finding_of(error: ConfigurationError) -> ConfigFinding:
    return ConfigFinding(file=error.source, line=error.line, path=error.path, message=error.problem)
