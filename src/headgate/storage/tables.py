"""Every table of the database, in one `MetaData`.

Times are wall-clock milliseconds since the epoch, money is nano-USD, lists and maps are JSON text.
``storage/migrations`` makes the same schema step by step; a test keeps the two equal.
"""

from typing import Final

from sqlalchemy import (
    DDL,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    event,
    false,
    text,
)

REVISION: Final = "0006"
"""The migration that this code's tables are the result of."""

metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

meta: Final = Table(
    "meta",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("instance_id", Text, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    CheckConstraint("id = 1", name="one_row"),
)

scopes: Final = Table(
    "scopes",
    metadata,
    Column("id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("parent_id", Text, ForeignKey("scopes.id"), nullable=True),
    Column("organization_id", Text, nullable=False),
    Column("slug", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("time_zone", Text, nullable=True),
    Column("blocked", Boolean, nullable=False, server_default=false()),
    Column("managed_by", Text, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("updated_at_ms", BigInteger, nullable=False),
    Column("version", Integer, nullable=False),
    # A `ResidencyPolicy` as JSON; null restricts nothing. Likewise that of a key.
    Column("residency", Text, nullable=True),
    CheckConstraint("kind IN ('organization', 'team', 'project', 'user')", name="kind"),
    CheckConstraint("(kind = 'organization') = (parent_id IS NULL)", name="root"),
    UniqueConstraint("parent_id", "kind", "slug"),
    Index("ix_scopes_organization_id_kind", "organization_id", "kind"),
    Index("ix_scopes_managed_by", "managed_by"),
    # A unique constraint does not hold between rows whose parent is NULL.
    Index("uq_scopes_root_slug", "slug", unique=True, sqlite_where=text("parent_id IS NULL")),
)

users: Final = Table(
    "users",
    metadata,
    Column("id", Text, ForeignKey("scopes.id"), primary_key=True),
    Column("organization_id", Text, ForeignKey("scopes.id"), nullable=False),
    Column("email", Text, nullable=False),
    UniqueConstraint("organization_id", "email"),
)

role_bindings: Final = Table(
    "role_bindings",
    metadata,
    Column("user_id", Text, ForeignKey("users.id"), primary_key=True),
    Column("scope_id", Text, ForeignKey("scopes.id"), primary_key=True),
    Column("role", Text, primary_key=True),
    Column("created_at_ms", BigInteger, nullable=False),
    Index("ix_role_bindings_scope_id", "scope_id"),
)

virtual_keys: Final = Table(
    "virtual_keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("scope_id", Text, ForeignKey("scopes.id"), nullable=False),
    Column("organization_id", Text, ForeignKey("scopes.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False, unique=True),
    Column("hint", Text, nullable=False),
    Column("previous_digest", LargeBinary, nullable=True, unique=True),
    Column("grace_until_ms", BigInteger, nullable=True),
    Column("models", Text, nullable=False),
    Column("sandbox", Boolean, nullable=False, server_default=false()),
    Column("tags", Text, nullable=False),
    Column("expires_at_ms", BigInteger, nullable=True),
    Column("blocked", Boolean, nullable=False, server_default=false()),
    Column("revoked_at_ms", BigInteger, nullable=True),
    Column("rotated_at_ms", BigInteger, nullable=True),
    Column("managed_by", Text, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("updated_at_ms", BigInteger, nullable=False),
    Column("version", Integer, nullable=False),
    Column("residency", Text, nullable=True),
    CheckConstraint("length(digest) = 32", name="sha256"),
    Index("ix_virtual_keys_organization_id", "organization_id", "id"),
    Index("ix_virtual_keys_scope_id", "scope_id", "id"),
    # Only the file and `apply` manage rows of their own; a million keys of the API stay out of this index.
    Index("ix_virtual_keys_managed_by", "managed_by", sqlite_where=text("managed_by <> 'api'")),
    Index("uq_virtual_keys_live_name", "scope_id", "name", unique=True, sqlite_where=text("revoked_at_ms IS NULL")),
)

budgets: Final = Table(
    "budgets",
    metadata,
    Column("id", Text, primary_key=True),
    Column("organization_id", Text, ForeignKey("scopes.id"), nullable=False),
    # Whose readers see it: the scope it hangs on, that of its key, or the organization of what a request names.
    Column("scope_id", Text, ForeignKey("scopes.id"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("amount_nano_usd", BigInteger, nullable=False),
    Column("period", Text, nullable=False),
    Column("mode", Text, nullable=False),
    Column("override_amount_nano_usd", BigInteger, nullable=True),
    Column("override_until_ms", BigInteger, nullable=True),
    Column("managed_by", Text, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("updated_at_ms", BigInteger, nullable=False),
    Column("version", Integer, nullable=False),
    CheckConstraint("amount_nano_usd BETWEEN 0 AND 9000000000000000", name="amount"),
    CheckConstraint("(override_amount_nano_usd IS NULL) = (override_until_ms IS NULL)", name="override"),
    UniqueConstraint("kind", "target", "period", "mode"),
    Index("ix_budgets_organization_id", "organization_id", "id"),
    Index("ix_budgets_scope_id", "scope_id", "id"),
    Index("ix_budgets_target", "target", "id"),
    Index("ix_budgets_managed_by", "managed_by", sqlite_where=text("managed_by <> 'api'")),
)

rate_limits: Final = Table(
    "rate_limits",
    metadata,
    Column("id", Text, primary_key=True),
    Column("organization_id", Text, ForeignKey("scopes.id"), nullable=False),
    Column("scope_id", Text, ForeignKey("scopes.id"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("rpm", BigInteger, nullable=True),
    Column("tpm", BigInteger, nullable=True),
    Column("tph", BigInteger, nullable=True),
    Column("tpd", BigInteger, nullable=True),
    Column("concurrency", BigInteger, nullable=True),
    Column("tpm_mode", Text, nullable=False),
    Column("tph_mode", Text, nullable=False),
    Column("tpd_mode", Text, nullable=False),
    Column("managed_by", Text, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("updated_at_ms", BigInteger, nullable=False),
    Column("version", Integer, nullable=False),
    UniqueConstraint("kind", "target"),
    Index("ix_rate_limits_organization_id", "organization_id", "id"),
    Index("ix_rate_limits_scope_id", "scope_id", "id"),
    Index("ix_rate_limits_target", "target", "id"),
    Index("ix_rate_limits_managed_by", "managed_by", sqlite_where=text("managed_by <> 'api'")),
)

access_tokens: Final = Table(
    "access_tokens",
    metadata,
    Column("id", Text, primary_key=True),
    Column("user_id", Text, ForeignKey("users.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False, unique=True),
    Column("hint", Text, nullable=False),
    Column("expires_at_ms", BigInteger, nullable=False),
    Column("revoked_at_ms", BigInteger, nullable=True),
    Column("last_used_at_ms", BigInteger, nullable=True),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("updated_at_ms", BigInteger, nullable=False),
    Column("version", Integer, nullable=False),
    Index("ix_access_tokens_user_id", "user_id", "id"),
)

audit_events: Final = Table(
    "audit_events",
    metadata,
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False, unique=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("actor_kind", Text, nullable=False),
    Column("actor_id", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("object_kind", Text, nullable=False),
    Column("object_id", Text, nullable=True),
    Column("organization_id", Text, nullable=True),
    Column("outcome", Text, nullable=False),
    Column("reason", Text, nullable=True),
    Column("before", Text, nullable=True),
    Column("after", Text, nullable=True),
    Column("request_id", Text, nullable=True),
    Column("source_address", Text, nullable=True),
    CheckConstraint("outcome IN ('allowed', 'denied', 'failed')", name="outcome"),
    Index("ix_audit_events_organization_id", "organization_id", "seq"),
    Index("ix_audit_events_object_id", "object_id", "seq"),
    Index("ix_audit_events_actor_id", "actor_id", "seq"),
    sqlite_autoincrement=True,
)

requests: Final = Table(
    "requests",
    metadata,
    Column("id", Text, primary_key=True),
    Column("started_at_ms", BigInteger, nullable=False),
    Column("organization_id", Text, nullable=True),
    Column("path", Text, nullable=False),
    Column("key_id", Text, nullable=True),
    Column("end_user", Text, nullable=True),
    Column("session", Text, nullable=True),
    Column("tags", Text, nullable=False),
    Column("operation", Text, nullable=False),
    Column("wire_format", Text, nullable=False),
    Column("model", Text, nullable=True),
    Column("provider", Text, nullable=True),
    Column("deployment", Text, nullable=True),
    Column("upstream_model", Text, nullable=True),
    Column("stream", Boolean, nullable=False),
    Column("attempts", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("status", Integer, nullable=False),
    Column("error_code", Text, nullable=True),
    Column("finish_reason", Text, nullable=True),
    Column("input_tokens", BigInteger, nullable=False),
    Column("cached_input_tokens", BigInteger, nullable=False),
    Column("cache_write_tokens", BigInteger, nullable=False),
    Column("input_audio_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("reasoning_tokens", BigInteger, nullable=False),
    Column("output_audio_tokens", BigInteger, nullable=False),
    Column("usage_quality", Text, nullable=False),
    Column("cost_nano_usd", BigInteger, nullable=False),
    Column("priced", Boolean, nullable=False),
    Column("price_version", Text, nullable=True),
    Column("first_event_ms", Float, nullable=True),
    Column("duration_ms", Float, nullable=False),
    Column("overhead_ms", Float, nullable=False),
    Column("is_sandbox", Boolean, nullable=False),
    Column("spending", Text, nullable=True),
    Column("routing", Text, nullable=True),
    Column("cache_status", Text, nullable=True),
    Column("cache", Text, nullable=True),
    Column("saved_nano_usd", BigInteger, nullable=False, server_default="0"),
    Index("ix_requests_started_at_ms", "started_at_ms"),
    Index("ix_requests_organization_id_started_at_ms", "organization_id", "started_at_ms"),
    Index("ix_requests_key_id_started_at_ms", "key_id", "started_at_ms"),
)

ledger_progress: Final = Table(
    "ledger_progress",
    metadata,
    Column("id", Integer, primary_key=True),
    # The records of all batches of the ledger's journal up to this one are in ``requests``.
    Column("seq", BigInteger, nullable=False),
    CheckConstraint("id = 1", name="one_row"),
)

budget_events: Final = Table(
    "budget_events",
    metadata,
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False, unique=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("organization_id", Text, nullable=True),
    Column("account", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("scope_id", Text, nullable=False),
    Column("budget_id", Text, nullable=False),
    Column("percent", Integer, nullable=False),
    Column("posted_nano_usd", BigInteger, nullable=False),
    Column("limit_nano_usd", BigInteger, nullable=False),
    Index("ix_budget_events_organization_id", "organization_id", "seq"),
    Index("ix_budget_events_budget_id", "budget_id", "seq"),
    sqlite_autoincrement=True,
)

for _operation in ("UPDATE", "DELETE"):
    event.listen(
        audit_events,
        "after_create",
        DDL(
            f"CREATE TRIGGER audit_events_no_{_operation.lower()} BEFORE {_operation} ON audit_events "
            "BEGIN SELECT RAISE(ABORT, 'audit_events is append-only'); END"
        ).execute_if(dialect="sqlite"),
    )
