"""Every way in which an upstream may misbehave, as data: a model name ``fault-NAME[-ARGUMENT]`` picks one.

A fault turns the honest answer into a `Plan`, a list of steps that the server performs on the wire.
"""

import json
import zlib
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

from tests.fakes.openai_answers import Made, event
from tests.fakes.plan import Cut, Gate, Pause, Plan, Send, Stall, Step


class Ask(NamedTuple):
    """What a fault may know about the request."""

    made: Made
    stream: bool
    argument: str
    authorization: str


DONE = b"data: [DONE]\n\n"


def honest(made: Made, *, stream: bool) -> Plan:
    """The answer without any fault."""
    if stream:
        return _stream([*made.events, DONE])
    return Plan([Send(made.whole)])


def _stream(events: list[bytes], *tail: Step) -> Plan:
    return Plan(
        [*(Send(data) for data in events), *tail], content_type="text/event-stream; charset=utf-8", framing="chunked"
    )


def _error(status: int, message: str, kind: str, code: str | None, *headers: tuple[str, str]) -> Plan:
    body = json.dumps({"error": {"message": message, "type": kind, "param": None, "code": code}}).encode()
    return Plan([Send(body)], status=status, headers=headers)


def _refuse(_: Ask) -> Plan:
    return Plan([Cut(reset=True)], framing="raw")


def _stall(ask: Ask) -> Plan:
    """``before`` the head, ``after`` the head, or after N events."""
    if ask.argument == "before":
        return Plan([Stall()], framing="raw")
    if not ask.stream:
        return Plan([Stall(), Send(ask.made.whole)])
    events = ask.made.events[: 0 if ask.argument == "after" else int(ask.argument)]
    return _stream(events, Stall())


def _cut(ask: Ask) -> Plan:
    """``line``, ``character``, or after N events; a whole answer is cut in its middle."""
    if not ask.stream:
        half = len(ask.made.whole) // 2
        return Plan([Send(ask.made.whole[:half]), Cut()])
    if ask.argument.isdigit():
        return _stream(ask.made.events[: int(ask.argument)], Cut())
    index = next(place for place, data in enumerate(ask.made.events) if "Grüße".encode() in data)
    data = ask.made.events[index]
    at = data.index("ü".encode()) + 1 if ask.argument == "character" else len(data) // 2
    return _stream([*ask.made.events[:index], data[:at]], Cut())


def _end(ask: Ask) -> Plan:
    """A stream that ends in good order on the HTTP level, after N events, without ``[DONE]``."""
    if not ask.stream:
        return honest(ask.made, stream=False)
    return _stream(ask.made.events[: int(ask.argument)] if ask.argument else ask.made.events)


def _malformed(ask: Ask) -> Plan:
    if not ask.stream:
        return Plan([Send(b'{"id": "chatcmpl-fake1", "choices": [')])
    index = int(ask.argument or "0")
    return _stream([*ask.made.events[:index], b'data: {"id": "chatcmpl-fake1", "choices": [\n\n', DONE])


def _html(_: Ask) -> Plan:
    page = b"<!doctype html><html><head><title>Just a moment</title></head><body>Sign in</body></html>"
    return Plan([Send(page)], content_type="text/html; charset=UTF-8")


_STATUSES: dict[int, tuple[str, str, str | None]] = {
    400: ("Invalid value for 'messages[0].content'.", "invalid_request_error", None),
    401: ("Incorrect API key provided.", "invalid_request_error", "invalid_api_key"),
    403: ("Country, region, or territory not supported", "request_forbidden", "unsupported_country_region_territory"),
    404: (
        "The model `gpt-99` does not exist or you do not have access to it.",
        "invalid_request_error",
        "model_not_found",
    ),
    429: ("Rate limit reached for gpt-4o in organization org-fake.", "requests", "rate_limit_exceeded"),
    500: ("The server had an error while processing your request.", "server_error", None),
    502: ("Bad gateway.", "server_error", None),
    503: ("That model is currently overloaded with other requests.", "server_error", None),
    504: ("Gateway time-out.", "server_error", None),
    529: ("Overloaded", "overloaded_error", None),
}

RETRY_AFTER = {
    "seconds": "7",
    "date": "Wed, 21 Oct 2099 07:28:00 GMT",
    "past": "Wed, 21 Oct 2015 07:28:00 GMT",
    "negative": "-5",
    "huge": "1000000000",
    "words": "soon",
    "endless": "9" * 400,
    "overflow": "Mon, 01 Jan 2030 99999999999999999999:00:00 GMT",
    "ms": "9" * 5000,
}


def _status(ask: Ask) -> Plan:
    """``status-429-seconds`` and the like; without a second argument there is no Retry-After."""
    number, _, form = ask.argument.partition("-")
    message, kind, code = _STATUSES[int(number)]
    name = "retry-after-ms" if form == "ms" else "retry-after"
    headers = ((name, RETRY_AFTER[form]),) if form else ()
    return _error(int(number), message, kind, code, *headers)


def _context_length(_: Ask) -> Plan:
    words = "This model's maximum context length is 128000 tokens. However, your messages resulted in 200001 tokens."
    return _error(400, words, "invalid_request_error", "context_length_exceeded")


def _content_filter(_: Ask) -> Plan:
    words = "The response was filtered due to the prompt triggering Azure OpenAI's content management policy."
    return _error(400, words, "invalid_request_error", "content_filter")


def _quota(_: Ask) -> Plan:
    words = "You exceeded your current quota, please check your plan and billing details."
    return _error(429, words, "insufficient_quota", "insufficient_quota")


def _error_event(ask: Ask) -> Plan:
    """An error inside the stream after N events."""
    fault = {
        "message": "The server had an error while processing your request.",
        "type": "server_error",
        "param": None,
        "code": None,
    }
    if not ask.stream:
        return Plan([Send(json.dumps({"error": fault}).encode())])
    return _late_fault(ask.made.events[: int(ask.argument or "0")], fault)


_USAGES: dict[str, Any] = {
    "null": None,
    "negative": {"prompt_tokens": -5, "completion_tokens": -1, "total_tokens": -6},
    "huge": {"prompt_tokens": 10**30, "completion_tokens": 10**30, "total_tokens": 2 * 10**30},
    "words": {"prompt_tokens": "many", "completion_tokens": "some", "total_tokens": "more"},
}


def _usage(ask: Ask) -> Plan:
    """``missing``, ``twice``, or one of the odd values above in place of the usage object."""
    events = [data for data in ask.made.events if b'"choices":[]' not in data]
    last = [data for data in ask.made.events if b'"choices":[]' in data]
    whole = json.loads(ask.made.whole)
    if ask.argument == "twice":
        return honest(ask.made._replace(events=[*events, *last, *last]), stream=ask.stream)
    if ask.argument == "missing":
        del whole["usage"]
        last = []
    else:
        whole["usage"] = _USAGES[ask.argument]
        last = [event(json.loads(data[6:]) | {"usage": _USAGES[ask.argument]}) for data in last]
    return honest(ask.made._replace(whole=json.dumps(whole).encode(), events=[*events, *last]), stream=ask.stream)


def _double_done(ask: Ask) -> Plan:
    return _stream([*ask.made.events, DONE, DONE]) if ask.stream else honest(ask.made, stream=False)


def _crlf(ask: Ask) -> Plan:
    if not ask.stream:
        return honest(ask.made, stream=False)
    return _stream([data.replace(b"\n", b"\r\n") for data in [*ask.made.events, DONE]])


def _comments(ask: Ask) -> Plan:
    """Comment lines between the events, as OpenRouter sends while it waits."""
    if not ask.stream:
        return honest(ask.made, stream=False)
    return _stream([part for data in [*ask.made.events, DONE] for part in (b": PROCESSING\n\n", data)])


def _redirect(_: Ask) -> Plan:
    target = "http://169.254.169.254/latest/meta-data/iam/security-credentials/"
    return Plan([Send(b"")], status=302, headers=(("location", target),))


@cache
def gzip_bomb(mib: int) -> bytes:
    """That many MiB of zeros, compressed about 1000:1. Kept, since making it takes seconds."""
    packer = zlib.compressobj(9, wbits=31)
    piece = bytes(1024 * 1024)
    return b"".join([*(packer.compress(piece) for _ in range(mib)), packer.flush()])


def _gzip_bomb(ask: Ask) -> Plan:
    bomb = gzip_bomb(int(ask.argument or "128"))
    kind = "text/event-stream" if ask.stream else "application/json"
    return Plan([Send(bomb)], content_type=kind, headers=(("content-encoding", "gzip"),))


def _flood(ask: Ask) -> Plan:
    """ARGUMENT MiB of body without an end in sight."""
    piece = (b"data: " if ask.stream else b'"') + b"x" * (1024 * 1024)
    kind = "text/event-stream" if ask.stream else "application/json"
    return Plan([Send(piece)] * int(ask.argument or "128"), content_type=kind, framing="chunked")


def _long_line(ask: Ask) -> Plan:
    """One event of 1 MB, which is large but lawful."""
    if not ask.stream:
        return honest(ask.made, stream=False)
    chunk = json.loads(ask.made.events[1][6:])
    chunk["choices"][0]["delta"]["content"] = "x" * 1_000_000
    return _stream([ask.made.events[0], event(chunk), *ask.made.events[2:], DONE])


NASTY_HEADERS = (
    ("set-cookie", "session=stolen; Path=/"),
    ("access-control-allow-origin", "*"),
    ("access-control-allow-credentials", "true"),
    ("server", "fake-upstream/6.6"),
    ("x-powered-by", "PHP/4.0"),
    ("strict-transport-security", "max-age=1"),
    ("x-encoded", "a%0d%0aset-cookie: b=c"),
    ("www-authenticate", 'Basic realm="upstream"'),
)


def _headers(ask: Ask) -> Plan:
    return honest(ask.made, stream=ask.stream)._replace(headers=NASTY_HEADERS)


def _raw_head(extra: bytes) -> Callable[[Ask], Plan]:
    def plan(ask: Ask) -> Plan:
        body = ask.made.whole
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n" + extra + b"\r\n"
        return Plan([Send(head + b"content-length: %d\r\n\r\n" % len(body) + body)], framing="raw")

    return plan


def _echo(ask: Ask) -> Plan:
    """An error that repeats the credential it was sent, as some vendors do."""
    status = int(ask.argument or "401")
    return _error(status, f"Bad credential: {ask.authorization} is not valid here.", "invalid_request_error", None)


def _echo_event(ask: Ask) -> Plan:
    fault = {"message": f"Bad credential: {ask.authorization}", "type": "server_error", "param": None, "code": None}
    return _late_fault(ask.made.events[:3], fault)


def _late_fault(events: list[bytes], fault: dict[str, Any]) -> Plan:
    """Events, a pause so that they are not read in one piece with what follows, and an error event."""
    plan = _stream(events)
    pause = [Pause(0.3)] if events else []
    return plan._replace(steps=[*plan.steps, *pause, Send(event({"error": fault}))])


def _gated(ask: Ask) -> Plan:
    """From the third on, an event leaves only when the client has acknowledged every one before it.

    The first two leave together: a gateway may hold a stream's opening back until there is content.
    """
    steps: list[Step] = []
    for index, data in enumerate([*ask.made.events, DONE]):
        steps += [Gate(index if index >= 2 else 0), Send(data)]
    return _stream([])._replace(steps=steps)


def _paced(ask: Ask) -> Plan:
    """ARGUMENT milliseconds before every event."""
    steps: list[Step] = []
    for data in [*ask.made.events, DONE]:
        steps += [Pause(int(ask.argument) / 1000), Send(data)]
    return _stream([])._replace(steps=steps)


def _late(ask: Ask) -> Plan:
    """The whole answer, ARGUMENT milliseconds late."""
    plan = honest(ask.made, stream=ask.stream)
    return plan._replace(steps=[Pause(int(ask.argument) / 1000), *plan.steps])


def _long(ask: Ask) -> Plan:
    """A long stream of ARGUMENT content events as fast as the reader takes them."""
    if not ask.stream:
        return honest(ask.made, stream=False)
    events = ask.made.events
    return _stream([events[0], *[events[1]] * int(ask.argument), *events[-2:], DONE])


def _interim(ask: Ask) -> Plan:
    """ARGUMENT interim heads before the answer."""
    body = ask.made.whole
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
    return Plan([Send(b"HTTP/1.1 103 Early Hints\r\n\r\n" * int(ask.argument) + head + body)], framing="raw")


def _empty(ask: Ask) -> Plan:
    kind = "text/event-stream" if ask.stream else "application/json"
    return Plan([Send(b"")], content_type=kind)


FAULTS: dict[str, Callable[[Ask], Plan]] = {
    "refuse": _refuse,
    "stall": _stall,
    "cut": _cut,
    "end": _end,
    "malformed": _malformed,
    "html": _html,
    "status": _status,
    "context-length": _context_length,
    "content-filter": _content_filter,
    "quota": _quota,
    "error-event": _error_event,
    "usage": _usage,
    "double-done": _double_done,
    "crlf": _crlf,
    "comments": _comments,
    "redirect": _redirect,
    "gzip-bomb": _gzip_bomb,
    "flood": _flood,
    "long-line": _long_line,
    "headers": _headers,
    "header-huge": _raw_head(b"x-huge: " + b"h" * 1_000_000),
    "header-bare-cr": _raw_head(b"x-split: a\rset-cookie: b=c"),
    "header-nul": _raw_head(b"x-nul: a\x00b"),
    "echo": _echo,
    "echo-event": _echo_event,
    "gated": _gated,
    "paced": _paced,
    "late": _late,
    "long": _long,
    "interim": _interim,
    "empty": _empty,
}


def plan_for(model: str, made: Made, *, stream: bool, authorization: str) -> Plan:
    """The plan that a model name asks for."""
    if not model.startswith("fault-"):
        return honest(made, stream=stream)
    words = model.removeprefix("fault-")
    name = max((known for known in FAULTS if words == known or words.startswith(known + "-")), key=len)
    return FAULTS[name](Ask(made, stream, words[len(name) + 1 :], authorization))
