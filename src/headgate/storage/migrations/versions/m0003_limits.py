"""Limits: budgets and rate limits."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "budgets",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("organization_id", sa.Text(), nullable=False),
        sa.Column("scope_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("amount_nano_usd", sa.BigInteger(), nullable=False),
        sa.Column("period", sa.Text(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("override_amount_nano_usd", sa.BigInteger(), nullable=True),
        sa.Column("override_until_ms", sa.BigInteger(), nullable=True),
        sa.Column("managed_by", sa.Text(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.CheckConstraint("amount_nano_usd BETWEEN 0 AND 9000000000000000", name=op.f("ck_budgets_amount")),
        sa.CheckConstraint(
            "(override_amount_nano_usd IS NULL) = (override_until_ms IS NULL)", name=op.f("ck_budgets_override")
        ),
        sa.ForeignKeyConstraint(["organization_id"], ["scopes.id"], name=op.f("fk_budgets_organization_id")),
        sa.ForeignKeyConstraint(["scope_id"], ["scopes.id"], name=op.f("fk_budgets_scope_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_budgets")),
        sa.UniqueConstraint("kind", "target", "period", "mode", name=op.f("uq_budgets_kind_target_period_mode")),
    )
    op.create_table(
        "rate_limits",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("organization_id", sa.Text(), nullable=False),
        sa.Column("scope_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("rpm", sa.BigInteger(), nullable=True),
        sa.Column("tpm", sa.BigInteger(), nullable=True),
        sa.Column("tph", sa.BigInteger(), nullable=True),
        sa.Column("tpd", sa.BigInteger(), nullable=True),
        sa.Column("concurrency", sa.BigInteger(), nullable=True),
        sa.Column("tpm_mode", sa.Text(), nullable=False),
        sa.Column("tph_mode", sa.Text(), nullable=False),
        sa.Column("tpd_mode", sa.Text(), nullable=False),
        sa.Column("managed_by", sa.Text(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["organization_id"], ["scopes.id"], name=op.f("fk_rate_limits_organization_id")),
        sa.ForeignKeyConstraint(["scope_id"], ["scopes.id"], name=op.f("fk_rate_limits_scope_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rate_limits")),
        sa.UniqueConstraint("kind", "target", name=op.f("uq_rate_limits_kind_target")),
    )
    for table in ("budgets", "rate_limits"):
        op.create_index(f"ix_{table}_organization_id", table, ["organization_id", "id"], unique=False)
        op.create_index(f"ix_{table}_scope_id", table, ["scope_id", "id"], unique=False)
        op.create_index(f"ix_{table}_target", table, ["target", "id"], unique=False)
        op.create_index(
            f"ix_{table}_managed_by",
            table,
            ["managed_by"],
            unique=False,
            sqlite_where=sa.text("managed_by <> 'api'"),
        )
