"""The hub's types: frozen, tagged, and with room for everything that the wire formats bring."""

import msgspec
import pytest
from msgspec import Raw

from headgate.domain import chat
from headgate.domain.usage import TokenUsage

EVENTS: list[chat.StreamEvent] = [
    chat.StreamStart("openai_chat", "id", "m", 1, "default", {"system_fingerprint": Raw(b'"fp"')}),
    chat.TextDelta(0, 0, "a"),
    chat.ThinkingDelta(0, 1, "b"),
    chat.SignatureDelta(0, 1, "s"),
    chat.RedactedThinking(0, 2, "d"),
    chat.RefusalDelta(0, 3, "no"),
    chat.ToolCallStart(0, 4, "c", "f"),
    chat.ToolCallDelta(0, 4, "{}"),
    chat.AudioDelta(0, 5, "AAAA", "la", "audio", 9),
    chat.LogprobsDelta(0, Raw(b"{}")),
    chat.ExtrasDelta(None, {"x": Raw(b"1")}),
    chat.PartEnd(0, 5),
    chat.Stop(0, chat.StopReason.END),
    chat.UsageReport(TokenUsage(3, output_tokens=4)),
    chat.StreamFault("broken", "server_error"),
    chat.StreamEnd(),
]


def test_every_event_of_a_stream_reads_back_from_its_tag() -> None:
    read = msgspec.json.decode(msgspec.json.encode(EVENTS), type=list[chat.StreamEvent])

    assert read == EVENTS


def test_every_kind_of_part_reads_back_from_its_tag() -> None:
    parts: list[chat.Part] = [
        chat.TextPart("a", chat.CacheHint(300)),
        chat.ImagePart(chat.InlineData("AAAA", "image/png"), "high"),
        chat.AudioPart(chat.UrlSource("https://e.example/a"), "wav"),
        chat.FilePart(chat.FileIdSource("file"), "a.pdf"),
        chat.ThinkingPart("b", "signature"),
        chat.RedactedThinkingPart("c"),
        chat.RefusalPart("no"),
        chat.ToolCallPart("call", "f", '{"half":'),
        chat.ToolResultPart("call", (chat.TextPart("18"), chat.ImagePart(chat.UrlSource("u"))), is_error=True),
        chat.OpaquePart("video_url", Raw(b'{"type":"video_url"}')),
    ]

    assert msgspec.json.decode(msgspec.json.encode(parts), type=list[chat.Part]) == parts


def test_a_message_cannot_be_changed() -> None:
    message = chat.Message(chat.Role.USER, ())

    with pytest.raises(AttributeError):
        message.name = "eve"  # pyright: ignore[reportAttributeAccessIssue]


def test_extras_of_two_messages_are_not_one_dictionary() -> None:
    first, second = chat.Message(chat.Role.USER, ()), chat.Message(chat.Role.USER, ())

    assert first.extras is not second.extras
