"""An answer that is written once and given many times, each time under an id of its own.

It is written with a marker in the id's place and cut there. The marker is a secret of the process: no answer holds it.
"""

from collections.abc import Iterable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from headgate.domain.chat import ChatResponse, StreamEvent, StreamStart
from headgate.domain.errors import UnsupportedFeatureError
from headgate.wire.format import Dialect, MalformedAnswerError, WireFormat


class Rendition(Struct, frozen=True):
    """An answer as one format says it: between two ``pieces`` stands the answer's id."""

    pieces: tuple[bytes, ...]

    def with_id(self, answer_id: str) -> bytes:
        """Return the answer under that id."""
        return answer_id.encode().join(self.pieces)


def fresh_id(form: WireFormat, request_id: str) -> str:
    """Return an id for an answer to a request, as the format's own look."""
    return form.answer_id_prefix + request_id.rpartition("_")[2]


def render_body(body: bytes) -> Rendition:
    """Return an answer that stays as it came."""
    return Rendition((body,))


def render_whole(form: WireFormat, answer: ChatResponse, created_s: int, marker: str) -> Rendition:
    """Return a whole answer in ``form``; ``created_s`` is the time to state where it has none (s since the epoch).

    Raises:
        UnsupportedFeatureError: the format cannot say it.
    """
    try:
        body = _dialect(form).render_response(replace(answer, id=marker), created_s)
    except MalformedAnswerError as error:
        raise UnsupportedFeatureError(str(error)) from error
    return Rendition(tuple(body.split(marker.encode())))


def render_events(
    form: WireFormat, events: Iterable[StreamEvent], created_s: int, *, wants_usage: bool, marker: str
) -> Rendition:
    """Return a complete stream in ``form``, its end marker included. Arguments and errors as for `render_whole`.

    ``wants_usage`` says whether the caller asked for an event with the usage.
    """
    encoder = RenditionEncoder(form, created_s, wants_usage=wants_usage, marker=marker)
    written = b"".join(map(encoder.write, events))
    return Rendition(tuple(written.split(marker.encode())))


class RenditionEncoder:
    """Writes a stream while it comes, for several readers. Arguments as for `render_events`."""

    __slots__ = ("_encode", "_marker")

    def __init__(self, form: WireFormat, created_s: int, *, wants_usage: bool, marker: str) -> None:
        """Start a stream."""
        self._encode = _dialect(form).encode_stream(created_s, wants_usage).encode
        self._marker = marker

    def write(self, event: StreamEvent) -> bytes:
        """Return the bytes for one event, with the marker for the answer's id.

        Raises:
            UnsupportedFeatureError: the format cannot say it.
        """
        if isinstance(event, StreamStart):
            event = replace(event, id=self._marker)
        try:
            return self._encode(event)
        except MalformedAnswerError as error:
            raise UnsupportedFeatureError(str(error)) from error

    def encode(self, event: StreamEvent) -> Sequence[bytes]:
        """Return the bytes for one event in pieces, between which the answer's id stands. Raises as `write` does."""
        return self.write(event).split(self._marker.encode())


def _dialect(form: WireFormat) -> Dialect:
    if form.dialect is None:
        raise UnsupportedFeatureError(f"{form.name} has no way to the hub")
    return form.dialect
