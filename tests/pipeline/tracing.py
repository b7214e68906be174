"""A call and a trace of it, as the pipeline has them in hand."""

from headgate.pipeline.call import Call
from headgate.pipeline.trace import Trace
from headgate.wire import WIRE_FORMATS

CHAT = WIRE_FORMATS["openai_chat"]
BODY = b'{"model":"gpt-4o","user":"ada","metadata":{"job":"x"},"messages":[{"role":"user","content":"hello there"}]}'
ENVELOPE = CHAT.parse_envelope(BODY)


def trace_of(**changes: object) -> Trace:
    facts: dict[str, object] = {
        "request_id": "req_1",
        "wire_format": CHAT,
        "body": BODY,
        "presented_key": None,
        "started_at_ms": 1_795_442_400_000,
        "started": 100.0,
    }
    return Trace(Call(**(facts | changes)))  # type: ignore[arg-type]
