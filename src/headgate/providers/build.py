"""From settings to a provider that is ready to send: checked once, at the start, with the field that is wrong."""

import difflib
import re
from collections.abc import Mapping
from typing import Final

from msgspec import UNSET

import headgate
from headgate.providers import PROVIDERS
from headgate.providers.provider import Provider, ProviderCredential, Vendor
from headgate.providers.sandbox import SANDBOX_VENDOR, Meter, SandboxTransport
from headgate.settings.model import ProviderSettings, TimeoutSettings
from headgate.upstream.addresses import Origin, check_host, parse_base_url
from headgate.upstream.open import open_transport
from headgate.upstream.options import TransportOptions
from headgate.upstream.proxies import choose_proxy
from headgate.upstream.tls import client_context
from headgate.upstream.transport import Timeouts, Transport
from headgate.wire import WIRE_FORMATS

_AZURE_PATH: Final = "/openai/v1"
_REGION: Final = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_CREDENTIAL: Final = re.compile(r"[\x21-\x7e]+")
# The transport writes these itself; a second one would let a setting frame the request.
_OWN_HEADERS: Final = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "accept-encoding", "content-type", "te", "upgrade"}
)
_CREDENTIAL_HEADERS: Final = frozenset(
    {"authorization", "api-key", "x-api-key", "x-goog-api-key", "proxy-authorization"}
)


class InvalidProviderError(ValueError):
    """A provider that cannot be built from its settings."""

    def __init__(self, provider: str, field: str, message: str) -> None:
        """Say which ``field`` of which ``provider`` is wrong, without repeating a secret."""
        super().__init__(f"providers.{provider}.{field}: {message}")
        self.provider = provider
        self.field = field
        self.message = message


def vendor_of(settings: ProviderSettings) -> Vendor:
    """Return the row of the settings' ``kind``.

    Raises:
        InvalidProviderError: there is no such kind; the nearest one is named.
    """
    vendor = PROVIDERS.get(settings.kind)
    if vendor is not None:
        return vendor
    near = difflib.get_close_matches(settings.kind, PROVIDERS, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "; for any server that speaks OpenAI's format: openai_compatible"
    raise InvalidProviderError(settings.name, "kind", f"there is no kind {settings.kind!r}{hint}")


def is_switched_off(settings: ProviderSettings) -> bool:
    """Whether the provider needs a credential and has none: it is then off, which is no error.

    Raises:
        InvalidProviderError: there is no such kind.
    """
    return vendor_of(settings).needs_credential and not (settings.credential or settings.credentials)


def build_provider(
    settings: ProviderSettings,
    defaults: TimeoutSettings,
    environ: Mapping[str, str],
    meter: Meter | None = None,
) -> Provider:
    """Return the provider that ``settings`` describe. Nothing is connected yet; close its transport in the end.

    Args:
        settings: One entry of ``providers``.
        defaults: The gateway's time-outs, for a provider without its own.
        environ: Where ``HTTPS_PROXY`` and its kin are read.
        meter: What a sandbox counts on.

    Raises:
        InvalidProviderError: a setting is wrong.
    """
    vendor = vendor_of(settings)
    credentials = _credentials(settings, vendor)
    if vendor.kind == SANDBOX_VENDOR.kind:
        transport: Transport = SandboxTransport(meter)
        base_target = "/v1"
    else:
        origin, base_target = _base_url(settings, vendor)
        transport = _transport(settings, origin, environ)
    timeouts = settings.timeouts or defaults
    max_output_field = vendor.max_output_field if settings.max_output_field is UNSET else settings.max_output_field
    return Provider(
        name=settings.name,
        vendor=vendor,
        base_target=base_target,
        credentials=tuple(
            ProviderCredential(name, weight, _headers(settings, vendor, secret)) for name, weight, secret in credentials
        ),
        transport=transport,
        wire_formats={name: WIRE_FORMATS[name] for name in vendor.wire_formats},
        max_output_field=max_output_field,
        secrets=tuple(secret for _, _, secret in credentials if secret),
        timeouts=Timeouts(timeouts.connect, timeouts.first_event, timeouts.idle, timeouts.total),
    )


def _credentials(settings: ProviderSettings, vendor: Vendor) -> list[tuple[str, int, str]]:
    """Return name, weight and secret of each; of a provider that needs none, one with an empty secret."""
    found = [(each.name, each.weight, each.value.reveal()) for each in settings.credentials if each.value]
    if not found:
        found = [("", 1, settings.credential.reveal())]
    for _, _, secret in found:
        if not secret and vendor.needs_credential:
            raise InvalidProviderError(settings.name, "credential", f"{vendor.title} needs one")
        if secret and not _CREDENTIAL.fullmatch(secret):
            message = "it has a blank, a line break or another character that no HTTP header takes"
            raise InvalidProviderError(settings.name, "credential", message)
    return found


def _headers(settings: ProviderSettings, vendor: Vendor, credential: str) -> tuple[tuple[bytes, bytes], ...]:
    headers = [(b"content-type", b"application/json"), (b"user-agent", b"headgate/" + headgate.__version__.encode())]
    headers += [(name.encode(), value.encode()) for name, value in vendor.headers]
    if credential:
        headers.append((vendor.auth_header.encode(), (vendor.auth_prefix + credential).encode()))
    for name, value in settings.headers:
        lower = name.lower()
        if not _HEADER_NAME.fullmatch(name):
            raise InvalidProviderError(settings.name, "headers", f"{name!r} is not the name of a header")
        if not _HEADER_VALUE.fullmatch(value):
            raise InvalidProviderError(settings.name, "headers", f"the value of {name!r} has a control character")
        if lower in _OWN_HEADERS:
            raise InvalidProviderError(settings.name, "headers", f"{name!r} is written by the gateway itself")
        if lower in _CREDENTIAL_HEADERS or lower == vendor.auth_header:
            raise InvalidProviderError(settings.name, "headers", f"{name!r} carries a secret; use credential")
        headers = [header for header in headers if header[0] != lower.encode()]
        headers.append((lower.encode(), value.encode("latin-1")))
    return tuple(headers)


def _base_url(settings: ProviderSettings, vendor: Vendor) -> tuple[Origin, str]:
    text = settings.base_url or vendor.base_url
    if text is None:
        raise InvalidProviderError(settings.name, "base_url", f"{vendor.title} needs one. {vendor.notes}")
    if "{region}" in text:
        if settings.region is None:
            raise InvalidProviderError(settings.name, "region", f"{vendor.title} needs one, e.g. us-east-1")
        if not _REGION.fullmatch(settings.region):
            raise InvalidProviderError(settings.name, "region", f"{settings.region!r} is not the name of a region")
        text = text.replace("{region}", settings.region)
    try:
        origin, path = parse_base_url(text)
    except ValueError as error:
        raise InvalidProviderError(settings.name, "base_url", str(error)) from error
    refused = check_host(origin.host, allow_private_network=settings.allow_private_network)
    if refused is not None:
        allowed = check_host(origin.host, allow_private_network=True) is None
        hint = "; if that is meant, set allow_private_network: true" if allowed else ""
        raise InvalidProviderError(settings.name, "base_url", refused + hint)
    if origin.scheme == "http" and not settings.allow_private_network:
        message = "http:// would send prompts and the credential in clear text; use https://"
        raise InvalidProviderError(settings.name, "base_url", message)
    return origin, _azure_path(path) if vendor.kind == "azure" else path


def _azure_path(path: str) -> str:
    """Return the path with ``/openai/v1`` at its end, however much of it was written."""
    if path.endswith(_AZURE_PATH):
        return path
    return path.removesuffix("/openai") + _AZURE_PATH


def _transport(settings: ProviderSettings, origin: Origin, environ: Mapping[str, str]) -> Transport:
    tls = None
    if settings.tls is not None:
        try:
            tls = client_context(settings.tls.ca, settings.tls.cert, settings.tls.key)
        except ValueError as error:
            raise InvalidProviderError(settings.name, "tls", str(error)) from error
    try:
        proxy = choose_proxy(origin, environ)
    except ValueError as error:
        raise InvalidProviderError(settings.name, "base_url", f"the proxy for it: {error}") from error
    options = TransportOptions(
        allow_private_network=settings.allow_private_network,
        tls=tls,
        proxy=proxy,
        max_connections=settings.max_connections,
        max_connection_age_s=settings.max_connection_age,
    )
    try:
        return open_transport(settings.transport, origin, options)
    except ValueError as error:
        raise InvalidProviderError(settings.name, "transport", str(error)) from error
