"""Which proxy leads to an origin: ``HTTPS_PROXY``, ``HTTP_PROXY``, ``ALL_PROXY`` and ``NO_PROXY`` of an environment.

No standard defines these variables. The reading is the one most programs share
(https://about.gitlab.com/blog/we-need-to-talk-no-proxy/): lower case wins over upper case, a ``NO_PROXY`` entry
matches the host itself and everything below it, CIDR blocks match addresses, ``*`` switches proxies off. Hosts that
are this machine are never proxied, as in Go's net/http.
"""

import ipaddress
from base64 import b64encode
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote, urlsplit

from msgspec import Struct

from headgate.upstream.addresses import DEFAULT_PORTS, Origin, normalize_host

_VARIABLES: Final = {"https": ("https_proxy", "all_proxy"), "http": ("http_proxy", "all_proxy")}


class Proxy(Struct, frozen=True):
    """An HTTP proxy. Reached in clear text; a TLS origin is tunnelled through it (CONNECT), so TLS stays end to end."""

    host: str
    port: int
    authorization: str | None = None
    """The value of ``proxy-authorization``, from the user and password in the proxy's URL."""

    def __repr__(self) -> str:
        return f"Proxy(host={self.host!r}, port={self.port})"


def choose_proxy(origin: Origin, environ: Mapping[str, str]) -> Proxy | None:
    """Return the proxy to take to ``origin``, or ``None`` for the direct way.

    Raises:
        ValueError: the variable that applies is not the URL of an HTTP proxy.
    """
    no_proxy = _variable(environ, "no_proxy") or ""
    if _is_this_machine(origin.host) or _bypassed(origin, no_proxy):
        return None
    for name in _VARIABLES[origin.scheme]:
        # A CGI server puts the client's "Proxy" header into HTTP_PROXY (httpoxy, CVE-2016-5385).
        cgi = name == "http_proxy" and "REQUEST_METHOD" in environ
        text = environ.get(name) if cgi else _variable(environ, name)
        if text:
            return parse_proxy(text, name)
    return None


def parse_proxy(text: str, name: str) -> Proxy:
    """Read ``[http://][user:password@]host[:port]``; ``name`` is the variable, for the error.

    Raises:
        ValueError: another scheme, no host, or a bad port. The text itself is not repeated: it may hold a password.
    """
    parts = urlsplit(text if "://" in text else f"http://{text}")
    if parts.scheme != "http":
        raise ValueError(f"{name}: only http:// proxies are supported, not {parts.scheme}://")
    try:
        port = parts.port or DEFAULT_PORTS["http"]
        host = normalize_host(parts.hostname or "")
    except ValueError as error:
        raise ValueError(f"{name}: not the URL of a proxy") from error
    authorization = None
    if parts.username is not None:
        user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = "Basic " + b64encode(user.encode()).decode("ascii")
    return Proxy(host, port, authorization)


def _variable(environ: Mapping[str, str], name: str) -> str | None:
    value = environ.get(name)
    return value if value is not None else environ.get(name.upper())


def _is_this_machine(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _bypassed(origin: Origin, no_proxy: str) -> bool:
    return any(_matches(origin, entry.lower()) for entry in no_proxy.replace(",", " ").split())


def _matches(origin: Origin, entry: str) -> bool:
    if entry == "*":
        return True
    if "/" in entry:
        try:
            return ipaddress.ip_address(origin.host) in ipaddress.ip_network(entry, strict=False)
        except ValueError:
            return False
    host, port = _split_port(entry)
    if port is not None and port != str(origin.port):
        return False
    host = host.removeprefix("*").removeprefix(".").removesuffix(".")
    return bool(host) and (origin.host == host or origin.host.endswith("." + host))


def _split_port(entry: str) -> tuple[str, str | None]:
    if entry.startswith("["):
        host, _, rest = entry[1:].partition("]")
        return host, rest.removeprefix(":") or None
    if entry.count(":") == 1:
        host, _, port = entry.partition(":")
        return host, port
    return entry, None
