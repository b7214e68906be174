"""What translation across wire formats costs: µs per request, per whole answer and per stream event, for each pair.

    python -m bench.translation

Figures are CPU time, the best of several rounds, so that other work on the machine matters least. The request is a
chat of about 1 KB with two tools; the stream is mostly text, as streams are. Targets: 60 µs a request, 12 µs an event.
"""

import json
import time
from collections.abc import Callable

from headgate.wire.anthropic_messages import ANTHROPIC_MESSAGES
from headgate.wire.format import UpstreamBody, WireFormat
from headgate.wire.openai_chat import OPENAI_CHAT
from headgate.wire.translate import TranslatingMeter, translate_answer, translate_request

ROUNDS = 15
EVENTS = 400
TEXT = "Headgate stands between applications and providers, and meters what flows. "
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
UPSTREAM = UpstreamBody("upstream-model", include_usage=True)


def openai_request() -> bytes:
    function = {"name": "get_weather", "description": "Weather of a city", "parameters": SCHEMA}
    call = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city":"Paris"}'}}
    body = {
        "model": "alias",
        "messages": [
            {"role": "system", "content": TEXT},
            {"role": "user", "content": TEXT * 2},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "content": "18 °C"},
            {"role": "user", "content": TEXT * 2},
        ],
        "tools": [{"type": "function", "function": {**function, "name": name}} for name in ("get_weather", "now")],
        "max_completion_tokens": 512,
        "temperature": 0.7,
        "stream": True,
    }
    return json.dumps(body, separators=(",", ":")).encode()


def anthropic_request() -> bytes:
    tool = {"name": "get_weather", "description": "Weather of a city", "input_schema": SCHEMA}
    call = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Paris"}}
    body = {
        "model": "alias",
        "max_tokens": 512,
        "system": [{"type": "text", "text": TEXT, "cache_control": {"type": "ephemeral"}}],
        "messages": [
            {"role": "user", "content": TEXT * 2},
            {"role": "assistant", "content": [call]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "18 °C"}]},
            {"role": "user", "content": TEXT * 2},
        ],
        "tools": [{**tool, "name": name} for name in ("get_weather", "now")],
        "temperature": 0.7,
        "stream": True,
    }
    return json.dumps(body, separators=(",", ":")).encode()


def openai_answer() -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": TEXT * 10, "refusal": None}, "logprobs": None}
    usage = {"prompt_tokens": 200, "completion_tokens": 150, "total_tokens": 350}
    body = {"id": "c", "object": "chat.completion", "created": 1, "model": "gpt-4.1"}
    return json.dumps({**body, "choices": [{**choice, "finish_reason": "stop"}], "usage": usage}).encode()


def anthropic_answer() -> bytes:
    usage = {"input_tokens": 200, "cache_read_input_tokens": 0, "output_tokens": 150}
    body = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "stop_sequence": None}
    content = [{"type": "text", "text": TEXT * 10}]
    return json.dumps({**body, "content": content, "stop_reason": "end_turn", "usage": usage}).encode()


def openai_stream(events: int) -> list[bytes]:
    head = {"id": "chatcmpl-B9", "object": "chat.completion.chunk", "created": 1741569952, "model": "gpt-4.1"}
    head |= {"service_tier": "default", "system_fingerprint": "fp_44709d6fcb"}

    def chunk(delta: dict[str, object], reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return b"data: " + json.dumps({**head, "choices": [choice]}, separators=(",", ":")).encode() + b"\n\n"

    usage = {"prompt_tokens": 20, "completion_tokens": events, "total_tokens": events + 20}
    tail = json.dumps({**head, "choices": [], "usage": usage}, separators=(",", ":")).encode()
    texts = [chunk({"content": " token"}) for _ in range(events)]
    return [
        chunk({"role": "assistant", "content": ""}), *texts, chunk({}, "stop"), b"data: " + tail + b"\n\n",
        b"data: [DONE]\n\n",
    ]  # fmt: skip


def anthropic_stream(events: int) -> list[bytes]:
    def event(data: dict[str, object]) -> bytes:
        return f"event: {data['type']}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n".encode()

    usage = {"input_tokens": 20, "output_tokens": 1}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "content": [], "model": "claude", "usage": usage}
    delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": " token"}}
    end = {"stop_reason": "end_turn", "stop_sequence": None}
    return [
        event({"type": "message_start", "message": message}),
        event({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        *[event(delta)] * events,
        event({"type": "content_block_stop", "index": 0}),
        event({"type": "message_delta", "delta": end, "usage": {"output_tokens": events}}),
        event({"type": "message_stop"}),
    ]


def best_us(work: Callable[[], object], times: int) -> float:
    """Return the shortest of several rounds, µs for one."""
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.process_time()
        for _ in range(times):
            work()
        best = min(best, time.process_time() - start)
    return best / times * 1e6


def measure(caller: WireFormat, provider: WireFormat) -> tuple[float, float, float]:
    request, answer, stream = BODIES[caller.name][0](), BODIES[provider.name][1](), BODIES[provider.name][2](EVENTS)
    envelope = caller.parse_envelope(request)

    def pump() -> None:
        meter = TranslatingMeter(caller, provider, True, 0)
        for piece in stream:
            meter.feed(piece)
        meter.close()
        assert meter.finished
        assert meter.metered().usage is not None

    return (
        best_us(lambda: translate_request(caller, provider, envelope, UPSTREAM), 300),
        best_us(lambda: translate_answer(caller, provider, answer, 0), 300),
        best_us(pump, 3) / len(stream),
    )


BODIES = {
    "openai_chat": (openai_request, openai_answer, openai_stream),
    "anthropic_messages": (anthropic_request, anthropic_answer, anthropic_stream),
}


def main() -> None:
    formats = (OPENAI_CHAT, ANTHROPIC_MESSAGES)
    print(f"{'caller → provider':42} {'request':>9} {'answer':>9} {'event':>9}   (µs, meter included)")
    for caller in formats:
        for provider in formats:
            request, answer, event = measure(caller, provider)
            print(f"{caller.name + ' → ' + provider.name:42} {request:9.1f} {answer:9.1f} {event:9.2f}")
    print(f"request bodies: {len(openai_request())} and {len(anthropic_request())} bytes")


if __name__ == "__main__":
    main()
