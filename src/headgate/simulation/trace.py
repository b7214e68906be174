"""A trace: what was asked, how large it was and what came of it. Metadata only; no prompt is in it.

A file is JSON Lines, plain or gzipped: a header, which may be missing, then one request a line by rising time.
docs/how-to/simulate.md describes both.
"""

import gzip
import zlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import IO, Annotated, Any, Final, Literal, TypeVar, cast

import msgspec
from msgspec import Meta, Struct

from headgate.domain.money import parse_usd

MAX_LINE_BYTES: Final = 1 << 20
_GZIP: Final = b"\x1f\x8b"
LATEST_MS: Final = 1 << 53

_T = TypeVar("_T")

Count = Annotated[int, Meta(ge=0, le=1_000_000_000)]
AtLeastOne = Annotated[int, Meta(ge=1, le=1_000_000_000)]
Time = Annotated[int, Meta(ge=0, le=LATEST_MS)]
Milliseconds = Annotated[float, Meta(ge=0, le=86_400_000)]
Positive = Annotated[float, Meta(gt=0, le=86_400_000)]
Share = Annotated[float, Meta(ge=0, le=1)]
Name = Annotated[str, Meta(min_length=1, max_length=256)]


class Outage(Struct, frozen=True, forbid_unknown_fields=True):
    """A time in which a deployment does worse: a brown-out, or nothing but failures."""

    from_ms: Time
    """On the clock of the requests' ``at_ms``."""
    to_ms: Time
    """Exclusive."""
    failures: Share = 0.0
    """Of the tries, so many fail as overloaded."""
    slowdown: Annotated[float, Meta(ge=1, le=1000)] = 1.0
    """All times are so many times as long."""


class Profile(Struct, frozen=True, forbid_unknown_fields=True):
    """How a deployment behaves. The defaults stand for one of which nothing is known."""

    first_event_ms: Positive = 800.0
    """Median time until the first event."""
    tokens_per_s: Positive = 60.0
    """Median pace of output after it."""
    spread: Annotated[float, Meta(ge=0, le=3)] = 0.4
    """Standard deviation of the logarithm of both."""
    concurrency: AtLeastOne | None = None
    """Requests in flight at which all times have doubled; ``None``: load does not slow it down."""
    rpm: AtLeastOne | None = None
    """What the provider grants a minute; it says so in the header fields of its answers."""
    tpm: AtLeastOne | None = None
    failures: Share = 0.0
    """Of the tries, so many fail as overloaded at any time."""
    outages: tuple[Outage, ...] = ()


class TraceHeader(Struct, frozen=True, forbid_unknown_fields=True):
    """The first line of a file."""

    headgate_trace: Literal[1]
    """The version of the format."""
    name: str = ""
    synthetic: bool = False
    """Nobody ever sent these requests."""
    assumptions: tuple[str, ...] = ()
    profiles: dict[str, Profile] = {}
    """By the name of a deployment, with or without its credential's name."""


class TraceRow(Struct, frozen=True, forbid_unknown_fields=True):
    """One request."""

    id: Name
    at_ms: Time
    """When it arrived, on any clock."""
    model: Name
    """The alias that the client sent."""
    input_tokens: Count
    output_tokens: Count = 0
    cached_input_tokens: Count = 0
    """Of the input, what a prefix cache that has seen this session can give."""
    max_output_tokens: Count | None = None
    stream: bool = True
    tags: dict[str, str] = {}
    end_user: str | None = None
    session: str | None = None
    deployment: str | None = None
    """Which one answered, where that was observed."""
    failed_on: tuple[str, ...] = ()
    """The deployments whose try had failed before."""
    first_event_ms: Milliseconds | None = None
    duration_ms: Milliseconds | None = None
    cost_usd: Annotated[str, Meta(pattern=r"^[0-9]{1,7}(\.[0-9]{1,9})?$")] | None = None
    outcome: str | None = None

    @property
    def cost_nano_usd(self) -> int | None:
        """What it is recorded to have cost."""
        return None if self.cost_usd is None else parse_usd(self.cost_usd)


class Trace(Struct, frozen=True):
    """Requests by rising time, and what is known of where they could go."""

    name: str
    rows: tuple[TraceRow, ...]
    is_synthetic: bool = False
    assumptions: tuple[str, ...] = ()
    profiles: Mapping[str, Profile] = {}
    left_out: int = 0
    """Requests that were not taken over, because they never got as far as a deployment."""


class InvalidTraceError(ValueError):
    """A trace that cannot be read; the text names the line."""


def read_trace(path: Path, limit: int | None = None) -> Trace:
    """Return the trace in a file, or its first ``limit`` requests.

    Raises:
        InvalidTraceError: it cannot be read, or a line is not what it should be.
    """
    try:
        with path.open("rb") as raw:
            if raw.peek(2)[:2] != _GZIP:
                return parse_trace(str(path), raw, limit)
            with gzip.GzipFile(fileobj=raw) as file:
                return parse_trace(str(path), cast("IO[bytes]", file), limit)
    except (OSError, EOFError, zlib.error) as error:
        raise InvalidTraceError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error


def parse_trace(source: str, file: IO[bytes], limit: int | None = None) -> Trace:
    """Return the trace that ``file`` has as plain JSON Lines; errors call it ``source``.

    Raises:
        InvalidTraceError: a line is not what it should be.
    """
    header = TraceHeader(headgate_trace=1)
    rows: list[TraceRow] = []
    seen: dict[str, int] = {}
    number, is_first = 0, True
    while limit is None or len(rows) < limit:
        line = file.readline(MAX_LINE_BYTES + 1)
        if not line:
            break
        number += 1
        if len(line) > MAX_LINE_BYTES:
            raise InvalidTraceError(f"{source}: line {number}: longer than {MAX_LINE_BYTES // 1024} KiB")
        if not line.strip():
            continue
        if is_first and b'"headgate_trace":' in line.replace(b" ", b""):
            header, is_first = _decoded(source, number, line, TraceHeader), False
            continue
        is_first = False
        row = _decoded(source, number, line, TraceRow)
        if row.id in seen:
            raise InvalidTraceError(f"{source}: line {number}: id {row.id!r} was given before, on line {seen[row.id]}")
        if rows and row.at_ms < rows[-1].at_ms:
            raise InvalidTraceError(f"{source}: line {number}: at_ms is earlier than that of the line before")
        if row.cached_input_tokens > row.input_tokens:
            raise InvalidTraceError(f"{source}: line {number}: cached_input_tokens are a part of input_tokens")
        seen[row.id] = number
        rows.append(row)
    if not rows:
        raise InvalidTraceError(f"{source}: no request is in it")
    return Trace(header.name or source, tuple(rows), header.synthetic, header.assumptions, header.profiles)


def _decoded(source: str, number: int, line: bytes, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(line, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidTraceError(f"{source}: line {number}: {error}") from error


def write_trace(trace: Trace, file: IO[bytes]) -> None:
    """Write a trace as JSON Lines; `read_trace` reads it again."""
    header = TraceHeader(1, trace.name, trace.is_synthetic, trace.assumptions, dict(trace.profiles))
    for each in (header, *trace.rows):
        fields = {name: value for name, value in msgspec.structs.asdict(each).items() if value not in (None, (), {})}
        file.write(msgspec.json.encode(fields) + b"\n")


def trace_of_requests(requests: Iterable[Mapping[str, Any]], name: str) -> Trace:
    """Return the trace of what the admin API lists, newest first, as requests.

    What was refused before anything was sent and what named no model is left out: no policy of routing changes it.
    """
    rows: list[TraceRow] = []
    left_out = 0
    for each in requests:
        if each["deployment"] is None or not each["model"] or not each["attempts"]:
            left_out += 1
            continue
        usage = each["usage"]
        input_tokens = max(0, usage["input_tokens"])
        rows.append(
            TraceRow(
                id=each["id"],
                at_ms=int(datetime.fromisoformat(each["started_at"]).timestamp() * 1000),
                model=each["model"],
                input_tokens=input_tokens,
                output_tokens=max(0, usage["output_tokens"]),
                cached_input_tokens=min(input_tokens, max(0, usage["cached_input_tokens"])),
                stream=each["stream"],
                tags=each["tags"],
                end_user=each["user"],
                session=each["session"],
                deployment=each["deployment"],
                failed_on=tuple(attempt["deployment"] for attempt in each["attempts"] if attempt["failure"]),
                first_event_ms=each["first_event_ms"],
                duration_ms=each["duration_ms"],
                cost_usd=each["cost_usd"],
                outcome=each["outcome"],
            )
        )
    rows.sort(key=lambda row: (row.at_ms, row.id))
    return Trace(name, tuple(rows), left_out=left_out)
