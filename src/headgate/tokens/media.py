"""How many input tokens images and sound make at most, by their vendor's published arithmetic.

An image's size is read from the first bytes of its base 64; the rest is never decoded. Where no size can be read (a
URL, an unknown file type, a broken header) the answer is what the largest image makes, since these vendors scale down
what is larger. A model of another family gives ``None``: nothing is known, and only its context window bounds it.

Sources: developers.openai.com, "Images and vision", "Calculating costs"; platform.claude.com, "Vision", "Evaluate image
size"; OpenAI, "Managing costs" of the Realtime API, for sound.
"""

import binascii
import re
from math import ceil
from typing import Final

from msgspec import Struct

from headgate.tokens.counting import family_of

IMAGE_TOKENS: Final = 16
"""Added to each image for what a vendor may write around it (a margin: none says)."""
AUDIO_TOKENS_PER_S: Final = 20
"""OpenAI counts a token per 100 ms of sound from a user and one per 50 ms from an assistant; this is the dearer."""
AUDIO_BYTES_PER_S: Final = 1000
"""8 kbit/s, the lowest bit rate of MPEG 2.5 layer III, the densest format that OpenAI takes (``mp3``, ``wav``)."""

_HEAD_CHARS: Final = 64
_JPEG_CHARS: Final = 96 * 1024
_MAX_SIDE: Final = 1 << 24
_MAX_SEGMENTS: Final = 1000


class _Tiles(Struct, frozen=True):
    """So much for the image, and so much for each square of 512 pixels of it, scaled to 2048 and 768."""

    pattern: str
    base: int
    tile: int


class _Patches(Struct, frozen=True):
    """So many hundredths for each square of 32 pixels, of which there are at most 1,536."""

    pattern: str
    percent: int


_MAX_PATCHES: Final = 1536
_TABLE: Final = (
    _Patches(r"gpt-5-mini|gpt-4\.1-mini", 162),
    _Patches(r"gpt-5-nano|gpt-4\.1-nano", 246),
    _Patches(r"(?:^|/)o4-mini", 172),
    _Tiles(r"gpt-4o-mini", 2833, 5667),
    _Tiles(r"gpt-4o|gpt-4\.1|gpt-4\.5|gpt-4-turbo", 85, 170),
    _Tiles(r"(?:^|/)gpt-5(?:-chat|-20\d\d|$)", 70, 140),
    _Tiles(r"(?:^|/)(?:o1|o3)(?:-pro|-20\d\d|$)", 75, 150),
)
"""OpenAI's models whose arithmetic is published, first match first. Later ones (GPT-5.1 and up) are not in it."""
_COMPILED: Final = tuple((re.compile(row.pattern), row) for row in _TABLE)
_AUDIO: Final = re.compile(r"gpt-.*audio|gpt-audio|realtime")

_CLAUDE_MAX: Final = 1600
_CLAUDE_LARGE_MAX: Final = 4800
"""Claude scales an image down to about 1,600 tokens (long edge 1568), from Opus 4.7 on to 4,784 (2576)."""
_DETAILS: Final = frozenset({None, "auto", "low", "high"})


def image_bound(model: str, data: str | None, detail: str | None = None) -> int | None:
    """Return how many input tokens an image makes at most; ``None`` where the model's arithmetic is not known.

    ``data`` is its base 64, ``None`` where the image is elsewhere; ``detail`` is OpenAI's word.
    """
    family, name = family_of(model).name, model[:256].lower()
    if not family.startswith(("OpenAI", "Claude")) or detail not in _DETAILS:
        return None
    size = None if data is None else image_size(data)
    if family.startswith("Claude"):
        return _claude(size, _CLAUDE_MAX if family == "Claude" else _CLAUDE_LARGE_MAX) + IMAGE_TOKENS
    for pattern, row in _COMPILED:
        if pattern.search(name):
            tokens = _patches(row, size) if isinstance(row, _Patches) else _tiles(row, size, detail)
            return tokens + IMAGE_TOKENS
    return None


def _claude(size: tuple[int, int] | None, most: int) -> int:
    if size is None:
        return most
    width, height = size
    # The vendor has published both; which of them counts has changed, so the larger one does here.
    return min(most, max(-(-width * height // 750), -(-width // 28) * -(-height // 28)))


def _patches(row: _Patches, size: tuple[int, int] | None) -> int:
    patches = _MAX_PATCHES
    if size is not None:
        patches = min(patches, -(-size[0] // 32) * -(-size[1] // 32))
    return -(-patches * row.percent // 100)


def _tiles(row: _Tiles, size: tuple[int, int] | None, detail: str | None) -> int:
    """Return the tokens of an image that is scaled into 2048 by 2048, then to a shortest side of 768.

    Whether a small image is scaled *up* to 768 the vendor does not say; here it is, which errs upwards, and a pixel is
    added to the long side for whichever way it is rounded.
    """
    if detail == "low":
        return row.base
    tiles = 8
    if size is not None:
        short, long = min(size), max(size)
        tiles = 2 * min(4, ceil((min(2048, 768 * long // short) + 1) / 512))
    return row.base + row.tile * tiles


def audio_bound(model: str, data: str) -> int | None:
    """Return how many input tokens sound makes at most; ``data`` is the base 64 of an ``mp3`` or ``wav`` file."""
    if not _AUDIO.search(model[:256].lower()):
        return None
    seconds = -(-len(data) * 3 // (4 * AUDIO_BYTES_PER_S))
    return (seconds + 1) * AUDIO_TOKENS_PER_S


def image_size(data: str) -> tuple[int, int] | None:
    """Return width and height of a PNG, JPEG, GIF or WebP, of which ``data`` is the base 64; ``None`` for any other.

    Only the head is decoded: 48 bytes, of a JPEG up to 72 KiB, because its size stands behind its metadata.
    """
    head = _decode(data, _HEAD_CHARS)
    size: tuple[int, int] | None = None
    if head.startswith(b"\x89PNG\r\n\x1a\n") and head[12:16] == b"IHDR":
        size = int.from_bytes(head[16:20]), int.from_bytes(head[20:24])
    elif head.startswith((b"GIF87a", b"GIF89a")):
        size = int.from_bytes(head[6:8], "little"), int.from_bytes(head[8:10], "little")
    elif head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        size = _webp_size(head)
    elif head.startswith(b"\xff\xd8\xff"):
        size = _jpeg_size(_decode(data, _JPEG_CHARS))
    if size is None or not (0 < size[0] < _MAX_SIDE and 0 < size[1] < _MAX_SIDE):
        return None
    return size


def _decode(data: str, chars: int) -> bytes:
    piece = data[:chars]
    try:
        return binascii.a2b_base64(piece[: len(piece) // 4 * 4], strict_mode=True)
    except ValueError:  # Not base 64, or not ASCII.
        return b""


def _webp_size(head: bytes) -> tuple[int, int] | None:
    """Source: developers.google.com/speed/webp/docs/riff_container, and RFC 6386 §9.1 for ``VP8 ``."""
    kind = head[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")
    if kind == b"VP8L" and head[20:21] == b"\x2f":
        bits = int.from_bytes(head[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 " and head[23:26] == b"\x9d\x01\x2a":
        return int.from_bytes(head[26:28], "little") & 0x3FFF, int.from_bytes(head[28:30], "little") & 0x3FFF
    return None


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Go from segment to segment to the start of the frame (ITU-T T.81, B.2.2)."""
    at = 2
    for _ in range(_MAX_SEGMENTS):
        if at + 9 > len(data) or data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker == 0xFF:  # Fill bytes may stand before a marker.
            at += 1
        elif marker == 0x01 or 0xD0 <= marker <= 0xD8:  # Markers without a length.
            at += 2
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return int.from_bytes(data[at + 7 : at + 9]), int.from_bytes(data[at + 5 : at + 7])
        elif marker in (0xD9, 0xDA):
            return None
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4])
    return None
