"""Parts and messages: the spellings that are united, and those that vendors vary."""

import pytest
from msgspec import Raw

from headgate.domain import chat
from headgate.domain.errors import InvalidRequestError, UnsupportedFeatureError
from headgate.wire.members import Members, to_json
from headgate.wire.openai_chat_parts import parse_assistant, parse_content, render_assistant, render_content
from headgate.wire.rendering import Rendering


def assistant(body: bytes) -> tuple[list[chat.Part], chat.Extras]:
    members = Members(body)
    members.take("role")
    return parse_assistant(members), members.rest()


def test_reasoning_under_either_name_is_thinking() -> None:
    for name in (b"reasoning", b"reasoning_content"):
        parts, rest = assistant(b'{"%b":"hm","content":"hi"}' % name)
        assert parts == [chat.ThinkingPart("hm"), chat.TextPart("hi")]
        assert not rest


def test_two_different_reasonings_are_both_kept() -> None:
    parts, rest = assistant(b'{"reasoning":"a","reasoning_content":"b"}')

    assert parts == [chat.ThinkingPart("b")]
    assert rest == {"reasoning": Raw(b'"a"')}


def test_reasoning_that_is_no_text_stays_as_it_came() -> None:
    parts, rest = assistant(b'{"reasoning":{"steps": []}}')

    assert parts == []
    assert rest == {"reasoning": Raw(b'{"steps": []}')}


def test_a_data_url_becomes_inline_data_and_back() -> None:
    url = "data:image/webp;base64,UklGRg=="
    content = to_json([{"type": "image_url", "image_url": {"url": url}}])

    parts = parse_content(Raw(content), "content")

    assert parts == [chat.ImagePart(chat.InlineData("UklGRg==", "image/webp"))]
    assert to_json(render_content(parts, Rendering("openai_chat", "openai_chat"), "content")) == content


@pytest.mark.parametrize("url", ["data:image/png;charset=x;base64,AA", "data:,hello", "https://e.example/", "nonsense"])
def test_any_other_url_stays_as_it_is(url: str) -> None:
    content = to_json([{"type": "image_url", "image_url": {"url": url}}])

    parts = parse_content(Raw(content), "content")

    assert parts == [chat.ImagePart(chat.UrlSource(url))]
    assert to_json(render_content(parts, Rendering("openai_chat", "openai_chat"), "content")) == content


def test_a_cache_breakpoint_of_an_unknown_mode_is_not_taken_for_a_hint() -> None:
    content = b'[{"type":"text","text":"a","prompt_cache_breakpoint":{"mode":"new","x":1}}]'

    parts = parse_content(Raw(content), "content")

    assert parts == [chat.TextPart("a", extras={"prompt_cache_breakpoint": Raw(b'{"mode":"new","x":1}')})]
    assert to_json(render_content(parts, Rendering("openai_chat", "openai_chat"), "content")) == content


def test_sound_without_a_format_takes_it_from_its_media_type() -> None:
    part = chat.AudioPart(chat.InlineData("AAAA", "audio/mpeg"))

    assert render_content([part], Rendering("openai_chat", "gemini"), "content") == [
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "mp3"}}
    ]


def test_a_file_needs_its_data_or_its_id() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse_content(Raw(b'[{"type":"file","file":{"filename":"a"}}]'), "messages[0].content")

    assert caught.value.param == "messages[0].content[0].file.file_id"


def test_several_refusals_stay_parts_of_the_content() -> None:
    target: dict[str, object] = {}
    render_assistant(
        target, (chat.RefusalPart("a"), chat.RefusalPart("b")), Rendering("openai_chat", "openai_chat"), "message"
    )

    assert target == {"content": [{"type": "refusal", "refusal": "a"}, {"type": "refusal", "refusal": "b"}]}


def test_two_spoken_answers_in_one_message_are_refused() -> None:
    spoken = chat.AudioPart(None, audio_id="a")
    with pytest.raises(UnsupportedFeatureError):
        render_assistant({}, (spoken, spoken), Rendering("openai_chat", "openai_chat"), "message")


@pytest.mark.parametrize("odd", [b'{"mo\xffde":1}', b"1e400", b"[" * 200 + b"]" * 200])
def test_a_breakpoint_that_cannot_be_read_stays_the_callers_bytes(odd: bytes) -> None:
    part = b'{"type":"text","text":"x","prompt_cache_breakpoint":%b}' % odd

    assert parse_content(Raw(b"[%b]" % part), "content") == [
        chat.TextPart("x", extras={"prompt_cache_breakpoint": Raw(odd)})
    ]
