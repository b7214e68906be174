"""``headgate migrate``."""

from pathlib import Path

from headgate.cli.configuration import load
from headgate.cli.failure import CommandError


def migrate(config: Path | None) -> None:
    """Bring the database's tables up to this version.

    Raises:
        CommandError: the database is in use, damaged, or not ours.
    """
    settings = load(config).settings
    from headgate.storage.engine import StorageError
    from headgate.storage.lock import DatabaseLockedError
    from headgate.storage.migrate import migrate as migrate_database
    from headgate.storage.tables import REVISION

    try:
        before = migrate_database(settings.storage.database)
    except (StorageError, DatabaseLockedError, OSError) as error:
        raise CommandError(str(error)) from error
    if before == REVISION:
        print(f"{settings.storage.database} is up to date (schema {REVISION})")
    else:
        print(f"{settings.storage.database}: schema {before or 'none'} → {REVISION}")
