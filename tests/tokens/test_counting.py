import asyncio
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rs_bpe.bpe import openai

from headgate.tokens.counting import (
    FAMILIES,
    OFF_LOOP_CHARACTERS,
    count_chat_input,
    count_texts,
    count_texts_off_loop,
    family_of,
)


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("gpt-4o", "OpenAI, o200k"),
        ("openai/gpt-4.1-mini", "OpenAI, o200k"),
        ("gpt-5.5", "OpenAI, o200k"),
        ("o3-mini", "OpenAI, o200k"),
        ("gpt-oss-120b", "OpenAI, o200k"),
        ("gpt-4-turbo", "OpenAI, cl100k"),
        ("gpt-3.5-turbo-0125", "OpenAI, cl100k"),
        ("text-embedding-3-small", "OpenAI, cl100k"),
        ("claude-3-7-sonnet-latest", "Claude"),
        ("anthropic.claude-sonnet-4-5-20250929-v1:0", "Claude"),
        ("claude-opus-4-1", "Claude"),
        ("claude-opus-4-7", "Claude, from Opus 4.7 and generation 5 on"),
        ("claude-sonnet-5", "Claude, from Opus 4.7 and generation 5 on"),
        ("Qwen/Qwen3-32B", "Qwen"),
        ("meta-llama/Llama-4-Scout", "Llama 4"),
        ("llama-3.3-70b-versatile", "Llama"),
        ("mistral-large-latest", "Mistral"),
        ("gemini-2.5-pro", "other"),
        ("", "other"),
    ],
)
def test_a_model_counts_with_its_familys_tokenizer(model, family):
    assert family_of(model).name == family


# Counts published in OpenAI's cookbook ("How to count tokens with tiktoken") for its example string.
@pytest.mark.parametrize(("model", "expected"), [("gpt-4o", 6), ("gpt-4", 6)])
def test_openai_models_count_as_openai_counts(model, expected):
    assert count_texts(model, ["tiktoken is great!"]) == expected


def test_the_two_encodings_differ_where_openais_do():
    assert count_texts("gpt-4o", ["お誕生日おめでとう"]) == 8
    assert count_texts("gpt-4", ["お誕生日おめでとう"]) == 9


def test_other_families_are_scaled_up_and_rounded_up():
    assert count_texts("claude-sonnet-4-5", ["tiktoken is great!"]) == 8
    assert count_texts("gemini-2.5-pro", ["tiktoken is great!"]) == 7


def test_texts_are_counted_each_for_itself():
    assert count_texts("gpt-4o", ["hello", "hello"]) == 2 * count_texts("gpt-4o", ["hello"])
    assert count_texts("gpt-4o", []) == 0
    assert count_texts("gpt-4o", [""]) == 0


def test_chat_input_adds_three_tokens_a_message_and_three_for_the_reply():
    assert count_chat_input("gpt-4o", ["hello", "world"], messages=2) == 2 + 2 * 3 + 3


def test_special_tokens_are_counted_as_the_text_they_are():
    assert count_texts("gpt-4o", ["<|endoftext|>"]) > 1


@pytest.mark.parametrize(
    "text",
    [
        "\ud800",
        "lone \udfff surrogate",
        "\x00\x01\x7f",
        " " * 1_000_000,
        "\n" * 1_000_000,
        "a" * 1_000_000,
        "好" * 300_000,
        "👩‍👩‍👧‍👦" * 50_000,
    ],
    ids=["surrogate", "surrogate in text", "controls", "blanks", "line ends", "one letter", "Chinese", "emoji"],
)
def test_no_text_breaks_or_stalls_the_count(text):
    started = time.process_time()
    assert count_texts("gpt-4o", [text]) > 0
    assert time.process_time() - started < 2


@given(st.lists(st.text(st.characters(exclude_categories=())), max_size=4))
def test_any_text_is_counted_within_its_bytes(texts):
    # Byte-level encodings never make more tokens than bytes.
    assert 0 <= count_texts("gpt-4o", texts) <= sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)


@pytest.mark.parametrize(
    "text",
    ["The quick brown fox jumps over the lazy dog and 1,234 others. " * 5000, "0123456789" * 20_000, "\n\n  " * 50_000],
    ids=["sentences", "digits", "blanks"],
)
def test_cutting_long_texts_changes_the_count_hardly(text):
    whole = openai.o200k_base().count(text)
    assert abs(count_texts("gpt-4o", [text]) - whole) <= len(text) // 10_000 + 1


def test_families_are_data_with_a_source():
    assert all(
        family.source and family.percent >= 100 and family.encoding in {"o200k", "cl100k"} for family in FAMILIES
    )


async def test_counting_off_the_loop_gives_the_same_number():
    texts = ["hello world " * OFF_LOOP_CHARACTERS, "short"]
    assert await count_texts_off_loop("gpt-4o", texts) == count_texts("gpt-4o", texts)
    assert await count_texts_off_loop("gpt-4o", ["short"]) == count_texts("gpt-4o", ["short"])


async def test_the_loop_goes_on_while_a_long_text_is_counted():
    loop = asyncio.get_running_loop()
    counting = loop.create_task(count_texts_off_loop("gpt-4o", ["hello world, this is some text. " * 200_000]))
    turns = 0
    while not counting.done():
        await asyncio.sleep(0)
        turns += 1
    assert await counting > 0
    assert turns > 10


def test_nothing_is_loaded_before_the_first_count():
    program = "import sys, headgate.tokens.counting; print('rs_bpe' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
