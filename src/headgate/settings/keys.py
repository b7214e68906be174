"""Every key of the configuration file, block by block.

The readers know no other keys, and tests/test_docs.py holds docs/reference/configuration.md to this table. A key of a
feature that is not built yet is not here.
"""

from typing import Final

KEYS: Final[dict[str, tuple[str, ...]]] = {
    "": ("server", "timeouts", "storage", "providers", "models", "prices", "keys", "organizations"),
    "server": (
        "listen",
        "admin_listen",
        "admin_token",
        "drain",
        "max_body",
        "header_timeout",
        "max_connections",
        "trusted_proxies",
        "tls",
    ),
    "server.tls": ("cert", "key"),
    "timeouts": ("connect", "first_event", "idle", "total"),
    "storage": ("database",),
    "providers.*": (
        "kind",
        "base_url",
        "credential",
        "region",
        "allow_private_network",
        "transport",
        "tls",
        "timeouts",
        "headers",
        "max_connections",
        "max_connection_age",
        "max_output_field",
        "price",
    ),
    "providers.*.tls": ("ca", "cert", "key"),
    "providers.*.timeouts": ("connect", "first_event", "idle", "total"),
    "models[]": ("alias", "deployments"),
    "models[].deployments[]": ("provider", "model", "region", "price"),
    "models[].deployments[].price": (
        "input_per_mtok",
        "output_per_mtok",
        "cached_input_per_mtok",
        "cache_write_per_mtok",
        "input_audio_per_mtok",
        "output_audio_per_mtok",
        "tiers",
    ),
    "models[].deployments[].price.tiers[]": (
        "above_input_tokens",
        "input_per_mtok",
        "output_per_mtok",
        "cached_input_per_mtok",
        "cache_write_per_mtok",
        "input_audio_per_mtok",
        "output_audio_per_mtok",
    ),
    "prices": ("unpriced", "multiplier"),
    "keys": ("prefix",),
    "organizations[]": ("slug", "name", "time_zone", "keys", "teams", "users"),
    "organizations[].keys[]": ("name", "models", "secret", "secret_sha256", "tags", "expires_at"),
    "organizations[].teams[]": ("slug", "name", "keys", "projects"),
    "organizations[].teams[].projects[]": ("slug", "name", "keys"),
    "organizations[].users[]": ("email", "name", "roles"),
}
