"""Where data may go: a policy of each scope and of each key."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("scopes", sa.Column("residency", sa.Text(), nullable=True))
    op.add_column("virtual_keys", sa.Column("residency", sa.Text(), nullable=True))
