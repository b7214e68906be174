"""Why an answer ended, in a dialect's word ⇄ in the hub's."""

from msgspec import Struct

from headgate.domain.chat import StopReason


class StopWords(Struct, frozen=True):
    """One dialect's words for why an answer ended."""

    dialect: str
    reasons: dict[str, StopReason]
    """What each of its words means; several may mean the same."""
    words: dict[StopReason, str]
    """The word to write; a reason that has none is written by its own name."""

    def parse(self, word: str) -> tuple[StopReason, str | None]:
        """Return the hub's reason, and the word itself where the reason does not imply it."""
        reason = self.reasons.get(word, StopReason.OTHER)
        return reason, None if self.words.get(reason) == word else word

    def render(self, reason: StopReason, native: str | None, source: str) -> str:
        """Return the word; a reason without one keeps what ``source`` called it, and is never a normal end."""
        if native is not None and (source == self.dialect or reason not in self.words):
            return native
        return self.words.get(reason, reason.value)
