"""Options of LiteLLM whose value decides how they are handled: one function an option, value in, verdict out."""

import re
from decimal import Decimal
from functools import partial
from typing import Final

from headgate.migration.finding import UNKNOWN, Verdict, absent, approximated, refused, translated
from headgate.migration.given import Given, as_written, exact, is_off, is_reference, plain, reference
from headgate.settings import values

_NOT_TEXT: Final = refused("expected one value here; it is left out")
_MAX_TIMEOUT_S: Final = 24 * 3600
_TRUE: Final = ("true", "yes", "on")


def master_key(given: Given) -> Verdict:
    """The admin token, as long as it is not written down."""
    text = given.text
    if not text:
        return absent("there is none; a token is made on the first start")
    if not is_reference(text):
        return refused(
            "a secret is not written into a file: put it into HEADGATE_ADMIN_TOKEN (16 to 256 characters), or let the "
            "first start make one; it administers and, unlike LiteLLM's, cannot infer"
        )
    written = reference(text)
    if written is None:
        return refused(f"{text} names no variable")
    return approximated(
        "becomes server.admin_token (16 to 256 characters); it administers and, unlike LiteLLM's, cannot infer",
        ("server.admin_token", written),
    )


def database_url(given: Given) -> Verdict:
    """Where keys, teams and spend lie; its value is never shown."""
    del given
    return refused("Headgate has a database of its own; bring the keys along with --keys, spend starts at zero")


def max_body(given: Given) -> Verdict:
    """Megabytes of a request body."""
    number = exact(given.text or "")
    if number is None or number != number.to_integral_value() or not 1 <= number <= 1024:
        return refused("server.max_body lies between 1KiB and 1GiB; its default holds")
    return translated("becomes server.max_body", ("server.max_body", f"{int(number)}MiB"))


def forwarded(given: Given) -> Verdict:
    """Whether a proxy's word about the client's address counts."""
    if is_off(given.node):
        return translated("no proxy is believed unless server.trusted_proxies names it")
    return approximated("a proxy is believed when server.trusted_proxies names its network, and never otherwise")


def trusted_proxies(given: Given) -> Verdict:
    """The networks of those proxies."""
    texts = given.texts
    try:
        networks = [values.parse_network(text) for text in texts or ()]
    except ValueError:
        return refused("a network is written as 10.0.0.0/8; no proxy is believed")
    if not networks:
        return absent("no proxy is believed")
    return translated("becomes server.trusted_proxies", ("server.trusted_proxies", networks))


def ssl_verify(given: Given) -> Verdict:
    """Whether, or against what, certificates of providers are verified."""
    text = given.text or ""
    if text.lower() in _TRUE:
        return translated("certificates are always verified")
    if is_off(given.node):
        return refused("certificates are always verified; give a private authority as providers.*.tls.ca")
    return refused("give the file of authorities to each provider that needs it: providers.*.tls.ca")


def phones_home(given: Given) -> Verdict:
    """Whether usage of the gateway itself is reported to its maker."""
    if is_off(given.node):
        return translated("Headgate reports nothing to anybody")
    return refused("Headgate reports nothing to anybody")


def _timeout(key: str, detail: str, given: Given) -> Verdict:
    written = seconds(given)
    if written is None:
        return refused(f"expected seconds, more than 0 and at most a day; timeouts.{key} keeps its default")
    return approximated(f"becomes timeouts.{key}: {detail}", (f"timeouts.{key}", written))


def seconds(given: Given) -> str | None:
    """Return a duration as our files write it; ``None`` where the value is no number of seconds."""
    number = exact(given.text or "")
    if number is None or not Decimal("0.001") <= number <= _MAX_TIMEOUT_S:
        return None
    return f"{plain(number.quantize(Decimal('0.001')))}s"


total_timeout: Final = partial(_timeout, "total", "the whole exchange with the provider")
first_event_timeout: Final = partial(_timeout, "first_event", "until the answer's first byte, streamed or not")
idle_timeout: Final = partial(_timeout, "idle", "between two pieces of the answer, tokens or not")


# ── options of one deployment ──────────────────────────────────────────────────────────────────────────────────────


def put_text(fact: str, given: Given) -> Verdict:
    """A value that the deployment is put together from, written as it is or as a reference."""
    text = given.text
    if text is None:
        return absent("it is empty")
    written = as_written(text)
    return refused(f"{text} names no variable") if written is None else translated("", (fact, written))


def put_duration(key: str, given: Given) -> Verdict:
    """A time-out of the deployment's provider."""
    written = seconds(given)
    if written is None:
        return refused(f"expected seconds, more than 0 and at most a day; timeouts.{key} of the whole gateway holds")
    return approximated(f"becomes timeouts.{key} of its provider", (f"timeouts.{key}", written))


def put_rate(rate: str, above: int, given: Given) -> Verdict:
    """USD per token, as the exact decimal of USD per million tokens."""
    number = exact(given.text or "")
    if number is None:
        return refused("expected USD per token, such as 0.0000025")
    return translated("", (f"rate.{rate}.{above}", number * 1_000_000))


def put_names(fact: str, given: Given) -> Verdict:
    """A list of names that is used elsewhere in the translation."""
    names = given.texts
    if not names:
        return absent("it is empty") if is_off(given.node) else _NOT_TEXT
    return approximated("written out in the models of every imported key that names the group", (fact, names))


def put_headers(given: Given) -> Verdict:
    """Header fields that every request of the deployment carries."""
    pairs: list[tuple[str, str]] = []
    for each in given.members():
        name, text = each.option.removeprefix(given.option + "."), each.text
        written = None if text is None else as_written(text)
        try:
            if written is None or text is None:
                return refused(f"the value of {name} is no text")
            values.parse_header_name(name)
            if not is_reference(text):
                values.parse_header_value(text)
        except ValueError as error:
            return refused(f"{name} {str(error) or 'has a value that no header field takes'}")
        if not is_reference(text) and _looks_secret(name):
            return refused(f"{name} looks like a secret, and none is written into a file: give it as os.environ/NAME")
        pairs.append((name, written))
    return translated("becomes headers of its provider", ("headers", tuple(pairs))) if pairs else absent("it is empty")


def organization(given: Given) -> Verdict:
    """OpenAI's organization, which is a header field."""
    verdict = put_text("header.OpenAI-Organization", given)
    try:
        for _, text in verdict.puts:
            values.parse_header_value(text)
    except ValueError:
        return refused("no header field takes this value")
    return verdict


def put_region(given: Given) -> Verdict:
    """Where the deployment runs."""
    text = given.text or ""
    try:
        values.parse_region(text)
    except ValueError:
        return refused("a region is 1 to 63 of a-z, 0-9 and -")
    return translated("becomes the deployment's region", ("deployment.region", text))


def credential(given: Given) -> Verdict:
    """The vendor's key; a literal one is known to be there and is not written anywhere."""
    text = given.text
    if not text:
        return absent("it is empty")
    if not is_reference(text):
        return approximated("", ("literal", (given.line, text)))
    written = reference(text)
    return UNKNOWN if written is None else translated("", ("credential", written))


_SECRET_NAME: Final = re.compile(r"key|secret|token|auth|password|credential|cookie", re.IGNORECASE)


def _looks_secret(name: str) -> bool:
    return _SECRET_NAME.search(name) is not None


looks_secret: Final = _looks_secret
"""Whether a name is such that its value may be a secret."""
