"""The prefixes lead to kinds that there are."""

from headgate.migration.litellm_vendors import FIXED, NAMES, ROUTES
from headgate.providers.compatible import VENDORS


def test_every_prefix_leads_to_a_kind_or_says_why_not() -> None:
    for prefix, route in ROUTES.items():
        assert route.kind in VENDORS if route.kind is not None else route.note, prefix


def test_models_without_a_prefix_lead_to_one() -> None:
    assert {prefix for _, prefix in NAMES} <= ROUTES.keys()


def test_a_kind_without_an_address_of_its_own_takes_one() -> None:
    for prefix, route in ROUTES.items():
        if route.kind is not None and VENDORS[route.kind].base_url is None:
            assert route.base != FIXED or prefix == "cloudflare"
