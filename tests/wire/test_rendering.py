"""What becomes of that which a target cannot say: refused, ignored aloud, or carried apart."""

import pytest
from msgspec import Raw

from headgate.domain.errors import UnsupportedFeatureError
from headgate.wire.rendering import HINTS, TITLES, WORDS, Rendering


def test_every_dialect_has_a_title_hints_and_words() -> None:
    assert TITLES.keys() == HINTS.keys() == WORDS.keys()


def test_a_refusal_speaks_the_callers_words() -> None:
    error = Rendering("anthropic_messages", "openai_chat").refuse("more than one answer", "choices")

    assert isinstance(error, UnsupportedFeatureError)
    assert error.param == "n"
    assert error.message == "Anthropic's Messages format cannot carry more than one answer (`n`)"


def test_an_ignored_hint_is_named_once_without_its_numbers() -> None:
    rendering = Rendering("openai_chat", "anthropic_messages")
    for index in range(3):
        rendering.ignore(f"messages[{index}].content[12]", "cache")
    rendering.ignore("seed")

    assert rendering.ignored == ("messages[].content[].cache_control", "seed")


def test_extras_go_home_byte_for_byte() -> None:
    target: dict[str, object] = {"a": {}}
    Rendering("openai_chat", "openai_chat").write_extras(target, {"x": Raw(b"1e2"), "a/b": Raw(b"null")}, "")

    assert target == {"x": Raw(b"1e2"), "a": {"b": Raw(b"null")}}


def test_extras_of_another_dialects_request_are_hints_or_refused() -> None:
    rendering = Rendering("anthropic_messages", "openai_chat")
    rendering.write_extras({}, {"store": Raw(b"true"), "x": Raw(b"null"), "prediction/type": Raw(b'"content"')}, "")

    assert rendering.ignored == ("store", "prediction")
    with pytest.raises(UnsupportedFeatureError) as caught:
        rendering.write_extras({}, {"verbosity": Raw(b'"low"')}, "messages[0]")
    assert caught.value.param == "messages[0].verbosity"


def test_no_word_that_a_caller_made_up_is_named_aloud() -> None:
    rendering = Rendering("openai_chat", "anthropic_messages")
    rendering.write_extras({}, {"metadata/x\r\nset-cookie: a": Raw(b"1"), "thinking/display": Raw(b'"omitted"')}, "")

    assert rendering.ignored == ("metadata", "thinking.display")


def test_a_harmless_value_says_nothing() -> None:
    rendering, target = Rendering("openai_chat", "anthropic_messages", is_answer=True), {}
    rendering.carry(target, {"caller": Raw(b'{"type": "direct"}'), "citations": Raw(b"null")})

    assert target == {}


def test_side_notes_of_an_answer_travel_apart_beside_one_another() -> None:
    rendering = Rendering("openai_chat", "anthropic_messages", is_answer=True)
    target: dict[str, object] = {}
    rendering.carry(target, {"a": Raw(b"1")})
    rendering.carry_members(target, {"b": 2})
    rendering.carry_members(target, {})

    assert target == {"headgate": {"anthropic_messages": {"a": Raw(b"1"), "b": 2}}}
