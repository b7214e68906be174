import re

import pytest

from headgate.catalog.book import compiled_table
from headgate.providers import PROVIDERS
from headgate.providers.compatible import VENDORS
from headgate.upstream.addresses import check_host, parse_base_url
from headgate.wire import WIRE_FORMATS

rows = pytest.mark.parametrize("vendor", VENDORS.values(), ids=VENDORS)


def test_there_are_at_least_thirty_vendors_and_the_promised_ones():
    assert len(VENDORS) >= 30
    promised = {"openai", "azure", "bedrock", "gemini", "vllm", "ollama", "llama_cpp", "lm_studio", "sglang"}
    assert promised | {"openai_compatible"} <= VENDORS.keys()
    assert PROVIDERS.keys() == VENDORS.keys() | {"sandbox"}


@rows
def test_a_row_is_filed_under_its_kind_and_says_where_it_was_read(vendor):
    assert VENDORS[vendor.kind] is vendor
    assert re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+)*", vendor.kind)
    assert vendor.title
    assert vendor.source.startswith("https://")


@rows
def test_a_base_url_is_one_the_address_policy_takes(vendor):
    if vendor.base_url is None:
        assert vendor.notes
        return
    origin, path = parse_base_url(vendor.base_url.replace("{region}", "us-east-1"))
    assert not path.endswith("/")
    assert origin.scheme == ("http" if vendor.local else "https")
    assert check_host(origin.host, allow_private_network=vendor.local) is None


@rows
def test_wire_formats_and_limit_names_are_known(vendor):
    assert vendor.wire_formats
    assert set(vendor.wire_formats) <= WIRE_FORMATS.keys()
    assert vendor.max_output_field in {None, "max_tokens", "max_completion_tokens"}


@rows
def test_the_credential_header_is_lower_case(vendor):
    assert vendor.auth_header == vendor.auth_header.lower()
    assert vendor.auth_prefix in {"Bearer ", ""}


@rows
def test_prices_are_looked_up_under_a_name_the_catalogue_has(vendor):
    assert vendor.price_provider is None or vendor.price_provider in compiled_table().providers


def test_no_two_kinds_share_an_environment_variable():
    names = [name for vendor in VENDORS.values() for name in vendor.credential_env]
    assert len(names) == len(set(names))


def test_azure_sends_its_key_bare_in_its_own_header():
    assert (VENDORS["azure"].auth_header, VENDORS["azure"].auth_prefix) == ("api-key", "")


def test_vendors_that_refuse_stream_options_are_not_asked_for_usage():
    # Mistral answers 422 "extra_forbidden" to stream_options.include_usage and to max_completion_tokens; Cohere's
    # compatibility API refuses stream_options as well.
    assert not VENDORS["mistral"].include_usage
    assert not VENDORS["cohere"].include_usage
    assert VENDORS["mistral"].max_output_field == "max_tokens"


def test_a_limit_is_not_sent_under_a_name_that_its_vendor_has_deprecated():
    for kind in ("openai", "moonshot", "minimax", "groq", "xai"):
        assert VENDORS[kind].max_output_field == "max_completion_tokens", kind


def test_vendors_that_send_usage_unasked_are_not_asked():
    for kind in ("openrouter", "together", "fireworks", "zai", "databricks"):
        assert not VENDORS[kind].include_usage, kind
