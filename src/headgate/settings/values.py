"""Single values of the configuration: text → value, as pure functions.

Each raises `ValueError`; its words are the whole problem, or empty where "expected …, got …" says enough. The words
never repeat the value: it may be a secret that came from the environment.
"""

import ipaddress
import re
import zoneinfo
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Final

from msgspec import Struct

from headgate.domain.money import MAX_NANO_USD, NANO_PER_USD, parse_usd

_DURATION: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)(ms|s|m|h)")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DAY_S: Final = 86_400.0
_WEEK_S: Final = 7 * _DAY_S
_SIZE: Final = re.compile(r"([0-9]{1,12})(B|KB|MB|GB|KiB|MiB|GiB)")
_BYTES: Final = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_VARIABLE: Final = re.compile(r"\$\$\{|\$\{(?:([A-Za-z_][A-Za-z0-9_]*)(?::-([^{}]*))?\})?")
_SLUG: Final = re.compile(r"[a-z0-9-]{1,63}")
_PROVIDER_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_REGION: Final = re.compile(r"[a-z0-9-]{1,63}")
_JURISDICTION: Final = re.compile(r"[a-z]{2,16}")
_CREDENTIAL_NAME: Final = re.compile(r"[a-z0-9_-]{1,32}")
_IMPORTANCE: Final = re.compile(r"[0-9]{1,7}(?:\.[0-9]{1,6})?")
_MOST_IMPORTANT: Final = 1_000_000
_PROVISIONED_SECRET: Final = re.compile(r"[A-Za-z0-9_-]{32,256}")
_SHA256: Final = re.compile(r"[0-9A-Fa-f]{64}")
_CREDENTIAL: Final = re.compile(r"[\x21-\x7e]*")
_EMAIL: Final = re.compile(r"[\x21-\x3f\x41-\x7e]{1,64}@[A-Za-z0-9.-]{1,189}")
_MOMENT: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?(?:[Zz]|[+-][0-9]{2}:[0-9]{2})?"
)
_KEY_PREFIX: Final = re.compile(r"[a-z][a-z0-9]{0,14}_")
_RESERVED_KEY_PREFIXES: Final = ("hga_", "hgp_")
_BASE_URL: Final = re.compile(
    r"(https?)://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?(/[A-Za-z0-9._~%!$&'()*+,;=:@/-]*)?"
)
_LISTEN: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})")
_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}")
_HEADER_VALUE: Final = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,4094}[\x21-\x7e])?")
_TRANSPORT_HEADERS: Final = frozenset(
    ("host", "content-length", "transfer-encoding", "connection", "accept-encoding", "te", "upgrade", "expect")
)
_CREDENTIAL_HEADERS: Final = frozenset(
    ("authorization", "proxy-authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie")
)
_AMOUNT: Final = re.compile(r"([+-]?)([0-9]{1,40})(?:\.([0-9]{1,40}))?")
_METADATA_NAMES: Final = frozenset(("metadata.google.internal", "metadata", "instance-data"))
_SQLITE: Final = "sqlite:///"


class Address(Struct, frozen=True):
    """Where a listener binds."""

    host: str
    port: int


def expand(text: str, environ: Mapping[str, str]) -> str:
    """Return ``text`` with ``${NAME}`` and ``${NAME:-default}`` read from the environment; ``$${`` is a plain ``${``.

    As in a shell, the default also stands in for an empty variable.

    Raises:
        ValueError: a variable without default is unset, or a ``${`` is not closed.
    """

    def replace(match: re.Match[str]) -> str:
        if match[0] == "$${":
            return "${"
        name, default = match[1], match[2]
        if name is None:
            raise ValueError("not a variable: write ${NAME} or ${NAME:-default}; $${ stands for ${ itself")
        value = environ.get(name, "")
        if default is not None:
            return value or str(default)
        if name not in environ:
            raise ValueError(f"the environment variable {name} is not set, and ${{{name}}} has no default")
        return value

    return _VARIABLE.sub(replace, text)


def parse_long_duration(text: str) -> float:
    """Return the seconds of a duration, whole days such as ``7d`` too; at most a week."""
    days = re.fullmatch(r"([0-9]{1,4})d", text)
    if days is None:
        return parse_duration(text, longest_s=_WEEK_S)
    seconds = int(days[1]) * _DAY_S
    if seconds > _WEEK_S:
        raise ValueError("longer than 7d")
    return seconds


def parse_duration(text: str, longest_s: float = _DAY_S) -> float:
    """Return the seconds of ``500ms``, ``30s``, ``2m`` or ``1h``; at most a day."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError
    seconds = float(match[1]) * _SECONDS[match[2]]
    if seconds > longest_s:
        raise ValueError("longer than 7d" if longest_s > _DAY_S else "longer than 24h")
    return seconds


def parse_positive_duration(text: str) -> float:
    """Return the seconds of a duration longer than zero."""
    seconds = parse_duration(text)
    if seconds <= 0:
        raise ValueError("must be longer than zero")
    return seconds


def parse_size(text: str) -> int:
    """Return the bytes of ``32MiB`` (2**20) or ``1GB`` (10**9)."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError
    return int(match[1]) * _BYTES[match[2]]


def parse_count(text: str, lowest: int, highest: int) -> int:
    """Return a whole number within bounds, both included."""
    if not re.fullmatch(r"[0-9]{1,16}", text):
        raise ValueError
    number = int(text)
    if not lowest <= number <= highest:
        raise ValueError(f"must lie between {lowest} and {highest}")
    return number


def parse_listen(text: str) -> Address:
    """Return host and port of ``127.0.0.1:4100``, ``[::1]:4100`` or ``localhost:4100``; port 0 takes a free one."""
    match = _LISTEN.fullmatch(text)
    if match is None:
        raise ValueError
    host, port = match[1].strip("[]"), int(match[2])
    if match[1].startswith("["):
        try:
            ipaddress.IPv6Address(host)
        except ValueError:
            raise ValueError from None
    if port > 65535:
        raise ValueError("a port is at most 65535")
    return Address(host, port)


def is_loopback(host: str) -> bool:
    """Tell whether a listener on ``host`` can be reached from this machine only."""
    if host.rstrip(".").lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def parse_network(text: str) -> str:
    """Return an IP network such as ``10.0.0.0/8`` or a single address, normalized."""
    try:
        return str(ipaddress.ip_network(text))
    except ValueError as error:
        if "host bits" in str(error):
            raise ValueError("has host bits set: give the network's first address, such as 10.0.0.0/8") from error
        raise ValueError from error


def parse_database(text: str) -> str:
    """Return the URL of an SQLite file."""
    if not text.startswith(_SQLITE):
        raise ValueError
    path = text.removeprefix(_SQLITE)
    if not path or path.endswith("/") or "?" in path or path == ":memory:":
        raise ValueError(f"names no file; write {_SQLITE}data/headgate.db")
    return text


def database_directory(database: str) -> str:
    """Return the directory of an SQLite URL's file, ``.`` where it is the working directory."""
    directory, slash, _ = database.removeprefix(_SQLITE).rpartition("/")
    return directory or ("/" if slash else ".")


def parse_base_url(text: str, *, allow_private: bool) -> str:
    """Return an ``http`` or ``https`` URL without trailing slash, credentials, query or fragment.

    A host that is private by its text alone (an address in any notation a resolver reads, ``localhost``, a metadata
    name) is refused unless ``allow_private``. Names are judged again when the connection is made.
    """
    match = _BASE_URL.fullmatch(text)
    if match is None:
        if "@" in text or "?" in text or "#" in text:
            raise ValueError("a base URL has no user, query or fragment; the credential has a key of its own")
        raise ValueError
    if match[3] is not None and not 0 < int(match[3]) < 65536:
        raise ValueError("a port lies between 1 and 65535")
    segments = (match[4] or "").split("/")
    if "." in segments or ".." in segments:
        raise ValueError('the path must not hold "." or ".." segments')
    if not allow_private and _is_private_host(match[2]):
        raise ValueError("is a private address; say allow_private_network: true where that is meant")
    return text.rstrip("/")


def _is_private_host(host: str) -> bool:
    name = host.strip("[]").rstrip(".").lower()
    if name == "localhost" or name.endswith((".localhost", ".internal")) or name in _METADATA_NAMES:
        return True
    address = _read_address(name)
    if address is None:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        address = inner if inner is not None else address
    return not address.is_global or address.is_multicast


def _read_address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the address a resolver would read, ``0x7f.1``, ``0177.0.0.1`` and ``2130706433`` among the notations."""
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        pass
    parts = name.split(".")
    if len(parts) > 4 or not all(re.fullmatch(r"0x[0-9a-f]*|[0-9]+", part) for part in parts):
        return None
    numbers = [_read_number(part) for part in parts]
    # inet_aton: the last part fills all bytes that the ones before it leave.
    value = sum(min(number, 255) << (24 - 8 * place) for place, number in enumerate(numbers[:-1])) + numbers[-1]
    return ipaddress.IPv4Address(value & 0xFFFFFFFF)


def _read_number(text: str) -> int:
    if text.startswith("0x"):
        return int(text[2:] or "0", 16)
    octal = len(text) > 1 and text.startswith("0") and set(text) <= set("01234567")
    return int(text[:40], 8 if octal else 10)


def parse_header_name(text: str) -> str:
    """Return a header field's name in lower case, if an operator may set that field (RFC 9110, section 5.1)."""
    if not _HEADER_NAME.fullmatch(text):
        raise ValueError("is not the name of a header field")
    name = text.lower()
    if name in _TRANSPORT_HEADERS:
        raise ValueError("is set by the connection itself")
    if name in _CREDENTIAL_HEADERS:
        raise ValueError("carries a credential: use the key credential")
    return name


def parse_header_value(text: str) -> str:
    """Return a header field's value: visible ASCII and inner spaces."""
    if not _HEADER_VALUE.fullmatch(text):
        raise ValueError
    return text


def parse_time_zone(text: str) -> str:
    """Return the name of a zone in the time zone database."""
    try:
        zoneinfo.ZoneInfo(text)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError("is not in the time zone database") from error
    return text


def parse_slug(text: str) -> str:
    """Return 1 to 63 lower-case letters, digits and hyphens."""
    return _matching(_SLUG, text)


def parse_provider_name(text: str) -> str:
    """Return a provider's name: like a slug, with underscores too."""
    return _matching(_PROVIDER_NAME, text)


def parse_region(text: str) -> str:
    """Return a region as vendors write it; it becomes part of a host name."""
    return _matching(_REGION, text)


def parse_jurisdiction(text: str) -> str:
    """Return whose law holds at a place, such as ``eu``."""
    return _matching(_JURISDICTION, text)


def parse_credential_name(text: str) -> str:
    """Return the name of one of a provider's credentials; it becomes part of a deployment's name."""
    return _matching(_CREDENTIAL_NAME, text)


def parse_weight(text: str, remedy: str) -> int:
    """Return a weight of 1 to 1000; ``remedy`` says what to do in the place of a weight of 0."""
    if text == "0":
        raise ValueError(f"a weight is at least 1; {remedy}")
    return parse_count(text, 1, 1000)


def parse_importance(text: str) -> float:
    """Return how much one of several aims counts: a finite number from 0 to 1,000,000."""
    if not _IMPORTANCE.fullmatch(text):
        raise ValueError
    number = float(text)
    if number > _MOST_IMPORTANT:
        raise ValueError(f"must lie between 0 and {_MOST_IMPORTANT}")
    return number


def parse_key_prefix(text: str) -> str:
    """Return what our virtual keys start with."""
    if text in _RESERVED_KEY_PREFIXES:
        raise ValueError("is what other tokens of Headgate start with")
    return _matching(_KEY_PREFIX, text)


def parse_provisioned_secret(text: str) -> str:
    """Return a virtual key that was made elsewhere."""
    return _matching(_PROVISIONED_SECRET, text)


def parse_secret_sha256(text: str) -> str:
    """Return a SHA-256 as 64 hexadecimal digits in lower case."""
    return _matching(_SHA256, text).lower()


def parse_credential(text: str) -> str:
    """Return a provider's credential: visible ASCII without spaces, possibly empty."""
    return _matching(_CREDENTIAL, text)


def parse_admin_token(text: str) -> str:
    """Return the operator's token: empty, or 16 to 256 visible ASCII characters."""
    if text and not 16 <= len(text) <= 256:
        raise ValueError("an admin token has 16 to 256 characters")
    return _matching(_CREDENTIAL, text)


def parse_line(text: str) -> str:
    """Return text of 1 to 200 printable characters."""
    if not 1 <= len(text) <= 200 or not text.isprintable() or text != text.strip():
        raise ValueError
    return text


def parse_path(text: str) -> str:
    """Return a path of the file system; ``?`` and ``#`` would end it inside a database URL."""
    if not text or not text.isprintable() or "?" in text or "#" in text:
        raise ValueError
    return text


def parse_email(text: str) -> str:
    """Return an e-mail address in lower case, checked for its shape alone."""
    if not _EMAIL.fullmatch(text):
        raise ValueError
    return text.lower()


def parse_alias(text: str) -> str:
    """Return a model's name: printable, without spaces, at most one ``*``, which stands at its end."""
    if not 1 <= len(text) <= 200 or not text.isprintable() or " " in text:
        raise ValueError
    if "*" in text[:-1]:
        raise ValueError('a glob has one "*", at its end')
    if "*" in text and ("?" in text or "[" in text):
        raise ValueError('a glob knows "*" alone, no "?" and no "["')
    return text


def parse_model_name(text: str) -> str:
    """Return the name of one model, as a client may send it: an alias, or ``provider/model``."""
    if "*" in text:
        raise ValueError('names one model, so it holds no "*"')
    return parse_alias(text)


def parse_pattern(text: str) -> str:
    """Return a glob over texts that a request brings: printable, ``*`` stands for any rest, wherever it is."""
    if "?" in text or "[" in text:
        raise ValueError('a glob knows "*" alone, no "?" and no "["')
    return parse_line(text)


def parse_rate(text: str) -> int:
    """Return nano-USD per million tokens."""
    if not re.fullmatch(r"[0-9]{1,9}(?:\.[0-9]{1,12})?", text):
        raise ValueError
    return parse_usd(text)


def parse_amount(text: str) -> int:
    """Return the nano-USD of an amount such as ``5000`` or ``0.25``, exactly: nothing of it is rounded."""
    match = _AMOUNT.fullmatch(text)
    if match is None:
        raise ValueError
    if match[1] == "-":
        raise ValueError("must not be negative")
    if len(match[3] or "") > 9:
        raise ValueError("has more than 9 decimals; the smallest amount that is kept is 0.000000001 USD")
    nano_usd = int(match[2]) * NANO_PER_USD + int((match[3] or "").ljust(9, "0"))
    if nano_usd > MAX_NANO_USD:
        raise ValueError(f"must not be above {MAX_NANO_USD // NANO_PER_USD} USD, the largest amount kept exactly")
    return nano_usd


def parse_multiplier(text: str) -> str:
    """Return a decimal above 0, at most 100."""
    try:
        number = Decimal(text)
    except InvalidOperation as error:
        raise ValueError from error
    if not number.is_finite() or not 0 < number <= 100:
        raise ValueError("must be above 0 and at most 100")
    return text


def parse_moment(text: str) -> str:
    """Return a point in time with its offset (RFC 3339, section 5.6)."""
    if not _MOMENT.fullmatch(text):
        raise ValueError
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError from None
    if moment.tzinfo is None:
        raise ValueError('has no offset from UTC; end it in "Z" or such as "+01:00"')
    return text


def _matching(pattern: re.Pattern[str], text: str) -> str:
    if not pattern.fullmatch(text):
        raise ValueError
    return text
