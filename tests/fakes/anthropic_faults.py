"""Every way in which Anthropic's API may misbehave, as data: a model name ``fault-NAME[-ARGUMENT]`` picks one.

The faults of the connection are those of `openai_faults`; what differs is how an error and the end of a stream look.
"""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

from tests.fakes.anthropic_answers import Made, event
from tests.fakes.openai_faults import NASTY_HEADERS, RETRY_AFTER, gzip_bomb
from tests.fakes.plan import Cut, Gate, Pause, Plan, Send, Stall, Step


class Ask(NamedTuple):
    """What a fault may know about the request."""

    made: Made
    stream: bool
    argument: str
    credential: str


def honest(made: Made, *, stream: bool) -> Plan:
    """The answer without any fault."""
    return _stream(made.events) if stream else Plan([Send(made.whole)])


def _stream(events: list[bytes], *tail: Step) -> Plan:
    return Plan(
        [*(Send(data) for data in events), *tail], content_type="text/event-stream; charset=utf-8", framing="chunked"
    )


def _fault(kind: str, message: str) -> dict[str, Any]:
    fault = {"type": kind, "message": message}
    return {"type": "error", "error": fault, "request_id": "req_fake_anthropic"}


def _error(status: int, kind: str, message: str, *headers: tuple[str, str]) -> Plan:
    return Plan([Send(json.dumps(_fault(kind, message)).encode())], status=status, headers=headers)


def _refuse(_: Ask) -> Plan:
    return Plan([Cut(reset=True)], framing="raw")


def _stall(ask: Ask) -> Plan:
    """``before`` the head, ``after`` the head, or after N events."""
    if ask.argument == "before":
        return Plan([Stall()], framing="raw")
    if not ask.stream:
        return Plan([Stall(), Send(ask.made.whole)])
    return _stream(ask.made.events[: 0 if ask.argument == "after" else int(ask.argument)], Stall())


def _cut(ask: Ask) -> Plan:
    """In the middle of a ``character``, or after N events; a whole answer is cut in its middle."""
    if not ask.stream:
        return Plan([Send(ask.made.whole[: len(ask.made.whole) // 2]), Cut()])
    if ask.argument.isdigit():
        return _stream(ask.made.events[: int(ask.argument)], Cut())
    index = next(place for place, data in enumerate(ask.made.events) if "ü".encode() in data)
    data = ask.made.events[index]
    return _stream([*ask.made.events[:index], data[: data.index("ü".encode()) + 1]], Cut())


def _end(ask: Ask) -> Plan:
    """A stream that ends in good order on the HTTP level, after N events, without ``message_stop``."""
    if not ask.stream:
        return honest(ask.made, stream=False)
    return _stream(ask.made.events[: int(ask.argument)] if ask.argument else ask.made.events[:-1])


def _malformed(ask: Ask) -> Plan:
    if not ask.stream:
        return Plan([Send(b'{"id": "msg_fake1", "content": [')])
    index = int(ask.argument or "0")
    broken = b'event: content_block_delta\ndata: {"type": "content_block_delta", "delta": {\n\n'
    return _stream([*ask.made.events[:index], broken, ask.made.events[-1]])


def _html(ask: Ask) -> Plan:
    """A page of a proxy in between, with the status in the argument."""
    page = b"<!doctype html><html><head><title>Just a moment</title></head><body>Bad gateway</body></html>"
    return Plan([Send(page)], status=int(ask.argument or "200"), content_type="text/html; charset=UTF-8")


_STATUSES: dict[int, tuple[str, str]] = {
    400: ("invalid_request_error", "messages.0.content: Input should be a valid list"),
    401: ("authentication_error", "invalid x-api-key"),
    402: ("billing_error", "There is a problem with your billing or payment information."),
    403: ("permission_error", "Your API key does not have permission to use the specified resource."),
    404: ("not_found_error", "model: claude-99"),
    413: ("request_too_large", "Request exceeds the maximum size"),
    429: ("rate_limit_error", "This request would exceed your organization's rate limit of 50 requests per minute."),
    500: ("api_error", "Internal server error"),
    504: ("timeout_error", "The request timed out while processing."),
    529: ("overloaded_error", "Overloaded"),
}


def _status(ask: Ask) -> Plan:
    """``status-429-seconds`` and the like; without a second argument there is no Retry-After."""
    number, _, form = ask.argument.partition("-")
    headers = (("retry-after", RETRY_AFTER[form]),) if form else ()
    return _error(int(number), *_STATUSES[int(number)], *headers)


def _context_length(_: Ask) -> Plan:
    return _error(400, "invalid_request_error", "prompt is too long: 200001 tokens > 200000 maximum")


def _credit(_: Ask) -> Plan:
    words = "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade."
    return _error(400, "invalid_request_error", words)


def _filtered(_: Ask) -> Plan:
    return _error(400, "invalid_request_error", "Output blocked by content filtering policy")


def _error_event(ask: Ask) -> Plan:
    """An error inside the stream after N events, as an overload in mid-answer shows itself ("Streaming Messages")."""
    if not ask.stream:
        return _error(529, *_STATUSES[529])
    plan = _stream(ask.made.events[: int(ask.argument or "0")])
    # A pause, so that the events are not read in one piece with what follows.
    pause = [Pause(0.3)] if plan.steps else []
    return plan._replace(steps=[*plan.steps, *pause, Send(event(_fault(*_STATUSES[529])))])


_USAGES: dict[str, Any] = {
    "null": None,
    "negative": {"input_tokens": -5, "output_tokens": -1},
    "huge": {"input_tokens": 10**30, "output_tokens": 10**30},
    "words": {"input_tokens": "many", "output_tokens": "some"},
}


def _usage(ask: Ask) -> Plan:
    """``missing``, or one of the odd values above in place of every usage object."""
    whole = json.loads(ask.made.whole)
    events = [json.loads(data.partition(b"data: ")[2]) for data in ask.made.events]
    for holder in (whole, *(each.get("message", each) for each in events)):
        if "usage" in holder:
            if ask.argument == "missing":
                del holder["usage"]
            else:
                holder["usage"] = _USAGES[ask.argument]
    made = ask.made._replace(whole=json.dumps(whole).encode(), events=[event(each) for each in events])
    return honest(made, stream=ask.stream)


def _between(piece: bytes) -> Callable[[Ask], Plan]:
    """The honest stream with something between its events."""

    def plan(ask: Ask) -> Plan:
        if not ask.stream:
            return honest(ask.made, stream=False)
        return _stream([part for data in ask.made.events for part in (data, piece)])

    return plan


def _crlf(ask: Ask) -> Plan:
    if not ask.stream:
        return honest(ask.made, stream=False)
    return _stream([data.replace(b"\n", b"\r\n") for data in ask.made.events])


def _redirect(_: Ask) -> Plan:
    target = "http://169.254.169.254/latest/meta-data/iam/security-credentials/"
    return Plan([Send(b"")], status=302, headers=(("location", target),))


def _gzip_bomb(ask: Ask) -> Plan:
    kind = "text/event-stream" if ask.stream else "application/json"
    bomb = gzip_bomb(int(ask.argument or "128"))
    return Plan([Send(bomb)], content_type=kind, headers=(("content-encoding", "gzip"),))


def _headers(ask: Ask) -> Plan:
    return honest(ask.made, stream=ask.stream)._replace(headers=NASTY_HEADERS)


def _echo(ask: Ask) -> Plan:
    """An error that repeats the credential it was sent."""
    status = int(ask.argument or "401")
    return _error(status, _STATUSES[status][0], f"Bad credential: {ask.credential} is not valid here.")


def _gated(ask: Ask) -> Plan:
    """From the first delta on, an event leaves only when the client has acknowledged every one before it.

    What comes before content leaves at once: a gateway may hold that back. Clients never see pings, so none is counted.
    """
    steps: list[Step] = []
    seen = 0
    for data in ask.made.events:
        ping = data.startswith(b"event: ping")
        steps += [Gate(seen if seen >= 3 and not ping else 0), Send(data)]
        seen += not ping
    return _stream([])._replace(steps=steps)


def _paced(ask: Ask) -> Plan:
    """ARGUMENT milliseconds before every event."""
    steps: list[Step] = []
    for data in ask.made.events:
        steps += [Pause(int(ask.argument) / 1000), Send(data)]
    return _stream([])._replace(steps=steps)


def _late(ask: Ask) -> Plan:
    """The whole answer, ARGUMENT milliseconds late."""
    plan = honest(ask.made, stream=ask.stream)
    return plan._replace(steps=[Pause(int(ask.argument) / 1000), *plan.steps])


def _pings(ask: Ask) -> Plan:
    """Nothing but ARGUMENT pings between start and content, as while a model thinks with ``display: omitted``."""
    if not ask.stream:
        return honest(ask.made, stream=False)
    ping = event({"type": "ping"})
    return _stream([ask.made.events[0], *[ping] * int(ask.argument), *ask.made.events[1:]])


def _long(ask: Ask) -> Plan:
    """A long stream of ARGUMENT content events as fast as the reader takes them."""
    if not ask.stream:
        return honest(ask.made, stream=False)
    events = ask.made.events
    return _stream([*events[:3], *[events[3]] * int(ask.argument), *events[-3:]])


def _empty(ask: Ask) -> Plan:
    return Plan([Send(b"")], content_type="text/event-stream" if ask.stream else "application/json")


FAULTS: dict[str, Callable[[Ask], Plan]] = {
    "refuse": _refuse,
    "stall": _stall,
    "cut": _cut,
    "end": _end,
    "malformed": _malformed,
    "html": _html,
    "status": _status,
    "context-length": _context_length,
    "credit": _credit,
    "filtered": _filtered,
    "error-event": _error_event,
    "usage": _usage,
    "crlf": _crlf,
    "comments": _between(b": waiting\n\n"),
    "new-event": _between(b'event: mood\ndata: {"type": "mood", "mood": "calm"}\n\n'),
    "redirect": _redirect,
    "gzip-bomb": _gzip_bomb,
    "headers": _headers,
    "echo": _echo,
    "gated": _gated,
    "paced": _paced,
    "late": _late,
    "pings": _pings,
    "long": _long,
    "empty": _empty,
}


def plan_for(model: str, made: Made, *, stream: bool, credential: str) -> Plan:
    """The plan that a model name asks for."""
    if not model.startswith("fault-"):
        return honest(made, stream=stream)
    words = model.removeprefix("fault-")
    name = max((known for known in FAULTS if words == known or words.startswith(known + "-")), key=len)
    return FAULTS[name](Ask(made, stream, words[len(name) + 1 :], credential))
