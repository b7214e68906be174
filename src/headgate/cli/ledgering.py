"""``headgate ledger``: whether the ledger adds up, and corrections of what was posted."""

import re
import sqlite3
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import msgspec

from headgate.cli.client import GatewayClient
from headgate.cli.failure import CommandError
from headgate.cli.limiting import check_amount_usd
from headgate.cli.output import print_fields, print_json
from headgate.domain.money import format_usd
from headgate.settings.model import LEDGER_FILE

_ZERO: Final = re.compile(r"-?[0.]*")


def verify_file(data_dir: Path, *, as_json: bool) -> int:
    """Work every balance out again from the rows of the journal on disk; return 1 where one is wrong.

    The file is only read, and may belong to a gateway that runs.

    Raises:
        CommandError: there is no journal, or it cannot be read.
    """
    from headgate.ledger.journal_file import LedgerCorruptError
    from headgate.ledger.verify import verify_journal

    path = data_dir / LEDGER_FILE
    if not path.exists():
        raise CommandError(f"{path} does not exist: no gateway has run on {data_dir} yet, or --data names another")
    try:
        report = verify_journal(path)
    except (LedgerCorruptError, sqlite3.Error, OSError) as error:
        raise CommandError(f"{path} cannot be verified: {error}") from error
    # In the admin API's words, so that both ways print the same.
    shown: dict[str, Any] = {"adds_up": report.adds_up, **msgspec.to_builtins(report)}
    shown["overrun_usd"] = format_usd(shown.pop("overrun_nano_usd"))
    return _print_report(shown, str(path), as_json=as_json)


def verify_live(client: GatewayClient, *, as_json: bool) -> int:
    """Let the running gateway compare its balances in memory with its journal; return 1 where one is wrong."""
    return _print_report(client.send("POST", "/ledger/verify"), "the running gateway's ledger", as_json=as_json)


def check_delta_usd(text: str) -> str:
    """Return ``text`` where it is an amount to add (``1.50``) or to give back (``-1.50``).

    Raises:
        ValueError: it is no amount that is kept exactly, or zero.
    """
    check_amount_usd(text.removeprefix("-"))
    if _ZERO.fullmatch(text):
        raise ValueError(f"{text!r} corrects nothing")
    return text


def adjust(client: GatewayClient, key_id: str, amount_usd: str, reason: str, *, as_json: bool) -> None:
    """Post a correction on every account of a key's path as it is now, and print what the gateway answers.

    Raises:
        CommandError: the gateway refuses, such as where an account would be left below zero.
    """
    key_id = client.whole_id("/keys", key_id)
    body = {"amount_usd": amount_usd, "reason": reason}
    answer = client.send("POST", f"/keys/{quote(key_id, safe='')}/adjustments", body)
    if as_json:
        print_json(answer)
    elif answer:
        print_fields(answer)
    else:
        print(f"{amount_usd} USD posted on every account of {key_id}")


def _print_report(report: dict[str, Any], name: str, *, as_json: bool) -> int:
    problems: list[str] = list(report["problems"])
    if as_json:
        print_json(report)
        return 1 if problems else 0
    shown = {field: value for field, value in report.items() if field not in ("adds_up", "problems")}
    print_fields(shown)
    print()
    print(f"{name} DOES NOT ADD UP:" if problems else f"{name} adds up")
    for problem in problems:
        print(f"  {problem}")
    return 1 if problems else 0
