"""A1 in its short form, and I7 for strict windows where tokens are given back as well."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headgate.domain.limits import WindowMode
from headgate.ledger.outcomes import Held
from headgate.ledger.windows import TPM
from tests.ledger.machine import LedgerMachine
from tests.ledger.tree import Clock, claim, make_engine, rates_path

TestLedger = LedgerMachine.TestCase
TestLedger.settings = settings(
    max_examples=120, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 25_000), st.integers(0, 60), st.floats(0, 1), st.integers(-3_600_000, 3_600_000)),
        max_size=50,
    ),
    st.integers(0, 100),
)
def test_i7_strict_windows_hold_in_every_interval_while_bounds_are_settled_and_the_wall_clock_jumps(
    steps: list[tuple[int, int, float, int]], limit: int
) -> None:
    """What was truly used is above the limit in no interval, whenever it is settled and wherever the interval lies."""
    (engine, _), clock, path = make_engine(), Clock(), rates_path(tpm=limit, tpm_mode=WindowMode.STRICT)
    log: list[tuple[int, int]] = []
    waiting: list[tuple[str, int]] = []
    for number, (wait, bound, share, jump) in enumerate(steps):
        clock.pass_ms(wait)
        clock.jump(jump)
        outcome = engine.reserve(claim(f"r{number}", path, 0, bound), clock())
        if isinstance(outcome, Held):
            used = round(bound * share)
            log.append((clock.mono_ms, used))
            waiting.append((outcome.rid, used))
        if len(waiting) > 2:
            rid, used = waiting.pop(0)
            engine.settle(rid, 0, used, clock())

    worst = max((sum(n for at, n in log if start <= at < start + TPM.length_ms) for start, _ in log), default=0)
    assert worst <= limit
