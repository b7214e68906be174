"""Scenarios with ``instructor`` over the ``openai`` SDK; prints what each saw as one JSON object."""

import os
from typing import Any

import instructor
from openai import OpenAI
from pydantic import BaseModel
from reporting import report


class Gauge(BaseModel):
    """What the model is asked to fill in."""

    place: str
    level: int


ASKED: Any = [{"role": "user", "content": "Hello there"}]
MODEL = os.environ["MODEL"]


def client(mode: instructor.Mode) -> Any:
    plain = OpenAI(base_url=os.environ["GATEWAY"] + "/v1", api_key=os.environ["KEY"], max_retries=0, timeout=20)
    return instructor.from_openai(plain, mode=mode)


def ask(mode: instructor.Mode) -> Any:
    parsed = client(mode).chat.completions.create(model=MODEL, messages=ASKED, response_model=Gauge, max_retries=0)
    return parsed.model_dump()


def tools() -> Any:
    return ask(instructor.Mode.TOOLS)


def json_schema() -> Any:
    return ask(instructor.Mode.JSON_SCHEMA)


def stream() -> Any:
    pieces = list(
        client(instructor.Mode.TOOLS).chat.completions.create_partial(
            model=MODEL, messages=ASKED, response_model=Gauge, max_retries=0
        )
    )
    return {"last": pieces[-1].model_dump(), "several": len(pieces) > 2}


if __name__ == "__main__":
    report((tools, json_schema, stream))
