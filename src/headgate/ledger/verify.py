"""Does the ledger add up? Every balance is worked out again from the journal's rows and compared with the kept ones.

Three figures of every account must agree: the engine's balance at the last checkpoint, the sum of the rows up to it,
and, where a running engine's balances are given, what the rows since then add to it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct

from headgate.ledger.derivation import MOST_PROBLEMS, Derivation
from headgate.ledger.journal_file import JournalFile, Saved


class Report(Struct, frozen=True):
    """What was found. Money is nano-USD."""

    accounts: int
    """Whose period is not over."""
    batches: int
    rows: int
    """Since the last checkpoint."""
    intents: int
    posted: int
    """Reservations that ended so, since the last checkpoint."""
    voided: int
    recovered: int
    open_holds: int
    overrun_nano_usd: int
    problems: tuple[str, ...]
    """At most a hundred; empty where the ledger adds up."""

    @property
    def adds_up(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


_NAMES: Final = slice(2, 6)


def verify_journal(path: Path, balances: Mapping[str, tuple[int, int]] | None = None) -> Report:
    """Verify the journal at ``path``, which may be in use.

    Args:
        path: the journal's file; it is only read.
        balances: posted and held by account name of the engine that has it open, with everything flushed.

    Raises:
        LedgerCorruptError: the file is damaged, or a batch is not what was written.
        sqlite3.Error: it cannot be read.
    """
    file = JournalFile(path, writable=False)
    try:
        # One transaction is one view, whatever the writer does meanwhile.
        file.connection.execute("BEGIN")
        saved = file.load()
        derivation = Derivation(saved.holds)
        problems = _compare_checkpoint(saved, derivation)
        batches = rows = 0
        for _, batch in file.batches(saved.seq):
            batches += 1
            rows += len(batch)
            derivation.take(batch)
    finally:
        file.close()
    problems += derivation.problems
    if balances is not None:
        problems += _compare_engine(saved, derivation, balances)
    return Report(
        accounts=len(derivation.limits),
        batches=batches,
        rows=rows,
        intents=derivation.intents,
        posted=derivation.ends["posted"],
        voided=derivation.ends["voided"],
        recovered=derivation.recovered,
        open_holds=len(derivation.open),
        overrun_nano_usd=derivation.overrun,
        problems=tuple(problems[:MOST_PROBLEMS]),
    )


def _compare_checkpoint(saved: Saved, derivation: Derivation) -> list[str]:
    problems: list[str] = []
    for account in saved.accounts:
        number, limit, enforced = account.row[1], account.row[6], account.row[7]
        name = "/".join(account.row[_NAMES])
        folded = saved.folded[number]
        if folded != account.posted:
            problems.append(f"{name} has {account.posted} posted, its rows say {folded}")
        derivation.know(number, name, limit, account.posted, enforced=enforced)
    return problems


def _compare_engine(saved: Saved, derivation: Derivation, balances: Mapping[str, tuple[int, int]]) -> list[str]:
    problems: list[str] = []
    posted = {account.row[1]: account.posted for account in saved.accounts}
    for number, (name, _, _) in derivation.limits.items():
        said = (posted.get(number, 0) + derivation.posted.get(number, 0), derivation.held.get(number, 0))
        kept = balances.get(name, (0, 0))
        if kept != said:
            problems.append(f"{name} has posted and held {kept} in memory, its rows say {said}")
    return problems
