import json
import tracemalloc

import pytest
from msgspec import Raw

from headgate.tokens.media import image_bound
from headgate.tokens.weight import (
    CLIENT_TOOL_TOKENS,
    MESSAGE_TOKENS,
    REQUEST_TOKENS,
    TOOLS_TOKENS,
    Weight,
    weigh,
    weigh_messages,
)
from tests.tokens.test_media import b64, png

USER = {"role": "user", "content": "Hello"}
PICTURE = b64(png(640, 480))
CHAT, MESSAGES = "openai_chat", "anthropic_messages"


def fields(**members: object) -> dict[str, Raw]:
    return {name: Raw(json.dumps(value).encode()) for name, value in members.items()}


def chat(model: str = "gpt-4o", **members: object) -> Weight:
    return weigh(CHAT, fields(**({"messages": [USER]} | members)), model)


def messages(model: str = "claude-sonnet-4-5", **members: object) -> Weight:
    return weigh(MESSAGES, fields(**({"messages": [USER]} | members)), model)


def blocks(*content: object) -> Weight:
    return messages(messages=[{"role": "user", "content": list(content)}])


def test_a_plain_request_weighs_its_bytes_and_an_overhead():
    weight = chat()

    assert weight.tokens == len(json.dumps([USER])) + REQUEST_TOKENS + MESSAGE_TOKENS
    assert (weight.messages, weight.window, weight.unbounded, weight.is_fixed) == (1, None, None, True)


def test_options_weigh_nothing():
    assert chat(temperature=1, max_tokens=9, stream=True, n=3, user="u" * 999) == chat()
    assert messages(max_tokens=9, thinking={"type": "enabled", "budget_tokens": 1024}) == messages()


@pytest.mark.parametrize("name", ["documents", "plugins", "chat_template", "enable_search"])
def test_an_unknown_member_brings_in_the_window(name):
    assert chat(**{name: True}).window == name
    assert messages(**{name: True}).window == name


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]},
        {"role": "user", "content": [{"type": "video_url", "video_url": {"url": "http://v"}}]},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://i", "zoom": 1}}]},
        {"role": "user", "content": [{"type": "image_url", "image_url": "http://i"}]},
        {"role": "assistant", "audio": {"id": "audio_1"}},
        {"role": "user", "content": {"type": "text"}},
        {"role": "user", "content": 5},
        {"role": "user", "content": "x", "attachments": ["f"]},
        {"content": "no role"},
        "no message",
    ],
)
def test_what_is_not_known_in_a_message_brings_in_the_window(message):
    weight = chat(messages=[USER, message])

    assert weight.window is not None
    assert not weight.is_fixed or weight.window


@pytest.mark.parametrize(
    "block",
    [
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBE"}},
        {"type": "document", "source": {"type": "url", "url": "http://d"}},
        {"type": "document", "source": {"type": "text", "data": "x"}, "citations": {"enabled": True}},
        {"type": "container_upload", "file_id": "f"},
        {"type": "tool_reference", "tool_name": "t"},
        {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "document", "source": {"type": "file"}}]},
        {"no": "type"},
    ],
)
def test_what_is_not_known_in_a_block_brings_in_the_window(block):
    assert blocks({"type": "text", "text": "x"}, block).window is not None


def test_known_blocks_weigh_their_bytes():
    known: list[object] = [
        {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
        {"type": "redacted_thinking", "data": "ZGF0YQ=="},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "words"}},
        {"type": "tool_result", "tool_use_id": "t", "content": "done"},
        {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "done"}]},
        {"type": "tool_result", "tool_use_id": "t"},
    ]
    size = len(json.dumps([{"role": "user", "content": known}]))

    assert blocks(*known) == Weight(size + REQUEST_TOKENS + MESSAGE_TOKENS, 1)


def test_an_image_weighs_its_arithmetic_and_not_its_bytes():
    url = f"data:image/png;base64,{PICTURE}"
    part = {"type": "image_url", "image_url": {"url": url, "detail": "high"}}
    weight = chat(messages=[{"role": "user", "content": [part]}])
    bare = json.dumps([{"role": "user", "content": [part]}]).replace(PICTURE, "")
    tokens = image_bound("gpt-4o", PICTURE, "high")

    assert tokens is not None
    assert weight.media_tokens == tokens
    assert weight.tokens == len(bare) + tokens + REQUEST_TOKENS + MESSAGE_TOKENS
    assert weight.is_fixed


def test_an_image_in_a_tools_result_weighs_like_any_other():
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PICTURE}}
    inside = blocks({"type": "tool_result", "tool_use_id": "t", "content": [image]})

    assert inside.media_tokens == blocks(image).media_tokens == image_bound("claude-sonnet-4-5", PICTURE)


def test_an_image_elsewhere_is_bounded_and_not_fixed():
    part = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    weight = chat(messages=[{"role": "user", "content": [part]}])

    assert (weight.window, weight.is_fixed) == (None, False)
    assert weight.media_tokens == image_bound("gpt-4o", None)


def test_an_image_for_a_model_of_unknown_arithmetic_brings_in_the_window():
    part = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}

    assert chat("gemini-2.5-pro", messages=[{"role": "user", "content": [part]}]).window == "image_url"


def test_sound_is_told_apart():
    sound = {"type": "input_audio", "input_audio": {"data": "A" * 4000, "format": "mp3"}}
    weight = chat("gpt-4o-audio-preview", messages=[{"role": "user", "content": [sound]}])

    assert weight.has_audio
    assert weight.tokens < 1000


def test_tools_weigh_twice_their_bytes_and_three_times_where_they_are_not_ascii():
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"enum": [1] * 500}}}]
    size = len(json.dumps(tools))

    assert chat(tools=tools).tokens - chat().tokens - 2 * size - TOOLS_TOKENS in range(100)
    foreign = Raw('[{"type":"function","function":{"name":"f","description":"é"}}]'.encode())
    more = weigh(CHAT, fields(messages=[USER]) | {"tools": foreign}, "gpt-4o").tokens - chat().tokens
    assert more >= 3 * len(foreign) + TOOLS_TOKENS


def test_tool_calls_weigh_twice_their_bytes():
    call = {"type": "tool_use", "id": "t", "name": "f", "input": {"numbers": [1] * 100}}
    assert blocks(call).tokens - len(json.dumps([{"role": "user", "content": [call]}])) >= len(
        json.dumps(call["input"])
    )
    calls = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "[1,1]"}}]
    said = [{"role": "assistant", "tool_calls": calls}]
    assert chat(messages=said).tokens - len(json.dumps(said)) >= len(json.dumps(calls))


def test_tools_that_the_client_runs_are_known_and_those_of_the_server_have_no_bound():
    client = messages(tools=[{"type": "bash_20250124", "name": "bash"}, {"name": "f", "input_schema": {}}])

    assert client.unbounded is None
    assert client.tokens > messages().tokens + CLIENT_TOOL_TOKENS
    assert messages(tools=[{"type": "web_search_20250305", "name": "web_search"}]).unbounded
    assert messages(mcp_servers=[{"type": "url", "url": "http://m"}]).unbounded == "mcp_servers"
    assert messages(tools="no list").unbounded
    assert chat(web_search_options={}).unbounded == "web_search_options"
    assert chat(tools=[{"type": "browser_search"}]).unbounded
    assert chat(web_search_options=None, tools=None) == chat()


def test_clearing_context_only_leaves_out_and_compacting_is_billed():
    assert messages(context_management={"edits": [{"type": "clear_tool_uses_20250919"}]}) == messages()
    assert messages(context_management={"edits": [{"type": "compact_20260112"}]}).unbounded == "context_management"


def test_system_and_schema_weigh():
    assert messages(system="x" * 1000).tokens >= messages().tokens + 1000
    assert messages(system=[{"type": "text", "text": "x"}]).window is None
    assert messages(system=[{"type": "image"}]).window == "system"
    assert chat(response_format={"type": "json_schema", "json_schema": {}}).tokens > chat().tokens + 500
    assert chat(prediction={"type": "content", "content": "x" * 100}).tokens > chat().tokens + 100


def test_half_a_surrogate_pair_is_no_reason_not_to_know():
    raw = b'[{"role":"user","content":"\\ud83d"},{"role":"user","content":[{"type":"text","text":"\\udc00"}]}]'

    assert weigh_messages(CHAT, raw, "gpt-4o").window is None
    assert weigh_messages(MESSAGES, raw, "claude").window is None


def test_embeddings_weigh_their_texts_or_their_token_ids():
    one = weigh("openai_embeddings", fields(input="hello"), "m")
    many = weigh("openai_embeddings", fields(input=["a", "b", 'c"d'], dimensions=8), "m")
    ids = weigh("openai_embeddings", fields(input=[1, 2, 3]), "m")
    lists = weigh("openai_embeddings", fields(input=[[1, 2], [3]]), "m")

    assert (one.messages, many.messages, ids.messages, lists.messages) == (1, 3, 1, 2)
    assert ids.tokens >= 3
    assert lists.tokens >= 3
    assert one.tokens >= 5
    assert weigh("openai_embeddings", fields(input="x", task="retrieval"), "m").window == "task"


@pytest.mark.parametrize("raw", [b"", b"[", b"null", b"5", b"[" * 100_000, b'[{"role":"\xff"}]', b'[{"role":1e999}]'])
def test_nothing_raises(raw):
    for form in (CHAT, MESSAGES):
        assert weigh_messages(form, raw, "gpt-4o").window == "messages"
        weigh(form, {"messages": Raw(b"[]"), "tools": Raw(raw), "system": Raw(raw), "tool_choice": Raw(raw)}, "m")
    weigh("openai_embeddings", {"input": Raw(raw)}, "m")


def test_a_body_of_nothing_but_objects_is_not_decoded():
    for form, item in ((CHAT, b'{"role":"user"}'), (MESSAGES, b'{"role":"user","content":[{"type":"text"}]}')):
        raw = b"[%b]" % b",".join([item] * 200_000)
        tracemalloc.start()
        weight = weigh_messages(form, raw, "gpt-4o")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()

        assert weight.window == "messages"
        assert weight.tokens >= len(raw)
        assert peak < 2 * len(raw)
