"""Tests of headgate.wire.rendition: one recorded answer, given in every format and way."""

import json
from typing import Any

import pytest

from headgate.domain.chat import ChatResponse, ExtrasDelta, StreamEvent
from headgate.domain.chat_events import collect, spread
from headgate.domain.errors import UnsupportedFeatureError
from headgate.domain.usage import TokenUsage
from headgate.wire import WIRE_FORMATS
from headgate.wire.format import Dialect, WireFormat
from headgate.wire.rendition import Rendition, RenditionEncoder, fresh_id, render_body, render_events, render_whole
from tests.wire.golden import cases_with, given

MARKER = "5ecre7-0f-7he-pr0ce55"
OPENAI, ANTHROPIC = WIRE_FORMATS["openai_chat"], WIRE_FORMATS["anthropic_messages"]
BY_NAME = {"openai_chat": OPENAI, "anthropic_messages": ANTHROPIC}
RECORDED = [
    (form, case, name)
    for form in BY_NAME
    for name in ("response.json", "stream.sse")
    for case in cases_with(name, form)
    if case in ("text", "thinking", "reasoning", "refusal", "tools", "tools_single", "tools_parallel", "usage_details")
]
TARGETS = [(form, way) for form in BY_NAME for way in ("whole", "stream", "stream with usage")]


def dialect_of(form: WireFormat) -> Dialect:
    assert form.dialect is not None
    return form.dialect


def recorded(form: str, case: str, name: str) -> tuple[ChatResponse, tuple[StreamEvent, ...]]:
    """What was recorded, as a whole and as events."""
    dialect, data = dialect_of(BY_NAME[form]), given(case, name, form)
    if name == "response.json":
        answer = dialect.parse_response(data)
        return answer, spread(answer)
    decoder = dialect.decode_stream()
    events = (*decoder.feed(data), *decoder.close())
    return collect(events), events


def said(answer: ChatResponse) -> list[Any]:
    """What an answer says in any dialect: its texts, calls, ends and tokens."""
    usage = answer.usage or TokenUsage()  # Anthropic's format has no way to say that nothing is known.
    found: list[Any] = [answer.model, (usage.input_tokens, usage.output_tokens)]
    for choice in answer.choices:
        texts = "".join(getattr(part, "text", "") for part in choice.parts if type(part).__name__ != "ThinkingPart")
        calls = [
            (part.call_id, part.name, json.loads(part.arguments))  # type: ignore[union-attr]
            for part in choice.parts
            if type(part).__name__ == "ToolCallPart"
        ]
        found.append((texts, calls))
    return found


@pytest.mark.parametrize(("target", "way"), TARGETS)
@pytest.mark.parametrize(("form", "case", "name"), RECORDED)
def test_one_recorded_answer_is_given_in_every_format_and_way(
    form: str, case: str, name: str, target: str, way: str
) -> None:
    answer, events = recorded(form, case, name)
    to = BY_NAME[target]
    dialect = dialect_of(to)
    if way == "whole":
        rendition = render_whole(to, answer, 1, MARKER)
        again = dialect.parse_response(rendition.with_id("fresh"))
    else:
        rendition = render_events(to, events, 1, wants_usage=way == "stream with usage", marker=MARKER)
        stream = rendition.with_id("fresh")
        assert stream.rstrip().endswith(b"data: [DONE]" if target == "openai_chat" else b'{"type":"message_stop"}')
        decoder = dialect.decode_stream()
        # What one format cannot say is told apart, in as many places as it came in.
        told = [each for each in (*decoder.feed(stream), *decoder.close()) if not isinstance(each, ExtrasDelta)]
        again = collect(told)
    assert again.id == "fresh"
    assert MARKER not in repr(rendition.pieces)
    expected, found = said(answer), said(again)
    if way == "stream" and target == "openai_chat":
        expected[1] = (0, 0)  # Nobody asked for it.
    assert found == expected


def test_an_answer_is_written_once_and_given_under_many_ids() -> None:
    answer, _ = recorded("openai_chat", "text", "response.json")
    rendition = render_whole(OPENAI, answer, 1, MARKER)
    one, other = (json.loads(rendition.with_id(name)) for name in ("a", "b"))
    assert (one.pop("id"), other.pop("id")) == ("a", "b")
    assert one == other


def test_pieces_of_a_stream_that_is_read_while_it_comes_are_the_stream() -> None:
    _, events = recorded("openai_chat", "text", "stream.sse")
    encoder = RenditionEncoder(OPENAI, 1, wants_usage=True, marker=MARKER)
    told = b"".join(b"me".join(encoder.encode(event)) for event in events)
    assert told == render_events(OPENAI, events, 1, wants_usage=True, marker=MARKER).with_id("me")


def test_ids_look_like_the_formats_own() -> None:
    assert fresh_id(OPENAI, "req_01ab") == "chatcmpl-01ab"
    assert fresh_id(ANTHROPIC, "req_01ab") == "msg_01ab"


def test_a_body_without_a_way_to_the_hub_stays_as_it_is() -> None:
    assert render_body(b'{"data":[]}').with_id("x") == b'{"data":[]}' == Rendition((b'{"data":[]}',)).with_id("y")
    answer, events = recorded("openai_chat", "text", "response.json")
    with pytest.raises(UnsupportedFeatureError):
        render_whole(WIRE_FORMATS["openai_embeddings"], answer, 1, MARKER)
    with pytest.raises(UnsupportedFeatureError):
        render_events(WIRE_FORMATS["openai_embeddings"], events, 1, wants_usage=False, marker=MARKER)


def test_what_a_format_cannot_stream_is_refused() -> None:
    answer, events = recorded("openai_chat", "choices", "response.json")
    assert len(answer.choices) > 1
    with pytest.raises(UnsupportedFeatureError):
        render_events(ANTHROPIC, events, 1, wants_usage=False, marker=MARKER)
