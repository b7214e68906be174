"""The ledger from the command line: a real journal on disk, and what a running gateway is asked."""

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from headgate.ledger.embedded import EmbeddedLedger, open_ledger
from tests.cli.limits_api import KEY, LimitsApi
from tests.ledger.tree import Clock, budget, claim, key_path

PATH = key_path(budget("bud_1", 1_000))
REPORT: dict[str, Any] = {
    "accounts": 3,
    "batches": 2,
    "rows": 9,
    "intents": 4,
    "posted": 3,
    "voided": 0,
    "recovered": 0,
    "open_holds": 1,
    "overrun_usd": "1.5",
    "problems": [],
}


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[EmbeddedLedger]:
    """A ledger that runs, with one hold that was posted and one that is open; its file is that of a gateway."""
    running = open_ledger(tmp_path / "ledger.db", clock=Clock(), durability="os", commit_timeout_s=30)
    running.start()
    await running.reserve(claim("a", PATH, 50))
    running.settle("a", 20, 0)
    running.checkpoint()
    await running.reserve(claim("b", PATH, 100))
    await running.flushed()
    yield running
    await running.aclose()


async def test_a_journal_is_verified_on_disk_while_its_ledger_runs(ledger: EmbeddedLedger, api: LimitsApi) -> None:
    report = api.run("ledger", "verify", "--data", ".")
    assert (report["accounts"], report["open_holds"], report["problems"]) == (1, 1, [])
    out, _ = api.shown("ledger", "verify", "--data", ".")
    assert "ledger.db adds up" in out
    assert "overrun_usd" in out
    assert api.sent == []
    assert len(ledger.balances()) == 1


async def test_a_balance_that_was_touched_is_named_and_is_exit_code_one(ledger: EmbeddedLedger, api: LimitsApi) -> None:
    await ledger.aclose()
    connection = sqlite3.connect(api.directory / "ledger.db")
    with connection:
        connection.execute("UPDATE accounts SET posted = posted + 1")
    connection.close()
    out, _ = api.shown("ledger", "verify", "--data", ".", code=1)
    assert "DOES NOT ADD UP" in out
    assert "key/key_1/bud_1/2026-11 has" in out


def test_no_journal_and_what_is_none_are_said(api: LimitsApi) -> None:
    assert "ledger.db does not exist" in api.run("ledger", "verify", "--data", ".", code=1)
    (api.directory / "ledger.db").write_bytes(b"not a database" * 1000)
    assert "cannot be verified" in api.run("ledger", "verify", "--data", ".", code=1)


def test_a_running_gateway_is_asked_to_verify_itself(api: LimitsApi) -> None:
    api.answers["ledger/verify"] = REPORT
    assert api.run("ledger", "verify", "--live") == REPORT
    assert api.sent == [("POST", "ledger/verify", None)]
    out, _ = api.shown("ledger", "verify", "--live")
    assert "overrun_usd  1.5" in out
    api.answers["ledger/verify"] = REPORT | {"problems": ["key/a has posted and held (1, 0)"]}
    out, _ = api.shown("ledger", "verify", "--live", code=1)
    assert "DOES NOT ADD UP" in out
    assert "key/a has posted and held (1, 0)" in out


@pytest.mark.parametrize("amount", ["1.50", "-1.50", "0.000000001"])
def test_a_correction_is_sent_with_its_reason(api: LimitsApi, amount: str) -> None:
    api.answers[f"keys/{KEY}/adjustments"] = {"amount_usd": amount, "reason": "invoice of May"}
    arguments = ("ledger", "adjust", KEY, amount, "--reason", "invoice of May")
    assert api.run(*arguments)["amount_usd"] == amount
    assert api.sent == [
        ("POST", f"keys/{KEY}/adjustments", {"amount_usd": amount, "reason": "invoice of May"}),
    ]
    api.answers[f"keys/{KEY}/adjustments"] = None
    out, _ = api.shown(*arguments)
    assert out == f"{amount} USD posted on every account of {KEY}\n"
