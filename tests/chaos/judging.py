"""When a cell of the matrix ended as it must."""

import hashlib
from collections.abc import Mapping
from typing import Any

from tests.chaos.cells import DEADLINE_S, GRACE_S, Cell, Seen, read_stream, read_whole
from tests.chaos.faults import FAULTS, Expected
from tests.fakes.plan import Send

Problem = str | None


def is_in_time(seen: Seen) -> bool:
    return seen.seconds <= DEADLINE_S + GRACE_S


def problem_of(cell: Cell, seen: Seen, record: Mapping[str, Any] | None) -> Problem:
    """What is wrong with how a cell ended; ``None`` where all is well."""
    if not is_in_time(seen):
        return f"it took {seen.seconds:.1f} s"
    if record is None:
        return "there is no record"
    if not seen.is_whole:
        return f"the connection broke after {len(seen.data)} bytes"
    if seen.status != 200:
        return f"status {seen.status}: {seen.data[:300]!r}, {_tries(record)}"
    if cell.expected is Expected.INTACT:
        return _intact(cell, seen, record)
    return _saved(cell, seen, record) if cell.is_before_content else _said(cell, seen, record)


def _saved(cell: Cell, seen: Seen, record: Mapping[str, Any]) -> Problem:
    """Another provider's answer, byte for byte, and the record of both tries."""
    made = cell.honest()
    expected = hashlib.sha256(b"".join(made.events) if cell.stream else made.whole).hexdigest()
    if seen.digest != expected:
        return f"{len(seen.data)} bytes that the spare did not send: {seen.data[-200:]!r}, {_tries(record)}"
    if seen.headers.get("x-headgate-provider") != f"spare-{cell.dialect}":
        return f"answered by {seen.headers.get('x-headgate-provider')}"
    if (record["outcome"], len(record["attempts"]), record["attempts"][0]["error"] is None) != ("ok", 2, False):
        return f"recorded as {record['outcome']}, {_tries(record)}"
    if record["usage"]["output_tokens"] < made.words:
        return f"recorded with {record['usage']}"
    return None


def _said(cell: Cell, seen: Seen, record: Mapping[str, Any]) -> Problem:
    """What had come, then one error and nothing behind it, no normal finish, and a record with tokens."""
    got = read_stream(seen.data, cell.dialect)
    if (got.errors, got.after_error, got.markers, got.finish) != (1, 0, 0, None):
        return f"the end is {got}, {_tries(record)}"
    asked = cell.faulty()
    before = read_stream(b"".join(asked.passed), cell.dialect)
    whole = read_stream(b"".join(asked.events), cell.dialect)
    is_tool = cell.fault == "tool-call-cut"
    if is_tool and not got.tool:
        return "the call of the tool is gone"
    if not is_tool and not (got.text.startswith(before.text) and whole.text.startswith(got.text)):
        return f"the text is {got.text!r}, not {before.text!r}"
    if (record["outcome"], len(record["attempts"])) != ("truncated", 1):
        return f"recorded as {record['outcome']}, {_tries(record)}"
    usage = record["usage"]
    return None if usage["input_tokens"] > 0 and usage["output_tokens"] > 0 else f"recorded with {usage}"


def _intact(cell: Cell, seen: Seen, record: Mapping[str, Any]) -> Problem:
    """The provider's own answer, however odd."""
    if seen.headers.get("x-headgate-attempts") != "1" or record["outcome"] != "ok":
        return f"{record['outcome']} after {_tries(record)}"
    asked = cell.faulty()
    if not cell.stream:
        text, _ = read_whole(asked.whole, cell.dialect)
        got_text, got_finish = read_whole(seen.data, cell.dialect)
        return None if got_text == text and got_finish else f"the answer is {got_text!r}, {got_finish}"
    plan = FAULTS[cell.fault].plan(asked)
    sent_bytes = b"".join(step.data for step in plan.steps if isinstance(step, Send))
    if plan.framing == "raw":
        sent_bytes = sent_bytes[sent_bytes.rindex(b"\r\n\r\n") + 4 :]
    want, got = read_stream(sent_bytes, cell.dialect), read_stream(seen.data, cell.dialect)
    if got != want._replace(markers=1):
        return f"the stream is {got}"[:400]
    usage = record["usage"]
    return None if usage["input_tokens"] > 0 and usage["output_tokens"] > 0 else f"recorded with {usage}"


def _tries(record: Mapping[str, Any]) -> str:
    tries = [f"{each['deployment']} {each['error']} ({each['failure']})" for each in record["attempts"]]
    return f"{record['outcome']}: {tries}, {record.get('error')}"
