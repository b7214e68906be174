"""What the response cache did for a request, and what that saved."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("requests", sa.Column("cache_status", sa.Text(), nullable=True))
    op.add_column("requests", sa.Column("cache", sa.Text(), nullable=True))
    op.add_column("requests", sa.Column("saved_nano_usd", sa.BigInteger(), nullable=False, server_default="0"))
