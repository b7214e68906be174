"""F1: every way in which a provider can fail, with a healthy fallback behind it, over real sockets.

All requests of the matrix go through one gateway at once (`matrix.run`); then every cell is judged.
"""

import pytest

from bench.budgets.place import cost_of_record
from tests.chaos import matrix
from tests.chaos.cells import Cell
from tests.chaos.matrix import CELLS, LEAST_SAVED, Found


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    return matrix.run(tmp_path_factory.mktemp("matrix"))


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
def test_a_fault_is_mended_or_said(found: Found, cell: Cell) -> None:
    problem = found.problem(cell)
    if problem is not None:
        pytest.fail(f"{cell.name}: {problem}", pytrace=False)


def test_nothing_is_left_under_way_or_held(found: Found) -> None:
    (balance,) = found.balances
    assert (len(found.records), balance.held, found.under_way) == (len(CELLS), 0, 0)
    assert balance.posted == sum(map(cost_of_record, found.records.values()))


def test_the_figures(found: Found, capsys: pytest.CaptureFixture[str]) -> None:
    before, after = matrix.before_content(), matrix.after_content()
    saved = [cell for cell in before if found.problem(cell) is None]
    said = [cell for cell in after if found.problem(cell) is None]
    late = [cell.name for cell in CELLS if not found.is_in_time(cell)]
    faults = {cell.fault for cell in CELLS}
    with capsys.disabled():
        print(
            f"\nF1: {len(faults)} faults, {len(CELLS)} cells; before content {len(saved)} of {len(before)} answered by "
            f"the fallback ({len(saved) / len(before):.2%}); behind content {len(said)} of {len(after)} ended in an "
            f"explicit error; {len(late)} beyond the deadline"
        )
    assert len(faults) >= 40
    assert len(saved) >= LEAST_SAVED * len(before)
    assert len(said) == len(after)
    assert not late
