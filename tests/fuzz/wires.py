"""Wire formats: what callers send, what providers answer, whole and streamed, and the hub between two formats."""

import json
from collections.abc import Callable
from typing import Any, Protocol

from headgate.wire.anthropic_messages_meter import MESSAGE_STOP
from headgate.wire.format import MalformedAnswerError, UpstreamBody, WireFormat
from headgate.wire.json_body import read_members
from headgate.wire.openai_chat import MAX_OUTPUT_FIELDS
from headgate.wire.sse import SseDecoder, SseEvent
from headgate.wire.translate import translate_request
from tests.fuzz.target import pieces_of

_BODIES = (UpstreamBody("m"), UpstreamBody("m", "max_tokens", include_usage=True))
_MAY_DIFFER = frozenset({"model", "stream_options", *MAX_OUTPUT_FIELDS})
_UNREAD = object()
_ENDS = {"openai_chat": b"data: [DONE]\n\n", "anthropic_messages": MESSAGE_STOP}


class Decoder(Protocol):
    """A stream decoder of a wire format."""

    def feed(self, data: bytes) -> list[Any]: ...
    def close(self) -> list[Any]: ...


class Encoder(Protocol):
    """A stream encoder of a wire format."""

    def encode(self, event: Any) -> bytes: ...


def envelope(form: WireFormat) -> Callable[[bytes], None]:
    """What is accepted reads the same to another JSON parser, and is sent on as it came but for what is replaced."""

    def run(data: bytes) -> None:
        found = form.parse_envelope(data)
        other = _read_otherwise(data)
        if other is not _UNREAD:
            assert isinstance(other, dict)
            assert set(other) == set(found.fields)
            assert other["model"] == found.model
            assert (other.get("stream") is True) == found.stream
            if found.max_output_field is not None:
                assert other[found.max_output_field] == found.max_output_tokens
        assert len("".join(form.input_text(found))) <= 8 * len(data) + 64
        for upstream in _BODIES:
            rendered = read_members(form.render_upstream(found, upstream))
            assert bytes(rendered["model"]) == b'"m"'
            kept = {name: value for name, value in rendered.items() if name not in _MAY_DIFFER}
            came = {name: value for name, value in found.fields.items() if name not in _MAY_DIFFER}
            assert list(kept.items()) == list(came.items())
            again = form.parse_envelope(form.render_upstream(found, upstream))
            assert again.stream == found.stream
            assert again.max_output_tokens == found.max_output_tokens

    return run


def two_ways(first: Callable[[bytes], Any], second: Callable[[bytes], Any]) -> Callable[[bytes], None]:
    """A short cut that answers at all (not ``None``) answers what the long way does."""

    def run(data: bytes) -> None:
        found = first(data)
        if found is not None:
            assert second(data) == found

    return run


def through_hub(parse: Callable[[bytes], Any], render: Callable[[Any], bytes]) -> Callable[[bytes], None]:
    """What the hub understood it can write, and it understands the same of what it wrote.

    Members that a dialect requires are made up once (the time of an answer), so the second reading is what must last.
    """

    def run(data: bytes) -> None:
        again = parse(render(parse(data)))
        assert parse(render(again)) == again

    return run


def translation(caller: WireFormat, provider: WireFormat) -> Callable[[bytes], None]:
    """What a caller may send is sent on in a form that the provider's format reads, or refused by name."""

    def run(data: bytes) -> None:
        rendered = translate_request(caller, provider, caller.parse_envelope(data), _BODIES[1])
        envelope = provider.parse_envelope(rendered.body)
        assert envelope.model == "m"
        assert all(name.isascii() and name.isprintable() for name in rendered.ignored)

    return run


def whole_meter(form: WireFormat) -> Callable[[bytes], None]:
    """Whatever a provider answers, there is a figure, or it is said that there is none."""

    def run(data: bytes) -> None:
        fault = form.parse_fault(data)
        if fault is not None:
            assert fault.message
        try:
            usage = form.meter_body(data).usage
        except MalformedAnswerError:
            return
        if usage is not None:
            _check_usage(usage)

    return run


def stream_meter(form: WireFormat) -> Callable[[bytes], None]:
    """A stream is metered and passed on alike wherever it is cut, and nothing is passed on that did not come."""

    def run(data: bytes) -> None:
        for hide_usage in (False, True):
            passed, *learned = _meter(form, [data], hide_usage)
            split, *split_learned = _meter(form, pieces_of(data, 9), hide_usage)
            assert split_learned == learned
            assert _said(_events([split])[0]) == _said(_events([passed])[0])
            # An end that lacks its blank line is written anew.
            passed = passed.removesuffix(_ENDS.get(form.name, b""))
            _check_parts_of(passed, data)

    return run


def _meter(form: WireFormat, pieces: list[bytes], hide_usage: bool) -> tuple[Any, ...]:
    meter = form.meter_stream(hide_usage)
    passed, failure = b"", None
    try:
        for piece in pieces:
            passed += meter.feed(piece)
        passed += meter.close()
    except MalformedAnswerError as error:
        passed += error.passed
        failure = type(error)
    metered = meter.metered()
    if metered.usage is not None:
        _check_usage(metered.usage)
    return passed, failure, metered, meter.content_started, meter.finished, meter.fault


def _check_parts_of(passed: bytes, data: bytes) -> None:
    """Every line that was passed on came, in this order; where events are left out, line ends may meet."""
    at = 0
    for line in passed.splitlines():
        found = data.find(line, at)
        assert found >= 0, line
        at = found + len(line)


def _check_usage(usage: Any) -> None:
    assert 0 <= usage.cached_input_tokens + usage.cache_write_tokens <= usage.input_tokens
    assert 0 <= usage.input_audio_tokens <= usage.input_tokens
    assert 0 <= usage.reasoning_tokens <= usage.output_tokens
    assert 0 <= usage.output_audio_tokens <= usage.output_tokens


def stream_hub(decoder: Callable[[], Decoder], encoder: Callable[[], Encoder]) -> Callable[[bytes], None]:
    """A stream reads alike wherever it is cut; what was read can be written, and read again."""

    def run(data: bytes) -> None:
        whole, failure = _decode(decoder(), [data])
        split, split_failure = _decode(decoder(), pieces_of(data, 9))
        assert split_failure == failure
        if failure is None:
            assert split == whole
        else:
            # What stood before the unreadable event in the same read is lost with it.
            assert split[: len(whole)] == whole
        encode = encoder().encode
        written = b"".join([encode(event) for event in split])
        # Members that nobody reads go by as bytes, whether they are text or not.
        if failure is None and _is_text(data):
            assert _decode(decoder(), [written])[1] is None

    return run


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _decode(decoder: Decoder, pieces: list[bytes]) -> tuple[list[Any], type[Exception] | None]:
    events: list[Any] = []
    try:
        for piece in pieces:
            events += decoder.feed(piece)
        events += decoder.close()
    except MalformedAnswerError as error:
        return events, type(error)
    return events, None


def sse(data: bytes) -> None:
    """No byte is lost or made up, and events say the same wherever the stream is cut.

    Where a cut parts CR from LF, the LF stands at the head of the next event: it says nothing there.
    """
    whole, rest = _events([data])
    split, split_rest = _events(pieces_of(data, 9))
    assert _said(split) == _said(whole)
    for events, left in ((whole, rest), (split, split_rest)):
        assert b"".join([event.raw for event in events]) + left == data
        at = 0
        for event in events:
            assert event.start == at
            at = event.end


def _events(pieces: list[bytes]) -> tuple[list[SseEvent], bytes]:
    decoder = SseDecoder()
    events = [event for piece in pieces for event in decoder.feed(piece)]
    return events, decoder.pending


def _said(events: list[SseEvent]) -> list[tuple[Any, ...]]:
    return [(event.data, event.event, event.id, event.is_sse) for event in events if event.raw.strip(b"\r\n")]


def _read_otherwise(data: bytes) -> Any:
    """What Python's own parser makes of it, where it can: it refuses integers of more than 4,300 digits."""
    try:
        return json.loads(data)
    except RecursionError:
        return _UNREAD
    except ValueError as error:
        if "integer string conversion" in str(error):
            return _UNREAD
        raise AssertionError(f"accepted, and another parser says: {error}") from error
