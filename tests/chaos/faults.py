"""What goes wrong at a provider, in the words of either dialect: one table, and what a caller has to see of each row.

A fault strikes *early*, before any content of the answer is out, or *late*, behind the first words of it. In a whole
answer both are before content for the caller: nothing of it has reached him.
"""

import json
from collections.abc import Callable
from enum import Enum
from typing import Any, NamedTuple

from tests.fakes import anthropic_answers, openai_answers
from tests.fakes.openai_faults import RETRY_AFTER, gzip_bomb
from tests.fakes.plan import Cut, Pause, Plan, Send, Stall, Step

CHAT = "chat"
MESSAGES = "messages"
BOMB_MIB = 100
LATE_WORDS = 4
"""So many pieces of content are out when a fault strikes late."""
_NOT_IN_ONE_PIECE = Pause(0.1)
"""So that what was sent is not read in one piece with what follows."""


class Expected(Enum):
    """What a caller has to see."""

    SAVED = "another provider's answer"
    """And an explicit error where content was already out."""
    INTACT = "the answer as the provider sent it"
    """Odd, but lawful."""


class Ask(NamedTuple):
    """What a fault knows of the request."""

    dialect: str
    stream: bool
    late: bool
    whole: bytes
    events: list[bytes]
    """With the end marker."""
    words: int
    """Tokens of the whole output."""

    @property
    def opening(self) -> int:
        """The number of events before the first content."""
        return 1 if self.dialect == CHAT else 3

    @property
    def passed(self) -> list[bytes]:
        """The events before the fault."""
        return self.events[: self.opening + (LATE_WORDS if self.late else 0)]

    @property
    def rest(self) -> list[bytes]:
        return self.events[len(self.passed) :]


class Fault(NamedTuple):
    """One row."""

    plan: Callable[[Ask], Plan]
    stream: str = "el"
    """When it strikes a stream: early, late, both, or never."""
    whole: str = "el"
    expected: Expected = Expected.SAVED


def ask_for(body: dict[str, Any], dialect: str, *, late: bool) -> Ask:
    """Return the honest answer to a request, as a fault wants it."""
    if dialect == CHAT:
        made = openai_answers.chat(body)
        events = [*made.events, b"data: [DONE]\n\n"]
    else:
        made = anthropic_answers.messages(body, {})
        events = made.events
    return Ask(dialect, body.get("stream") is True, late, made.whole, events, made.output_tokens)


def honest(ask: Ask) -> Plan:
    return _streamed(ask.events) if ask.stream else Plan([Send(ask.whole)])


def _streamed(events: list[bytes], *tail: Step) -> Plan:
    return Plan([*map(Send, events), *tail], content_type="text/event-stream", framing="chunked")


def _then(*tail: Step) -> Callable[[Ask], Plan]:
    """What came before, and then this."""

    def plan(ask: Ask) -> Plan:
        if ask.stream:
            return _streamed(ask.passed, _NOT_IN_ONE_PIECE, *tail)
        half = [Send(ask.whole[: len(ask.whole) // 2]), _NOT_IN_ONE_PIECE] if ask.late else []
        return Plan([*half, *tail], framing="chunked")

    return plan


def _raw(*steps: Step) -> Callable[[Ask], Plan]:
    return lambda _: Plan(list(steps), framing="raw")


def _dribble(data: bytes) -> list[Step]:
    return [step for byte in data for step in (Send(bytes([byte])), Pause(0.15))]


def _body_dribble(ask: Ask) -> Plan:
    """A byte at a time, each well within the idle time-out, from here on."""
    if ask.stream:
        return _streamed(ask.passed, *_dribble(b"".join(ask.rest)))
    half = len(ask.whole) // 2 if ask.late else 0
    return Plan([Send(ask.whole[:half]), *_dribble(ask.whole[half:])], framing="chunked")


def _events(*pieces: bytes, cut: bool = False) -> Callable[[Ask], Plan]:
    """What came before, then these pieces instead of the rest; a whole answer is nothing but the last of them."""
    tail: list[Step] = [Send(piece) for piece in pieces]
    if cut:
        tail.append(Cut())

    def plan(ask: Ask) -> Plan:
        return _streamed(ask.passed, _NOT_IN_ONE_PIECE, *tail)

    return plan


def _mid_line(ask: Ask) -> Plan:
    piece = ask.rest[0]
    return _streamed(ask.passed, Send(piece[: len(piece) // 2]), _NOT_IN_ONE_PIECE, Cut())


def _mid_character(ask: Ask) -> Plan:
    index = next(place for place, data in enumerate(ask.events) if "ü".encode() in data)
    data = ask.events[index]
    return _streamed([*ask.events[:index], data[: data.index("ü".encode()) + 1]], _NOT_IN_ONE_PIECE, Cut())


def _bad_json(whole: bytes, piece: bytes) -> Callable[[Ask], Plan]:
    """``whole`` as the body, or an event whose data is ``piece``; `TEXT` in either stands for nothing."""

    def plan(ask: Ask) -> Plan:
        if not ask.stream:
            return Plan([Send(whole)])
        name = b"" if ask.dialect == CHAT else b"event: content_block_delta\n"
        return _streamed(ask.passed, _NOT_IN_ONE_PIECE, Send(name + b"data: " + piece + b"\n\n"), Send(ask.events[-1]))

    return plan


def error_body(dialect: str, kind: str, message: str, code: str | None = None) -> bytes:
    """An error as either vendor words it."""
    if dialect == CHAT:
        return json.dumps({"error": {"message": message, "type": kind, "param": None, "code": code}}).encode()
    return json.dumps({"type": "error", "error": {"type": code or kind, "message": message}}).encode()


_WORDS = {
    401: ("authentication_error", "Incorrect API key provided."),
    402: ("billing_error", "There is a problem with your billing information."),
    403: ("permission_error", "Your key lacks the permission."),
    404: ("not_found_error", "The model does not exist."),
    408: ("timeout_error", "The request timed out."),
    429: ("rate_limit_error", "Rate limit reached."),
    500: ("api_error", "The server had an error."),
    502: ("api_error", "Bad gateway."),
    503: ("api_error", "That model is currently overloaded."),
    504: ("timeout_error", "Gateway time-out."),
    529: ("overloaded_error", "Overloaded"),
}


def _status(status: int, *headers: tuple[str, str]) -> Callable[[Ask], Plan]:
    return lambda ask: Plan([Send(error_body(ask.dialect, *_WORDS[status]))], status=status, headers=headers)


def _retry_after(form: str) -> Callable[[Ask], Plan]:
    return _status(429, ("retry-after-ms" if form == "ms" else "retry-after", RETRY_AFTER[form]))


def _status_then(*tail: Step) -> Callable[[Ask], Plan]:
    return lambda _: Plan([Send(b'{"error":'), *tail], status=503, framing="chunked")


def _quota(ask: Ask) -> Plan:
    code = "insufficient_quota" if ask.dialect == CHAT else "enforced_spend_limit_reached"
    return Plan([Send(error_body(ask.dialect, code, "You exceeded your current quota.", code))], status=429)


def _in_band(ask: Ask) -> Plan:
    body = error_body(ask.dialect, *_WORDS[529])
    if not ask.stream:
        return Plan([Send(body)])
    name = b"" if ask.dialect == CHAT else b"event: error\n"
    return _streamed(ask.passed, _NOT_IN_ONE_PIECE, Send(name + b"data: " + body + b"\n\n"))


def _page(status: int) -> Callable[[Ask], Plan]:
    page = b"<!doctype html><html><head><title>Just a moment</title></head><body>Sign in</body></html>"
    return lambda _: Plan([Send(page)], status=status, content_type="text/html; charset=UTF-8")


def _not_a_stream(ask: Ask) -> Plan:
    """What was not asked for: a whole answer for a stream, and a stream for a whole answer."""
    return Plan([Send(ask.whole)]) if ask.stream else _streamed(ask.events)


def _empty(ask: Ask) -> Plan:
    return Plan([Send(b"")], content_type="text/event-stream" if ask.stream else "application/json")


def _short(ask: Ask) -> Plan:
    """A length that promises more than comes."""
    kind = b"text/event-stream" if ask.stream else b"application/json"
    body = b"".join(ask.passed) if ask.stream else ask.whole[: len(ask.whole) // 2]
    head = b"HTTP/1.1 200 OK\r\ncontent-type: " + kind + b"\r\ncontent-length: 100000\r\n\r\n"
    return Plan([Send(head + body), _NOT_IN_ONE_PIECE, Cut()], framing="raw")


def _bad_chunk(ask: Ask) -> Plan:
    kind = b"text/event-stream" if ask.stream else b"application/json"
    body = b"".join(ask.passed) if ask.stream else ask.whole[: len(ask.whole) // 2]
    head = b"HTTP/1.1 200 OK\r\ncontent-type: " + kind + b"\r\ntransfer-encoding: chunked\r\n\r\n"
    first = b"%x\r\n%b\r\n" % (len(body), body)
    return Plan([Send(head + first), _NOT_IN_ONE_PIECE, Send(b"zz\r\nnonsense\r\n"), Cut()], framing="raw")


def _head_with(extra: bytes) -> Callable[[Ask], Plan]:
    return lambda _: Plan([Send(b"HTTP/1.1 200 OK\r\n" + extra + b"content-length: 2\r\n\r\n{}")], framing="raw")


def _flood(ask: Ask) -> Plan:
    """A body beyond every bound; the gateway has to hang up under way."""
    piece = b"x" * (1024 * 1024)
    kind = "text/event-stream" if ask.stream else "application/json"
    first = Send(b"data: " if ask.stream else b'"')
    return Plan([first, *[Send(piece)] * 100], content_type=kind, framing="chunked")


def _gzip_bomb(ask: Ask) -> Plan:
    kind = "text/event-stream" if ask.stream else "application/json"
    return Plan([Send(gzip_bomb(BOMB_MIB))], content_type=kind, headers=(("content-encoding", "gzip"),))


def _redirect(status: int) -> Callable[[Ask], Plan]:
    target = "http://169.254.169.254/latest/meta-data/iam/security-credentials/"
    return lambda _: Plan([Send(b"")], status=status, headers=(("location", target),))


def _interim(count: int) -> Callable[[Ask], Plan]:
    def plan(ask: Ask) -> Plan:
        body = b"".join(ask.events) if ask.stream else ask.whole
        kind = b"text/event-stream" if ask.stream else b"application/json"
        head = b"HTTP/1.1 200 OK\r\ncontent-type: " + kind + b"\r\ncontent-length: %d\r\n\r\n" % len(body)
        return Plan([Send(b"HTTP/1.1 103 Early Hints\r\n\r\n" * count + head + body)], framing="raw")

    return plan


def _late(seconds: float, *, head_first: bool) -> Callable[[Ask], Plan]:
    """The whole good answer, when nobody waits for it any more."""

    def plan(ask: Ask) -> Plan:
        good = honest(ask)
        if head_first:
            return good._replace(steps=[Pause(seconds), *good.steps])
        return Plan([Pause(seconds), *_interim(0)(ask).steps], framing="raw")

    return plan


def _tool_cut(ask: Ask) -> Plan:
    """A call of a tool whose arguments break off."""
    if ask.dialect == CHAT:
        first = {"index": 0, "id": "call_0", "type": "function", "function": {"name": "weather", "arguments": ""}}
        more = {"index": 0, "function": {"arguments": '{"place": "K'}}
        deltas = [{"tool_calls": [first]}, {"tool_calls": [more]}]
        pieces = [openai_answers.event({**json.loads(ask.events[0][6:]), "choices": [_choice(d)]}) for d in deltas]
    else:
        block = {"type": "tool_use", "id": "toolu_0", "name": "weather", "input": {}}
        delta = {"type": "input_json_delta", "partial_json": '{"place": "K'}
        start = {"type": "content_block_start", "index": 0, "content_block": block}
        part = {"type": "content_block_delta", "index": 0, "delta": delta}
        pieces = [anthropic_answers.event(start), anthropic_answers.event(part)]
    return _streamed([ask.events[0], *pieces], _NOT_IN_ONE_PIECE, Cut())


def _choice(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}


def _mapped(change: Callable[[dict[str, Any]], None]) -> Callable[[Ask], Plan]:
    """The honest answer, with every JSON object of it changed in place."""

    def plan(ask: Ask) -> Plan:
        whole = json.loads(ask.whole)
        change(whole)
        events: list[bytes] = []
        for data in ask.events:
            head, _, text = data.partition(b"data: ")
            if text.startswith(b"["):
                events.append(data)
                continue
            value = json.loads(text)
            change(value.get("message", value))
            events.append(head + b"data: " + json.dumps(value).encode() + b"\n\n")
        return honest(ask._replace(whole=json.dumps(whole).encode(), events=events))

    return plan


def _usage(usage: Any) -> Callable[[Ask], Plan]:
    """Every usage object replaced; an exception class removes it."""

    def change(value: dict[str, Any]) -> None:
        if value.get("usage") is None:
            return
        if usage is KeyError:
            del value["usage"]
        elif isinstance(usage, int):
            value["usage"] = {name: usage for name, each in value["usage"].items() if isinstance(each, int)}
        else:
            value["usage"] = usage

    return _mapped(change)


def _filtered(value: dict[str, Any]) -> None:
    for choice in value.get("choices", ()):
        if choice.get("finish_reason"):
            choice["finish_reason"] = "content_filter"
    for holder in (value, value.get("delta", {})):
        if holder.get("stop_reason"):
            holder["stop_reason"] = "refusal"


def _each(change: Callable[[list[bytes]], list[bytes]]) -> Callable[[Ask], Plan]:
    """The honest stream, rewritten."""
    return lambda ask: _streamed(change(list(ask.events)))


def _between(piece: bytes) -> Callable[[Ask], Plan]:
    return _each(lambda events: [part for data in events for part in (piece, data)])


def _mixed_ends(events: list[bytes]) -> list[bytes]:
    return [data.replace(b"\n", b"\r\n") if place % 2 else data for place, data in enumerate(events)]


def _sliced(ask: Ask) -> Plan:
    """Three bytes at a time: no read holds a whole event."""
    data = b"".join(ask.events) if ask.stream else ask.whole
    pieces: list[bytes] = [data[place : place + 3] for place in range(0, len(data), 3)]
    kind = "text/event-stream" if ask.stream else "application/json"
    return Plan([*map(Send, pieces)], content_type=kind, framing="chunked")


def _long_line(ask: Ask) -> Plan:
    """One piece of 1 MB, which is large but lawful."""
    long = "x" * 1_000_000
    if ask.dialect == CHAT:
        piece = openai_answers.event({**json.loads(ask.events[1][6:]), "choices": [_choice({"content": long})]})
    else:
        delta = {"type": "text_delta", "text": long}
        piece = anthropic_answers.event({"type": "content_block_delta", "index": 0, "delta": delta})
    return _streamed([*ask.passed, piece, *ask.rest])


def _no_close(ask: Ask) -> Plan:
    """All of the answer, and then an end of the body that never comes."""
    if ask.stream:
        return _streamed(ask.events, Stall())
    return Plan([Send(ask.whole), Stall()], framing="chunked")


_EARLY = {"stream": "e", "whole": "e"}
_ONLY_STREAM = {"whole": ""}
_ODD = {**_EARLY, "expected": Expected.INTACT}
_ODD_STREAM = {"stream": "e", "whole": "", "expected": Expected.INTACT}

FAULTS: dict[str, Fault] = {
    # The connection, while there is no head.
    "reset-before-head": Fault(_raw(Cut(reset=True)), **_EARLY),
    "close-before-head": Fault(_raw(Cut()), **_EARLY),
    "stall-before-head": Fault(_raw(Stall()), **_EARLY),
    "head-dribble": Fault(_raw(*_dribble(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n")), **_EARLY),
    "head-cut": Fault(_raw(Send(b"HTTP/1.1 200 OK\r\ncontent-ty"), Cut()), **_EARLY),
    "head-huge": Fault(_head_with(b"x-huge: " + b"h" * 1_000_000 + b"\r\n"), **_EARLY),
    "head-many": Fault(_head_with(b"x-many: 1\r\n" * 50_000), **_EARLY),
    "head-nul": Fault(_head_with(b"x-nul: a\x00b\r\n"), **_EARLY),
    "not-http": Fault(_raw(Send(b"SSH-2.0-OpenSSH_9.2p1\r\n"), Stall()), **_EARLY),
    "interim-flood": Fault(_interim(20_000), **_EARLY),
    # The connection, behind the head.
    "reset": Fault(_then(Cut(reset=True))),
    "close": Fault(_then(Cut())),
    "stall": Fault(_then(Stall())),
    "body-dribble": Fault(_body_dribble),
    "bad-chunk": Fault(_bad_chunk),
    "short-body": Fault(_short),
    # A stream that breaks off.
    "cut-mid-line": Fault(_mid_line, **_ONLY_STREAM),
    "cut-mid-character": Fault(_mid_character, stream="l", whole=""),
    "end-without-marker": Fault(_then(), **_ONLY_STREAM),
    "tool-call-cut": Fault(_tool_cut, stream="l", whole=""),
    "comments-only": Fault(_events(*[b": waiting\n\n"] * 5), **_ONLY_STREAM),
    "data-empty-only": Fault(_events(*[b"data: \n\n"] * 5), **_ONLY_STREAM),
    # What cannot be read.
    "malformed": Fault(_bad_json(b'{"id": "x", "choices": [', b'{"id": "x", "choices": [')),
    "nan": Fault(_bad_json(b'{"id": "x", "choices": NaN}', b'{"id": NaN}')),
    "array": Fault(_bad_json(b"[]", b"[1, 2]")),
    "words": Fault(_bad_json(b"upstream connect error", b"upstream connect error")),
    "page": Fault(_page(200), **_EARLY),
    "empty": Fault(_empty, **_EARLY),
    "not-what-was-asked-for": Fault(_not_a_stream, **_EARLY),
    "flood": Fault(_flood, **_EARLY),
    "gzip-bomb": Fault(_gzip_bomb, **_EARLY),
    "redirect-301": Fault(_redirect(301), **_EARLY),
    "redirect-307": Fault(_redirect(307), **_EARLY),
    # What it says.
    **{f"status-{status}": Fault(_status(status), **_EARLY) for status in _WORDS},
    **{f"status-429-{form}": Fault(_retry_after(form), **_EARLY) for form in RETRY_AFTER},
    "status-429-short": Fault(_status(429, ("retry-after", "0.05")), **_EARLY),
    "status-502-page": Fault(_page(502), **_EARLY),
    "status-503-stall": Fault(_status_then(Stall()), **_EARLY),
    "status-503-reset": Fault(_status_then(Cut(reset=True)), **_EARLY),
    "quota": Fault(_quota, **_EARLY),
    "error-in-band": Fault(_in_band, whole="e"),
    # Too late.
    "late-head": Fault(_late(0.8, head_first=False), **_EARLY),
    "no-close-whole": Fault(_no_close, stream="", whole="e"),
    "late-body": Fault(_late(0.8, head_first=True), **_EARLY),
    # Odd, but lawful.
    "usage-missing": Fault(_usage(KeyError), **_ODD),
    "usage-null": Fault(_usage(None), **_ODD),
    "usage-negative": Fault(_usage(-5), **_ODD),
    "usage-huge": Fault(_usage(10**30), **_ODD),
    "usage-words": Fault(_usage("many"), **_ODD),
    "filtered": Fault(_mapped(_filtered), **_ODD),
    "interim-few": Fault(_interim(3), **_ODD),
    "sliced": Fault(_sliced, **_ODD),
    "marker-twice": Fault(_each(lambda events: [*events, events[-1]]), **_ODD_STREAM),
    "line-ends-crlf": Fault(_each(lambda events: [data.replace(b"\n", b"\r\n") for data in events]), **_ODD_STREAM),
    "line-ends-mixed": Fault(_each(_mixed_ends), **_ODD_STREAM),
    "comments": Fault(_between(b": waiting\n\n"), **_ODD_STREAM),
    "data-empty": Fault(_between(b"data: \n\n"), **_ODD_STREAM),
    "long-line": Fault(_long_line, **_ODD_STREAM),
    "no-close": Fault(_no_close, **_ODD_STREAM),
}
