"""Scenarios with ``pydantic-ai``; prints what each saw as one JSON object (see test_frameworks.py).

``DIALECT`` says through which of its models: ``openai`` or ``anthropic``.
"""

import os
from typing import Any

from anthropic import AsyncAnthropic
from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput
from pydantic_ai.models import Model
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider
from reporting import report


class Gauge(BaseModel):
    """What the model is asked to fill in."""

    place: str
    level: int


def weather(place: str) -> str:
    """The weather at a place."""
    return f"rain in {place}"


def model() -> Model:
    name, gateway, key = os.environ["MODEL"], os.environ["GATEWAY"], os.environ["KEY"]
    if os.environ["DIALECT"] == "openai":
        return OpenAIChatModel(name, provider=OpenAIProvider(base_url=gateway + "/v1", api_key=key))
    client = AsyncAnthropic(base_url=gateway, api_key=key, max_retries=0)
    return AnthropicModel(name, provider=AnthropicProvider(anthropic_client=client))


async def text() -> Any:
    run = await Agent(model()).run("Hello there")
    return {"text": run.output, "tokens": run.usage.output_tokens}


async def stream() -> Any:
    async with Agent(model()).run_stream("Hello there") as run:
        pieces = [piece async for piece in run.stream_text(delta=True, debounce_by=None)]
    return {"text": "".join(pieces), "several": len(pieces) > 5}


async def tools() -> Any:
    run = await Agent(model(), tools=[weather]).run("Hello there")
    calls = [[part.tool_name, part.args_as_dict()] for each in run.all_messages() for part in each.parts
             if part.part_kind == "tool-call"]  # fmt: skip
    return {"calls": calls, "then": run.output}


async def structured() -> Any:
    """By a tool whose arguments are the answer, which is the library's own way, and by the provider's JSON schema."""
    by_tool = await Agent(model(), output_type=Gauge).run("Hello there")
    native = await Agent(model(), output_type=NativeOutput(Gauge)).run("Hello there")
    return {"function_calling": by_tool.output.model_dump(), "json_schema": native.output.model_dump()}


if __name__ == "__main__":
    report((text, stream, tools, structured))
