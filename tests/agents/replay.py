"""Agents that play the conversation: each sends it in its own dialect and checks every answer before it goes on."""

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from tests.agents import conversation
from tests.agents.conversation import TOOLS, TURNS
from tests.agents.streams import Listened, anthropic_message, listen, openai_message
from tests.fakes.openai_answers import WORDS

TEXT = "".join(WORDS)
SESSION = "5f0e7a52-9c1b-4f7a-8d55-2b6f3f0f9b11"
USER = f"user_canal_account_17_session_{SESSION}"


class Style(NamedTuple):
    """How an agent of Anthropic's dialect thinks, and what it sends besides."""

    betas: str
    fields: dict[str, Any]
    reminder: str | None = None
    """A message of the system's behind the first turn of the user's."""


BUDGET = Style(
    "interleaved-thinking-2025-05-14,fine-grained-tool-streaming-2025-05-14",
    # With interleaved thinking the budget spans all answers of a turn, so it may come close to the maximum of one.
    {"thinking": {"type": "enabled", "budget_tokens": 31_999}},
)
ADAPTIVE = Style(
    "interleaved-thinking-2025-05-14,context-management-2025-06-27",
    {
        "thinking": {"type": "adaptive"},
        "output_config": {"effort": "high"},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
    },
    "The user works in another time zone. Do not mention this message.",
)
"""As for the newest models: "Adaptive thinking", "Context editing" and "Mid-conversation system messages"."""


class Heard(NamedTuple):
    """What one turn came to."""

    names: list[str]
    identities: list[str]
    finished: str
    text: str
    input_tokens: int
    cached_tokens: int
    signed: bool
    request_id: str


class Replay(NamedTuple):
    """What the whole conversation came to."""

    heard: list[Heard]
    interrupted: list[str]
    """Request ids of the answers that the user stopped."""


Ask = Callable[[list[dict[str, Any]], int | None], Listened]


def check(heard: list[Heard]) -> None:
    """Every turn called what it was to call, with ids of its own, over a context that only grows."""
    identities = [identity for turn in heard for identity in turn.identities]
    assert [turn.names for turn in heard] == [list(turn.calls) for turn in TURNS]
    assert len(set(identities)) == len(identities)
    assert [turn.finished for turn in heard] == ["calls"] * (len(heard) - 1) + ["end"]
    assert heard[-1].text == TEXT
    sizes = [turn.input_tokens for turn in heard]
    assert sizes[0] > 100_000
    assert sizes == sorted(sizes)


def interrupt(ask: Ask, messages: list[dict[str, Any]], index: int) -> str:
    """Stop the first try of a turn in mid-stream and return its request id."""
    after = TURNS[index].interrupted_after
    assert after is not None
    listened = ask(messages, after)
    assert (listened.status, len(listened.events)) == (200, after), listened.body
    return _request_id(listened)


def play_anthropic(
    port: int, model: str, stalling: str, credential: Mapping[str, str], style: Style = BUDGET
) -> Replay:
    """A terminal agent in Anthropic's dialect: thinking between tools, and marks that move with the conversation.

    Answers that the user stops come from ``stalling``, a model that stops by itself after a few events.
    """
    headers = {
        **credential,
        "anthropic-version": "2023-06-01",
        "anthropic-beta": style.betas,
        "x-claude-code-session-id": SESSION,
        "user-agent": "canal-agent/2.1 (external, cli)",
        "x-app": "cli",
    }

    def ask(messages: list[dict[str, Any]], stop_after: int | None) -> Listened:
        body = {
            "model": model if stop_after is None else stalling,
            "max_tokens": 32_000,
            "stream": True,
            "system": [_marked(conversation.SYSTEM), _marked(conversation.HOUSE_RULES)],
            "tools": [{"name": tool.name, "description": tool.description, "input_schema": tool.schema}
                      for tool in TOOLS],
            "metadata": {"user_id": USER},
            "messages": _with_marks(messages),
            **style.fields,
        }  # fmt: skip
        return listen(port, "/v1/messages?beta=true", body, headers, stop_after=stop_after)

    opening = f"{conversation.task()}\n\n{conversation.repository()}"
    told = {"type": "text", "text": conversation.next_calls(0)}
    messages: list[dict[str, Any]] = [{"role": "user", "content": [{"type": "text", "text": opening}, told]}]
    if style.reminder is not None:
        messages.append({"role": "system", "content": style.reminder})
    heard: list[Heard] = []
    interrupted: list[str] = []
    for index, turn in enumerate(TURNS):
        if turn.interrupted_after is not None:
            interrupted.append(interrupt(ask, messages, index))
            words = f"{conversation.INTERRUPTED} {conversation.next_calls(index)}"
            messages[-1]["content"].append({"type": "text", "text": words})
        listened = ask(messages, None)
        assert listened.status == 200, listened.body
        message = anthropic_message(listened.events)
        heard.append(_heard_anthropic(message, listened))
        messages.append({"role": "assistant", "content": message["content"]})
        messages.append({"role": "user", "content": _anthropic_results(index, message)})
    return Replay(heard, interrupted)


def _marked(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text, "cache_control": {"type": "ephemeral"}}


def _with_marks(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The last block of the last two turns of the user's is marked: one to read up to, one to write up to."""
    users = [index for index, message in enumerate(messages) if message["role"] == "user"][-2:]
    marked = list(messages)
    for index in users:
        *before, last = messages[index]["content"]
        content = [*before, last | {"cache_control": {"type": "ephemeral"}}]
        marked[index] = {"role": "user", "content": content}
    return marked


def _heard_anthropic(message: dict[str, Any], listened: Listened) -> Heard:
    blocks, usage = message["content"], message["usage"]
    calls = [block for block in blocks if block["type"] == "tool_use"]
    cached = usage.get("cache_read_input_tokens") or 0
    whole = usage["input_tokens"] + cached + (usage.get("cache_creation_input_tokens") or 0)
    return Heard(
        [call["name"] for call in calls],
        [call["id"] for call in calls],
        {"tool_use": "calls", "end_turn": "end"}[message["stop_reason"]],
        "".join(block["text"] for block in blocks if block["type"] == "text"),
        whole,
        cached,
        any(block.get("signature") for block in blocks),
        _request_id(listened),
    )


def _anthropic_results(index: int, message: dict[str, Any]) -> list[dict[str, Any]]:
    calls = [block for block in message["content"] if block["type"] == "tool_use"]
    return [
        {"type": "tool_result", "tool_use_id": call["id"], "content": _result(index, place, len(calls), call["name"])}
        for place, call in enumerate(calls)
    ]


def _result(index: int, place: int, count: int, name: str) -> str:
    """A tool's words; the last one's say what comes next."""
    words = conversation.result(index, place, name)
    return f"{words}\n{conversation.next_calls(index + 1)}" if place == count - 1 else words


def play_openai(port: int, model: str, stalling: str, credential: Mapping[str, str]) -> Replay:
    """A coding agent in OpenAI's dialect, with tools. See `play_anthropic` for ``stalling``."""
    tools = [
        {
            "type": "function",
            "function": {"name": tool.name, "description": tool.description, "parameters": tool.schema},
        }
        for tool in TOOLS
    ]

    def ask(messages: list[dict[str, Any]], stop_after: int | None) -> Listened:
        body = {
            "model": model if stop_after is None else stalling,
            "messages": messages,
            "tools": tools,
            "tool_choice": "auto",
            "parallel_tool_calls": True,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        headers = {**credential, "user-agent": "canal-coder/0.9", "x-headgate-session": SESSION}
        return listen(port, "/v1/chat/completions", body, headers, stop_after=stop_after)

    opening = f"{conversation.task()}\n\n{conversation.repository()}\n\n{conversation.next_calls(0)}"
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": f"{conversation.SYSTEM}\n\n{conversation.HOUSE_RULES}"},
        {"role": "user", "content": opening},
    ]
    heard: list[Heard] = []
    interrupted: list[str] = []
    for index, turn in enumerate(TURNS):
        if turn.interrupted_after is not None:
            interrupted.append(interrupt(ask, messages, index))
            words = f"{conversation.INTERRUPTED} {conversation.next_calls(index)}"
            messages.append({"role": "user", "content": words})
        listened = ask(messages, None)
        assert listened.status == 200, listened.body
        message, finish, usage = openai_message(listened.events)
        heard.append(_heard_openai(message, finish, usage, listened))
        messages.append(message)
        calls = message.get("tool_calls", ())
        for place, call in enumerate(calls):
            assert isinstance(json.loads(call["function"]["arguments"]), dict)
            words = _result(index, place, len(calls), call["function"]["name"])
            messages.append({"role": "tool", "tool_call_id": call["id"], "content": words})
    return Replay(heard, interrupted)


def _heard_openai(message: dict[str, Any], finish: str, usage: dict[str, Any], listened: Listened) -> Heard:
    calls = message.get("tool_calls", ())
    return Heard(
        [call["function"]["name"] for call in calls],
        [call["id"] for call in calls],
        {"tool_calls": "calls", "stop": "end"}[finish],
        message["content"] or "",
        usage["prompt_tokens"],
        (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0,
        bool(message.get("reasoning_details")),
        _request_id(listened),
    )


def play_pair(port: int, model: str, credential: Mapping[str, str]) -> list[str]:
    """A pair programmer in OpenAI's dialect without tools: the whole repository, then many short turns.

    It asks for the likeliest words and repeats the history each time; it returns the texts it got.
    """
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": conversation.SYSTEM},
        {"role": "user", "content": conversation.repository()},
        {"role": "assistant", "content": "Ok."},
    ]
    texts: list[str] = []
    for index in range(len(TURNS)):
        messages.append({"role": "user", "content": f"Change {index}: {conversation.task()}"})
        body = {"model": model, "messages": messages, "temperature": 0, "stream": True}
        listened = listen(port, "/v1/chat/completions", body, {**credential, "user-agent": "canal-pair/0.86"})
        assert listened.status == 200, listened.body
        message, finish, _ = openai_message(listened.events)
        assert finish == "stop"
        messages.append(message)
        texts.append(message["content"])
    return texts


def _request_id(listened: Listened) -> str:
    return listened.headers.get("x-headgate-request-id", "")
