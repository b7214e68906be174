import json
import re
import sys
import time
import tracemalloc
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rs_bpe.bpe import openai

from headgate.tokens import text as module
from headgate.tokens.text import MAX_GROWTH, text_bound

FORMS = ("NFC", "NFKC")
PICKED = (
    "\ufdfa\ufdfb\u0958\uff21\u3307\xbd\xe9e\u0301\u0323\ud55c\uae00\U0001f468\u200d"
    '\U0001f469\U0001d15e\u1e9b\u0390 a\\"\n\x00'
)
TEXTS = st.text(st.one_of(st.sampled_from(PICKED), st.characters(codec="utf-8")), max_size=80)
WILD = st.text(st.one_of(st.sampled_from(PICKED + "\ud83d\ude00"), st.characters()), max_size=80)


def utf8(text: str) -> int:
    return len(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode())


def most_bytes(text: str) -> int:
    known = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return max(utf8(known), *(utf8(unicodedata.normalize(form, known)) for form in FORMS))


def scalars() -> list[str]:
    return [chr(code) for code in range(0x80, sys.maxunicode + 1) if not 0xD800 <= code < 0xE000]


@given(TEXTS)
def test_a_text_never_has_more_bytes_than_its_bound_however_it_is_normalised(text):
    assert text_bound(text.encode()) >= most_bytes(text)


@given(WILD, st.booleans())
def test_json_with_or_without_escapes_bounds_what_it_says(text, escaped):
    raw = json.dumps([text], ensure_ascii=escaped or re.search("[\ud800-\udfff]", text) is not None).encode()

    assert text_bound(raw) >= most_bytes(text)


@given(
    st.lists(st.sampled_from(["\\u", "\\", "\\\\", "fdfa", "FDFA", "d83d", "u", '"', "\ufdfa"]), max_size=30).map(
        "".join
    )
)
def test_backslashes_in_any_number_hide_no_escape(text):
    try:
        said = json.loads(f'"{text}"')
    except ValueError:
        said = ""

    assert text_bound(f'"{text}"'.encode()) >= most_bytes(said)


@settings(max_examples=300)
@given(TEXTS)
def test_real_tokenizers_never_exceed_the_bound(text):
    bound = text_bound(text.encode())

    for tokenizer in (openai.o200k_base(), openai.cl100k_base()):
        assert tokenizer.count(text) <= bound
        assert tokenizer.count(unicodedata.normalize("NFKC", text)) <= bound


@pytest.mark.parametrize("text", ["\ufdfa", "\ufdfa" * 50_000, "\uac00" * 20_000, "\u0958" * 20_000, "\xe9" * 70_000])
def test_long_texts_that_grow_are_bounded_too(text):
    assert text_bound(text.encode()) >= most_bytes(text)
    assert text_bound(json.dumps(text).encode()) >= most_bytes(text)


def test_ascii_and_chinese_count_their_bytes():
    assert text_bound(b"plain") == 5
    assert text_bound("中文，测试".encode()) == 15


def test_composed_text_is_not_bounded_by_its_decomposition():
    assert text_bound("é à ü".encode()) == 8
    assert text_bound("한국어 텍스트".encode()) == 19


def test_u_fdfa_grows_most():
    growth = {char: (utf8(unicodedata.normalize("NFKD", char)) - utf8(char)) / utf8(char) for char in scalars()}

    assert max(growth, key=growth.__getitem__) == "\ufdfa"
    assert growth["\ufdfa"] == MAX_GROWTH


def test_every_character_that_grows_is_in_the_ranges():
    for char in scalars():
        ratio = max(utf8(unicodedata.normalize(form, char)) for form in ("NFD", "NFKD")) / utf8(char)
        assert ratio <= 1 or module._GROWING.match(char), hex(ord(char))
        assert ratio <= 1 + module._USUAL_GROWTH or module._GROWING_MUCH.match(char), hex(ord(char))


def test_no_composition_takes_more_bytes_than_its_parts():
    for char in scalars():
        parts = unicodedata.normalize("NFD", char)
        assert parts == char or unicodedata.normalize("NFC", parts) != char or utf8(char) <= utf8(parts)


@pytest.mark.parametrize(
    "hostile",
    [
        b"\\" * 4_000_000,
        b"\\ufdfa" * 600_000,
        "\ufdfa".encode() * 1_000_000,
        b"\xff" * 3_000_000,
        "\u0323e".encode() * 999_999,
        b"\\ufdfa " * 600_000,
        "\xe9\u0416".encode() * 600_000,
    ],
    ids=["backslashes", "escapes", "ligatures", "no UTF-8", "marks", "escapes apart", "letters apart"],
)
def test_hostile_bytes_take_linear_time(hostile):
    start = time.process_time()

    assert text_bound(hostile) >= len(hostile)
    assert time.process_time() - start < 5


@pytest.mark.parametrize(
    "text", ["\ufdfa " * 400_000, "\xe9\u0416" * 300_000, "\u4e2d\uff0c" * 200_000, "\uac00" * 400_000]
)
def test_very_long_texts_are_bounded_without_a_string_for_each_character(text):
    assert text_bound(text.encode()) >= most_bytes(text)
    tracemalloc.start()
    text_bound(json.dumps(text).encode())
    text_bound(text.encode())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert text_bound(json.dumps(text).encode()) >= most_bytes(text)
    assert peak < 60 * len(text)


@given(st.binary(max_size=200))
def test_any_bytes_have_a_bound(data):
    assert text_bound(data) >= len(data)
