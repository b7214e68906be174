"""The table of targets. The short form (`test_fuzz`) and the long one (``python -m tests.fuzz``) run the same ones.

A wire format gets its targets by standing in `WIRE_FORMATS`; its hub, its stream and its short cuts are a line each.
"""

from collections.abc import Callable
from typing import Any, Final

from headgate.domain.errors import InvalidRequestError
from headgate.wire import WIRE_FORMATS, openai_chat, openai_chat_meter
from headgate.wire.format import MalformedAnswerError, WireFormat
from headgate.wire.json_body import read_members
from headgate.wire.openai_chat_answer import parse_response, render_response
from headgate.wire.openai_chat_hub import parse_request, render_request
from headgate.wire.openai_chat_stream import StreamDecoder, StreamEncoder
from tests.fuzz import http_server, http_upstream, texts, tokens, whole_gateway, wires
from tests.fuzz.target import Target

_REFUSALS: Final = (InvalidRequestError, MalformedAnswerError)


def _plainly(body: bytes) -> Any:
    return openai_chat._parse_plain(body, read_members(body))


def _carefully(body: bytes) -> Any:
    return openai_chat._parse_carefully(read_members(body))


def _of_format(form: WireFormat) -> list[Target]:
    """The targets that every wire format has."""
    golden, refusals = f"{form.name}/*/", (InvalidRequestError,)
    targets = [
        Target(f"{form.name}_envelope", wires.envelope(form), refusals, golden + "request.json", tokens.JSON),
        Target(f"{form.name}_whole_meter", wires.whole_meter(form), (), golden + "response.json", tokens.JSON),
    ]
    if form.operation == "chat":
        run = wires.stream_meter(form)
        targets.append(Target(f"{form.name}_stream_meter", run, (), golden + "stream.sse", tokens.SSE))
    return targets


def _hub(name: str, parse: Callable[[bytes], Any], render: Callable[[Any], bytes], kind: str) -> Target:
    """A hub's pair of functions for a request or a response; what its dialect cannot say, it may refuse."""
    golden = f"{name}/*/{kind}.json"
    return Target(f"{name}_hub_{kind}", wires.through_hub(parse, render), _REFUSALS, golden, tokens.JSON)


def _stream(name: str, decoder: Callable[[], Any], encoder: Callable[[], Any]) -> Target:
    return Target(f"{name}_hub_stream", wires.stream_hub(decoder, encoder), (), f"{name}/*/stream.sse", tokens.SSE)


def _short_cut(name: str, first: Callable[[bytes], Any], second: Callable[[bytes], Any], golden: str) -> Target:
    return Target(name, wires.two_ways(first, second), _REFUSALS, golden, tokens.JSON)


TARGETS: Final[dict[str, Target]] = {
    target.name: target
    for target in (
        Target("http_server", http_server.run, (), "", tokens.HTTP),
        Target("http_upstream", http_upstream.run, (), "", tokens.HTTP_ANSWER),
        Target("gateway_request", whole_gateway.run_request, (), "", tokens.HTTP + tokens.JSON),
        Target("gateway_answer", whole_gateway.run_answer, (), "openai_chat/*/stream.sse", tokens.SSE),
        Target("head", texts.head, texts.HEAD_REFUSALS, "", tokens.HEAD),
        Target("configuration", texts.configuration, texts.CONFIGURATION_REFUSALS, "", tokens.YAML),
        Target("sse", wires.sse, (), "openai_chat/*/stream.sse", tokens.SSE),
        *(target for form in WIRE_FORMATS.values() for target in _of_format(form)),
        _short_cut("openai_chat_plain_envelope", _plainly, _carefully, "openai_chat/*/request.json"),
        _short_cut(
            "openai_chat_plain_meter",
            openai_chat_meter._meter_plain,
            openai_chat_meter._meter_any,
            "openai_chat/*/response.json",
        ),
        _hub("openai_chat", parse_request, render_request, "request"),
        _hub("openai_chat", parse_response, render_response, "response"),
        _stream("openai_chat", StreamDecoder, StreamEncoder),
    )
}
