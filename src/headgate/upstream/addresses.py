"""The address policy: which hosts and addresses Headgate may connect to, and how a base URL is read.

A base URL is configuration, yet it may be written by one tenant and served by a machine that stands inside another's
network. So two checks exist. `check_host` looks at the words when the configuration is read; `refused_address` looks at
each resolved address just before it is connected to, and the connection goes to that very address (no second look-up
that could answer differently: DNS rebinding).
"""

import ipaddress
import re
import unicodedata
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct

DEFAULT_PORTS: Final = {"http": 80, "https": 443}

_METADATA_ADDRESSES: Final = frozenset(
    ipaddress.ip_address(text)
    for text in (
        "169.254.169.254",  # AWS, Azure, Google Cloud, Oracle, DigitalOcean …
        "169.254.170.2",  # AWS ECS task credentials
        "169.254.170.23",  # AWS EKS pod identity
        "fd00:ec2::254",  # AWS over IPv6
        "fd00:ec2::23",  # AWS EKS pod identity over IPv6
        "fd20:ce::254",  # Google Cloud over IPv6
        "100.100.100.200",  # Alibaba Cloud
        "192.0.0.192",  # Oracle Cloud, older images
        "168.63.129.16",  # Azure's host agent: a public-looking address that only answers inside
    )
)
_METADATA_NAMES: Final = frozenset(
    (
        "metadata",
        "metadata.google.internal",
        "metadata.goog",
        "metadata.azure.internal",
        "metadata.azure.com",
        "metadata.platformequinix.com",
        "metadata.packet.net",
        "metadata.tencentyun.com",
        "instance-data",
        "instance-data.ec2.internal",
    )
)
_LOCAL_SUFFIXES: Final = ("localhost", "localdomain", "local", "internal", "intranet", "lan", "home.arpa")
"""RFC 6761, 6762, 8375, ICANN's reserved ``internal``, and names that home and office routers hand out."""

_PRIVATE_NETWORKS: Final[tuple[IPv4Network | IPv6Network, ...]] = tuple(
    ipaddress.ip_network(text)
    for text in (
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",  # RFC 1918
        "127.0.0.0/8",
        "::1/128",  # loopback
        "100.64.0.0/10",  # RFC 6598, carrier-grade NAT
        "fc00::/7",  # RFC 4193, unique local
    )
)
_NAT64_LOCAL: Final = IPv6Network("64:ff9b:1::/48")  # RFC 8215: where it leads is the local network's choice
_NAT64: Final = IPv6Network("64:ff9b::/96")  # RFC 6052
_IPV4_COMPATIBLE: Final = IPv6Network("::/96")  # RFC 4291 §2.5.5.1
_IPV4_TRANSLATED: Final = IPv6Network("::ffff:0:0:0/96")  # RFC 2765
_ISATAP_MARKS: Final = (0x00005EFE, 0x02005EFE)  # RFC 5214 §6.1

_DECIMAL_IPV4: Final = re.compile(r"(?:0|[1-9][0-9]{0,2})(?:\.(?:0|[1-9][0-9]{0,2})){3}")
_NUMERIC_LABEL: Final = re.compile(r"[0-9]+|0[xX][0-9a-fA-F]*")
_HOST_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_UNSAFE_URL_TEXT: Final = re.compile(r"[\x00-\x20\x7f\\]")
_URL_PATH: Final = re.compile(r"[A-Za-z0-9\-._~!$&'()*+,;=:@%/]*")


class Origin(Struct, frozen=True):
    """Where a transport's connections lead: scheme, host and port (RFC 6454)."""

    scheme: str
    """``http`` or ``https``."""
    host: str
    """Lower case, IDNA-encoded, without a trailing dot; an IPv6 address without brackets."""
    port: int

    @property
    def authority(self) -> str:
        """The value of a ``host`` header: brackets around IPv6, the port only where it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


def parse_base_url(text: str) -> tuple[Origin, str]:
    """Read ``https://host[:port][/path]`` into an origin and a path without its trailing slash.

    Raises:
        ValueError: the text is no such URL, or carries what a base URL may not (user, query, fragment, blanks,
            other schemes). The words are for an operator and never repeat a password.
    """
    if _UNSAFE_URL_TEXT.search(text):
        raise ValueError("a base URL contains no blanks, control characters or backslashes")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"not a valid base URL: {error}") from error
    if parts.scheme not in DEFAULT_PORTS:
        raise ValueError(f"a base URL starts with https:// or http://, not {parts.scheme or 'nothing'}:")
    if "@" in parts.netloc:
        raise ValueError("a base URL carries no user name or password; use the credential setting")
    if "?" in text or "#" in text:
        raise ValueError("a base URL carries no query and no fragment")
    if port == 0:
        raise ValueError("port 0 cannot be connected to")
    if not _URL_PATH.fullmatch(parts.path):
        raise ValueError("the path of a base URL is percent-encoded ASCII")
    if any(segment in (".", "..") for segment in parts.path.replace("%2e", ".").replace("%2E", ".").split("/")):
        raise ValueError("the path of a base URL has no '.' or '..' segments")
    host = normalize_host(parts.hostname or "")
    return Origin(parts.scheme, host, port or DEFAULT_PORTS[parts.scheme]), parts.path.rstrip("/")


def normalize_host(host: str) -> str:
    """Return ``host`` as it is connected to: NFKC, lower case, IDNA, no trailing dot, no brackets.

    Raises:
        ValueError: it is empty or not a host name.
    """
    host = unicodedata.normalize("NFKC", host).replace("。", ".").lower()
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    if ":" in host:
        return str(IPv6Address(host.partition("%")[0])) if "%" not in host else _refuse_zone(host)
    host = host.removesuffix(".")
    if not host.isascii():
        try:
            host = host.encode("idna").decode("ascii")
        except UnicodeError as error:
            raise ValueError(f"not a host name: {host}") from error
    if not host or len(host) > 253 or not all(_HOST_LABEL.fullmatch(label) for label in host.split(".")):
        raise ValueError(f"not a host name: {host or '(empty)'}")
    return host


def _refuse_zone(host: str) -> str:
    raise ValueError(f"an IPv6 zone is meaningful on one machine only: {host}")


def check_host(host: str, *, allow_private_network: bool = False) -> str | None:
    """Say why ``host`` is refused by its words alone, or return ``None``.

    Names are not resolved here. Numeric forms that the system resolver would read as an address although they are not
    four decimal numbers (``0x7f.1``, ``2130706433``, ``0177.0.0.1``) are refused always: they only serve to mislead.
    """
    try:
        host = normalize_host(host)
    except ValueError as error:
        return str(error)
    if ":" in host:
        return refused_address(host, allow_private_network=allow_private_network)
    if host in _METADATA_NAMES:
        return f"{host} is a cloud metadata service"
    labels = host.split(".")
    if _NUMERIC_LABEL.fullmatch(labels[-1]):
        if _DECIMAL_IPV4.fullmatch(host):
            return refused_address(host, allow_private_network=allow_private_network)
        return f"{host} is not an IPv4 address of four decimal numbers"
    if allow_private_network:
        return None
    if len(labels) == 1:
        return f"{host} has no dot, so it names a machine of the local network"
    if any(host.endswith("." + suffix) for suffix in _LOCAL_SUFFIXES):
        return f"{host} names a machine of the local network"
    return None


def refused_address(address: str | IPv4Address | IPv6Address, *, allow_private_network: bool = False) -> str | None:
    """Say why a resolved address is refused, or return ``None``.

    ``allow_private_network`` lets private and loopback addresses pass; link-local, metadata, multicast and reserved
    ones are refused always. An IPv4 address inside an IPv6 one (mapped, NAT64, 6to4, Teredo, ISATAP) is judged as well.
    """
    if isinstance(address, str):
        try:
            address = ipaddress.ip_address(address)
        except ValueError:
            return f"{address} is not an IP address"
    if isinstance(address, IPv6Address):
        for embedded in _embedded(address):
            reason = refused_address(embedded, allow_private_network=allow_private_network)
            if reason is not None:
                return f"{address} leads to {embedded}: {reason}"
        if address.ipv4_mapped is not None:
            return None
    return _refused_plain(address, allow_private_network)


def _refused_plain(address: IPv4Address | IPv6Address, allow_private_network: bool) -> str | None:
    if address in _METADATA_ADDRESSES:
        return f"{address} is a cloud metadata service"
    if address.is_link_local or (isinstance(address, IPv6Address) and address.is_site_local):
        return f"{address} is link-local"
    if address.is_multicast:
        return f"{address} is multicast"
    if address.is_unspecified or address in IPv4Network("0.0.0.0/8"):
        return f"{address} is unspecified"
    if any(address in network for network in _PRIVATE_NETWORKS):
        kind = "loopback" if address.is_loopback else "private"
        return None if allow_private_network else f"{address} is {kind} and allow_private_network is not set"
    if address in _NAT64_LOCAL:
        return None if allow_private_network else f"{address} is translated by the local network"
    if address in _NAT64:
        return None  # what it embeds was judged before
    if not address.is_global or address.is_reserved:
        return f"{address} is reserved"
    return None


def _embedded(address: IPv6Address) -> tuple[IPv4Address, ...]:
    """Every IPv4 address that traffic to ``address`` may end at."""
    number = int(address)
    if address.ipv4_mapped is not None:
        return (address.ipv4_mapped,)
    if address.sixtofour is not None:
        return (address.sixtofour,)
    if address.teredo is not None:
        return address.teredo
    if address in _NAT64 or address in _IPV4_TRANSLATED or (address in _IPV4_COMPATIBLE and number > 0xFFFF):
        return (IPv4Address(number & 0xFFFFFFFF),)
    if number >> 32 & 0xFFFFFFFF in _ISATAP_MARKS:
        return (IPv4Address(number & 0xFFFFFFFF),)
    return ()
