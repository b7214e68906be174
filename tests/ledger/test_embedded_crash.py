"""A6 and A7: kill -9 under load, and a journal that ends anywhere."""

import asyncio
import shutil
from pathlib import Path

import pytest

from headgate.domain.limits import RateLimits
from headgate.ledger.embedded import open_ledger
from headgate.ledger.journal_file import JournalFile, LedgerCorruptError
from headgate.ledger.verify import verify_journal
from tests.ledger.crashes import run_cycles
from tests.ledger.tree import budget, claim, key_path
from tests.ledger.truncation import ROWS, check_truncated, write_tail


def test_a6_ten_kills_under_load_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    found = run_cycles(tmp_path, cycles=10, seed=7)

    assert (found.lost, found.doubled, found.problems) == (0, 0, [])
    assert found.sent > 100
    assert found.recovered > 0
    assert found.metered <= found.posted <= found.limit
    assert found.slowest_ready_ms <= 2_000


def test_a7_a_log_cut_at_every_frame_and_between_recovers_to_a_state_that_was(tmp_path: Path) -> None:
    tail = write_tail(tmp_path / "whole")
    cuts = [*range(0, 64, 7), *tail.frames, *(cut + 2_000 for cut in tail.frames[::9])]
    seen = {check_truncated(tail, tmp_path / "cut", cut) for cut in cuts if 0 <= cut <= tail.size}

    assert ROWS >= 200
    assert min(seen) == 0
    assert len(seen) > ROWS // 2


async def test_ten_thousand_open_holds_are_ready_within_two_seconds(tmp_path: Path) -> None:
    file, path = tmp_path / "ledger.db", key_path(budget("bud_1", 10**12), rates=RateLimits(tpd=10**12))
    ledger = open_ledger(file, durability="os", commit_timeout_s=60)
    ledger.start()
    await asyncio.gather(*(ledger.reserve(claim(f"r{n}", path, 1_000, 100)) for n in range(10_000)))
    await ledger.flushed()
    crashed = tmp_path / "crashed.db"
    shutil.copy(file, crashed)
    shutil.copy(f"{file}-wal", f"{crashed}-wal")
    await ledger.aclose()

    again = open_ledger(crashed)
    again.start()
    await again.flushed()
    await again.aclose()

    assert len(again.recovery.recovered) == 10_000
    assert again.recovery.took_ms <= 2_000
    assert verify_journal(crashed, again.balances()).adds_up


def test_a_file_from_elsewhere_starts_nothing(tmp_path: Path) -> None:
    journal = JournalFile(tmp_path / "ledger.db")
    journal.connection.execute("UPDATE facts SET value = 99 WHERE name = 'format'")
    journal.close()

    # Twice: the first one let go of the lock, so whoever mends the file can open it.
    for _ in range(2):
        with pytest.raises(LedgerCorruptError, match="has format 99"):
            open_ledger(tmp_path / "ledger.db")
