"""File and environment → `Settings`.

Three layers, the later one winning: defaults, the file, and the few ``HEADGATE_…`` variables that a container sets
without a file. Nothing else in the house reads the environment for settings.
"""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from headgate.settings import blocks, caching, models, organizations, values
from headgate.settings.document import MAX_FILE_BYTES, ConfigurationError, Node, Scalar, Sequence, parse_document
from headgate.settings.keys import KEYS
from headgate.settings.model import (
    DeploymentSettings,
    ModelSettings,
    ProviderSettings,
    Secret,
    ServerSettings,
    Settings,
    StorageSettings,
)
from headgate.settings.reader import Block, ErrorCollection, Origin, Place

__all__ = ["ConfigurationError", "Loaded", "VendorTable", "default_settings", "load_settings", "parse_settings"]

T = TypeVar("T")

DEFAULTS: Final = "defaults"
"""The source of settings that come from no file."""

VendorTable = Mapping[str, tuple[str, str]]
"""Environment variable with a credential → (name of the provider it switches on, its kind)."""


class Loaded(Struct, frozen=True):
    """Settings and where they were written."""

    settings: Settings
    source: str
    """The file's name as given, or ``defaults``."""
    lines: dict[str, int]
    """Path of a setting → line of its key."""
    sha256: str | None = None
    """Of the file's bytes, in hexadecimal; ``None`` where there is no file."""

    def line_of(self, path: str) -> int | None:
        """Return the line of a setting such as ``providers.openai.base_url`` or ``models[0].alias``.

        A setting that is not in the file has the line of the nearest block that would hold it.
        """
        while path:
            if path in self.lines:
                return self.lines[path]
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return None

    def error(self, path: str, problem: str) -> ConfigurationError:
        """Return the error that says ``problem`` of a setting, for those who can judge it only later."""
        return ConfigurationError(self.source, problem, line=self.line_of(path), path=path)


def load_settings(
    path: str | None,
    environ: Mapping[str, str],
    *,
    vendors: VendorTable | None = None,
    listen: str | None = None,
) -> Loaded:
    """Read a configuration file; without one, return the settings of a first start.

    Args:
        path: the file, or ``None``.
        environ: the process environment.
        vendors: the credentials to look for where there is no file.
        listen: ``HOST:PORT`` from the command line; wins over file and environment.

    Raises:
        ConfigurationError: the file cannot be read, or does not say what a configuration may say.
    """
    if path is None:
        loaded = Loaded(default_settings(environ, vendors or {}), DEFAULTS, {})
    else:
        data = _read(path)
        loaded = replace(
            parse_settings(_text(data, path), source=path, environ=environ, directory=Path(path).absolute().parent),
            sha256=hashlib.sha256(data).hexdigest(),
        )
    return _judge(replace(loaded, settings=_override(loaded, environ, listen)))


def parse_settings(text: str, *, source: str, environ: Mapping[str, str], directory: Path | None) -> Loaded:
    """Read a configuration from a text, without the environment's overrides.

    Args:
        text: YAML (JSON is YAML too).
        source: how errors call the text.
        environ: what ``${NAME}`` reads.
        directory: what relative paths start from; ``None`` where the text may name no file.

    Raises:
        ConfigurationError: the text does not say what a configuration may say.
    """
    if len(text) > MAX_FILE_BYTES:
        raise ConfigurationError(source, f"larger than {MAX_FILE_BYTES // 1024} KiB")
    root = Place(Origin(source, environ, directory), "", 1, parse_document(text, source))
    lines: dict[str, int] = {}
    _collect(root.node, "", lines)
    return Loaded(_settings(root.block(KEYS[""])), source, lines)


def default_settings(environ: Mapping[str, str], vendors: VendorTable) -> Settings:
    """Return the settings of a start without a file: the sandbox, and every vendor whose credential is set."""
    providers = [ProviderSettings(name=blocks.SANDBOX, kind=blocks.SANDBOX)]
    for variable, (name, kind) in vendors.items():
        credential = environ.get(variable, "").strip()
        if not credential or any(provider.name == name for provider in providers):
            continue
        try:
            secret = Secret(values.parse_credential(credential))
        except ValueError:
            raise ConfigurationError("environment", "expected visible ASCII without spaces", path=variable) from None
        providers.append(ProviderSettings(name=name, kind=kind, credential=secret))
    sandbox = ModelSettings(
        alias=f"{blocks.SANDBOX}/*", deployments=(DeploymentSettings(provider=blocks.SANDBOX, model="*"),)
    )
    return Settings(providers=tuple(providers), models=(sandbox,))


def _read(path: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigurationError(path, f"cannot be read: {reason}") from error
    if len(data) > MAX_FILE_BYTES:
        raise ConfigurationError(path, f"larger than {MAX_FILE_BYTES // 1024} KiB")
    return data


def _text(data: bytes, path: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(path, "not valid UTF-8", line=line) from error


def _settings(root: Block) -> Settings:
    default, errors = Settings(), ErrorCollection()

    def read(key: str, convert: Callable[[Place], T], default: T) -> T:
        return errors.read(lambda: root.read(key, convert, default), default)

    timeouts = read("timeouts", blocks.timeouts, default.timeouts)
    providers = read("providers", lambda place: blocks.providers(place, timeouts), default.providers)
    cache = read("cache", caching.cache, default.cache)
    # Without the providers nothing can be said of deployments that name them.
    deployed = default.models
    if errors.is_empty:
        deployed = read("models", lambda place: models.models(place, providers, cache), default.models)
    storage = read("storage", blocks.storage, default.storage)
    settings = Settings(
        server=read("server", blocks.server, default.server),
        timeouts=timeouts,
        storage=storage,
        providers=providers,
        models=deployed,
        prices=read("prices", blocks.prices, default.prices),
        cache=cache,
        ledger=read("ledger", blocks.ledger, default.ledger),
        keys=read("keys", blocks.keys, default.keys),
        organizations=read("organizations", organizations.organizations, default.organizations),
        data_dir=values.database_directory(storage.database),
    )
    errors.close()
    return settings


def _override(loaded: Loaded, environ: Mapping[str, str], listen: str | None) -> Settings:
    """Return the settings with what the environment and the command line say."""
    settings = loaded.settings
    server = settings.server
    for source, given in (("environment: HEADGATE_LISTEN", environ.get("HEADGATE_LISTEN")), ("--listen", listen)):
        if given:
            server = replace(server, listen=blocks.listen(_outside(source, given)))
    token = environ.get("HEADGATE_ADMIN_TOKEN")
    if token:
        server = replace(server, admin_token=blocks.admin_token(_outside("environment: HEADGATE_ADMIN_TOKEN", token)))
    directory = environ.get("HEADGATE_DATA_DIR")
    if not directory:
        return replace(settings, server=server)
    directory = blocks.directory(_outside("environment: HEADGATE_DATA_DIR", directory))
    storage = settings.storage
    if "storage.database" not in loaded.lines:
        storage = StorageSettings(database=f"sqlite:///{directory.rstrip('/')}/headgate.db")
    return replace(settings, server=server, storage=storage, data_dir=directory)


def _outside(source: str, text: str) -> Place:
    """Return a value from outside the file as a place, so that it is read like any other."""
    origin = Origin(source, {}, None)
    return Place(origin, "", None, Scalar(line=0, text=text.replace("${", "$${"), kind="str"))


def _judge(loaded: Loaded) -> Loaded:
    """Return ``loaded`` if the installation as a whole is safe to start."""
    server: ServerSettings = loaded.settings.server
    for key, address in (("server.listen", server.listen), ("server.admin_listen", server.admin_listen)):
        if address is None or server.admin_token:
            continue
        host = values.parse_listen(address).host
        if not values.is_loopback(host):
            raise loaded.error(
                key,
                f"{address} can be reached from other machines, so an admin token is needed: set server.admin_token "
                "or HEADGATE_ADMIN_TOKEN, or listen on 127.0.0.1",
            )
    return loaded


def _collect(node: Node, path: str, lines: dict[str, int]) -> None:
    """Write the line of every setting below ``node`` into ``lines``."""
    if isinstance(node, Scalar):
        return
    if isinstance(node, Sequence):
        for number, item in enumerate(node.items):
            lines[f"{path}[{number}]"] = item.line
            _collect(item, f"{path}[{number}]", lines)
        return
    for key, entry in node.entries.items():
        below = f"{path}.{key}" if path else key
        lines[below] = entry.line
        _collect(entry.value, below, lines)
