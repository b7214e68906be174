"""Scenarios with LlamaIndex's ``OpenAILike``; prints what each saw as one JSON object (see test_frameworks.py).

``OpenAI`` of the same library refuses models whose name it does not know, so an alias needs this class.
"""

import os
from typing import Any

from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai_like import OpenAILike
from pydantic import BaseModel
from reporting import report


class Gauge(BaseModel):
    """What the model is asked to fill in."""

    place: str
    level: int


def weather(place: str) -> str:
    """The weather at a place."""
    return f"rain in {place}"


def model(**options: Any) -> OpenAILike:
    return OpenAILike(
        model=os.environ["MODEL"],
        api_base=os.environ["GATEWAY"] + "/v1",
        api_key=os.environ["KEY"],
        is_chat_model=True,
        is_function_calling_model=True,
        context_window=128_000,
        max_retries=0,
        timeout=20,
        **options,
    )


ASKED = [ChatMessage(role="user", content="Hello there")]


def text() -> Any:
    answer = model().chat(ASKED)
    raw: Any = answer.raw
    return {"text": answer.message.content, "tokens": raw.usage.completion_tokens}


def stream() -> Any:
    pieces = list(model().stream_chat(ASKED))
    return {"text": pieces[-1].message.content, "several": len(pieces) > 5}


def tools() -> Any:
    client = model()
    known = [FunctionTool.from_defaults(weather)]
    answer = client.chat_with_tools(known, chat_history=list(ASKED))
    calls = client.get_tool_calls_from_response(answer)
    result = ChatMessage(
        role="tool", content=weather(**calls[0].tool_kwargs), additional_kwargs={"tool_call_id": calls[0].tool_id}
    )
    then = client.chat_with_tools(known, chat_history=[*ASKED, answer.message, result])
    return {"calls": [[call.tool_name, call.tool_kwargs] for call in calls], "then": then.message.content}


def structured() -> Any:
    parsed: Any = model().as_structured_llm(Gauge).chat(ASKED).raw
    schema: Any = model(should_use_structured_outputs=True).as_structured_llm(Gauge).chat(ASKED).raw
    return {"function_calling": parsed.model_dump(), "json_schema": schema.model_dump()}


if __name__ == "__main__":
    report((text, stream, tools, structured))
