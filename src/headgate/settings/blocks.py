"""Blocks of the file → Structs of `model`, all but the models and the organizations."""

from collections.abc import Callable
from functools import partial
from typing import Final

from msgspec import UnsetType

from headgate.domain.routing import DataHandling
from headgate.settings import document, values
from headgate.settings.keys import KEYS
from headgate.settings.model import (
    CredentialSettings,
    KeySettings,
    LedgerSettings,
    PriceSettings,
    ProviderSettings,
    Secret,
    ServerSettings,
    StorageSettings,
    TimeoutSettings,
    TlsSettings,
    UpstreamTlsSettings,
)
from headgate.settings.reader import Block, ErrorCollection, Place

SANDBOX: Final = "sandbox"
"""The kind of the built-in provider."""
COUNT: Final = "a whole number such as 256, without quotes or units"
LONGEST_BUDGET_WAIT_S: Final = 30.0
"""A request that stands in line for a budget any longer is one whose caller has given up."""

_DURATION: Final = 'a duration such as "30s"'
_SIZE: Final = 'a size such as "32MiB"'
_LISTEN: Final = 'HOST:PORT such as "127.0.0.1:4100"'
_NETWORK: Final = 'a network such as "10.0.0.0/8"'
_BASE_URL: Final = 'a URL such as "https://api.example.com/v1"'


def listen(place: Place) -> str:
    """Read ``HOST:PORT``."""
    place.convert(values.parse_listen, _LISTEN)
    return place.text(_LISTEN)


def duration(place: Place) -> float:
    """Read a duration, zero included."""
    return place.convert(values.parse_duration, _DURATION)


def positive_duration(place: Place) -> float:
    """Read a duration longer than zero."""
    return place.convert(values.parse_positive_duration, _DURATION)


def line(place: Place) -> str:
    """Read a name for people."""
    return place.convert(values.parse_line, "1 to 200 printable characters")


def server(place: Place) -> ServerSettings:
    """Read the ``server`` block. Whether an open listener has an admin token is judged once the environment spoke."""
    block, default = place.block(KEYS["server"]), ServerSettings()
    return ServerSettings(
        listen=block.read("listen", listen, default.listen),
        admin_listen=block.read("admin_listen", _optional(listen), default.admin_listen),
        admin_token=block.read("admin_token", admin_token, default.admin_token),
        drain=block.read("drain", duration, default.drain),
        max_body=block.read("max_body", _max_body, default.max_body),
        trusted_proxies=block.read("trusted_proxies", _networks, default.trusted_proxies),
        tls=block.read("tls", _server_tls, default.tls),
        header_timeout=block.read("header_timeout", positive_duration, default.header_timeout),
        max_connections=block.read("max_connections", _max_clients, default.max_connections),
        max_in_flight=block.read("max_in_flight", _max_clients, default.max_in_flight),
        shed_at_lag=block.read("shed_at_lag", _shed_at_lag, default.shed_at_lag),
    )


def admin_token(place: Place) -> Secret:
    """Read the operator's token."""
    return place.secret(values.parse_admin_token, "visible ASCII without spaces")


def size(place: Place) -> int:
    """Read a size in bytes."""
    return place.convert(values.parse_size, _SIZE)


def _max_body(place: Place) -> int:
    found = size(place)
    if not 1024 <= found <= 1024**3:
        place.fail("must lie between 1KiB and 1GiB")
    return found


def _max_clients(place: Place) -> int:
    return place.convert(partial(values.parse_count, lowest=1, highest=1_000_000), COUNT)


def _shed_at_lag(place: Place) -> float:
    seconds = duration(place)
    if not 0.01 <= seconds <= 10:
        place.fail("must lie between 10ms and 10s")
    return seconds


def _networks(place: Place) -> tuple[str, ...]:
    return tuple(item.convert(values.parse_network, _NETWORK) for item in place.items(f"a list of {_NETWORK}"))


def _server_tls(place: Place) -> TlsSettings:
    block = place.block(KEYS["server.tls"])
    return TlsSettings(
        cert=block.require("cert", "a PEM file with the certificate chain").file(),
        key=block.require("key", "a PEM file with the private key").file(),
    )


def timeouts(place: Place, default: TimeoutSettings | None = None) -> TimeoutSettings:
    """Read a ``timeouts`` block; what it leaves out comes from ``default``."""
    block, default = place.block(KEYS["timeouts"]), default or TimeoutSettings()
    return TimeoutSettings(
        connect=block.read("connect", positive_duration, default.connect),
        first_event=block.read("first_event", positive_duration, default.first_event),
        idle=block.read("idle", positive_duration, default.idle),
        total=block.read("total", positive_duration, default.total),
    )


def storage(place: Place) -> StorageSettings:
    """Read the ``storage`` block."""
    block = place.block(KEYS["storage"])
    return StorageSettings(database=block.read("database", database, StorageSettings().database))


def database(place: Place) -> str:
    """Read the URL of the database."""
    return place.convert(values.parse_database, 'an SQLite URL such as "sqlite:///data/headgate.db"')


def directory(place: Place) -> str:
    """Read the path of the data directory."""
    return place.convert(values.parse_path, 'a directory such as "/var/lib/headgate"')


def providers(place: Place, default: TimeoutSettings) -> tuple[ProviderSettings, ...]:
    """Read the ``providers`` block; ``default`` is the file's ``timeouts`` block."""
    errors, found = ErrorCollection(), list[ProviderSettings]()
    for name, entry in place.entries().items():
        errors.read(lambda name=name, entry=entry: found.append(_provider(name, entry, default)), None)
    errors.close()
    return tuple(found)


def _provider(name: str, place: Place, default_timeouts: TimeoutSettings) -> ProviderSettings:
    try:
        values.parse_provider_name(name)
    except ValueError:
        place.fail("a provider's name is 1 to 63 of a-z, 0-9, _ and -, and starts with a letter or a digit")
    block = place.block(KEYS["providers.*"])
    default = ProviderSettings(name=name, kind="")
    private = block.read("allow_private_network", Place.truth, default.allow_private_network)
    base_url = partial(values.parse_base_url, allow_private=private)
    return ProviderSettings(
        name=name,
        kind=block.require("kind", 'such as "openai", or "sandbox" for the built-in one').convert(
            values.parse_provider_name, 'a kind such as "openai"'
        ),
        base_url=block.read("base_url", _optional(lambda given: given.convert(base_url, _BASE_URL)), default.base_url),
        credential=block.read("credential", _credential, default.credential),
        credentials=_credentials(block),
        region=block.read("region", region, default.region),
        allow_private_network=private,
        transport=block.read("transport", lambda given: given.choice("lean", "aiohttp"), default.transport),
        tls=block.read("tls", _upstream_tls, default.tls),
        timeouts=block.read("timeouts", lambda given: timeouts(given, default_timeouts), default.timeouts),
        headers=block.read("headers", _headers, default.headers),
        max_connections=block.read("max_connections", _max_connections, default.max_connections),
        max_connection_age=block.read("max_connection_age", positive_duration, default.max_connection_age),
        max_output_field=block.read("max_output_field", _max_output_field, default.max_output_field),
        price_free=block.read("price", _free, default.price_free),
        handling=handling(block),
    )


def _credential(place: Place) -> Secret:
    return place.secret(values.parse_credential, "visible ASCII without spaces")


def _credentials(block: Block) -> tuple[CredentialSettings, ...]:
    """Return those of ``credentials`` that are not empty, as an unset variable leaves them."""
    place = block.values.get("credentials")
    if place is None:
        return ()
    if "credential" in block.values:
        place.fail("stand beside credential; give one of the two")
    names: dict[str, int | None] = {}
    values_: dict[Secret, str] = {}
    found: list[CredentialSettings] = []
    for item in place.items('a list of credentials such as [{name: main, value: "${OPENAI_API_KEY}"}]'):
        credential = _named_credential(item)
        item.once(names, credential.name, "name")
        if credential.value in values_:
            item.fail(f'is the same secret as "{values_[credential.value]}"; each credential has limits of its own')
        if credential.value:
            values_[credential.value] = credential.name
            found.append(credential)
    if not names:
        place.fail("an empty list; give at least one, or credential")
    return tuple(found)


def _named_credential(place: Place) -> CredentialSettings:
    block = place.block(KEYS["providers.*.credentials[]"])
    name = 'such as "main"'
    return CredentialSettings(
        name=block.require("name", name).convert(values.parse_credential_name, f"1 to 32 of a-z, 0-9, _ and -, {name}"),
        value=_credential(block.require("value", 'such as "${OPENAI_API_KEY}" or {file: secrets/openai}')),
        weight=block.read("weight", lambda given: weight(given, "remove the credential instead"), 1),
    )


def weight(place: Place, remedy: str) -> int:
    """Read a weight; ``remedy`` says what to do in the place of a weight of 0."""
    return place.convert(partial(values.parse_weight, remedy=remedy), COUNT)


def region(place: Place) -> str:
    """Read where a provider runs something, in its own words."""
    return place.convert(values.parse_region, 'a region such as "eu-central-1"')


def handling(block: Block) -> DataHandling:
    """Read what a provider or a deployment says of the data that it gets."""
    return DataHandling(
        region=block.read("region", region, None),
        jurisdiction=block.read("jurisdiction", _jurisdiction, None),
        retention_days=block.read("retention_days", _retention_days, None),
        trains=block.read("trains", Place.truth, None),
    )


def _jurisdiction(place: Place) -> str:
    return place.convert(values.parse_jurisdiction, 'a jurisdiction of 2 to 16 of a-z such as "eu"')


def _retention_days(place: Place) -> int:
    return place.convert(
        partial(values.parse_count, lowest=0, highest=36_500), "a whole number of days such as 30, or 0 for none"
    )


def _upstream_tls(place: Place) -> UpstreamTlsSettings:
    block = place.block(KEYS["providers.*.tls"])
    tls = UpstreamTlsSettings(
        ca=block.read("ca", Place.file, None),
        cert=block.read("cert", Place.file, None),
        key=block.read("key", Place.file, None),
    )
    if tls.key is not None and tls.cert is None:
        place.fail("a client key needs its certificate: give cert too")
    return tls


def _headers(place: Place) -> tuple[tuple[str, str], ...]:
    headers: dict[str, str] = {}
    for written, given in place.entries().items():
        try:
            name = values.parse_header_name(written)
        except ValueError as error:
            given.fail(str(error))
        if name in headers:
            given.fail("is given twice; the case of a header field's name does not count")
        headers[name] = given.convert(values.parse_header_value, "visible ASCII text")
    return tuple(headers.items())


def _max_connections(place: Place) -> int:
    return place.convert(partial(values.parse_count, lowest=1, highest=10_000), COUNT)


def _max_output_field(place: Place) -> str | UnsetType | None:
    if _is_null(place):
        return None
    return place.choice("max_tokens", "max_completion_tokens")


def _free(place: Place) -> bool:
    if place.text('"free"; the price of a model stands at its deployment') != "free":
        place.fail('expected "free"; the price of a model stands at its deployment')
    return True


def prices(place: Place) -> PriceSettings:
    """Read the ``prices`` block."""
    block, default = place.block(KEYS["prices"]), PriceSettings()
    return PriceSettings(
        unpriced=block.read("unpriced", lambda given: given.choice("refuse", "ceiling"), default.unpriced),
        multiplier=block.read(
            "multiplier", lambda given: given.convert(values.parse_multiplier, 'a decimal such as "0.9"'), "1"
        ),
    )


def ledger(place: Place) -> LedgerSettings:
    """Read the ``ledger`` block."""
    block, default = place.block(KEYS["ledger"]), LedgerSettings()
    return LedgerSettings(
        durability=block.read("durability", lambda given: given.choice("fsync", "os"), default.durability),
        commit_timeout=block.read("commit_timeout", positive_duration, default.commit_timeout),
        budget_wait=block.read("budget_wait", _budget_wait, default.budget_wait),
    )


def _budget_wait(place: Place) -> float:
    seconds = duration(place)
    if seconds > LONGEST_BUDGET_WAIT_S:
        place.fail("must lie between 0s and 30s")
    return seconds


def keys(place: Place) -> KeySettings:
    """Read the ``keys`` block."""
    block = place.block(KEYS["keys"])
    return KeySettings(
        prefix=block.read(
            "prefix",
            lambda given: given.convert(
                values.parse_key_prefix, 'a-z and 0-9, at most 15, with an underscore at the end, such as "hg_"'
            ),
            KeySettings().prefix,
        )
    )


def _optional(convert: Callable[[Place], str]) -> Callable[[Place], str | None]:
    """Return ``convert`` for a key that may also be empty, as ``${NAME:-}`` leaves it."""

    def read(place: Place) -> str | None:
        if _is_null(place) or (isinstance(place.node, document.Scalar) and place.text("text") == ""):
            return None
        return convert(place)

    return read


def _is_null(place: Place) -> bool:
    return isinstance(place.node, document.Scalar) and place.node.kind == "null"
