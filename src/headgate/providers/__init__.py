"""Vendors: base URL, authentication, wire formats, quirks. `PROVIDERS` lists the kinds."""

from typing import Final

from headgate.providers.compatible import VENDORS
from headgate.providers.provider import Vendor
from headgate.providers.sandbox import SANDBOX_VENDOR

PROVIDERS: Final[dict[str, Vendor]] = {**VENDORS, SANDBOX_VENDOR.kind: SANDBOX_VENDOR}
"""Every kind that ``providers.<name>.kind`` may say."""
