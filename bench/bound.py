"""What it costs to know the most that a request can use, and how far that is from what it does use.

    python -m bench.bound

CPU time, the best of several rounds. The requests are an agent's: code in mostly ASCII, tool calls and results. An
anchor is what a provider reported for all but the last two messages. "Tokens" is what OpenAI's tokenizer counts.
Targets: 5 µs for 1 KB, 1 ms for 500 KB.
"""

import asyncio
import json

from bench.translation import best_us
from headgate.tokens.anchors import Anchors, anchored_bound, fingerprint
from headgate.tokens.bound import input_bound, tokenizer_bound
from headgate.tokens.counting import count_texts
from headgate.tokens.weight import weigh
from headgate.wire.anthropic_messages import ANTHROPIC_MESSAGES
from headgate.wire.format import WireFormat
from headgate.wire.openai_chat import OPENAI_CHAT

MODELS = {"openai_chat": "gpt-4o", "anthropic_messages": "claude-sonnet-4-5"}
CODE = 'def total(items: list[int]) -> int:\n    """Sum – of all."""\n    return sum(item for item in items)\n\n'
PLAIN = 1000


def request(form: WireFormat, size: int) -> bytes:
    """An agent's conversation of about so many bytes; a short one is two plain texts."""
    if size <= PLAIN:
        text = (CODE * 99)[: size // 2 - 50]
        plain = [{"role": "system", "content": text}, {"role": "user", "content": text}]
        return json.dumps({"model": "alias", "max_tokens": 512, "messages": plain}, ensure_ascii=False).encode()
    turn = min(4000, size // 3)
    text = (CODE * (turn // len(CODE) + 1))[:turn]
    messages: list[dict[str, object]] = [{"role": "user", "content": text}]
    while len(json.dumps(messages)) < size:
        number = len(messages)
        if form is OPENAI_CHAT:
            call = {"name": "read_file", "arguments": f'{{"path": "src/{number}.py"}}'}
            calls = [{"id": f"call_{number}", "type": "function", "function": call}]
            messages.append({"role": "assistant", "content": None, "tool_calls": calls})
            messages.append({"role": "tool", "tool_call_id": f"call_{number}", "content": text})
        else:
            use = {"type": "tool_use", "id": f"toolu_{number}", "name": "read_file", "input": {"path": f"{number}.py"}}
            result = {"type": "tool_result", "tool_use_id": f"toolu_{number}", "content": text}
            messages.append({"role": "assistant", "content": [use]})
            messages.append({"role": "user", "content": [result]})
    body = {"model": "alias", "max_tokens": 512, "messages": messages}
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def measure(form: WireFormat, size: int) -> str:
    model, body = MODELS[form.name], request(form, size)
    envelope = form.parse_envelope(body)
    fields, times = envelope.fields, max(3, 300_000 // size)
    bound = input_bound(form, envelope, model, None)
    weight = weigh(form.name, fields, model)
    conversation = fingerprint(b"tenant", form.name, fields, model, weight)
    anchors = Anchors()
    tokens = count_texts(model, form.input_text(envelope))
    anchored: int | None = None
    if conversation is not None and len(conversation.messages) > 2:
        last = conversation.messages[-2:]
        before = conversation.fingerprints[:-2], conversation.messages[:-2], conversation.breakpoint_bytes[:-2]
        added = sum(count_texts(model, [bytes(each).decode()]) for each in last)
        anchors.learn(type(conversation)(*before), tokens - added)

    def with_anchor() -> int | None:
        weight = weigh(form.name, fields, model)
        found = fingerprint(b"tenant", form.name, fields, model, weight)
        anchor = None if found is None else anchors.find(found)
        if found is None or anchor is None:
            return None
        return anchored_bound(form.name, found, anchor, model)

    anchored = with_anchor()
    exact = asyncio.run(tokenizer_bound(form, envelope, model, None))
    plain_us = best_us(lambda: input_bound(form, envelope, model, None), times)
    anchor_us = best_us(with_anchor, times)
    return (
        f"{form.name:20} {len(body):8} {plain_us:9.1f} {anchor_us:9.1f} "
        f"{tokens:8} {bound or '-':>8} {anchored or '-':>9} {exact if form is OPENAI_CHAT else '-':>10}"
    )


def main() -> None:
    print(f"{'':29} {'µs':>9} {'µs with':>9} {'':8} {'bytes':>8} {'anchor':>9} {'tokenizer':>10}")
    print(f"{'':20} {'bytes':>8} {'':9} {'anchor':>9} {'tokens':>8} {'bound':>8} {'bound':>9} {'bound':>10}")
    for form in (OPENAI_CHAT, ANTHROPIC_MESSAGES):
        for size in (1_000, 160_000, 500_000):
            print(measure(form, size))


if __name__ == "__main__":
    main()
