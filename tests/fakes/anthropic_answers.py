"""Answers in Anthropic's words; the same request to the same server state always gets the same bytes.

Tokens are counted in a way a test can redo in its head: one input token a word of text, ten an image, one output token
a piece of text, of thoughts or of a tool's input. Shapes: platform.claude.com, "Messages", "Streaming Messages",
"Prompt caching" (usage), "Stop reasons and fallback" (``stop_details`` of a refusal).
"""

import hashlib
import json
from typing import Any, NamedTuple

from tests.fakes import anthropic_rules, anthropic_turns, examples
from tests.fakes.anthropic_turns import blocks
from tests.fakes.openai_answers import WORDS

THOUGHTS = ("The", " gate", " must", " first", " open.")
SIGNATURE = "sig-4vQpN0Zm+fake/thoughts=="
EXPLANATION = "This request was declined."
SMALLEST_CACHED = 1024
"""A shorter prefix is not cached ("Prompt caching", the minimum of Claude Sonnet 4.5)."""
LONGEST_PROMPT = 200_000

Cache = dict[str, int]
"""What a server has cached: a digest of each prefix, with its tokens."""


class Made(NamedTuple):
    """An honest answer in both shapes."""

    whole: bytes
    events: list[bytes]
    """Server-sent events, each with its blank line."""
    input_tokens: int
    output_tokens: int


class _Block(NamedTuple):
    start: dict[str, Any]
    whole: dict[str, Any]
    deltas: list[dict[str, Any]]
    tokens: int


class _Turn(NamedTuple):
    blocks: list[_Block]
    stop_reason: str
    stop_sequence: str | None = None
    stop_details: dict[str, Any] | None = None


def messages(body: dict[str, Any], cache: Cache) -> Made:
    """Answer a valid request, and remember the prefixes that it marks."""
    turn = _turn(body)
    usage = _usage(body, cache, sum(block.tokens for block in turn.blocks))
    ending = {
        "stop_reason": turn.stop_reason,
        "stop_sequence": turn.stop_sequence,
        "stop_details": turn.stop_details,
    }
    head = {"id": "msg_fake1", "type": "message", "role": "assistant", "model": _dated(body["model"])}
    whole = {**head, "content": [block.whole for block in turn.blocks], **ending, "usage": usage}
    opening = {"stop_reason": None, "stop_sequence": None, "stop_details": None}
    start = {**head, "content": [], **opening, "usage": usage | {"output_tokens": 1}}
    return Made(
        json.dumps(whole, ensure_ascii=False).encode(),
        _events(start, turn.blocks, ending, usage),
        count_tokens(body),
        usage["output_tokens"],
    )


def count_tokens(body: dict[str, Any]) -> int:
    """The input tokens of a request, cached or not."""
    return sum(tokens for _, tokens, _ in _segments(body))


def _dated(model: str) -> str:
    return f"{model}-20250929" if model == "claude-sonnet-4-5" else model


def _turn(body: dict[str, Any]) -> _Turn:
    text = anthropic_turns.words(_last(body))
    if "refuse" in text:
        details = {"type": "refusal", "category": "general_harms", "explanation": EXPLANATION}
        return _Turn([], "refusal", stop_details=details)
    thoughts = _thoughts(body)
    calls = _calls(body, text)
    if calls:
        return _Turn([*thoughts, *calls], "tool_use")
    spent = sum(block.tokens for block in thoughts)
    pieces, stop, cut = examples.cut_text(
        _text(body), body.get("stop_sequences") or [], max(body["max_tokens"] - spent, 0)
    )
    told = [_words(pieces)] if pieces else []
    return _Turn([*thoughts, *told], "max_tokens" if cut else "stop_sequence" if stop else "end_turn", stop)


def _last(body: dict[str, Any]) -> dict[str, Any]:
    """The last turn that is not the system's."""
    return next(message for message in reversed(body["messages"]) if message["role"] != "system")


def _text(body: dict[str, Any]) -> list[str]:
    wanted = (body.get("output_config") or {}).get("format") or body.get("output_format")
    if wanted:
        return examples.chop(examples.compact(examples.example(wanted["schema"])), 6)
    images = _images(body["messages"])
    if images:
        return examples.chop(f"I see {images} image{'s' if images > 1 else ''}.", 6)
    return list(WORDS)


def _words(pieces: list[str]) -> _Block:
    deltas = [{"type": "text_delta", "text": piece} for piece in pieces]
    return _Block({"type": "text", "text": ""}, {"type": "text", "text": "".join(pieces)}, deltas, len(pieces))


def _thoughts(body: dict[str, Any]) -> list[_Block]:
    """Thoughts with their signature; ``display: omitted`` keeps the signature alone."""
    unasked = anthropic_rules.MODELS.get(body["model"], anthropic_rules.FAULTY).thinks_unasked
    thinking = body.get("thinking") or {"type": "adaptive" if unasked else "disabled"}
    forced = (body.get("tool_choice") or {}).get("type") in ("any", "tool")
    if thinking["type"] not in ("enabled", "adaptive") or (forced and "thinking" not in body):
        return []
    shown = () if thinking.get("display", "omitted" if unasked else "summarized") == "omitted" else THOUGHTS
    whole = {"type": "thinking", "thinking": "".join(shown), "signature": SIGNATURE}
    deltas = [{"type": "thinking_delta", "thinking": piece} for piece in shown]
    deltas.append({"type": "signature_delta", "signature": SIGNATURE})
    return [_Block({"type": "thinking", "thinking": "", "signature": ""}, whole, deltas, len(THOUGHTS))]


def _calls(body: dict[str, Any], text: str) -> list[_Block]:
    tools = {tool["name"]: tool for tool in body.get("tools", ()) if "input_schema" in tool}
    choice = body.get("tool_choice") or {"type": "auto"}
    if not tools or choice["type"] == "none":
        return []
    answered = any(block["type"] == "tool_result" for block in blocks(_last(body)))
    chosen = examples.wanted_tools(
        text,
        list(tools),
        after_result=answered and choice["type"] == "auto",
        forced=choice.get("name"),
        single=choice.get("disable_parallel_tool_use") is True,
    )
    earlier = sum(block["type"] == "tool_use" for message in body["messages"] for block in blocks(message))
    return [_call(tools[name], index, f"toolu_{earlier + index}") for index, name in enumerate(chosen)]


def _call(tool: dict[str, Any], index: int, identity: str) -> _Block:
    given = examples.arguments(tool["input_schema"], index)
    start = {"type": "tool_use", "id": identity, "name": tool["name"], "input": {}}
    # The first piece is empty, as the real stream has it.
    pieces = ["", *examples.chop(json.dumps(given, ensure_ascii=False), 5)]
    deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
    return _Block(start, start | {"input": given}, deltas, len(pieces) - 1)


def _images(turns: list[dict[str, Any]]) -> int:
    return sum(block["type"] == "image" for message in turns for block in blocks(message))


def _segments(body: dict[str, Any]) -> list[tuple[str, int, bool]]:
    """The prompt in its order, each part as text, with its tokens and whether it ends a prefix to be cached."""
    system = body.get("system") or []
    if isinstance(system, str):
        system = [{"type": "text", "text": system}]
    parts: list[tuple[str, dict[str, Any]]] = [("tools", tool) for tool in body.get("tools", ())]
    parts += [("system", block) for block in system]
    parts += [(message["role"], block) for message in body["messages"] for block in blocks(message)]
    marked = [part.get("cache_control") is not None for _, part in parts]
    if body.get("cache_control"):
        marked[-1] = True
    return [(role + _plain(part), _tokens(part), mark) for (role, part), mark in zip(parts, marked, strict=True)]


def _plain(part: dict[str, Any]) -> str:
    return json.dumps({name: value for name, value in part.items() if name != "cache_control"}, sort_keys=True)


def _tokens(part: dict[str, Any]) -> int:
    if part.get("type") == "image":
        return 10
    return len(anthropic_turns.words({"content": [{"type": "custom", **part}]}).split())


def _usage(body: dict[str, Any], cache: Cache, output_tokens: int) -> dict[str, Any]:
    """What was read from the cache, what was written to it, and the rest: the three add up to the whole prompt."""
    digest, total, read, marked = hashlib.sha256(body["model"].encode()), 0, 0, 0
    written: Cache = {}
    for text, tokens, mark in _segments(body):
        digest.update(text.encode())
        total += tokens
        read = cache.get(digest.hexdigest(), read)
        if mark and total >= SMALLEST_CACHED:
            marked = total
            written[digest.hexdigest()] = total
    read = min(read, marked)
    cache.update(written)
    created = marked - read
    hour = any((mark["cache_control"]).get("ttl") == "1h" for mark in anthropic_turns.cache_marks(body))
    return {
        "input_tokens": total - marked,
        "cache_creation_input_tokens": created,
        "cache_read_input_tokens": read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": 0 if hour else created,
            "ephemeral_1h_input_tokens": created if hour else 0,
        },
        "output_tokens": output_tokens,
        "service_tier": "standard",
    }


def _events(start: dict[str, Any], made: list[_Block], ending: dict[str, Any], usage: dict[str, Any]) -> list[bytes]:
    events: list[dict[str, Any]] = [{"type": "message_start", "message": start}]
    for index, block in enumerate(made):
        events.append({"type": "content_block_start", "index": index, "content_block": block.start})
        if index == 0:
            events.append({"type": "ping"})
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in block.deltas]
        events.append({"type": "content_block_stop", "index": index})
    counts = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens")
    last = {name: usage[name] for name in counts}
    events.append({"type": "message_delta", "delta": ending, "usage": last})
    events.append({"type": "message_stop"})
    return [event(each) for each in events]


def event(data: dict[str, Any]) -> bytes:
    """One named server-sent event."""
    return f"event: {data['type']}\ndata: {examples.compact(data)}\n\n".encode()
