"""The scenarios of the compatibility matrix with the official ``anthropic`` SDK, in an environment of its own.

Prints one JSON object: what every scenario saw, in the words of `matrix.py`, where the expectations are. The
environment says where to ask (``GATEWAY``), with which keys and for which models.
"""

import os
from collections.abc import Callable
from typing import Any

import anthropic
from anthropic import Anthropic
from pydantic import BaseModel
from reporting import report

MODEL = os.environ["MODEL"]
FAULTS = os.environ["FAULTS"]
TIMEOUT_S = float(os.environ.get("TIMEOUT_S", "20"))
ASKED: Any = [{"role": "user", "content": "Hello there"}]
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
FINISH = {
    "end_turn": "end",
    "stop_sequence": "end",
    "max_tokens": "length",
    "tool_use": "tools",
    "refusal": "refusal",
}


class Gauge(BaseModel):
    """What the model is asked to fill in."""

    place: str
    level: int
    readings: list[float]


def client(**options: Any) -> Anthropic:
    plain = {"base_url": os.environ["GATEWAY"], "api_key": os.environ["KEY"], "max_retries": 0, "timeout": TIMEOUT_S}
    return Anthropic(**(plain | options))


def refusable(scenario: Callable[[], Any]) -> Callable[[], Any]:
    """A scenario that reports a refusal by name instead of raising it."""

    def run() -> Any:
        try:
            return scenario()
        except anthropic.APIStatusError as error:
            return {"refused": failure(error)}

    run.__name__ = scenario.__name__
    return run


def failure(error: anthropic.APIError) -> dict[str, Any]:
    """An error of the SDK as data."""
    body: Any = error.body
    detail = body.get("error", {}) if isinstance(body, dict) else {}
    ours = detail.get("headgate") or {}
    seen = {"class": type(error).__name__, "code": ours.get("code"), "param": ours.get("param")}
    if isinstance(error, anthropic.APIStatusError):
        seen |= {
            "status": error.status_code,
            "request_id": bool(error.request_id),
            "should_retry": error.response.headers.get("x-should-retry"),
            "retry_after": error.response.headers.get("retry-after"),
        }
    return seen


def create(**body: Any) -> Any:
    return client().messages.create(**({"model": MODEL, "max_tokens": 200, "messages": ASKED} | body))


def tool(name: str) -> Any:
    schema = {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]}
    return {"name": name, "description": "A tool.", "input_schema": schema}


def text_of(message: Any) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


def calls_of(message: Any) -> list[Any]:
    return [[block.name, block.input] for block in message.content if block.type == "tool_use"]


def tokens_of(message: Any) -> list[int]:
    usage = message.usage
    cached = (usage.cache_read_input_tokens or 0) + (usage.cache_creation_input_tokens or 0)
    return [usage.input_tokens + cached, usage.output_tokens]


def seen_of(message: Any) -> dict[str, Any]:
    return {"text": text_of(message), "finish": FINISH[message.stop_reason], "tokens": tokens_of(message)}


def text() -> Any:
    return seen_of(create())


def stream() -> Any:
    with client().messages.stream(model=MODEL, max_tokens=200, messages=ASKED) as events:
        pieces = list(events.text_stream)
        return seen_of(events.get_final_message()) | {"several": len(pieces) > 5}


def multi_turn() -> Any:
    turns = [*ASKED, {"role": "assistant", "content": "Hi."}, {"role": "user", "content": "And now?"}]
    return seen_of(create(messages=turns))


def system() -> Any:
    return seen_of(create(system="Be very brief."))


def images() -> Any:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
    turns = [{"role": "user", "content": [image, image, {"type": "text", "text": "What is this?"}]}]
    return text_of(create(messages=turns))


def _with_results(asked: list[Any], tools: list[Any]) -> Any:
    answer = create(messages=asked, tools=tools)
    results = [
        {"type": "tool_result", "tool_use_id": block.id, "content": "rain"}
        for block in answer.content
        if block.type == "tool_use"
    ]
    turns = [*asked, {"role": "assistant", "content": answer.content}, {"role": "user", "content": results}]
    then = text_of(create(messages=turns, tools=tools))
    return {"calls": calls_of(answer), "finish": FINISH[answer.stop_reason], "then": then}


def one_tool() -> Any:
    return _with_results(ASKED, [tool("weather"), tool("clock")])


def parallel_tools() -> Any:
    return _with_results([{"role": "user", "content": "in parallel"}], [tool("weather"), tool("clock")])


def streamed_arguments() -> Any:
    asked: Any = [{"role": "user", "content": "in parallel"}]
    tools: Any = [tool("weather"), tool("clock")]
    with client().messages.stream(model=MODEL, max_tokens=200, messages=asked, tools=tools) as events:
        pieces = sum(event.type == "input_json" for event in events)
        return {"calls": calls_of(events.get_final_message()), "several": pieces > 4}


def forced_tool() -> Any:
    choice = {"type": "tool", "name": "clock"}
    return calls_of(create(tools=[tool("weather"), tool("clock")], tool_choice=choice))


def json_schema() -> Any:
    answer = client().messages.parse(model=MODEL, max_tokens=200, messages=ASKED, output_format=Gauge)
    return answer.parsed_output.model_dump() if answer.parsed_output else None


def stop() -> Any:
    seen = seen_of(create(stop_sequences=[" aus"]))
    return {"text": seen["text"], "finish": seen["finish"]}


def max_tokens() -> Any:
    return seen_of(create(max_tokens=3))


def cached_usage() -> Any:
    marked = [{"type": "text", "text": "cached " * 1500, "cache_control": {"type": "ephemeral"}}]
    create(system=marked)
    answer = create(system=marked)
    return {"cached": (answer.usage.cache_read_input_tokens or 0) >= 1024, "total": tokens_of(answer)[0]}


def thinking() -> Any:
    answer = create(model=os.environ["THINKING_MODEL"], thinking={"type": "adaptive"}, output_config={"effort": "low"})
    return {"text": text_of(answer), "thought": answer.usage.output_tokens > 13}


def thinking_budget() -> Any:
    budget: Any = {"type": "enabled", "budget_tokens": 1024}
    raw = client().messages.with_raw_response.create(
        model=os.environ["BUDGET_MODEL"], max_tokens=3000, messages=ASKED, thinking=budget
    )
    answer = raw.parse()
    seen = {"text": text_of(answer), "thought": answer.usage.output_tokens > 13}
    ignored = raw.headers.get("x-headgate-ignored")
    return seen | ({"ignored": ignored} if ignored else {})


def thoughts_return() -> Any:
    """Thoughts go back with a tool's result, which a provider that signed them demands."""
    options: Any = {
        "model": os.environ["BUDGET_MODEL"],
        "max_tokens": 3000,
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "tools": [tool("weather")],
    }
    answer = create(**options)
    results = [
        {"type": "tool_result", "tool_use_id": block.id, "content": "rain"}
        for block in answer.content
        if block.type == "tool_use"
    ]
    turns = [*ASKED, {"role": "assistant", "content": answer.content}, {"role": "user", "content": results}]
    return {"calls": calls_of(answer), "then": text_of(create(messages=turns, **options))}


def server_tool() -> Any:
    return text_of(create(tools=[{"type": "web_search_20250305", "name": "web_search"}]))


def refusal() -> Any:
    answer = create(messages=[{"role": "user", "content": "please refuse"}])
    return {"finish": FINISH[answer.stop_reason]}


def count_tokens() -> Any:
    return client().messages.count_tokens(model=MODEL, messages=ASKED).input_tokens > 0


def models() -> Any:
    listed = {model.id for model in client().models.list()}
    return {"listed": MODEL in listed, "one": client().models.retrieve(MODEL).id == MODEL}


def _error(act: Callable[[], Any]) -> Any:
    try:
        act()
    except anthropic.APIError as error:
        return failure(error)
    except Exception as error:  # The SDK lets some faults of a connection through as they are.
        return {"class": type(error).__name__, "code": None}
    return None


def _ask(model: str, **options: Any) -> Callable[[], Any]:
    return lambda: client(**options).messages.create(model=model, max_tokens=200, messages=ASKED)


def _listen(model: str) -> Callable[[], Any]:
    return lambda: list(client().messages.create(model=model, max_tokens=200, messages=ASKED, stream=True))


def errors() -> Any:
    large: Any = [{"role": "user", "content": "x" * (33 * 1024 * 1024)}]
    limited = os.environ["LIMITED_KEY"]
    return {
        "wrong_key": _error(_ask(MODEL, api_key="sk-nobody-knows-this-key")),
        "not_allowed": _error(_ask(f"{FAULTS}html", api_key=limited)),
        "unknown_model": _error(_ask("no-such-model")),
        "bad_request": _error(_ask(f"{FAULTS}status-400")),
        "context_length": _error(_ask(f"{FAULTS}context-length")),
        "too_large": _error(lambda: client().messages.create(model=MODEL, max_tokens=9, messages=large)),
        "rate_limited": _error(_ask(f"{FAULTS}status-429-seconds")),
        "upstream_credential": _error(_ask(f"{FAULTS}status-401")),
        "upstream_error": _error(_ask(f"{FAULTS}status-500")),
        "overloaded": _error(_ask(f"{FAULTS}status-529")),
        "upstream_html": _error(_ask(f"{FAULTS}html")),
        "upstream_timeout": _error(_ask(f"{FAULTS}stall-before")),
        "client_timeout": _error(_ask(f"{FAULTS}stall-before", timeout=0.3)),
        "stream_error_event": _error(_listen(f"{FAULTS}error-event-5")),
        "stream_cut": _error(_listen(f"{FAULTS}cut-5")),
        "stream_without_end": _error(_listen(f"{FAULTS}end-5")),
    }


SCENARIOS = (
    *(text, stream, multi_turn, system, images, one_tool, parallel_tools, streamed_arguments, forced_tool),
    *(json_schema, stop, max_tokens, cached_usage, thinking, thinking_budget, thoughts_return, server_tool, refusal),
    *(count_tokens, models),
)


if __name__ == "__main__":
    report([*map(refusable, SCENARIOS), errors])
