"""A synthetic trace: one day of traffic that nobody ever sent. It says so wherever it goes.

The figures were written down before anything was measured with them. They are assumptions of the right order, not
measurements of any vendor; `ASSUMPTIONS` says them in words, for the report.
"""

from math import cos, pi
from typing import Final

from msgspec import Struct

from headgate.simulation.draws import Draws
from headgate.simulation.trace import Outage, Profile, Trace, TraceRow

DAY_MS: Final = 86_400_000
_HOUR_MS: Final = 3_600_000
_PEAK_MS: Final = 14 * _HOUR_MS
_SWING: Final = 0.8
"""The rate at the peak is 1.8 times the mean, twelve hours away 0.2 times."""
_TURN_AFTER_MS: Final = 45_000.0
_LONGEST_PROMPT: Final = 100_000
_LONGEST_ANSWER: Final = 8_000


class Kind(Struct, frozen=True):
    """One kind of request."""

    model: str
    share: float
    """Of all requests."""
    input_tokens: float
    """Median; sizes are log-normal."""
    input_spread: float
    output_tokens: float
    output_spread: float
    sessions: float
    """So many are the next turn of a conversation, and nine tenths of a turn's prompt is what came before."""


KINDS: Final = (
    Kind("open-large", 0.7, 900, 1.0, 220, 0.8, 0.0),
    Kind("closed-small", 0.3, 900, 1.0, 220, 0.8, 0.5),
)
PROFILES: Final = (
    ("cerebras/gpt-oss-120b", Profile(first_event_ms=300, tokens_per_s=1500, spread=0.35, rpm=15)),
    (
        "groq/openai/gpt-oss-120b",
        Profile(
            first_event_ms=350,
            tokens_per_s=450,
            spread=0.4,
            rpm=300,
            outages=(Outage(16 * _HOUR_MS, 16 * _HOUR_MS + 600_000, failures=1.0),),
        ),
    ),
    ("novita/openai/gpt-oss-120b", Profile(first_event_ms=900, tokens_per_s=90, spread=0.5, rpm=1000)),
    (
        "openai/gpt-4.1-mini",
        Profile(
            first_event_ms=700,
            tokens_per_s=60,
            spread=0.4,
            concurrency=20,
            outages=(Outage(13 * _HOUR_MS, 13 * _HOUR_MS + 2_400_000, failures=0.2, slowdown=4.0),),
        ),
    ),
    ("azure_eu/gpt-4.1-mini", Profile(first_event_ms=550, tokens_per_s=80, spread=0.4, concurrency=20)),
)
ASSUMPTIONS: Final = (
    "This trace is synthetic: nobody ever sent these requests.",
    "Arrivals are independent (Poisson), 1.8 times the mean rate at 14:00 and 0.2 times at 02:00.",
    "70 % of requests are for an open-weights model at three vendors (gpt-oss-120b), 30 % for a closed one at two "
    "(gpt-4.1-mini); prompts have a median of 900 tokens (log-normal, 1.0), answers of 220 (0.8).",
    "Half of the closed model's requests go on with a conversation after about 45 s; nine tenths of such a prompt was "
    "sent before.",
    "Speeds are assumed, of the order that the vendors advertise: cerebras fastest, groq next, novita slowest; openai "
    "busier than azure at the same price. Prices are not assumed: they are those of the catalogue.",
    "cerebras grants 15 requests a minute, less than the peak; groq 300, novita 1000.",
    "openai has a brown-out from 13:00 to 13:40 (four times as slow, 20 % fail), groq fails from 16:00 to 16:10.",
)


def synthetic_trace(seed: int, requests: int) -> Trace:
    """Return a day of ``requests``, the same for the same two numbers."""
    draw = Draws("trace", seed)
    rows: list[TraceRow] = []
    open_turns: list[tuple[str, int]] = []
    for at_ms in _arrivals(draw, requests):
        kind = _kind(draw())
        fresh = _size(draw, kind.input_tokens, kind.input_spread, _LONGEST_PROMPT)
        output_tokens = _size(draw, kind.output_tokens, kind.output_spread, _LONGEST_ANSWER)
        request_id = f"syn_{seed}_{len(rows):06d}"
        session, cached = None, 0
        if kind.sessions:
            session = f"ses_{len(rows):06d}"
            goes_on = draw() < kind.sessions
            wait_ms = draw.exponential(_TURN_AFTER_MS)
            turn = next((each for each in open_turns if each[1] + wait_ms <= at_ms), None) if goes_on else None
            if turn is not None:
                open_turns.remove(turn)
                session, cached = turn[0], fresh * 9 // 10
            open_turns.append((session, at_ms))
            # Who has not answered for five minutes has left.
            open_turns = [each for each in open_turns if each[1] > at_ms - 300_000]
        rows.append(
            TraceRow(
                id=request_id,
                at_ms=at_ms,
                model=kind.model,
                input_tokens=fresh,
                output_tokens=output_tokens,
                cached_input_tokens=cached,
                session=session,
            )
        )
    return Trace(f"synthetic, seed {seed}", tuple(rows), True, ASSUMPTIONS, dict(PROFILES))


def _arrivals(draw: Draws, requests: int) -> list[int]:
    """Return ``requests`` times of a day by the rate of the hour: given their number, such times are independent."""
    times: list[int] = []
    while len(times) < requests:
        at_ms = int(draw() * DAY_MS)
        if draw() * (1 + _SWING) <= 1 + _SWING * cos(2 * pi * (at_ms - _PEAK_MS) / DAY_MS):
            times.append(at_ms)
    return sorted(times)


def _kind(number: float) -> Kind:
    for kind in KINDS:
        if number < kind.share:
            return kind
        number -= kind.share
    return KINDS[-1]


def _size(draw: Draws, median: float, spread: float, longest: int) -> int:
    return min(longest, max(1, round(draw.lognormal(median, spread))))
