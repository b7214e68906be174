"""The made-up day."""

from headgate.simulation.synthetic import ASSUMPTIONS, DAY_MS, KINDS, PROFILES, synthetic_trace


def test_it_says_that_it_is_synthetic():
    trace = synthetic_trace(3, 10)
    assert trace.is_synthetic
    assert "synthetic" in trace.name
    assert trace.assumptions == ASSUMPTIONS
    assert "synthetic" in ASSUMPTIONS[0]
    assert trace.profiles == dict(PROFILES)


def test_a_seed_decides_it():
    assert synthetic_trace(3, 200) == synthetic_trace(3, 200)
    assert synthetic_trace(4, 200).rows != synthetic_trace(3, 200).rows


def test_it_is_what_the_assumptions_say():
    rows = synthetic_trace(1, 8000).rows
    assert len({row.id for row in rows}) == len(rows) == 8000
    assert [row.at_ms for row in rows] == sorted(row.at_ms for row in rows)
    assert 0 <= rows[0].at_ms <= rows[-1].at_ms < DAY_MS
    share = sum(row.model == KINDS[0].model for row in rows) / len(rows)
    assert 0.68 <= share <= 0.72
    hours = [sum(row.at_ms // 3_600_000 == hour for row in rows) for hour in range(24)]
    assert 540 <= hours[14] <= 660
    assert 40 <= hours[2] <= 110
    prompts = sorted(row.input_tokens for row in rows)
    assert 850 <= prompts[4000] <= 950
    turns = [row for row in rows if row.cached_input_tokens]
    assert turns
    assert all(row.cached_input_tokens == row.input_tokens * 9 // 10 for row in turns)
    sessions = {row.session for row in rows if row.session and not row.cached_input_tokens}
    assert all(row.session in sessions for row in turns)
