"""What happens to that which another dialect said and this one cannot: refused, ignored aloud, or carried apart.

A *request* never loses anything in silence. A field that changes what is asked for raises `UnsupportedFeatureError`; a
hint, which does not, is left out and its name goes to the caller (`Rendered.ignored`). An *answer* has been paid for
when it is rendered, so it never fails for a side note: what it says beyond the target's words travels under
``headgate.<dialect>``, where a curious caller finds it.
"""

from typing import Final

from msgspec import Raw

from headgate.domain.chat import Extras
from headgate.domain.errors import UnsupportedFeatureError
from headgate.wire.json_body import is_null
from headgate.wire.members import add_extras

TITLES: Final = {
    "openai_chat": "OpenAI's chat format",
    "anthropic_messages": "Anthropic's Messages format",
}
"""What a dialect is called in words for a caller."""

HINTS: Final = {
    "openai_chat": frozenset(
        {
            "store",
            "prompt_cache_key",
            "prompt_cache_options",
            "prompt_cache_retention",
            "prediction",  # speeds an answer up that is known in part, and leaves it as it is
            "safety_identifier",  # beside a `user`, which is carried
            "stream_options/include_obfuscation",
            "annotations",  # of an earlier answer; the model never reads them
            "reasoning_details",  # proofs that are not in the shape in which we wrote them
        }
    ),
    "anthropic_messages": frozenset(
        {
            "cache_control",
            "context_management",
            "diagnostics",
            "eager_input_streaming",
            "defer_loading",
            "metadata",
            "output_config/task_budget",
            "speed",
            "thinking",
            "thinking/display",
            "transformations",
        }
    ),
}
"""Fields that the hub does not model, by dialect: to leave them out does not change what is asked for.

They say where to keep a prompt, how fast to answer, what to log or how to stream; names as `Extras` has them.
"""

_HARMLESS: Final = {
    "openai_chat": {
        "annotations": b"[]",
        "message/annotations": b"[]",
        "completion_tokens_details/accepted_prediction_tokens": b"0",
        "completion_tokens_details/rejected_prediction_tokens": b"0",
    },
    "anthropic_messages": {
        "caller": b'{"type":"direct"}',  # the model itself, as in every dialect
        "citations": b'{"enabled":false}',
        "allowed_callers": b'["direct"]',
    },
}
# Fields that say, with this very value, what every other dialect does anyway.

WORDS: Final = {
    "openai_chat": {
        "answer_format": "response_format",
        "choices": "n",
        "cache": "prompt_cache_breakpoint",
        "end_user": "user",
        "reasoning.effort": "reasoning_effort",
        "signature": "reasoning_details",
        "thinking": "reasoning_content",
    },
    "anthropic_messages": {
        "answer_format": "output_config.format",
        "cache": "cache_control",
        "cache.ttl_s": "cache_control.ttl",
        "end_user": "metadata.user_id",
        "parallel_tool_calls": "tool_choice.disable_parallel_tool_use",
        "reasoning.effort": "output_config.effort",
        "reasoning.budget_tokens": "thinking.budget_tokens",
        "reasoning.mode": "thinking.type",
        "stop": "stop_sequences",
    },
}
"""What a dialect calls a field of the hub, where it is not the hub's own word."""


class Rendering:
    """One body while it is written: from which dialect into which, and which hints were left out."""

    __slots__ = ("_ignored", "is_answer", "is_native", "source", "target")

    def __init__(self, target: str, source: str, *, is_answer: bool = False) -> None:
        """Begin a body of dialect ``target`` for what came as dialect ``source``."""
        self.target = target
        self.source = source
        self.is_answer = is_answer
        self.is_native = source == target
        """What the hub does not model can be written back in its place."""
        self._ignored: dict[str, None] = {}

    @property
    def ignored(self) -> tuple[str, ...]:
        """Names of the hints left out, each once, in the order in which they were met."""
        return tuple(self._ignored)

    def word(self, field: str) -> str:
        """Return what the caller calls a field of the hub."""
        return WORDS.get(self.source, {}).get(field, field)

    def refuse(self, what: str, param: str) -> UnsupportedFeatureError:
        """Return the error for something that the target cannot carry; ``param`` is the hub's or the caller's name."""
        name = self.word(param)
        return UnsupportedFeatureError(f"{TITLES[self.target]} cannot carry {what} (`{name}`)", param=name)

    def ignore(self, place: str, field: str = "") -> None:
        """Leave a hint out and remember its name: ``place`` alone, or ``field`` inside it.

        Places lose their numbers, so that a long conversation names each kind of hint once: ``messages[].signature``.
        """
        name = f"{place}.{self.word(field)}" if field and place else self.word(field or place)
        if "[" in name:
            name = "".join(step if at == 0 else step[step.index("]") :] for at, step in enumerate(name.split("[")))
            name = name.replace("]", "[]")
        self._ignored[name] = None

    def write_extras(self, target: dict[str, object], extras: Extras, path: str) -> None:
        """Write what the hub does not model into its place, or decide what becomes of it.

        Raises:
            UnsupportedFeatureError: a field of another dialect's request is no hint.
        """
        if not extras:
            return
        if self.is_native:
            add_extras(target, extras)
            return
        if self.is_answer:
            self.carry(target, extras)
            return
        hints = HINTS.get(self.source, frozenset())
        for pointer in self.telling(extras):
            # What is named aloud is a word of the table, never one that a caller made up: it goes into a header.
            hint = pointer if pointer in hints else pointer.split("/", maxsplit=1)[0]
            if hint in hints:
                self.ignore(path, hint.replace("/", "."))
            else:
                name = pointer.replace("/", ".")
                raise self.refuse(
                    f"a field of {TITLES.get(self.source, self.source)}", f"{path}.{name}" if path else name
                )

    def carry(self, target: dict[str, object], extras: Extras) -> None:
        """Write what an answer says beyond the hub: in its place for its own dialect, else under ``headgate``."""
        if not extras:
            return
        if self.is_native:
            add_extras(target, extras)
            return
        foreign: dict[str, object] = {}
        add_extras(foreign, self.telling(extras))
        self.carry_members(target, foreign)

    def telling(self, extras: Extras) -> Extras:
        """Return the members that say anything: a null reads as absent, and some values say what goes without them."""
        if not extras:
            return extras
        harmless = _HARMLESS.get(self.source, {})
        return {
            name: value
            for name, value in extras.items()
            if not is_null(value) and harmless.get(name) != _compact(value)
        }

    def carry_members(self, target: dict[str, object], members: dict[str, object]) -> None:
        """Write members under ``headgate.<dialect>``, beside what is there already."""
        if members:
            apart = target.setdefault("headgate", {})
            assert isinstance(apart, dict)
            apart.setdefault(self.source, {}).update(members)  # pyright: ignore[reportUnknownMemberType]


def _compact(value: Raw) -> bytes:
    return bytes(value).replace(b" ", b"")
