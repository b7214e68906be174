import base64
import struct
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.tokens.media import IMAGE_TOKENS, audio_bound, image_bound, image_size

SIDES = st.integers(1, 16_000)


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def png(width: int, height: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", width, height) + b"\x08\x02\0\0\0" + b"\0" * 90


def gif(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HH", width, height) + b"\0" * 90


def jpeg(width: int, height: int, metadata: int = 0) -> bytes:
    exif = b"\xff\xe1" + struct.pack(">H", metadata + 2) + b"\xff\xc0" * (metadata // 2) + b"\0" * (metadata % 2)
    frame = b"\xff\xff\xc2" + struct.pack(">HBHHB", 17, 8, height, width, 3) + b"\0" * 9
    return b"\xff\xd8" + exif + frame + b"\xff\xda" + b"\0" * 90


def webp(kind: bytes, width: int, height: int) -> bytes:
    if kind == b"VP8X":
        body = b"\0" * 4 + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    elif kind == b"VP8L":
        body = b"\x2f" + ((width - 1) | (height - 1) << 14).to_bytes(4, "little")
    else:
        body = b"\0\0\0\x9d\x01\x2a" + struct.pack("<HH", width, height)
    return b"RIFF" + struct.pack("<I", 99) + b"WEBP" + kind + struct.pack("<I", len(body)) + body + b"\0" * 40


@given(SIDES, SIDES, st.integers(0, 60_000))
def test_a_size_is_read_from_the_head(width, height, metadata):
    assert image_size(b64(png(width, height))) == (width, height)
    assert image_size(b64(gif(width, height))) == (width, height)
    assert image_size(b64(jpeg(width, height, metadata))) == (width, height)
    for kind in (b"VP8X", b"VP8L", b"VP8 "):
        assert image_size(b64(webp(kind, width, height))) == (width, height)


STARTS = [b"\x89PNG\r\n\x1a\n", b"GIF89a", b"\xff\xd8\xff", b"RIFF1234WEBPVP8L", b""]


@given(st.one_of(st.text(), st.binary().map(b64)), st.sampled_from(STARTS), st.binary(max_size=60))
def test_any_text_has_a_size_or_none(text, start, rest):
    for data in (text, b64(start + rest)):
        size = image_size(data)
        assert size is None or min(size) > 0


def test_a_size_of_nothing_is_no_size():
    assert image_size(b64(png(0, 10))) is None
    assert image_size(b64(png(2**31, 10))) is None


# OpenAI's own examples ("Images and vision", "Calculating costs"), and Anthropic's ("Vision").
@pytest.mark.parametrize(
    ("model", "size", "detail", "published"),
    [
        ("gpt-4o", (1024, 1024), "high", 765),
        ("gpt-4o", (2048, 4096), None, 1105),
        ("gpt-4o", (4096, 8192), "low", 85),
        ("gpt-5", (1024, 1024), "auto", 630),
        ("o3", (1024, 1024), "high", 675),
        ("gpt-4.1-mini", (1024, 1024), None, 1659),
        ("gpt-4.1-mini", (1800, 2400), None, 2353),
        ("claude-sonnet-4-5", (200, 200), None, 64),
        ("claude-sonnet-4-5", (1092, 1092), None, 1590),
        ("claude-opus-4-8", (1000, 1000), None, 1334),
    ],
)
def test_published_examples_are_within_the_bound(model, size, detail, published):
    bound = image_bound(model, b64(png(*size)), detail)

    assert bound is not None
    assert published <= bound <= published * 1.5 + IMAGE_TOKENS


@given(
    st.sampled_from(["gpt-4o", "gpt-4o-mini", "gpt-5", "o1", "o4-mini", "claude-sonnet-4-5", "claude-opus-4-8"]),
    SIDES,
    SIDES,
)
def test_an_image_elsewhere_is_bounded_by_the_largest(model, width, height):
    bound, elsewhere = image_bound(model, b64(png(width, height))), image_bound(model, None)

    assert bound is not None
    assert elsewhere is not None
    assert bound <= elsewhere


@pytest.mark.parametrize("model", ["gemini-2.5-pro", "gpt-5.4", "llava", "", "gpt-6-sol"])
def test_a_model_without_published_arithmetic_has_no_image_bound(model):
    assert image_bound(model, b64(png(10, 10))) is None


def test_a_detail_that_is_not_published_has_no_bound():
    assert image_bound("gpt-4o", b64(png(10, 10)), "original") is None


def test_sound_is_bounded_by_its_bytes():
    ten_seconds_of_the_densest = b64(b"\0" * 10_000)

    assert (audio_bound("gpt-4o-audio-preview", ten_seconds_of_the_densest) or 0) >= 100
    assert audio_bound("gpt-4o", ten_seconds_of_the_densest) is None


@pytest.mark.parametrize(
    "data", [b64(b"\xff" * 3_000_000), b64(b"\xff\xd8" + b"\xff\xe1\0\0" * 50_000), "A" * 9_000_000]
)
def test_hostile_images_take_no_time(data):
    start = time.process_time()

    image_size(data)

    assert time.process_time() - start < 0.1
