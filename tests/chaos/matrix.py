"""The matrix run once: every cell through one gateway at once, each to a provider of its own."""

import asyncio
import time
from pathlib import Path
from typing import Any, Final, NamedTuple

from bench.budgets.client import open_session
from bench.budgets.place import Balance, Reader
from tests.chaos.cells import Cell, Seen, ask_all, config, every_cell
from tests.chaos.faults import BOMB_MIB, Expected
from tests.chaos.judging import is_in_time, problem_of
from tests.chaos.provider import FaultyProvider, nowhere
from tests.fakes.anthropic_api import FakeAnthropic
from tests.fakes.openai_api import FakeOpenAI
from tests.fakes.openai_faults import gzip_bomb
from tests.gateway import Gateway

CELLS: Final = tuple(every_cell())
LEAST_SAVED: Final = 0.995


class Found(NamedTuple):
    """What the callers saw, what was recorded, and what was left in the end."""

    seen: dict[str, Seen]
    records: dict[str, dict[str, Any]]
    """By model."""
    balances: list[Balance]
    under_way: int
    """Exchanges with a provider that neither ended nor were hung up."""

    def problem(self, cell: Cell) -> str | None:
        return problem_of(cell, self.seen[cell.name], self.records.get(cell.name))

    def is_in_time(self, cell: Cell) -> bool:
        return is_in_time(self.seen[cell.name])


def before_content() -> list[Cell]:
    """The cells that a fallback has to answer."""
    return [cell for cell in CELLS if cell.is_before_content and cell.expected is Expected.SAVED]


def after_content() -> list[Cell]:
    return [cell for cell in CELLS if not cell.is_before_content]


def run(directory: Path) -> Found:
    """Ask for every cell and wait until all is settled."""
    # Made once and kept; it takes a second, in which the provider would answer nobody.
    gzip_bomb(BOMB_MIB)
    with (
        FaultyProvider() as faulty,
        FakeOpenAI() as openai,
        FakeAnthropic() as anthropic,
        nowhere(directory) as places,
        Gateway(directory / "gateway", config(list(CELLS), faulty.url, places, openai, anthropic)) as gateway,
    ):
        seen = asyncio.run(ask_all(gateway.base_url, list(CELLS)))
        records, balances = asyncio.run(_settled(gateway))
        exchanges = [each for upstream in (faulty, openai, anthropic) for each in upstream.exchanges]
        deadline = time.monotonic() + 10
        while under_way := sum(not (each.completed.is_set() or each.hung_up.is_set()) for each in exchanges):
            if time.monotonic() > deadline:
                break
            time.sleep(0.02)
    return Found(seen, records, balances, under_way)


async def _settled(gateway: Gateway) -> tuple[dict[str, dict[str, Any]], list[Balance]]:
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
