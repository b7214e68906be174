"""The configuration file, header fields of requests and of providers' answers, and traces to simulate."""

import io
from urllib.parse import unquote_to_bytes

from headgate.domain.errors import InvalidApiKeyError, InvalidRequestError
from headgate.routing.headroom import BELIEVED_S, Headroom
from headgate.server.head import CONTRADICTED, find_fields, read_head
from headgate.settings.load import ConfigurationError, parse_settings
from headgate.simulation.trace import InvalidTraceError, parse_trace, write_trace

_ENVIRONMENT = {"SECRET": "a-secret-of-more-than-thirty-two-characters", "EMPTY": ""}
HEAD_REFUSALS: tuple[type[Exception], ...] = (InvalidRequestError, InvalidApiKeyError)
CONFIGURATION_REFUSALS: tuple[type[Exception], ...] = (ConfigurationError, UnicodeDecodeError)
TRACE_REFUSALS: tuple[type[Exception], ...] = (InvalidTraceError,)


def configuration(data: bytes) -> None:
    """A text is settings, or one line that says where it is wrong and does not show what a variable holds."""
    text = data.decode()
    try:
        loaded = parse_settings(text, source="fuzz.yaml", environ=_ENVIRONMENT, directory=None)
    except ConfigurationError as error:
        _check_words(str(error))
        raise
    assert all(1 <= line <= len(text.splitlines()) + 1 for line in loaded.lines.values())


def _check_words(words: str) -> None:
    assert words.startswith(("fuzz.yaml", "fuzz.jsonl"))
    assert _ENVIRONMENT["SECRET"] not in words


def head(data: bytes) -> None:
    """Header fields, one a line as ``name: value``; ``%`` escapes in a value stand for any byte but CR, LF and NUL."""
    fields: list[tuple[bytes, bytes]] = []
    for line in data.split(b"\n"):
        name, _, value = line.partition(b":")
        value = unquote_to_bytes(value.strip()).translate(None, b"\r\n\0")
        if name.strip().lower() == b"content-length" and not (value.isdigit() and len(value) < 20):
            continue  # The parser lets nothing else through.
        fields.append((name.strip().lower(), value))
    found = find_fields(fields)
    known = read_head(found)
    assert CONTRADICTED not in found or b"x-headgate-api-key" in found
    assert known.presented_key is None or 0 < len(known.presented_key) <= 512
    for text in (known.end_user, known.session, *[text for tag in known.tags for text in tag]):
        assert text is None or (text.isprintable() and len(text) <= 512)
    assert len(known.tags) <= 16
    assert known.timeout_s is None or known.timeout_s > 0


def trace(data: bytes) -> None:
    """Lines are a trace that is written as it was read, or one line that says which of them is wrong."""
    try:
        found = parse_trace("fuzz.jsonl", io.BytesIO(data))
    except InvalidTraceError as error:
        _check_words(str(error))
        raise
    written = io.BytesIO()
    write_trace(found, written)
    written.seek(0)
    assert parse_trace("fuzz.jsonl", written) == found


def rate_headers(data: bytes) -> None:
    """Header fields of a provider's answer, one a line; whatever they say, what is left is a count that comes back."""
    fields = [(name, value) for name, _, value in (line.partition(b": ") for line in data.split(b"\n"))]
    headroom = Headroom()
    headroom.learn(fields, 100.0)
    headroom.begin(1000)
    for quota in (headroom.requests, headroom.tokens):
        if quota is not None:
            assert quota.limit >= 1
            assert quota.left(100.0) <= quota.limit
            assert quota.left(1e9) == quota.limit
    assert 0 <= headroom.wait_s(100.0) <= BELIEVED_S
    assert headroom.used_share(100.0, 1000) >= 0
    assert not headroom.is_exhausted(1e9)
