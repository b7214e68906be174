"""The table of targets. The short form (`test_fuzz`) and the long one (``python -m tests.fuzz``) run the same ones.

A wire format gets its targets by standing in `WIRE_FORMATS`; its hub, its stream and its short cuts are a line each.
"""

from collections.abc import Callable
from typing import Any, Final

from headgate.domain.errors import InvalidRequestError
from headgate.wire import WIRE_FORMATS, openai_chat, openai_chat_meter
from headgate.wire.anthropic_messages_render import render_request as render_anthropic_request
from headgate.wire.format import MalformedAnswerError, WireFormat
from headgate.wire.json_body import read_members
from headgate.wire.openai_chat_hub import render_request as render_openai_request
from headgate.wire.translate import can_translate
from tests.fuzz import bounds, http_server, http_upstream, texts, tokens, whole_gateway, wires
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
    if form.operation != "count_tokens":
        run = bounds.bounds(form)
        targets.append(Target(f"{form.name}_bound", run, refusals, golden + "request.json", tokens.JSON))
    if form.operation == "chat":
        run = wires.stream_meter(form)
        targets.append(Target(f"{form.name}_stream_meter", run, (), golden + "stream.sse", tokens.SSE))
    return targets


def _hub(form: WireFormat, render_request: Callable[[Any], Any]) -> list[Target]:
    """A dialect's ways to the hub and back; what it cannot say, it may refuse."""
    dialect, name = form.dialect, form.name
    assert dialect is not None
    request = wires.through_hub(dialect.parse_request, lambda request: render_request(request).body)
    response = wires.through_hub(dialect.parse_response, lambda answer: dialect.render_response(answer, 0))
    stream = wires.stream_hub(dialect.decode_stream, lambda: dialect.encode_stream(0, True))
    return [
        Target(f"{name}_hub_request", request, _REFUSALS, f"{name}/*/request.json", tokens.JSON),
        Target(f"{name}_hub_response", response, _REFUSALS, f"{name}/*/response.json", tokens.JSON),
        Target(f"{name}_hub_stream", stream, (), f"{name}/*/stream.sse", tokens.SSE),
    ]


def _translations() -> list[Target]:
    """Every pair of formats between which requests are translated."""
    forms = WIRE_FORMATS.values()
    pairs = [(caller, provider) for caller in forms for provider in forms if caller is not provider]
    return [
        Target(
            f"{caller.name}_to_{provider.name}",
            wires.translation(caller, provider),
            _REFUSALS,
            f"{caller.name}/*/request.json",
            tokens.JSON,
        )
        for caller, provider in pairs
        if can_translate(caller, provider)
    ]


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
        Target("trace", texts.trace, texts.TRACE_REFUSALS, "", tokens.JSON),
        Target("rate_headers", texts.rate_headers, (), "", tokens.RATE_HEADERS),
        Target("image", bounds.image, (), "", ()),
        Target("sse", wires.sse, (), "openai_chat/*/stream.sse", tokens.SSE),
        *(target for form in WIRE_FORMATS.values() for target in _of_format(form)),
        _short_cut("openai_chat_plain_envelope", _plainly, _carefully, "openai_chat/*/request.json"),
        _short_cut(
            "openai_chat_plain_meter",
            openai_chat_meter._meter_plain,
            openai_chat_meter._meter_any,
            "openai_chat/*/response.json",
        ),
        *_hub(WIRE_FORMATS["openai_chat"], render_openai_request),
        *_hub(WIRE_FORMATS["anthropic_messages"], render_anthropic_request),
        *_translations(),
    )
}
