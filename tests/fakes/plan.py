"""An answer as steps on the wire: what a fake server performs, and what a fault model returns."""

from typing import NamedTuple


class Send(NamedTuple):
    """Write these bytes."""

    data: bytes


class Stall(NamedTuple):
    """Say nothing until the other side hangs up."""


class Pause(NamedTuple):
    """Wait a moment."""

    seconds: float


class Cut(NamedTuple):
    """End the connection without a proper end of the body."""

    reset: bool = False


class Gate(NamedTuple):
    """Wait until the client has acknowledged this many events."""

    acknowledged: int


Step = Send | Stall | Pause | Cut | Gate


class Plan(NamedTuple):
    """An answer as it will go over the wire."""

    steps: list[Step]
    status: int = 200
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
    framing: str = "length"
    """``length``, ``chunked``, or ``raw``: the steps are the whole wire, head included."""
