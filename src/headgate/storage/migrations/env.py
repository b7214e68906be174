"""What Alembic runs around every migration: our connection, our tables, one transaction."""

from alembic import context
from sqlalchemy import Connection

from headgate.storage.tables import metadata


def run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=metadata,
        # SQLite rolls DDL back like any other statement, and `migrate` has begun the transaction already:
        # a migration that fails half-way leaves nothing behind.
        transactional_ddl=True,
    )
    context.run_migrations()


run(context.config.attributes["connection"])
