"""Every fault of an upstream × {whole, stream}: what the caller gets, and what the record says.

The contract: before content, an error with its own status in the caller's format; after content, an explicit error
event and no ``[DONE]``; always one record, with the tokens that were produced.
"""

import json
from typing import NamedTuple

import pytest

from tests.fakes.openai_answers import WORDS
from tests.fakes.openai_api import FakeOpenAI, closed_port
from tests.gateway import Answer, Gateway, config, events_of, hello


class Expected(NamedTuple):
    """What comes of a fault."""

    status: int
    code: str | None
    outcome: str
    quality: str
    """Where the record's tokens come from."""
    output_tokens: int | None = None
    """Exactly so many; None: more than none where counted, none where nothing was used."""


OK = Expected(200, None, "ok", "provider", len(WORDS))
OK_COUNTED = Expected(200, None, "ok", "counted")
REFUSED = Expected(502, "upstream_error", "upstream_error", "none")
BILLED = Expected(502, "upstream_error", "upstream_error", "counted", 0)
"""The upstream may have read the prompt, so its tokens are counted; no answer was seen."""
LATE = Expected(504, "upstream_timeout", "upstream_error", "counted", 0)
CUT = Expected(200, "upstream_error", "truncated", "counted")
STALLED = Expected(200, "upstream_timeout", "truncated", "counted")


def _refusal(status: int, code: str) -> Expected:
    return Expected(status, code, "upstream_error", "none")


# fault → (whole, stream); None where the fault has no such shape.
TABLE: dict[str, tuple[Expected | None, Expected | None]] = {
    "refuse": (BILLED, BILLED),
    "stall-before": (LATE, LATE),
    "stall-after": (LATE, LATE),
    "stall-5": (None, STALLED),
    "cut-line": (BILLED, CUT),
    "cut-character": (None, CUT),
    "cut-0": (None, BILLED),
    "cut-1": (None, BILLED),
    "cut-5": (None, CUT),
    "end-0": (None, BILLED),
    "end-5": (None, CUT),
    # Some local servers leave [DONE] out; every choice had its finish reason, so nothing is missing.
    "end": (None, OK),
    "malformed": (BILLED, BILLED),
    "malformed-5": (None, CUT),
    "html": (BILLED, BILLED),
    "empty": (BILLED, BILLED),
    "status-400": (_refusal(400, "invalid_request"), _refusal(400, "invalid_request")),
    "status-401": (_refusal(502, "upstream_credentials_exhausted"), _refusal(502, "upstream_credentials_exhausted")),
    "status-403": (_refusal(502, "upstream_credentials_exhausted"), _refusal(502, "upstream_credentials_exhausted")),
    "status-404": (_refusal(404, "model_not_found"), _refusal(404, "model_not_found")),
    "status-429": (_refusal(429, "upstream_rate_limited"), _refusal(429, "upstream_rate_limited")),
    "status-500": (REFUSED, REFUSED),
    "status-502": (REFUSED, REFUSED),
    "status-503": (REFUSED, REFUSED),
    "status-504": (_refusal(504, "upstream_timeout"), _refusal(504, "upstream_timeout")),
    "status-529": (REFUSED, REFUSED),
    "quota": (_refusal(502, "upstream_credentials_exhausted"), _refusal(502, "upstream_credentials_exhausted")),
    "context-length": (_refusal(400, "context_length_exceeded"), _refusal(400, "context_length_exceeded")),
    "error-event-0": (REFUSED, BILLED),
    "error-event-5": (None, CUT),
    "usage-missing": (OK_COUNTED, OK_COUNTED),
    "usage-null": (OK_COUNTED, OK_COUNTED),
    "usage-negative": (OK_COUNTED, OK_COUNTED),
    "usage-huge": (OK_COUNTED, OK_COUNTED),
    "usage-words": (OK_COUNTED, OK_COUNTED),
    "usage-twice": (None, OK),
    "double-done": (None, OK),
    "crlf": (None, OK),
    "comments": (None, OK),
    "long-line": (None, OK),
    "interim-3": (OK, None),
    "interim-1000": (BILLED, None),
    "redirect": (REFUSED, REFUSED),
    "gzip-bomb": (BILLED, BILLED),
    "flood": (BILLED, BILLED),
    "headers": (OK, OK),
    "header-huge": (BILLED, BILLED),
    "header-bare-cr": (BILLED, BILLED),
    "header-nul": (BILLED, BILLED),
}
RETRIED = {"refuse", "cut-0", "cut-1", "error-event-0", *(f"status-{status}" for status in (500, 502, 503, 504, 529))}
"""May be over in a moment, so the one deployment there is was tried twice, unless its credential was refused lately."""
CASES = [
    pytest.param(fault, stream, expected, id=f"{fault}-{'stream' if stream else 'whole'}")
    for fault, both in TABLE.items()
    for stream, expected in zip((False, True), both, strict=True)
    if expected is not None
]


@pytest.mark.parametrize(("fault", "stream", "expected"), CASES)
def test_a_fault_becomes_the_contracts_error_and_an_honest_record(
    gateway: Gateway, fault: str, stream: bool, expected: Expected
) -> None:
    body = hello(model=f"fault-{fault}") | ({"stream": True} if stream else {})
    answer = gateway.chat(body)
    assert answer.status == expected.status, answer.body
    if expected.outcome == "truncated":
        _ends_with_error_event(answer, expected.code)
    elif expected.code is not None:
        _is_contract_error(answer, expected.code)
    elif stream:
        assert events_of(answer.body)[-1] == "[DONE]"
    record = gateway.record(answer.headers["x-request-id"])
    assert (record["outcome"], record["error_code"]) == (expected.outcome, expected.code)
    assert record["status"] == expected.status
    assert len(record["attempts"]) in ((1, 2) if fault in RETRIED else (1,))
    _has_honest_tokens(record, expected)


def _ends_with_error_event(answer: Answer, code: str | None) -> None:
    events = events_of(answer.body)
    assert "[DONE]" not in events
    error = json.loads(events[-1])["error"]
    assert (error["code"], error["headgate"]["code"]) == (code, code)
    # Everything before is whole events with content: the caller never sees half a line.
    assert [json.loads(event)["choices"] for event in events[:-1]]
    assert answer.body.endswith(b"\n\n")


def _is_contract_error(answer: Answer, code: str) -> None:
    assert answer.headers["content-type"] == "application/json"
    error = answer.json["error"]
    assert (error["code"], error["headgate"]["code"]) == (code, code)
    assert error["message"]
    assert error["type"]
    assert error["headgate"]["doc_url"].endswith(f"#{code}")
    assert ("retry-after" in answer.headers) == (answer.status in (429, 503))


def _has_honest_tokens(record: dict[str, object], expected: Expected) -> None:
    usage = record["usage"]
    assert isinstance(usage, dict)
    assert record["usage_quality"] == expected.quality
    if expected.quality == "none":
        assert (usage["input_tokens"], usage["output_tokens"], record["cost_usd"]) == (0, 0, "0")
        return
    assert 0 < usage["input_tokens"] < 20 * len(record["attempts"])
    if expected.output_tokens is not None:
        assert usage["output_tokens"] == expected.output_tokens
    else:
        assert 0 < usage["output_tokens"] < 40
    assert record["cost_usd"] not in (None, "0")


@pytest.mark.parametrize(
    ("form", "seconds"),
    [
        ("seconds", 7),
        ("negative", 0),
        ("huge", 86400),
        ("past", 0),
        ("date", 86400),
        ("words", 1),
        ("endless", 86400),
        ("overflow", 1),
        ("ms", 86400),
    ],
)
def test_every_form_of_retry_after_becomes_sane_seconds(gateway: Gateway, form: str, seconds: int) -> None:
    answer = gateway.chat(hello(model=f"fault-status-429-{form}"))
    assert (answer.status, answer.headers["retry-after"]) == (429, str(seconds))


@pytest.mark.parametrize("stream", [False, True])
def test_a_provider_that_cannot_be_reached_is_a_502_and_costs_nothing(tmp_path_factory, stream: bool) -> None:
    with closed_port() as holder, FakeOpenAI() as fake:
        port = holder.getsockname()[1]
        text = config(fake.url).replace(fake.url, f"http://127.0.0.1:{port}/v1")
        with Gateway(tmp_path_factory.mktemp("refused"), text) as gateway:
            answer = gateway.chat(hello(stream=stream))
            assert (answer.status, answer.code) == (502, "upstream_error")
            record = gateway.record(answer.headers["x-request-id"])
            assert (record["outcome"], record["usage_quality"]) == ("upstream_error", "none")
            assert record["attempts"][0]["error"] == "connect_failed"
