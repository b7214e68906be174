"""The fake itself: it refuses what OpenAI refuses, and its faults are the faults they claim to be."""

import http.client
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.fakes import openai_rules
from tests.fakes.openai_api import CREDENTIAL, FakeOpenAI

HELLO = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello there"}]}
described = pytest.mark.skipif(not openai_rules.DESCRIPTION.exists(), reason="skipped: no public description at hand")


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeOpenAI]:
    with FakeOpenAI() as server:
        yield server


def ask(
    fake: FakeOpenAI, body: dict[str, Any], *, path: str = "/v1/chat/completions", key: str = CREDENTIAL
) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", fake.port, timeout=10)
    try:
        headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        connection.request("POST", path, json.dumps(body), headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_it_answers_with_usage_that_matches_what_it_wrote(fake: FakeOpenAI) -> None:
    status, body = ask(fake, HELLO)
    answer = json.loads(body)
    assert (status, answer["usage"]["prompt_tokens"], answer["usage"]["completion_tokens"]) == (200, 2, 13)


def test_it_records_the_exact_bytes_of_a_request(fake: FakeOpenAI) -> None:
    ask(fake, HELLO)
    assert fake.last.body == json.dumps(HELLO).encode()


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"messages": []}, 400, "empty_array"),
        ({"messages": [{"role": "robot", "content": "x"}]}, 400, "invalid_value"),
        ({"model": "gpt-99"}, 404, "model_not_found"),
        ({"max_tokens": "ten"}, 400, "invalid_type"),
        ({"max_tokens": 5, "max_completion_tokens": 5}, 400, "invalid_parameter_combination"),
        ({"model": "o3-mini", "max_tokens": 5}, 400, "unsupported_parameter"),
        ({"model": "gpt-5.4-mini", "max_tokens": 5}, 400, "unsupported_parameter"),
        ({"stream_options": {"include_usage": True}}, 400, None),
        pytest.param({"api_base": "http://evil"}, 400, None, marks=described),
        ({"top_p": 7}, 400, "decimal_out_of_range"),
        pytest.param({"top_logprobs": 99}, 400, "invalid_body", marks=described),
    ],
)
def test_it_refuses_what_the_real_api_refuses(
    fake: FakeOpenAI, change: dict[str, Any], status: int, code: str | None
) -> None:
    got, body = ask(fake, HELLO | change)
    assert (got, json.loads(body)["error"]["code"]) == (status, code)


def test_a_wrong_key_is_refused(fake: FakeOpenAI) -> None:
    assert ask(fake, HELLO, key="sk-other")[0] == 401


def test_a_stream_has_the_usage_event_only_when_asked(fake: FakeOpenAI) -> None:
    _, plain = ask(fake, HELLO | {"stream": True})
    _, full = ask(fake, HELLO | {"stream": True, "stream_options": {"include_usage": True}})
    assert b'"usage"' not in plain
    assert full.count(b'"choices":[]') == 1
    assert plain.endswith(b"data: [DONE]\n\n")


def test_a_cut_stream_has_no_proper_end(fake: FakeOpenAI) -> None:
    with pytest.raises(http.client.IncompleteRead) as caught:
        ask(fake, HELLO | {"stream": True, "model": "fault-cut-character"})
    with pytest.raises(UnicodeDecodeError):
        caught.value.partial.decode()
