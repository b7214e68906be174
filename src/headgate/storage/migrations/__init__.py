"""Alembic's scripts, one file a revision. `headgate.storage.migrate` runs them in-process."""
