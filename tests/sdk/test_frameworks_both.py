"""Libraries that people build with, in both dialects, before models of both vendors behind one gateway."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.anthropic_api import FakeAnthropic
from tests.fakes.openai_answers import WORDS
from tests.fakes.openai_api import FakeOpenAI
from tests.gateway import KEY, Gateway
from tests.sdk.both import config
from tests.sdk.running import run_node, run_python

TEXT = "".join(WORDS)
GAUGE = {"place": "Köln", "level": 7}
BASICS = {
    "text": {"text": TEXT, "tokens": 13},
    "stream": {"text": TEXT, "several": True},
    "tools": {"calls": [["weather", {"place": "Köln"}]], "then": TEXT},
}
CLAUDE = "claude-sonnet-4-6"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    home = tmp_path_factory.mktemp("gateway")
    with FakeOpenAI() as openai, FakeAnthropic() as anthropic, Gateway(home, config(openai.url, anthropic.url)) as both:
        yield both


@pytest.fixture
def asking(gateway: Gateway, tmp_path: Path) -> dict[str, Any]:
    """What a script is told."""
    return {"home": tmp_path, "GATEWAY": gateway.base_url, "KEY": KEY}


def test_langchain_reaches_a_model_of_anthropics(asking: dict[str, Any]) -> None:
    seen = run_python(
        "langchain", "langchain_script.py", ONLY='["text","stream","tools","structured"]', MODEL=CLAUDE, **asking
    )
    assert seen == BASICS | {
        "stream": {"text": TEXT, "several": True, "tokens": 13},
        "structured": {"json_schema": GAUGE, "function_calling": GAUGE},
    }


def test_llama_index_reaches_a_model_of_anthropics(asking: dict[str, Any]) -> None:
    seen = run_python("llamaindex", "llamaindex_script.py", MODEL=CLAUDE, **asking)
    assert seen == BASICS | {"structured": {"json_schema": GAUGE, "function_calling": GAUGE}}


def test_instructor_reaches_a_model_of_anthropics(asking: dict[str, Any]) -> None:
    seen = run_python("instructor", "instructor_script.py", MODEL=CLAUDE, **asking)
    assert (seen["tools"], seen["stream"]) == (GAUGE, {"last": GAUGE, "several": True})
    # The library leaves ``additionalProperties`` out of its schemas, and Anthropic takes none without.
    assert "'additionalProperties' must be explicitly set to false" in seen["json_schema"]["raised"]


@pytest.mark.parametrize(("dialect", "model"), [("openai", CLAUDE), ("anthropic", CLAUDE), ("anthropic", "gpt-4o")])
def test_pydantic_ai(asking: dict[str, Any], dialect: str, model: str) -> None:
    # Its Anthropic model asks for JSON by a schema only where it knows the model's name to support it.
    native = not (dialect == "anthropic" and model == "gpt-4o")
    only = {} if native else {"ONLY": '["text","stream","tools"]'}
    seen = run_python("pydantic-ai", "pydantic_ai_script.py", DIALECT=dialect, MODEL=model, **only, **asking)
    structured = {"structured": {"json_schema": GAUGE, "function_calling": GAUGE}} if native else {}
    assert seen == BASICS | structured


@pytest.mark.parametrize(
    ("client", "model"), [("ai", CLAUDE), ("openai", CLAUDE), ("anthropic", CLAUDE), ("anthropic", "gpt-4o")]
)
def test_npm_packages(asking: dict[str, Any], client: str, model: str) -> None:
    seen = run_node("smoke.mjs", CLIENT=client, MODEL=model, **asking)
    assert seen == BASICS | {"structured": {"json_schema": GAUGE}}
