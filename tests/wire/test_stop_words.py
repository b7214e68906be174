"""Why an answer ended: no word is lost, and none becomes a normal end."""

import pytest

from headgate.domain.chat import StopReason
from headgate.wire.stop_words import StopWords

WORDS = StopWords(
    "ours",
    reasons={"done": StopReason.END, "over": StopReason.END, "long": StopReason.MAX_TOKENS},
    words={StopReason.END: "done", StopReason.MAX_TOKENS: "long"},
)


@pytest.mark.parametrize(
    ("word", "reason", "native"),
    [
        ("done", StopReason.END, None),
        ("over", StopReason.END, "over"),
        ("new", StopReason.OTHER, "new"),
    ],
)
def test_a_word_that_the_reason_does_not_imply_is_kept(word: str, reason: StopReason, native: str | None) -> None:
    assert WORDS.parse(word) == (reason, native)
    assert WORDS.render(reason, native, "ours") == word


@pytest.mark.parametrize(
    ("reason", "native", "word"),
    [
        (StopReason.END, "theirs", "done"),
        (StopReason.OTHER, "theirs", "theirs"),
        (StopReason.PAUSE, None, StopReason.PAUSE.value),
    ],
)
def test_another_dialects_word_stands_only_where_ours_has_none(
    reason: StopReason, native: str | None, word: str
) -> None:
    assert WORDS.render(reason, native, "theirs") == word
