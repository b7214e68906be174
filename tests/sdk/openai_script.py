"""Scenarios with the official ``openai`` SDK, unchanged; run in an environment of its own that has nothing else.

Prints one JSON object: what every scenario saw. The assertions are in test_openai_sdk.py. The environment says where
the gateway and the fake upstream are (``GATEWAY``, ``UPSTREAM``) and which keys to use.
"""

import asyncio
import base64
import json
import os
import sys
import time
import urllib.request
from collections.abc import Callable
from typing import Any

import openai
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

BASE_URL = os.environ["GATEWAY"] + "/v1"
KEY = os.environ["KEY"]
LIMITED_KEY = os.environ["LIMITED_KEY"]
UPSTREAM = os.environ["UPSTREAM"]

MESSAGES: Any = [{"role": "user", "content": "Hello there"}]
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAA"
    "DUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def _tool(name: str) -> Any:
    parameters = {"type": "object", "properties": {"place": {"type": "string"}, "call": {"type": "integer"}}}
    return {"type": "function", "function": {"name": name, "description": "A tool.", "parameters": parameters}}


class Gauge(BaseModel):
    """What the model is asked to fill in."""

    place: str
    level: int
    readings: list[float]


def client(**options: Any) -> OpenAI:
    return OpenAI(**{"base_url": BASE_URL, "api_key": KEY, "max_retries": 0, "timeout": 20.0, **options})


def chat() -> Any:
    answer = client().chat.completions.create(model="gpt-4o", messages=MESSAGES, max_tokens=50, user="u-1")
    choice = answer.choices[0]
    return {
        "text": choice.message.content,
        "finish": choice.finish_reason,
        "usage": answer.usage.to_dict() if answer.usage else None,
        "request_id": answer._request_id,
    }


def stream() -> Any:
    chunks = list(client().chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True))
    return {
        "text": "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices),
        "finish": chunks[-1].choices[0].finish_reason,
        "usage_seen": any(chunk.usage is not None for chunk in chunks),
        "all_have_choices": all(chunk.choices for chunk in chunks),
    }


def stream_with_usage() -> Any:
    options: Any = {"include_usage": True}
    chunks = list(
        client().chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True, stream_options=options)
    )
    last = chunks[-1]
    return {"choices": len(last.choices), "usage": last.usage.to_dict() if last.usage else None}


def stream_arrival() -> Any:
    """Every event is acknowledged to the upstream, which sends the next one only then."""
    options: Any = {"include_usage": True}
    events = client().chat.completions.create(
        model="fault-gated", messages=MESSAGES, stream=True, stream_options=options, user="arrival"
    )
    arrivals = []
    for _ in events:
        arrivals.append(time.monotonic())
        urllib.request.urlopen(
            urllib.request.Request(f"{UPSTREAM}/control/ack/arrival", method="POST", data=b""), timeout=5
        ).close()
    return {"events": len(arrivals), "rising": arrivals == sorted(arrivals)}


def tool_single() -> Any:
    answer = client().chat.completions.create(model="gpt-4o", messages=MESSAGES, tools=[_tool("weather")])
    calls: Any = answer.choices[0].message.tool_calls
    messages = [*MESSAGES, answer.choices[0].message, {"role": "tool", "tool_call_id": calls[0].id, "content": "rain"}]
    last = client().chat.completions.create(model="gpt-4o", messages=messages, tools=[_tool("weather")])
    return {
        "finish": answer.choices[0].finish_reason,
        "calls": [[call.id, call.function.name, json.loads(call.function.arguments)] for call in calls],
        "then": last.choices[0].message.content,
    }


def tools_parallel() -> Any:
    messages: Any = [{"role": "user", "content": "use both in parallel"}]
    tools = [_tool("weather"), _tool("clock")]
    answer = client().chat.completions.create(model="gpt-4o", messages=messages, tools=tools, parallel_tool_calls=True)
    calls: Any = answer.choices[0].message.tool_calls
    return [[call.id, call.function.name, json.loads(call.function.arguments)] for call in calls]


def tools_streamed() -> Any:
    messages: Any = [{"role": "user", "content": "use both in parallel"}]
    pieces = 0
    with client().chat.completions.stream(
        model="gpt-4o", messages=messages, tools=[_tool("weather"), _tool("clock")]
    ) as events:
        for event in events:
            pieces += event.type == "tool_calls.function.arguments.delta"
        calls: Any = events.get_final_completion().choices[0].message.tool_calls
    return {
        "pieces": pieces,
        "calls": [[call.id, call.function.name, json.loads(call.function.arguments)] for call in calls],
    }


def json_schema() -> Any:
    answer = client().chat.completions.parse(model="gpt-4o", messages=MESSAGES, response_format=Gauge)
    parsed = answer.choices[0].message.parsed
    return parsed.model_dump() if parsed else None


def json_schema_streamed() -> Any:
    with client().chat.completions.stream(model="gpt-4o", messages=MESSAGES, response_format=Gauge) as events:
        parsed = events.get_final_completion().choices[0].message.parsed
    return parsed.model_dump() if parsed else None


def images() -> Any:
    part: Any = {"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}}
    messages: Any = [{"role": "user", "content": [{"type": "text", "text": "What is this?"}, part, part]}]
    return client().chat.completions.create(model="gpt-4o", messages=messages).choices[0].message.content


def embeddings_default() -> Any:
    answer = client().embeddings.create(model="text-embedding-3-small", input=["one", "three words here"])
    return {"vectors": [item.embedding for item in answer.data], "tokens": answer.usage.prompt_tokens}


def embeddings_float() -> Any:
    answer = client().embeddings.create(
        model="text-embedding-3-small", input="one two", encoding_format="float", dimensions=4
    )
    return answer.data[0].embedding


def embeddings_base64() -> Any:
    answer = client().embeddings.create(model="text-embedding-3-small", input="one two", encoding_format="base64")
    coded: Any = answer.data[0].embedding
    return len(base64.b64decode(coded))


def models() -> Any:
    listed = [model.id for model in client().models.list()]
    one = client().models.retrieve("gpt-4o")
    return {
        "listed": listed,
        "one": [one.id, one.object],
        "limited": [m.id for m in client(api_key=LIMITED_KEY).models.list()],
    }


async def _async_client() -> Any:
    async with AsyncOpenAI(base_url=BASE_URL, api_key=KEY, max_retries=0) as aclient:
        answers = await asyncio.gather(
            *(aclient.chat.completions.create(model="gpt-4o", messages=MESSAGES) for _ in range(8))
        )
        events = await aclient.chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True)
        text = "".join([chunk.choices[0].delta.content or "" async for chunk in events if chunk.choices])
        vectors = await aclient.embeddings.create(model="text-embedding-3-small", input="one")
    return {
        "texts": sorted({a.choices[0].message.content for a in answers}),
        "streamed": text,
        "vectors": len(vectors.data),
    }


def async_client() -> Any:
    return asyncio.run(_async_client())


def raw_response() -> Any:
    raw = client().chat.completions.with_raw_response.create(model="gpt-4o", messages=MESSAGES)
    return {"headers": dict(raw.headers), "status": raw.status_code, "text": raw.parse().choices[0].message.content}


def streaming_response() -> Any:
    with client().chat.completions.with_streaming_response.create(
        model="gpt-4o", messages=MESSAGES, stream=True
    ) as raw:
        lines = [line for line in raw.iter_lines() if line]
        return {"headers": dict(raw.headers), "last": lines[-1]}


def idempotent() -> Any:
    """The same request twice under one key, and a client that sends its own key with every try."""

    def once() -> Any:
        raw = client().chat.completions.with_raw_response.create(
            model="gpt-4o", messages=MESSAGES, user="once", extra_headers={"idempotency-key": "sdk-once"}
        )
        return [raw.parse().id, raw.headers.get("x-headgate-idempotent-replay")]

    patient = client(max_retries=2)
    patient._idempotency_header = "Idempotency-Key"  # As Stainless' generator sets it for APIs that have one.
    failed = _failure(
        lambda: patient.chat.completions.create(model="fault-status-500", messages=MESSAGES, user="every-try")
    )
    return {"answers": [once(), once()], "failed": failed}


def _failure(act: Callable[[], Any]) -> Any:
    try:
        act()
    except openai.APIError as error:
        seen = {"class": type(error).__name__, "code": error.code, "type": error.type, "message": error.message}
        if isinstance(error, openai.APIStatusError):
            seen |= {
                "status": error.status_code,
                "request_id": error.request_id,
                "should_retry": error.response.headers.get("x-should-retry"),
                "retry_after": error.response.headers.get("retry-after"),
            }
        return seen
    return None


def _ask(model: str, **options: Any) -> Callable[[], Any]:
    def act() -> Any:
        return client(**options).chat.completions.create(model=model, messages=MESSAGES)

    return act


def _listen(model: str) -> Callable[[], Any]:
    """Read a stream to its end; what came before the failure is put on stderr for the curious."""

    def act() -> Any:
        text = ""
        for chunk in client().chat.completions.create(model=model, messages=MESSAGES, stream=True):
            text += (chunk.choices[0].delta.content or "") if chunk.choices else ""
        return text

    return act


def errors() -> Any:
    return {
        "wrong_key": _failure(_ask("gpt-4o", api_key="sk-nobody-knows-this-key")),
        "not_allowed": _failure(_ask("fault-html", api_key=LIMITED_KEY)),
        "unknown_model": _failure(_ask("no-such-model")),
        "rate_limited": _failure(_ask("fault-status-429-seconds")),
        "quota": _failure(_ask("fault-quota")),
        "bad_request": _failure(_ask("fault-status-400")),
        "context_length": _failure(_ask("fault-context-length")),
        "routing_field": _failure(
            lambda: client().chat.completions.create(
                model="gpt-4o", messages=MESSAGES, extra_body={"api_base": "http://x"}
            )
        ),
        "too_large": _failure(
            lambda: client().chat.completions.create(
                model="gpt-4o", messages=[{"role": "user", "content": "x" * (33 * 1024 * 1024)}]
            )
        ),
        "deadline": _failure(
            lambda: client().chat.completions.create(
                model="fault-stall-before", messages=MESSAGES, extra_headers={"x-headgate-timeout": "300ms"}
            )
        ),
        "upstream_500": _failure(_ask("fault-status-500")),
        "upstream_503": _failure(_ask("fault-status-503")),
        "upstream_credential": _failure(_ask("fault-status-401")),
        "upstream_html": _failure(_ask("fault-html")),
        "upstream_stalls": _failure(_ask("fault-stall-before")),
        "client_timeout": _failure(_ask("fault-stall-before", timeout=0.3)),
        "stream_before_content": _failure(_listen("fault-status-500")),
        "stream_cut": _failure(_listen("fault-cut-5")),
        "stream_stalls": _failure(_listen("fault-stall-5")),
        "stream_error_event": _failure(_listen("fault-error-event-5")),
        "stream_without_done": _failure(_listen("fault-end-5")),
        "retried": _failure(_ask("fault-status-502", max_retries=2)),
        "not_retried": _failure(_ask("fault-status-403", max_retries=2)),
    }


SCENARIOS = (
    chat,
    stream,
    stream_with_usage,
    stream_arrival,
    tool_single,
    tools_parallel,
    tools_streamed,
    json_schema,
    json_schema_streamed,
    images,
    embeddings_default,
    embeddings_float,
    embeddings_base64,
    models,
    async_client,
    raw_response,
    streaming_response,
    idempotent,
    errors,
)


def main() -> None:
    """Run every scenario; one that raises reports its exception, so that the others are still seen."""
    seen: dict[str, Any] = {}
    for scenario in SCENARIOS:
        try:
            seen[scenario.__name__] = scenario()
        except Exception as error:
            seen[scenario.__name__] = {"raised": f"{type(error).__name__}: {error}"}
    json.dump(seen, sys.stdout)


if __name__ == "__main__":
    main()
