r"""Server-sent events, sans-io: bytes in, whole events out, each with the exact bytes it came in.

Framing is that of the WHATWG HTML standard §9.2.6: lines end in LF, CRLF or CR, an empty line ends an event, one byte
order mark may lead, ``:`` starts a comment. Unlike a browser's, this decoder also hands out events without data
(comments, pings), because a relay must pass on every byte it does not hide.

Strategy: nearly every read from a provider is exactly one ``data: …\n\n``, or Anthropic's ``event: …\ndata: …\n\n``, so
`SseDecoder.feed` tests for these first (a few C calls, no copy), then for streams of LF alone, which are split in one
call. All else goes through one buffer, and the search for the end of an event never looks at a byte more than a few
times, however small the pieces are.
"""

import re
from typing import Final

from msgspec import Struct

from headgate.wire.format import MalformedAnswerError

MAX_EVENT_BYTES: Final = 16 * 1024 * 1024
"""An image streamed inside one event takes megabytes."""

_END: Final = re.compile(rb"(?:\r\n|\n|\r(?!\n)){2}")
_BOM: Final = b"\xef\xbb\xbf"
_FIELDS: Final = frozenset({b"data", b"event", b"id", b"retry", b""})
# An end is at most four bytes; with up to three of them already seen, the search resumes that far back.
_OVERLAP: Final = 3
_BLANK_LINE: Final = len(b"\n\n")
_NAMED_ENDS: Final = b"event: x\ndata: x\n\n".count(b"\n")


class SseEvent(Struct, frozen=True, gc=False):
    """One event, or a group of comments, as it came."""

    raw: bytes
    """Its bytes, the empty line included."""
    start: int
    """Offset of its first byte in the stream."""
    data: bytes | None
    """The data lines joined by LF; ``None`` where there is no data line (a comment, a ping, blank lines)."""
    event: bytes = b""
    id: bytes | None = None
    is_sse: bool = True
    """False where a line is none of the standard's fields, which an HTML page or bare JSON has."""

    @property
    def end(self) -> int:
        """Offset behind its last byte in the stream."""
        return self.start + len(self.raw)


class SseDecoder:
    """Cuts one stream into events. Feed it; at the end look at `pending`."""

    __slots__ = ("_buffer", "_has_cr", "_max_event_bytes", "_offset", "_scanned")

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        """Start at offset 0; an event longer than ``max_event_bytes`` is malformed."""
        self._max_event_bytes = max_event_bytes
        self._buffer = bytearray()
        self._offset = 0
        self._has_cr = False
        self._scanned = 0

    @property
    def pending(self) -> bytes:
        """The bytes of an event whose end has not been seen."""
        return bytes(self._buffer)

    def feed(self, data: bytes) -> list[SseEvent]:
        """Take bytes, return the events that they complete.

        Raises:
            MalformedAnswerError: an event exceeds the bound.
        """
        size = len(data)
        if (
            not self._buffer
            and data.startswith(b"data: ")
            and data.find(b"\n") == size - 2
            and data.endswith(b"\n\n")
            and data.find(b"\r") < 0
            and size <= self._max_event_bytes
        ):
            start = self._offset
            self._offset = start + size
            return [SseEvent(data, start, data[6:-2])]
        if (
            not self._buffer
            and data.startswith(b"event: ")
            and data.endswith(b"\n\n")
            and data.count(b"\n") == _NAMED_ENDS
            and data.find(b"\r") < 0
            and size <= self._max_event_bytes
        ):
            name, _, rest = data.partition(b"\ndata: ")
            if len(rest) > _BLANK_LINE:
                start = self._offset
                self._offset = start + size
                return [SseEvent(data, start, rest[:-_BLANK_LINE], name[7:])]
        return self._feed_any(data)

    def _feed_any(self, data: bytes) -> list[SseEvent]:
        if self._has_cr or b"\r" in data:
            self._has_cr = True
            return self._feed_mixed(data)
        buffer = self._buffer
        if buffer:
            if b"\n\n" not in data and not (buffer.endswith(b"\n") and data.startswith(b"\n")):
                buffer += data
                self._scanned = len(buffer)
                self._refuse_long(len(buffer))
                return []
            data = bytes(buffer) + data
            buffer.clear()
        blocks = data.split(b"\n\n")
        buffer += blocks.pop()
        self._scanned = len(buffer)
        self._refuse_long(len(buffer))
        return [self._cut_block(block) for block in blocks]

    def _cut_block(self, block: bytes) -> SseEvent:
        """Make an event of a block whose lines end in LF."""
        raw = block + b"\n\n"
        self._refuse_long(len(raw))
        start = self._offset
        self._offset = start + len(raw)
        if block.startswith(b"data: ") and b"\n" not in block:
            return SseEvent(raw, start, block[6:])
        if block.startswith(b"event: "):  # Anthropic's two lines
            head, _, data = block.partition(b"\ndata: ")
            if data and b"\n" not in data and b"\n" not in head:
                return SseEvent(raw, start, data, head[7:])
        return parse_event(raw, start)

    def _feed_mixed(self, data: bytes) -> list[SseEvent]:
        """Cut a stream in which a carriage return has been seen."""
        buffer = self._buffer
        buffer += data
        events: list[SseEvent] = []
        position, search_from = 0, max(0, self._scanned - _OVERLAP)
        while (end := _END.search(buffer, search_from)) is not None:
            raw = bytes(buffer[position : end.end()])
            self._refuse_long(len(raw))
            events.append(parse_event(raw, self._offset))
            self._offset += len(raw)
            position = search_from = end.end()
        del buffer[:position]
        self._refuse_long(len(buffer))
        self._scanned = len(buffer)
        return events

    def _refuse_long(self, size: int) -> None:
        if size > self._max_event_bytes:
            raise MalformedAnswerError(f"an event of the stream exceeds {self._max_event_bytes} bytes")


def one_line(data: bytes) -> bytes:
    """Return JSON as one line: between its tokens a line end is a blank, inside an event's data it is an end."""
    return data if b"\n" not in data and b"\r" not in data else data.replace(b"\n", b" ").replace(b"\r", b" ")


def parse_event(raw: bytes, start: int = 0) -> SseEvent:
    """Interpret one event's bytes; ``start`` is their offset in the stream."""
    data: list[bytes] = []
    name = b""
    last_id: bytes | None = None
    is_sse = True
    text = raw[len(_BOM) :] if start == 0 and raw.startswith(_BOM) else raw
    for line in text.splitlines():  # For bytes: LF, CRLF and CR only, as the standard has it.
        if not line:
            continue
        field, _, value = line.partition(b":")
        if value.startswith(b" "):
            value = value[1:]
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value
        elif field == b"id":
            last_id = value if b"\0" not in value else last_id
        elif field not in _FIELDS:
            is_sse = False
    return SseEvent(raw, start, b"\n".join(data) if data else None, name, last_id, is_sse)
