"""The proofs of resilience in their short form: real processes, judged by what was counted and not by the clock."""

from pathlib import Path

import pytest

from bench.resilience import drain, gate, outage, report, residency
from bench.resilience.__main__ import BROWN
from bench.resilience.report import missed

pytestmark = pytest.mark.slow

SECONDS = 3.0
RATE = 40.0
WATCH_S = 8.0
"""Breakers open for five seconds the first time."""


@pytest.mark.parametrize("kind", outage.DOWN)
def test_f2_nobody_notices_that_the_primary_is_down(tmp_path: Path, kind: str) -> None:
    found = outage.run(tmp_path, kind, seconds=SECONDS, rate=RATE, both=False, watch_s=WATCH_S)
    part = report.of_outage(found)
    # Where it stalls, all that was sent in the first second of three has to be sent twice.
    forgiven = "attempts" if kind == "stalls" else "no demand"
    assert [words for words in missed(part, with_time=False) if forgiven not in words] == []
    assert found.recovered_s("primary") is not None, "the primary is never asked again"


@pytest.mark.parametrize("kind", ["503", "stalls"])
def test_f3_no_storm_where_both_are_down(tmp_path: Path, kind: str) -> None:
    found = outage.run(tmp_path, kind, seconds=SECONDS, rate=RATE, both=True, watch_s=WATCH_S)
    assert missed(report.of_blackout(found), with_time=False) == []
    assert found.recovered_s() is not None, "nobody is answered after the heal"
    refused = [each for each in found.during if each.status == 503 and each.attempts == 0]
    assert bool(refused) == (kind == "stalls"), "only where all stall is anybody refused without a try"


def test_f4_a_primary_that_is_half_down_is_hardly_noticed(tmp_path: Path) -> None:
    found = outage.run(tmp_path, "brown-out", seconds=SECONDS, rate=RATE, both=False, conduct=BROWN, watch_s=0)
    assert missed(report.of_brown_out(found), with_time=False) == []


def test_f6_the_gate_neither_loses_nor_doubles_a_byte(tmp_path: Path) -> None:
    found = gate.run(tmp_path, streams=400, pairs=20)
    assert missed(report.of_gate(found), with_time=False) == []
    assert found.cut > 0, "the primary cut no stream"


def test_o1_a_restart_fails_nobody_it_can_answer(tmp_path: Path) -> None:
    assert missed(report.of_restarts(drain.run(tmp_path, restarts=2)), with_time=False) == []


def test_c3_nothing_goes_outside(tmp_path: Path) -> None:
    assert missed(report.of_residency(residency.run(tmp_path, seconds=1, rate=RATE)), with_time=False) == []
