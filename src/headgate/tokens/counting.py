"""Count the tokens of texts with a real tokenizer, where a provider reported no usage.

Every number from here is an estimate, exact only for OpenAI's own models: other vendors' text is counted with OpenAI's
vocabulary and multiplied by a factor of the model's family. The tokenizers (OpenAI's o200k_base and cl100k_base, from
rs-bpe, which carries their ranks) are loaded at the first count: 60 ms and about 60 MB for the first, 30 MB for the
second. Text that looks like a special token (``<|endoftext|>``) is counted as the plain text it is.
"""

import asyncio
import importlib
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Final, Protocol, cast

from msgspec import Struct

MESSAGE_OVERHEAD_TOKENS: Final = 3
"""What a chat message costs beside its text, and what the answer's opening costs once (OpenAI's cookbook, "How to
count tokens with tiktoken": three a message and three to prime the reply)."""
OFF_LOOP_CHARACTERS: Final = 20_000
"""From this length on `count_texts_off_loop` counts in a thread."""

# The tokenizer holds the interpreter's lock while it counts: about half a millisecond for this many characters.
_CHUNK_CHARACTERS: Final = 16_384


class Family(Struct, frozen=True):
    """Models that share a tokenizer, as far as is known."""

    name: str
    pattern: str
    """A regular expression that is found in the lower-cased model name."""
    encoding: str
    """``o200k`` or ``cl100k``."""
    percent: int
    """Tokens of this family for every hundred of ``encoding``."""
    source: str


_MODULE: Final = "rs_bpe.bpe"
_MEASURED: Final = "ratio measured against o200k_base on English, code, French, Chinese, Russian and JSON"

FAMILIES: Final[tuple[Family, ...]] = (
    Family(
        name="OpenAI, o200k",
        pattern=r"gpt-4o|gpt-4\.1|gpt-4\.5|gpt-[5-9]|gpt-oss|chatgpt|(?:^|/)o[1-9](?:-|$)|codex|omni",
        encoding="o200k",
        percent=100,
        source="https://github.com/openai/tiktoken/blob/main/tiktoken/model.py",
    ),
    Family(
        name="OpenAI, cl100k",
        pattern=r"gpt-4|gpt-3\.5|gpt-35|text-embedding-",
        encoding="cl100k",
        percent=100,
        source="https://github.com/openai/tiktoken/blob/main/tiktoken/model.py",
    ),
    Family(
        name="Claude, from Opus 4.7 and generation 5 on",
        pattern=r"claude-opus-4[-.][7-9]|claude-[a-z]+-[5-9]",
        encoding="o200k",
        percent=156,
        source="https://platform.claude.com/docs/en/build-with-claude/token-counting: about 30 % more than before",
    ),
    Family(name="Claude", pattern=r"claude", encoding="o200k", percent=120, source=_MEASURED),
    Family(name="Qwen", pattern=r"qwen|qwq", encoding="o200k", percent=105, source=_MEASURED),
    Family(name="Llama 4", pattern=r"llama-?4", encoding="o200k", percent=101, source=_MEASURED),
    Family(name="Llama", pattern=r"llama", encoding="o200k", percent=110, source=_MEASURED),
    Family(
        name="Mistral",
        pattern=r"mistral|mixtral|ministral|codestral|devstral|pixtral|magistral|voxtral",
        encoding="o200k",
        percent=110,
        source=_MEASURED,
    ),
)
"""Tried in this order; a model of none of them counts as o200k times `OTHER_PERCENT`."""
OTHER_PERCENT: Final = 110

_PATTERNS: Final = tuple((re.compile(family.pattern), family) for family in FAMILIES)
_OTHER: Final = Family(name="other", pattern="", encoding="o200k", percent=OTHER_PERCENT, source=_MEASURED)


class _Tokenizer(Protocol):
    """The part of rs-bpe that is used here; the package has no type stubs, hence these Protocols."""

    def count(self, text: str, /) -> int: ...


class _Encodings(Protocol):
    def o200k_base(self) -> _Tokenizer: ...
    def cl100k_base(self) -> _Tokenizer: ...
    def is_cached_o200k(self) -> bool: ...
    def is_cached_cl100k(self) -> bool: ...


class _Module(Protocol):
    openai: _Encodings


def family_of(model: str) -> Family:
    """Return the family whose tokenizer stands in for the model's own."""
    name = model[:256].lower()
    return next((family for pattern, family in _PATTERNS if pattern.search(name)), _OTHER)


def count_texts(model: str, texts: Iterable[str]) -> int:
    """Count the tokens of ``texts``, each for itself, roughly as ``model`` would. Any text can be counted."""
    family = family_of(model)
    tokenizer = _load(family.encoding)
    total = sum(_count(tokenizer, chunk) for text in texts for chunk in _chunks(text))
    return -(-total * family.percent // 100)


def count_chat_input(model: str, texts: Iterable[str], messages: int) -> int:
    """Count ``texts`` as `count_texts` does, with the overhead of so many ``messages`` and of the reply's opening."""
    return count_texts(model, texts) + MESSAGE_OVERHEAD_TOKENS * (messages + 1)


async def count_texts_off_loop(model: str, texts: Sequence[str]) -> int:
    """Count as `count_texts` does, in a thread where that takes long: long texts, or tokenizers yet to be loaded."""
    long = sum(map(len, texts)) > OFF_LOOP_CHARACTERS
    if long or not is_loaded(model):
        return await asyncio.to_thread(count_texts, model, texts)
    return count_texts(model, texts)


def is_loaded(model: str) -> bool:
    """Say whether the tokenizer that counts for ``model`` is in memory; loading it takes 60 ms."""
    return _is_loaded(family_of(model).encoding)


def _load(encoding: str) -> _Tokenizer:
    # Imported here because a gateway whose providers all report usage never needs it; rs-bpe keeps what it has loaded.
    encodings = cast(_Module, importlib.import_module(_MODULE)).openai
    return encodings.cl100k_base() if encoding == "cl100k" else encodings.o200k_base()


def _is_loaded(encoding: str) -> bool:
    module = cast(_Module | None, sys.modules.get(_MODULE))
    if module is None:
        return False
    return module.openai.is_cached_cl100k() if encoding == "cl100k" else module.openai.is_cached_o200k()


def _chunks(text: str) -> Iterable[str]:
    """Cut a long text where a blank is near, so that hardly any token is cut in two."""
    start = 0
    while len(text) - start > _CHUNK_CHARACTERS:
        end = start + _CHUNK_CHARACTERS
        blank = text.rfind(" ", end - 256, end)
        end = blank if blank > start else end
        yield text[start:end]
        start = end
    yield text[start:] if start else text


def _count(tokenizer: _Tokenizer, text: str) -> int:
    try:
        return tokenizer.count(text)
    except UnicodeEncodeError:
        # Lone surrogates, which JSON can carry and UTF-8 cannot: each becomes one replacement character.
        return tokenizer.count(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))
