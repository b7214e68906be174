r"""How many tokens a text can make at most, from its JSON as it came: without decoding it and with no tokenizer.

What is used, each proven in ``tests/tokens/test_text.py``:

- Byte-level BPE starts from a text's UTF-8 bytes and only ever merges, so it makes no more tokens than bytes. Byte
  fallback (SentencePiece) makes one token of a byte at worst.
- JSON is never shorter than what it says: an escape such as ``\n`` has two bytes for one, ``\uXXXX`` six for at most
  three, two of them twelve for four, and half a surrogate pair, which UTF-8 cannot say, six for U+FFFD's three.
- Tokenizers may normalise first: NFKC (SentencePiece) or NFC (Qwen). Either is a decomposition (NFKD, NFD) composed
  again, those map each character by itself, and no composition takes more bytes than its parts. So a text grows by no
  more than its characters do one by one when they are decomposed. ASCII never does; U+FDFA grows most, 3 bytes to 33.
"""

import re
import unicodedata
from typing import Final, Literal

MAX_GROWTH: Final = 10
"""Bytes that normalising adds for every byte that is not ASCII, at most: U+FDFA, 3 bytes to 33."""
_USUAL_GROWTH: Final = 2
_ESCAPE_GROWTH: Final = 27
_EXACT_BYTES: Final = 32 * 1024
# Beyond these, single characters and escapes are not gathered: a string for each takes ten times its bytes.
_LONG: Final = 1 << 20
_MANY_ESCAPES: Final = 1 << 17
# A growth that is at most this part of a text is not worth a closer look.
_NEGLIGIBLE: Final = 64

_ASCII: Final = bytes(range(128))
_ASCII_AS_SPACE: Final = b" " * 128 + bytes(range(128, 256))
# All characters that have more bytes decomposed than in themselves lie in these ranges, beside some that do not.
_GROWING: Final = re.compile(
    "[\xa8-\u04f9\u0587\u0622-\u06d3\u0929-\u0dde\u0e33-\u0fb9\u1026\u1b06-\u1b43"
    "\u1e00-\u22ed\u2460-\u24ff\u2a0c-\u2adc\u304c-\u30ff\u3200-\u33ff\uac00-\ud7a3\uf900-\ufefc"
    "\U0001109a-\U000115bb\U00011938\U0001d15e-\U0001d1c0\U0001f100-\U0001f251]+"
)
# Of these, the ones that more than triple.
_GROWING_MUCH: Final = re.compile("[\u2057\u2a0c\u3200-\u33ff\ufb00-\ufefc\U0001f100-\U0001f251]")
# Twice as fast as the operator ``in``, which has half the text as candidates.
_ESCAPE_SEARCH: Final = re.compile(rb"\\u").search
# The backslashes before it are taken in pairs, which stand for backslashes and not for the escape's own.
_ESCAPES: Final = re.compile(rb"(?<!\\)(?:\\\\)*+((?:\\u[0-9a-fA-F]{4})+)")


def text_bound(raw: bytes) -> int:
    r"""Return how many tokens the texts in ``raw`` can make at most, by any tokenizer of the module's kinds.

    ``raw`` is JSON in UTF-8, or plain text; what is not text (brackets, names, numbers) is counted like text. Any
    bytes can be given. One pass or two over ASCII without ``\u``, which most is; linear in any case.
    """
    size = len(raw)
    if not raw.isascii():
        size += _growth(raw, len(raw))
    if _ESCAPE_SEARCH(raw) is not None:
        if len(raw) > _LONG and (escapes := raw.count(b"\\u")) > _MANY_ESCAPES:
            return size + escapes * _ESCAPE_GROWTH
        escaped = b" ".join(_ESCAPES.findall(raw))
        if escaped:
            text = escaped.decode("unicode_escape").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
            size += _growth(text.encode(), len(raw))
    return size


def _growth(data: bytes, whole: int) -> int:
    """Return how many bytes normalising may add to ``data``, where ``whole`` bytes are the measure of what matters."""
    others = data.translate(None, _ASCII)
    if len(others) * MAX_GROWTH * _NEGLIGIBLE <= whole:
        return len(others) * MAX_GROWTH
    if len(others) > _LONG:
        text = others.decode("utf-8", "replace")
        if not _GROWING.search(text):
            return 0
        return len(text.encode()) * (MAX_GROWTH if _GROWING_MUCH.search(text) else _USUAL_GROWTH)
    growing = "".join(_GROWING.findall(others.decode("utf-8", "replace")))
    if not growing:
        return 0
    size = len(growing.encode())
    if size > _EXACT_BYTES:
        return size * (MAX_GROWTH if _GROWING_MUCH.search(growing) else _USUAL_GROWTH)
    growth = max(0, _longest(growing, ("NFD", "NFKD")) - size)
    if growth * _NEGLIGIBLE <= whole or len(others) > _EXACT_BYTES:
        return growth
    # Most of what NFKD takes apart, NFC and NFKC put together again; runs are kept apart by what stood between them.
    text = b" ".join(data.translate(_ASCII_AS_SPACE).split()).decode("utf-8", "replace")
    return min(growth, max(0, _longest(text, ("NFC", "NFKC")) - len(text.encode())))


def _longest(text: str, forms: tuple[Literal["NFC", "NFD", "NFKC", "NFKD"], ...]) -> int:
    """Return the bytes of the longest form. Some characters shrink in one and not in the other."""
    return max(len(unicodedata.normalize(form, text).encode()) for form in forms)
