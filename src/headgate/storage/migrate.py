"""Bringing a database's tables up to this version, in one transaction, or refusing to touch what is not ours.

Kept apart from `engine`, so that opening a database does not import Alembic.
"""

import os
import sqlite3
import time
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, func, inspect, select, text
from sqlalchemy.exc import DatabaseError
from sqlalchemy.sql import insert

from headgate.storage.engine import DatabaseCorruptError, SchemaError, database_path, make_writer, prepare_file
from headgate.storage.lock import WriterLock
from headgate.storage.tables import REVISION, meta, metadata

_SCRIPTS: Final = Path(__file__).with_name("migrations")
_VERSION_TABLE: Final = "alembic_version"


def migrate(url: str) -> str | None:
    """Make or upgrade the tables of the database at ``url``; the file is made where it does not exist.

    Returns:
        The revision that the database had before, ``None`` where it was empty.

    Raises:
        DatabaseUrlError: a URL that Headgate cannot store to.
        DatabaseLockedError: a running gateway has it open.
        DatabaseCorruptError: the file is no SQLite database.
        SchemaError: tables of somebody else, of a newer Headgate, or an incomplete set; nothing was changed.
    """
    path = database_path(url)
    prepare_file(path)
    lock = WriterLock(path)
    writer = make_writer(path)
    done = False
    try:
        with writer.begin() as connection:
            before = _upgrade(connection, path)
        done = True
        return before
    except (DatabaseError, sqlite3.DatabaseError) as error:
        cause = error.orig if isinstance(error, DatabaseError) else error
        raise DatabaseCorruptError(f"{path} cannot be migrated: {cause}") from error
    finally:
        writer.dispose()
        # What was due for a look before is due for one still.
        lock.release(closed=done and lock.was_closed)


def alembic_config() -> Config:
    """Alembic's configuration without an ini file; give ``attributes["connection"]`` before running a command."""
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _upgrade(connection: Connection, path: Path) -> str | None:
    config = alembic_config()
    before = _present_revision(connection, path, known={script.revision for script in _scripts(config)})
    if before != REVISION:
        config.attributes["connection"] = connection
        command.upgrade(config, REVISION)
    _refuse_partial(connection, path)
    if connection.execute(select(func.count()).select_from(meta)).scalar_one() == 0:
        instance = {"id": 1, "instance_id": os.urandom(16).hex(), "created_at_ms": time.time_ns() // 1_000_000}
        connection.execute(insert(meta).values(instance))
    return before


def _scripts(config: Config):
    return ScriptDirectory.from_config(config).walk_revisions()


def _present_revision(connection: Connection, path: Path, known: set[str]) -> str | None:
    tables = set(inspect(connection).get_table_names())
    if not tables:
        return None
    if _VERSION_TABLE not in tables:
        raise SchemaError(
            f"{path} holds tables that Headgate did not make ({_some(tables)}); give Headgate a file of its own"
        )
    revisions = list(connection.execute(text(f"SELECT version_num FROM {_VERSION_TABLE}")).scalars())  # noqa: S608
    if len(revisions) != 1:
        raise SchemaError(f"{path} says it is at {len(revisions)} schema revisions at once; restore a backup")
    if revisions[0] not in known:
        raise SchemaError(
            f"{path} has schema {revisions[0]}, which this Headgate does not know (it knows up to {REVISION}); "
            "run the newer Headgate that made it"
        )
    return revisions[0]


def _refuse_partial(connection: Connection, path: Path) -> None:
    inspector = inspect(connection)
    present = set(inspector.get_table_names())
    missing = {name for name in metadata.tables if name not in present}
    for name, table in metadata.tables.items():
        if name in present:
            columns = {column["name"] for column in inspector.get_columns(name)}
            missing |= {f"{name}.{column.name}" for column in table.columns if column.name not in columns}
    if missing:
        raise SchemaError(f"{path} says schema {REVISION} but lacks {_some(missing)}; restore a backup")


def _some(names: set[str]) -> str:
    ordered = sorted(names)
    return ", ".join(ordered[:5]) + (" …" if len(ordered) > 5 else "")
