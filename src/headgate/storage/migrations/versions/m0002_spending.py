"""What limits decided about a request, how far records follow the ledger's journal, and the thresholds of budgets."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("requests", sa.Column("spending", sa.Text(), nullable=True))
    op.create_table(
        "ledger_progress",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_ledger_progress_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_progress")),
    )
    op.create_table(
        "budget_events",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("organization_id", sa.Text(), nullable=True),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("scope_id", sa.Text(), nullable=False),
        sa.Column("budget_id", sa.Text(), nullable=False),
        sa.Column("percent", sa.Integer(), nullable=False),
        sa.Column("posted_nano_usd", sa.BigInteger(), nullable=False),
        sa.Column("limit_nano_usd", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_budget_events")),
        sa.UniqueConstraint("id", name=op.f("uq_budget_events_id")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_budget_events_budget_id", "budget_events", ["budget_id", "seq"], unique=False)
    op.create_index("ix_budget_events_organization_id", "budget_events", ["organization_id", "seq"], unique=False)
