"""Blocks of the file → Structs of `model`, all but the organizations."""

from collections.abc import Callable
from functools import partial
from typing import Final

from msgspec import UnsetType

from headgate.domain.catalog import Price, PriceTier, Rates
from headgate.settings import document, values
from headgate.settings.keys import KEYS
from headgate.settings.model import (
    DeploymentSettings,
    KeySettings,
    LedgerSettings,
    ModelSettings,
    PriceSettings,
    ProviderSettings,
    Secret,
    ServerSettings,
    StorageSettings,
    TimeoutSettings,
    TlsSettings,
    UpstreamTlsSettings,
)
from headgate.settings.reader import Place

CONFIGURED: Final = "configuration"
"""The version of a price that the file gives."""
SANDBOX: Final = "sandbox"
"""The kind of the built-in provider."""
LONGEST_BUDGET_WAIT_S: Final = 30.0
"""A request that stands in line for a budget any longer is one whose caller has given up."""

_COUNT: Final = "a whole number such as 256, without quotes or units"
_DURATION: Final = 'a duration such as "30s"'
_SIZE: Final = 'a size such as "32MiB"'
_LISTEN: Final = 'HOST:PORT such as "127.0.0.1:4100"'
_NETWORK: Final = 'a network such as "10.0.0.0/8"'
_BASE_URL: Final = 'a URL such as "https://api.example.com/v1"'
_RATE: Final = 'USD per million tokens such as "2.50"'
_PRICE: Final = '"free" or rates such as {input_per_mtok: "2.50", output_per_mtok: "10"}'


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


def _max_body(place: Place) -> int:
    size = place.convert(values.parse_size, _SIZE)
    if not 1024 <= size <= 1024**3:
        place.fail("must lie between 1KiB and 1GiB")
    return size


def _max_clients(place: Place) -> int:
    return place.convert(partial(values.parse_count, lowest=1, highest=1_000_000), _COUNT)


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
    return tuple(_provider(name, entry, default) for name, entry in place.entries().items())


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
        region=block.read("region", _region, default.region),
        allow_private_network=private,
        transport=block.read("transport", lambda given: given.choice("lean", "aiohttp"), default.transport),
        tls=block.read("tls", _upstream_tls, default.tls),
        timeouts=block.read("timeouts", lambda given: timeouts(given, default_timeouts), default.timeouts),
        headers=block.read("headers", _headers, default.headers),
        max_connections=block.read("max_connections", _max_connections, default.max_connections),
        max_connection_age=block.read("max_connection_age", positive_duration, default.max_connection_age),
        max_output_field=block.read("max_output_field", _max_output_field, default.max_output_field),
        price_free=block.read("price", _free, default.price_free),
    )


def _credential(place: Place) -> Secret:
    return place.secret(values.parse_credential, "visible ASCII without spaces")


def _region(place: Place) -> str:
    return place.convert(values.parse_region, 'a region such as "eu-central-1"')


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
    return place.convert(partial(values.parse_count, lowest=1, highest=10_000), _COUNT)


def _max_output_field(place: Place) -> str | UnsetType | None:
    if _is_null(place):
        return None
    return place.choice("max_tokens", "max_completion_tokens")


def _free(place: Place) -> bool:
    if place.text('"free"; the price of a model stands at its deployment') != "free":
        place.fail('expected "free"; the price of a model stands at its deployment')
    return True


def models(place: Place, providers_: tuple[ProviderSettings, ...]) -> tuple[ModelSettings, ...]:
    """Read the ``models`` list, whose deployments name some of ``providers_``."""
    kinds = {provider.name: provider.kind for provider in providers_}
    seen: dict[str, int | None] = {}
    found: list[ModelSettings] = []
    for item in place.items("a list such as [{alias: gpt-4o, deployments: […]}]"):
        model = _model(item, kinds)
        item.once(seen, model.alias, "alias")
        found.append(model)
    return tuple(found)


def _model(place: Place, kinds: dict[str, str]) -> ModelSettings:
    block = place.block(KEYS["models[]"])
    alias_place = block.require("alias", "what clients send as the model's name")
    alias = alias_place.convert(values.parse_alias, 'a model name such as "gpt-4o" or a glob such as "sandbox/*"')
    given = block.require("deployments", 'such as [{provider: openai, model: "gpt-4o"}]')
    found = tuple(_deployment(item, kinds, alias) for item in given.items("a list such as [{provider: openai, …}]"))
    if len({kinds[deployment.provider] == SANDBOX for deployment in found}) > 1:
        given.fail("the sandbox stands beside a real provider; its answers are made up and must not replace real ones")
    if len(found) != 1:
        given.fail(
            "an alias needs a deployment"
            if not found
            else "an alias takes one deployment; several need routing, which is not built yet"
        )
    return ModelSettings(alias=alias, deployments=found)


def _deployment(place: Place, kinds: dict[str, str], alias: str) -> DeploymentSettings:
    block = place.block(KEYS["models[].deployments[]"])
    provider = block.require("provider", "the name of an entry of providers").choice(*kinds)
    if "model" in block.values or not alias.endswith("*"):
        given = block.require("model", "what the provider calls the model")
        model = given.convert(values.parse_alias, 'a model name such as "gpt-4o"')
        if model.endswith("*") and not alias.endswith("*"):
            given.fail("a glob here needs a glob as the alias, whose rest it stands for")
    else:
        model = "*"
    price, free = block.read("price", _price, (None, False))
    return DeploymentSettings(
        provider=provider, model=model, region=block.read("region", _region, None), price=price, price_free=free
    )


def _price(place: Place) -> tuple[Price | None, bool]:
    if not isinstance(place.node, document.Mapping):
        if place.text(_PRICE) != "free":
            place.fail(f"expected {_PRICE}")
        return None, True
    block = place.block(KEYS["models[].deployments[].price"])
    tiers = block.read("tiers", _tiers, ())
    return Price(rates=_rates(place, "models[].deployments[].price"), tiers=tiers, version=CONFIGURED), False


def _tiers(place: Place) -> tuple[PriceTier, ...]:
    found: list[PriceTier] = []
    key = "models[].deployments[].price.tiers[]"
    for item in place.items('a list such as [{above_input_tokens: 200000, input_per_mtok: "5", …}]'):
        above = (
            item.block(KEYS[key])
            .require("above_input_tokens", "such as 200000")
            .convert(partial(values.parse_count, lowest=1, highest=10**9), "a count of tokens such as 200000")
        )
        if found and above <= found[-1].above_input_tokens:
            item.fail("tiers stand by rising above_input_tokens")
        found.append(PriceTier(above_input_tokens=above, rates=_rates(item, key)))
    return tuple(found)


def _rates(place: Place, key: str) -> Rates:
    block = place.block(KEYS[key])
    return Rates(
        input=_rate(block.require("input_per_mtok", _RATE)),
        output=_rate(block.require("output_per_mtok", f'{_RATE}; "0" for models that only embed')),
        cached_input=block.read("cached_input_per_mtok", _rate, None),
        cache_write=block.read("cache_write_per_mtok", _rate, None),
        input_audio=block.read("input_audio_per_mtok", _rate, None),
        output_audio=block.read("output_audio_per_mtok", _rate, None),
    )


def _rate(place: Place) -> int:
    return place.convert(values.parse_rate, _RATE)


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
