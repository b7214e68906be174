"""Scenarios with ``langchain-openai``; prints what each saw as one JSON object (see test_frameworks.py)."""

import os
from typing import Any

from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel
from reporting import report

URL = os.environ["GATEWAY"] + "/v1"
KEY = os.environ["KEY"]


class Gauge(BaseModel):
    """What the model is asked to fill in."""

    place: str
    level: int


@tool
def weather(place: str) -> str:
    """The weather at a place."""
    return f"rain in {place}"


def model(**options: Any) -> ChatOpenAI:
    # The Responses API is another format, which the library would choose for some models by itself.
    return ChatOpenAI(
        model=os.environ["MODEL"],
        base_url=URL,
        api_key=KEY,
        max_retries=0,
        timeout=20,
        use_responses_api=False,
        **options,
    )


def text() -> Any:
    answer = model().invoke("Hello there")
    return {"text": answer.content, "tokens": answer.usage_metadata["output_tokens"] if answer.usage_metadata else None}


def stream() -> Any:
    pieces = list(model(stream_usage=True).stream("Hello there"))
    whole = pieces[0]
    for piece in pieces[1:]:
        whole += piece
    return {
        "text": whole.content,
        "several": len(pieces) > 5,
        "tokens": whole.usage_metadata["output_tokens"] if whole.usage_metadata else None,
    }


def tools() -> Any:
    bound = model().bind_tools([weather])
    asked = HumanMessage("Hello there")
    answer = bound.invoke([asked])
    call = answer.tool_calls[0]
    result = ToolMessage(weather.invoke(call["args"]), tool_call_id=call["id"])
    return {"calls": [[call["name"], call["args"]]], "then": bound.invoke([asked, answer, result]).content}


def structured() -> Any:
    seen = {}
    for method in ("json_schema", "function_calling"):
        parsed = model().with_structured_output(Gauge, method=method).invoke("Hello there")
        assert isinstance(parsed, Gauge)
        seen[method] = parsed.model_dump()
    return seen


def embeddings() -> Any:
    # Without the check the library sends text, as other providers than OpenAI want it, and downloads no tokenizer.
    client = OpenAIEmbeddings(
        model="text-embedding-3-small", base_url=URL, api_key=KEY, check_embedding_ctx_length=False, max_retries=0
    )
    return [len(vector) for vector in client.embed_documents(["one", "two words"])]


if __name__ == "__main__":
    report((text, stream, tools, structured, embeddings))
