"""What a provider is: where requests go, how they prove who sends them, and in which format."""

from msgspec import Struct

from headgate.upstream.transport import Headers, Timeouts, Transport
from headgate.wire.format import WireFormat


class Vendor(Struct, frozen=True):
    """One vendor as data. Every row of `compatible.VENDORS` is one of these."""

    kind: str
    """The word in the configuration file, e.g. ``groq``."""
    title: str
    source: str
    """The vendor's documentation that the row was read from."""
    base_url: str | None
    """``None`` where each installation has its own; ``{region}`` is filled in from the provider's settings."""
    wire_formats: tuple[str, ...] = ("openai_chat", "openai_embeddings")
    auth_header: str = "authorization"
    auth_prefix: str = "Bearer "
    headers: tuple[tuple[str, str], ...] = ()
    """Fields that the vendor's format demands, e.g. its version; a caller of the same format may send its own."""
    credential_env: tuple[str, ...] = ()
    """Environment variables that ``make run`` looks into."""
    needs_credential: bool = True
    max_output_field: str | None = None
    """The vendor's name for the maximum of output tokens where it takes only one; ``None`` passes the caller's on."""
    include_usage: bool = True
    """Whether streams take ``stream_options.include_usage``; false where it is refused or usage always comes."""
    price_provider: str | None = None
    """The provider id in the price catalogue; ``None`` where it has none."""
    bills_after_disconnect: bool = False
    """Goes on and bills after its connection is closed: what a caller leaves is read to its end."""
    local: bool = False
    """Runs on the operator's own machines: private addresses are usual, prices are free unless set."""
    notes: str = ""


class ProviderCredential(Struct, frozen=True):
    """One of the credentials that a provider issued to us; the secret itself is in the header fields alone."""

    name: str
    """Empty where the provider has only one and the configuration gives it no name."""
    weight: int
    headers: Headers
    """Sent with every request under this credential, its own header among them."""


class Provider(Struct, frozen=True):
    """A configured provider, ready to send to."""

    name: str
    """The key in the configuration file; also the ``provider/`` prefix of model names."""
    vendor: Vendor
    base_target: str
    """The path of the base URL, without a trailing slash; the wire format's path is appended."""
    credentials: tuple[ProviderCredential, ...]
    """At least one; that of a provider which needs none has no header of its own."""
    transport: Transport
    wire_formats: dict[str, WireFormat]
    max_output_field: str | None = None
    """The vendor's, unless the configuration overrides it."""
    secrets: tuple[str, ...] = ()
    """Texts that must never reach a caller or a log, e.g. the credential; errors are redacted by them."""
    timeouts: Timeouts = Timeouts()
    """The provider's own where its settings have them, else the gateway's."""

    def headers_of(self, credential: str) -> Headers:
        """Return the header fields to send under the credential of that name."""
        for each in self.credentials:
            if each.name == credential:
                return each.headers
        raise KeyError(credential)
