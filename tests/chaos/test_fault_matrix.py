"""F1: every way in which a provider can fail, with a healthy fallback behind it, over real sockets.

All requests of the matrix go through one gateway at once, each to a provider of its own; then every cell is judged.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from bench.budgets.client import open_session
from bench.budgets.place import Balance, Reader, cost_of_record
from tests.chaos.cells import Cell, Seen, ask_all, config, every_cell
from tests.chaos.faults import BOMB_MIB, Expected
from tests.chaos.judging import is_in_time, problem_of
from tests.chaos.provider import FaultyProvider, nowhere
from tests.fakes.anthropic_api import FakeAnthropic
from tests.fakes.openai_api import FakeOpenAI
from tests.fakes.openai_faults import gzip_bomb
from tests.fakes.server import FakeServer
from tests.gateway import Gateway

CELLS = list(every_cell())
LEAST_SAVED = 0.995


class Found(NamedTuple):
    """What the callers saw, what was recorded, and what was left in the end."""

    seen: dict[str, Seen]
    records: dict[str, dict[str, Any]]
    """By model."""
    balances: list[Balance]
    upstreams: list[FakeServer]

    def problem(self, cell: Cell) -> str | None:
        return problem_of(cell, self.seen[cell.name], self.records.get(cell.name))


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Found]:
    directory = tmp_path_factory.mktemp("matrix")
    # Made once and kept; it takes a second, in which the provider would answer nobody.
    gzip_bomb(BOMB_MIB)
    with (
        FaultyProvider() as faulty,
        FakeOpenAI() as openai,
        FakeAnthropic() as anthropic,
        nowhere(directory) as places,
        Gateway(directory / "gateway", config(CELLS, faulty.url, places, openai, anthropic)) as gateway,
    ):
        seen = asyncio.run(ask_all(gateway.base_url, CELLS))
        records, balances = asyncio.run(settled(gateway))
        yield Found(seen, records, balances, [faulty, openai, anthropic])


async def settled(gateway: Gateway) -> tuple[dict[str, dict[str, Any]], list[Balance]]:
    """Every record, and the accounts of the key, as soon as nothing is held."""
    deadline = time.monotonic() + 15
    async with open_session() as session:
        reader = Reader(gateway, session)
        (key_id,) = (await reader.key_ids()).values()
        while True:
            records, balances = await reader.records(), await reader.balances(key_id)
            is_settled = len(records) >= len(CELLS) and not any(each.held for each in balances)
            if is_settled or time.monotonic() > deadline:
                return {record["model"]: record for record in records}, balances
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
def test_a_fault_is_mended_or_said(found: Found, cell: Cell) -> None:
    problem = found.problem(cell)
    if problem is not None:
        pytest.fail(f"{cell.name}: {problem}", pytrace=False)


def test_nothing_is_left_under_way_or_held(found: Found) -> None:
    (balance,) = found.balances
    assert (len(found.records), balance.held) == (len(CELLS), 0)
    assert balance.posted == sum(map(cost_of_record, found.records.values()))
    exchanges = [each for upstream in found.upstreams for each in upstream.exchanges]
    deadline = time.monotonic() + 10
    while not all(each.completed.is_set() or each.hung_up.is_set() for each in exchanges):
        assert time.monotonic() < deadline, "an exchange with a provider goes on"
        time.sleep(0.02)


def test_the_figures(found: Found, capsys: pytest.CaptureFixture[str]) -> None:
    before = [cell for cell in CELLS if cell.is_before_content and cell.expected is Expected.SAVED]
    after = [cell for cell in CELLS if not cell.is_before_content]
    saved = [cell for cell in before if found.problem(cell) is None]
    said = [cell for cell in after if found.problem(cell) is None]
    late = [cell.name for cell in CELLS if not is_in_time(found.seen[cell.name])]
    faults = Counter(cell.fault for cell in CELLS)
    with capsys.disabled():
        print(
            f"\nF1: {len(faults)} faults, {len(CELLS)} cells; before content {len(saved)} of {len(before)} answered by "
            f"the fallback ({len(saved) / len(before):.2%}); after content {len(said)} of {len(after)} ended in an "
            f"explicit error; {len(late)} beyond the deadline"
        )
    assert len(faults) >= 40
    assert len(saved) >= LEAST_SAVED * len(before)
    assert len(said) == len(after)
    assert not late
