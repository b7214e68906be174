"""``headgate prices update``."""

from pathlib import Path

from headgate.catalog.book import OVERRIDE_FILE, install_override
from headgate.catalog.table import InvalidPriceTableError, PriceTable, check_table, decode_provider
from headgate.cli.failure import CommandError
from headgate.cli.output import print_fields, print_json


def update(file: Path, data_dir: Path, *, as_json: bool) -> None:
    """Check the table in ``file``, install it as the override in ``data_dir`` and say what changed.

    Raises:
        CommandError: the table is wrong, or a file cannot be read or written.
    """
    installed = data_dir / OVERRIDE_FILE
    try:
        before = _models(check_table(installed.read_bytes())) if installed.is_file() else {}
    except (OSError, InvalidPriceTableError):
        # A damaged table is what an update repairs.
        before = {}
    try:
        after = _models(install_override(file.read_bytes(), data_dir))
    except InvalidPriceTableError as error:
        raise CommandError(f"{file}: {error}") from error
    except OSError as error:
        raise CommandError(f"{error.filename or file}: {error.strerror}") from error
    summary: dict[str, object] = {
        "installed": str(installed),
        "models": len(after),
        "added": sorted(after.keys() - before.keys()),
        "changed": sorted(name for name in after.keys() & before.keys() if after[name] != before[name]),
        "removed": sorted(before.keys() - after.keys()),
    }
    if as_json:
        print_json(summary)
        return
    print_fields(summary)
    print("A gateway reads it when it starts.")


def _models(table: PriceTable) -> dict[str, object]:
    found: dict[str, object] = {}
    for name in table.providers:
        provider = decode_provider(table, name)
        assert provider is not None, "the name is the table's own"
        found |= {f"{name}/{row.id}": row for row in provider.models}
    return found
