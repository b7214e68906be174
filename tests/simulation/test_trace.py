"""Traces as files and from records."""

import gzip
import io
from pathlib import Path
from typing import Any

import pytest

from headgate.simulation.trace import (
    MAX_LINE_BYTES,
    InvalidTraceError,
    Outage,
    Profile,
    Trace,
    TraceRow,
    read_trace,
    trace_of_requests,
    write_trace,
)

ROW = '{"id": "r1", "at_ms": 5, "model": "m", "input_tokens": 10}'
TRACE = Trace(
    "a day",
    (
        TraceRow(
            "r1", 5, "m", 10, 3, 4, 100, False, {"team": "x"}, "ann", "s", "p/u", ("q/u",), 1.5, 9.0, "0.25", "ok"
        ),
        TraceRow("r2", 5, "m", 10),
    ),
    True,
    ("nobody sent it",),
    {"p/u": Profile(300, 90, 0.2, 4, 5, 6, 0.1, (Outage(1, 2, 0.5, 3),))},
)


def test_what_is_written_is_read_again(tmp_path: Path):
    written = io.BytesIO()
    write_trace(TRACE, written)
    plain, zipped = tmp_path / "t.jsonl", tmp_path / "t.jsonl.gz"
    plain.write_bytes(written.getvalue())
    zipped.write_bytes(gzip.compress(written.getvalue()))
    assert read_trace(plain) == TRACE
    assert read_trace(zipped) == TRACE
    assert read_trace(plain, 1).rows == TRACE.rows[:1]
    assert TRACE.rows[0].cost_nano_usd == 250_000_000
    assert TRACE.rows[1].cost_nano_usd is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"{ROW}\n\nnonsense", "line 3: .*malformed"),
        (f"{ROW}\n{ROW}", "line 2: id 'r1' was given before, on line 1"),
        (f"{ROW}\n" + ROW.replace("r1", "r2").replace(": 5", ": 4"), "line 2: at_ms is earlier"),
        (ROW.replace("10}", "-1}"), r"line 1: .*\$\.input_tokens"),
        (ROW.replace("10}", '10, "cached_input_tokens": 11}'), "line 1: cached_input_tokens"),
        (ROW.replace("10}", '10, "prompt": "secret"}'), "line 1: .*unknown field `prompt`"),
        (ROW.replace("10}", '10, "cost_usd": "1e9"}'), r"line 1: .*\$\.cost_usd"),
        ('{"headgate_trace": 2}\n' + ROW, r"line 1: .*\$\.headgate_trace"),
        ('{"headgate_trace": 1, "profiles": {"p/u": {"first_event_ms": 0}}}', "line 1: .*first_event_ms"),
        ('{"headgate_trace": 1}\n' * 2 + ROW, "line 2: .*missing required field `id`|line 2: .*unknown field"),
        ('{"headgate_trace": 1}\n', "no request is in it"),
        ("x" * (MAX_LINE_BYTES + 1), "line 1: longer than"),
        ("\x1f\x8b nothing zipped", "cannot be read"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_line(tmp_path: Path, text: str, words: str):
    file = tmp_path / "t.jsonl"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(InvalidTraceError, match=rf"t\.jsonl: {words}"):
        read_trace(file)


def test_a_missing_file_is_said(tmp_path: Path):
    with pytest.raises(InvalidTraceError, match="No such file"):
        read_trace(tmp_path / "none")


def request(name: str, **fields: Any) -> dict[str, Any]:
    """A request as the admin API lists it."""
    usage = {"input_tokens": 10, "cached_input_tokens": 4, "output_tokens": 3}
    common: dict[str, Any] = {"id": name, "started_at": "1970-01-01T00:00:01.5Z", "model": "m", "user": None}
    common |= {
        "deployment": "p/u",
        "stream": True,
        "tags": {"a": "b"},
        "session": None,
        "usage": usage,
        "outcome": "ok",
    }
    common |= {"first_event_ms": 1.0, "duration_ms": 2.0, "cost_usd": "0.5"}
    common["attempts"] = [{"deployment": "q/u", "failure": "overload"}, {"deployment": "p/u", "failure": None}]
    return common | fields


def test_records_become_a_trace_and_what_reached_no_deployment_is_counted():
    refused = request("r0", deployment=None, attempts=[])
    trace = trace_of_requests([request("r2"), refused, request("r1")], "records")
    assert [row.id for row in trace.rows] == ["r1", "r2"]
    assert trace.left_out == 1
    assert trace.rows[0] == TraceRow(
        "r1", 1500, "m", 10, 3, 4, tags={"a": "b"}, deployment="p/u", failed_on=("q/u",), first_event_ms=1.0,
        duration_ms=2.0, cost_usd="0.5", outcome="ok",
    )  # fmt: skip
