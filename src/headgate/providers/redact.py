"""Keep secrets out of what a provider's error says: its text reaches callers, logs and records."""

import re
from collections.abc import Iterable
from typing import Final

MAX_BYTES: Final = 2048
REDACTED: Final = "[redacted]"

# Shorter texts would blank out ordinary words; no vendor's key is this short.
_SHORTEST_SECRET: Final = 6
# What lies beyond this is cut off before anything else is done, so that a megabyte of error page costs little.
_READ_CHARACTERS: Final = 64 * 1024
# Keys by the prefixes their issuers give them. "*" and "." because vendors echo a key as sk-ab***yz or sk-ab...yz; the
# look-behind for escapes because errors quote each other as JSON inside JSON.
_KEY_LIKE: Final = re.compile(
    r"(?:(?<![A-Za-z0-9])|(?<=\\[nrt]))"
    r"(?:(?:sk|rk|gsk|csk|xai|pplx|nvapi|hf|hg|fw|tgp|r8|ghp|gho|github_pat|bedrock-api-key)[-_]"
    r"|AKIA|ASIA|AIza|ABSK|dapi)"
    r"[A-Za-z0-9_*.+/=-]{8,}"
)
_BEARER: Final = re.compile(r"\b(bearer|basic)\s{1,4}[A-Za-z0-9._~+/=*-]{8,}", re.IGNORECASE)
_JSON_WEB_TOKEN: Final = re.compile(
    r"(?:(?<![A-Za-z0-9])|(?<=\\[nrt]))eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*)?"
)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]+")


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """Return ``text`` without ``secrets``, without anything that looks like a key, on one line, at most 2 kB of UTF-8.

    Args:
        text: What a provider said.
        secrets: Texts that must not appear, such as the credential in use.
    """
    text = text[:_READ_CHARACTERS]
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, REDACTED)
    text = _BEARER.sub(rf"\1 {REDACTED}", text)
    text = _KEY_LIKE.sub(REDACTED, _JSON_WEB_TOKEN.sub(REDACTED, text))
    text = _CONTROL.sub(" ", text).strip()
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= MAX_BYTES:
        return encoded.decode()
    return encoded[: MAX_BYTES - 3].decode("utf-8", "ignore") + "…"
