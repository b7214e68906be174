"""Libraries that people build with, against a real gateway process before a strict OpenAI upstream."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.openai_answers import WORDS
from tests.fakes.openai_api import FakeOpenAI
from tests.gateway import KEY, Gateway, config
from tests.sdk.running import run_node, run_python

TEXT = "".join(WORDS)
GAUGE = {"place": "Köln", "level": 7}
WEATHER = ["weather", {"place": "Köln"}]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with FakeOpenAI() as fake, Gateway(tmp_path_factory.mktemp("gateway"), config(fake.url)) as running:
        yield running


@pytest.fixture
def asking(gateway: Gateway, tmp_path: Path) -> dict[str, Any]:
    """What a script is told."""
    return {"home": tmp_path, "GATEWAY": gateway.base_url, "KEY": KEY, "MODEL": "gpt-4o"}


def test_langchain(asking: dict[str, Any]) -> None:
    assert run_python("langchain", "langchain_script.py", **asking) == {
        "text": {"text": TEXT, "tokens": 13},
        "stream": {"text": TEXT, "several": True, "tokens": 13},
        "tools": {"calls": [WEATHER], "then": TEXT},
        "structured": {"json_schema": GAUGE, "function_calling": GAUGE},
        "embeddings": [8, 8],
    }


def test_llama_index(asking: dict[str, Any]) -> None:
    assert run_python("llamaindex", "llamaindex_script.py", **asking) == {
        "text": {"text": TEXT, "tokens": 13},
        "stream": {"text": TEXT, "several": True},
        "tools": {"calls": [WEATHER], "then": TEXT},
        "structured": {"json_schema": GAUGE, "function_calling": GAUGE},
    }


def test_pydantic_ai_through_its_openai_model(asking: dict[str, Any]) -> None:
    assert run_python("pydantic-ai", "pydantic_ai_script.py", DIALECT="openai", **asking) == {
        "text": {"text": TEXT, "tokens": 13},
        "stream": {"text": TEXT, "several": True},
        "tools": {"calls": [WEATHER], "then": TEXT},
        "structured": {"json_schema": GAUGE, "function_calling": GAUGE},
    }


def test_instructor(asking: dict[str, Any]) -> None:
    assert run_python("instructor", "instructor_script.py", **asking) == {
        "tools": GAUGE,
        "json_schema": GAUGE,
        "stream": {"last": GAUGE, "several": True},
    }


@pytest.mark.parametrize("client", ["ai", "openai"])
def test_npm_packages(asking: dict[str, Any], client: str) -> None:
    assert run_node("smoke.mjs", CLIENT=client, **asking) == {
        "text": {"text": TEXT, "tokens": 13},
        "stream": {"text": TEXT, "several": True},
        "tools": {"calls": [WEATHER], "then": TEXT},
        "structured": {"json_schema": GAUGE},
    }
