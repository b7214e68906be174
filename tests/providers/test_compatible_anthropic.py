"""The rows of vendors that speak Anthropic's format; tests/providers/test_compatible.py checks them as rows."""

import pytest

from headgate.providers.compatible import VENDORS
from headgate.providers.compatible_anthropic import ANTHROPIC_SHAPED
from headgate.providers.provider import Vendor


@pytest.mark.parametrize("vendor", ANTHROPIC_SHAPED, ids=lambda vendor: vendor.kind)
def test_a_row_sends_the_version_that_the_format_demands(vendor: Vendor) -> None:
    assert VENDORS[vendor.kind] is vendor
    assert vendor.headers == (("anthropic-version", "2023-06-01"),)
    assert vendor.wire_formats[0] == "anthropic_messages"
    assert vendor.max_output_field is None
    assert not vendor.include_usage


def test_anthropic_itself_counts_tokens_and_takes_its_key_in_its_own_header() -> None:
    vendor = VENDORS["anthropic"]
    assert "anthropic_count_tokens" in vendor.wire_formats
    assert (vendor.auth_header, vendor.auth_prefix, vendor.credential_env) == ("x-api-key", "", ("ANTHROPIC_API_KEY",))
