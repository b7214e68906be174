"""The scenarios of the compatibility matrix with the official ``openai`` SDK, in an environment of its own.

Prints one JSON object: what every scenario saw, in the words of `matrix.py`, where the expectations are. The
environment says where to ask (``GATEWAY``), with which keys and for which models.
"""

import json
import os
from collections.abc import Callable
from typing import Any

import openai
from openai import OpenAI
from pydantic import BaseModel
from reporting import report

MODEL = os.environ["MODEL"]
FAULTS = os.environ["FAULTS"]
TIMEOUT_S = float(os.environ.get("TIMEOUT_S", "20"))
ASKED: Any = [{"role": "user", "content": "Hello there"}]
PIXEL = (
    "data:image/png;base64,"
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
FINISH = {"stop": "end", "length": "length", "tool_calls": "tools", "content_filter": "refusal"}


class Gauge(BaseModel):
    """What the model is asked to fill in."""

    place: str
    level: int
    readings: list[float]


def client(**options: Any) -> OpenAI:
    plain = {
        "base_url": os.environ["GATEWAY"] + "/v1",
        "api_key": os.environ["KEY"],
        "max_retries": 0,
        "timeout": TIMEOUT_S,
    }
    return OpenAI(**(plain | options))


def refusable(scenario: Callable[[], Any]) -> Callable[[], Any]:
    """A scenario that reports a refusal by name instead of raising it."""

    def run() -> Any:
        try:
            return scenario()
        except openai.APIStatusError as error:
            return {"refused": failure(error)}

    run.__name__ = scenario.__name__
    return run


def failure(error: openai.APIError) -> dict[str, Any]:
    """An error of the SDK as data."""
    seen = {"class": type(error).__name__, "code": error.code, "param": error.param}
    if isinstance(error, openai.APIStatusError):
        seen |= {
            "status": error.status_code,
            "request_id": bool(error.request_id),
            "should_retry": error.response.headers.get("x-should-retry"),
            "retry_after": error.response.headers.get("retry-after"),
        }
    return seen


def create(**body: Any) -> Any:
    return client().chat.completions.create(**({"model": MODEL, "messages": ASKED} | body))


def tool(name: str) -> Any:
    schema = {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]}
    return {"type": "function", "function": {"name": name, "description": "A tool.", "parameters": schema}}


def calls_of(message: Any) -> list[Any]:
    return [[call.function.name, json.loads(call.function.arguments)] for call in message.tool_calls or ()]


def tokens_of(answer: Any) -> list[int]:
    return [answer.usage.prompt_tokens, answer.usage.completion_tokens]


def seen_of(answer: Any) -> dict[str, Any]:
    choice = answer.choices[0]
    return {
        "text": choice.message.content,
        "finish": FINISH[choice.finish_reason],
        "tokens": tokens_of(answer),
    }


def text() -> Any:
    return seen_of(create())


def stream() -> Any:
    options: Any = {"include_usage": True}
    with client().chat.completions.stream(model=MODEL, messages=ASKED, stream_options=options) as events:
        pieces = sum(event.type == "content.delta" for event in events)
        return seen_of(events.get_final_completion()) | {"several": pieces > 5}


def multi_turn() -> Any:
    turns = [*ASKED, {"role": "assistant", "content": "Hi."}, {"role": "user", "content": "And now?"}]
    return seen_of(create(messages=turns))


def system() -> Any:
    return seen_of(create(messages=[{"role": "system", "content": "Be very brief."}, *ASKED]))


def images() -> Any:
    image = {"type": "image_url", "image_url": {"url": PIXEL}}
    turns = [{"role": "user", "content": [image, image, {"type": "text", "text": "What is this?"}]}]
    return create(messages=turns).choices[0].message.content


def _with_results(asked: list[Any], tools: list[Any]) -> Any:
    choice = create(messages=asked, tools=tools).choices[0]
    results = [{"role": "tool", "tool_call_id": call.id, "content": "rain"} for call in choice.message.tool_calls or ()]
    then = create(messages=[*asked, choice.message, *results], tools=tools).choices[0].message.content
    return {"calls": calls_of(choice.message), "finish": FINISH[choice.finish_reason], "then": then}


def one_tool() -> Any:
    return _with_results(ASKED, [tool("weather"), tool("clock")])


def parallel_tools() -> Any:
    return _with_results([{"role": "user", "content": "in parallel"}], [tool("weather"), tool("clock")])


def streamed_arguments() -> Any:
    asked: Any = [{"role": "user", "content": "in parallel"}]
    tools: Any = [tool("weather"), tool("clock")]
    with client().chat.completions.stream(model=MODEL, messages=asked, tools=tools) as events:
        pieces = sum(event.type == "tool_calls.function.arguments.delta" for event in events)
        return {"calls": calls_of(events.get_final_completion().choices[0].message), "several": pieces > 4}


def forced_tool() -> Any:
    choice = {"type": "function", "function": {"name": "clock"}}
    return calls_of(create(tools=[tool("weather"), tool("clock")], tool_choice=choice).choices[0].message)


def json_schema() -> Any:
    answer = client().chat.completions.parse(model=MODEL, messages=ASKED, response_format=Gauge)
    parsed = answer.choices[0].message.parsed
    return parsed.model_dump() if parsed else None


def stop() -> Any:
    seen = seen_of(create(stop=[" aus"]))
    return {"text": seen["text"], "finish": seen["finish"]}


def max_tokens() -> Any:
    return seen_of(create(max_completion_tokens=3))


def cached_usage() -> Any:
    turns = [{"role": "system", "content": "cached " * 1500}, *ASKED]
    create(messages=turns)
    answer = create(messages=turns)
    details = answer.usage.prompt_tokens_details
    return {"cached": (details.cached_tokens if details else 0) >= 1024, "total": answer.usage.prompt_tokens}


def thinking() -> Any:
    answer = create(model=os.environ["THINKING_MODEL"], reasoning_effort="low")
    return {"text": answer.choices[0].message.content, "thought": answer.usage.completion_tokens > 13}


def temperature() -> Any:
    return create(temperature=0.2).choices[0].message.content


def choices() -> Any:
    return len(create(n=2).choices)


def refusal() -> Any:
    choice = create(messages=[{"role": "user", "content": "please refuse"}]).choices[0]
    return {"finish": "refusal" if choice.message.refusal else FINISH[choice.finish_reason]}


def models() -> Any:
    listed = {model.id for model in client().models.list()}
    return {"listed": MODEL in listed, "one": client().models.retrieve(MODEL).id == MODEL}


def _error(act: Callable[[], Any]) -> Any:
    try:
        act()
    except openai.APIError as error:
        return failure(error)
    except Exception as error:  # The SDK lets some faults of a connection through as they are.
        return {"class": type(error).__name__, "code": None}
    return None


def _ask(model: str, **options: Any) -> Callable[[], Any]:
    return lambda: client(**options).chat.completions.create(model=model, messages=ASKED)


def _listen(model: str) -> Callable[[], Any]:
    return lambda: list(client().chat.completions.create(model=model, messages=ASKED, stream=True))


def errors() -> Any:
    large: Any = [{"role": "user", "content": "x" * (33 * 1024 * 1024)}]
    limited = os.environ["LIMITED_KEY"]
    return {
        "wrong_key": _error(_ask(MODEL, api_key="sk-nobody-knows-this-key")),
        "not_allowed": _error(_ask(f"{FAULTS}html", api_key=limited)),
        "unknown_model": _error(_ask("no-such-model")),
        "bad_request": _error(_ask(f"{FAULTS}status-400")),
        "context_length": _error(_ask(f"{FAULTS}context-length")),
        "too_large": _error(lambda: client().chat.completions.create(model=MODEL, messages=large)),
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
    *(json_schema, stop, max_tokens, cached_usage, thinking, temperature, choices, refusal, models),
)


if __name__ == "__main__":
    report([*map(refusable, SCENARIOS), errors])
