"""The table of keys against the Structs that hold their values."""

import msgspec
import pytest

from headgate.domain.caching import CachePolicy
from headgate.domain.catalog import Rates
from headgate.domain.residency import ResidencyPolicy
from headgate.settings import model
from headgate.settings.keys import KEYS

STRUCTS: dict[str, type[msgspec.Struct]] = {
    "": model.Settings,
    "server": model.ServerSettings,
    "server.tls": model.TlsSettings,
    "timeouts": model.TimeoutSettings,
    "storage": model.StorageSettings,
    "providers.*": model.ProviderSettings,
    "providers.*.credentials[]": model.CredentialSettings,
    "providers.*.tls": model.UpstreamTlsSettings,
    "providers.*.timeouts": model.TimeoutSettings,
    "models[]": model.ModelSettings,
    "models[].deployments[]": model.DeploymentSettings,
    "models[].deployments[].limits": model.DeploymentSettings,
    "models[].deployments[].price": Rates,
    "models[].deployments[].price.tiers[]": Rates,
    "models[].balance": model.BalanceSettings,
    "models[].fallbacks": model.FallbackSettings,
    "models[].rules[]": model.RuleSettings,
    "models[].rules[].when": model.WhenSettings,
    "models[].cache": model.CacheSettings,
    "cache": model.CacheSettings,
    "cache.exact": CachePolicy,
    "prices": model.PriceSettings,
    "ledger": model.LedgerSettings,
    "keys": model.KeySettings,
    "organizations[]": model.ProvisionedOrganization,
    "organizations[].budgets[]": model.ProvisionedBudget,
    "organizations[].rate_limits": model.ProvisionedRateLimits,
    "organizations[].residency": ResidencyPolicy,
    "organizations[].end_users[]": model.ProvisionedNamedLimits,
    "organizations[].keys[]": model.ProvisionedKey,
    "organizations[].teams[]": model.ProvisionedTeam,
    "organizations[].teams[].projects[]": model.ProvisionedProject,
    "organizations[].users[]": model.ProvisionedUser,
}
LIMITS = {"rpm", "tpm"}
HANDLING = {"jurisdiction", "retention_days", "trains"}
# Fields that no key of the same name sets: the name of a provider is its key, ``price: free`` sets price_free.
DERIVED = {
    "": {"data_dir"},
    "providers.*": {"name", "price_free", "handling"},
    "models[].deployments[]": {"price_free", "handling"} | LIMITS,
    "models[].deployments[].limits": {field.name for field in msgspec.structs.fields(model.DeploymentSettings)}
    - LIMITS,
    "models[].cache": {"memory", "disk"},
    "cache.exact": {"ttl_s", "stale_if_error_s", "max_body_bytes"},
    "organizations[].budgets[]": {"amount_nano_usd"},
}
# Keys without a field of the same name.
WRITTEN = {
    "providers.*": {"price"} | HANDLING,
    "models[].deployments[]": {"limits"} | HANDLING,
    "models[].deployments[].price": {"tiers"},
    "models[].deployments[].price.tiers[]": {"above_input_tokens"},
    "cache.exact": {"ttl", "stale_if_error", "max_body"},
    "organizations[].budgets[]": {"amount_usd"},
}


def test_every_block_has_its_struct() -> None:
    assert STRUCTS.keys() == KEYS.keys()


@pytest.mark.parametrize("block", KEYS)
def test_keys_and_fields_are_the_same_words(block: str) -> None:
    keys = {key.removesuffix("_per_mtok") for key in KEYS[block]}
    fields = {field.name for field in msgspec.structs.fields(STRUCTS[block])}

    assert keys - WRITTEN.get(block, set()) == fields - DERIVED.get(block, set())
