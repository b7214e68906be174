import ssl

import pytest
import trustme
from msgspec.structs import replace

from headgate.providers.build import InvalidProviderError, build_provider, is_switched_off, vendor_of
from headgate.providers.compatible import VENDORS
from headgate.providers.sandbox import Meter, SandboxTransport
from headgate.settings.model import ProviderSettings, Secret, TimeoutSettings, UpstreamTlsSettings
from headgate.upstream.transport import Timeouts

KEY = "sk-test-0123456789"


def settings(kind="openai", **changes):
    return replace(ProviderSettings(name="mine", kind=kind, credential=Secret(KEY)), **changes)


def build(each, environ=None, meter=None):
    return build_provider(each, TimeoutSettings(), environ or {}, meter)


def refused(each, environ=None):
    with pytest.raises(InvalidProviderError) as caught:
        build(each, environ)
    assert str(caught.value).startswith(f"providers.mine.{caught.value.field}: ")
    assert KEY not in str(caught.value)
    return caught.value


async def test_openai_is_ready_to_send_to():
    provider = build(settings())
    assert provider.name == "mine"
    assert provider.vendor.kind == "openai"
    assert provider.base_target == "/v1"
    assert (b"authorization", b"Bearer " + KEY.encode()) in provider.credentials[0].headers
    assert (b"content-type", b"application/json") in provider.credentials[0].headers
    assert provider.secrets == (KEY,)
    assert set(provider.wire_formats) == {"openai_chat", "openai_embeddings"}
    assert provider.timeouts == Timeouts()
    await provider.transport.aclose()


@pytest.mark.parametrize("kind", [kind for kind, vendor in VENDORS.items() if vendor.base_url])
async def test_every_vendor_with_a_base_url_builds_from_a_credential_alone(kind):
    vendor = VENDORS[kind]
    region = "us-east-1" if "{region}" in vendor.base_url else None
    provider = build(settings(kind, allow_private_network=vendor.local, region=region))
    assert provider.max_output_field == vendor.max_output_field
    await provider.transport.aclose()


def test_an_unknown_kind_names_the_nearest():
    error = refused(settings("opnai"))
    assert error.field == "kind"
    assert "'openai'" in error.message
    assert "openai_compatible" in refused(settings("zzzzzz")).message
    with pytest.raises(InvalidProviderError):
        vendor_of(settings("opnai"))


def test_a_provider_without_its_credential_is_off_and_does_not_build():
    empty = settings(credential=Secret(""))
    assert is_switched_off(empty)
    assert refused(empty).field == "credential"
    assert not is_switched_off(settings())
    assert not is_switched_off(settings("vllm", credential=Secret("")))
    assert not is_switched_off(settings("sandbox", credential=Secret("")))


@pytest.mark.parametrize("text", ["key\r\nx-evil: 1", "key\n", "two words", "käse", "nul\x00", "tab\t"])
def test_a_credential_that_no_header_takes_is_refused_without_being_shown(text):
    error = refused(settings(credential=Secret(text)))
    assert error.field == "credential"
    assert text not in str(error)


async def test_a_local_server_needs_no_credential_and_then_sends_none():
    local = settings("vllm", credential=Secret(""), allow_private_network=True)
    provider = build(local)
    assert not [name for name, _ in provider.credentials[0].headers if name == b"authorization"]
    assert provider.secrets == ()
    await provider.transport.aclose()


def test_a_kind_without_a_base_url_of_its_own_demands_one():
    assert refused(settings("openai_compatible")).field == "base_url"
    assert "RESOURCE" in refused(settings("azure")).message


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest",
        "http://[::ffff:127.0.0.1]/v1",
        "http://0x7f.1/v1",
        "http://localhost./v1",
        "http://127.0.0.1:8000/v1",
        "https://10.0.0.1/v1",
        "https://metadata.google.internal/v1",
        "https://intranet/v1",
        "file:///etc/passwd",
        "gopher://example.com/",
        "https://user:password@example.com/v1",
        "https://example.com/v1?key=1",
        "https://example.com/v1#x",
        "https://exa mple.com/v1",
        "https://example.com/v1\r\nx: y",
        "https://",
        "example.com/v1",
        "http://api.example.com/v1",
    ],
)
def test_a_base_url_that_leads_astray_is_refused(url):
    error = refused(settings("openai_compatible", base_url=url))
    assert error.field == "base_url"
    assert "password" not in error.message.partition("user name or")[0]


def test_private_addresses_need_the_operators_word_and_the_error_says_which():
    private = settings("openai_compatible", base_url="http://10.0.0.5:8000/v1")
    assert "allow_private_network" in refused(private).message
    assert "allow_private_network" not in refused(replace(private, base_url="http://169.254.169.254/v1")).message


@pytest.mark.parametrize("url", ["http://169.254.169.254/v1", "http://metadata.google.internal/v1"])
def test_metadata_addresses_are_refused_even_then(url):
    each = settings("openai_compatible", base_url=url, allow_private_network=True)
    assert refused(each).field == "base_url"


async def test_private_addresses_and_plain_http_pass_with_it():
    each = settings("openai_compatible", base_url="http://10.0.0.5:8000/v1/", allow_private_network=True)
    provider = build(each)
    assert provider.base_target == "/v1"
    await provider.transport.aclose()


@pytest.mark.parametrize(
    ("written", "target"),
    [
        ("https://x.openai.azure.com", "/openai/v1"),
        ("https://x.openai.azure.com/", "/openai/v1"),
        ("https://x.openai.azure.com/openai", "/openai/v1"),
        ("https://x.openai.azure.com/openai/v1", "/openai/v1"),
        ("https://x.openai.azure.com/openai/v1/", "/openai/v1"),
        ("https://gate.azure-api.net/team", "/team/openai/v1"),
    ],
)
async def test_azure_takes_its_base_url_with_or_without_the_path(written, target):
    provider = build(settings("azure", base_url=written))
    assert provider.base_target == target
    assert (b"api-key", KEY.encode()) in provider.credentials[0].headers
    assert not [name for name, _ in provider.credentials[0].headers if name == b"authorization"]
    await provider.transport.aclose()


async def test_bedrock_takes_its_region():
    provider = build(settings("bedrock", region="eu-central-1"))
    assert provider.base_target == "/openai/v1"
    await provider.transport.aclose()


@pytest.mark.parametrize("region", [None, "", "us-east-1.evil.com/", "US", "us east"])
def test_a_region_that_is_missing_or_no_name_is_refused(region):
    assert refused(settings("bedrock", region=region)).field == "region"


async def test_added_headers_are_sent_in_lower_case():
    provider = build(settings(headers=(("OpenAI-Organization", "org-1"), ("User-Agent", "mine"))))
    assert (b"openai-organization", b"org-1") in provider.credentials[0].headers
    assert [value for name, value in provider.credentials[0].headers if name == b"user-agent"] == [b"mine"]
    await provider.transport.aclose()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x-a", "one\r\nx-b: two"),
        ("x a", "1"),
        ("x-a:", "1"),
        ("", "1"),
        ("Authorization", "Bearer other"),
        ("API-Key", "other"),
        ("Host", "evil.example.com"),
        ("Content-Length", "0"),
        ("transfer-encoding", "chunked"),
        ("x-a", "日本"),
    ],
)
def test_a_header_that_frames_or_authenticates_the_request_is_refused(name, value):
    assert refused(settings(headers=((name, value),))).field == "headers"


async def test_own_timeouts_and_the_name_of_the_output_limit_override_the_row():
    own = TimeoutSettings(connect=1, first_event=2, idle=3, total=4)
    provider = build(settings(timeouts=own, max_output_field=None))
    assert provider.timeouts == Timeouts(1, 2, 3, 4)
    assert provider.max_output_field is None
    await provider.transport.aclose()


def test_an_unknown_transport_is_refused():
    assert refused(settings(transport="pigeon")).field == "transport"


async def test_both_transports_build():
    for name in ("lean", "aiohttp"):
        provider = build(settings(transport=name))
        await provider.transport.aclose()


def test_a_certificate_that_is_not_there_is_named(tmp_path):
    path = str(tmp_path / "missing.pem")
    error = refused(settings(tls=UpstreamTlsSettings(ca=path)))
    assert error.field == "tls"
    assert path in error.message


async def test_a_corporate_authority_and_a_client_certificate_are_taken(tmp_path):
    authority = trustme.CA()
    ca, leaf = tmp_path / "ca.pem", tmp_path / "leaf.pem"
    authority.cert_pem.write_to_path(ca)
    authority.issue_cert("client.example.com").private_key_and_cert_chain_pem.write_to_path(leaf)
    provider = build(settings(tls=UpstreamTlsSettings(ca=str(ca), cert=str(leaf))))
    await provider.transport.aclose()
    assert ssl.create_default_context().verify_mode is ssl.CERT_REQUIRED


def test_a_proxy_that_cannot_be_read_is_refused_without_its_password():
    error = refused(settings(), {"https_proxy": "socks5://user:hunter2@proxy:1"})
    assert "proxy" in error.message
    assert "hunter2" not in str(error)


def test_the_sandbox_needs_nothing_and_counts_on_the_meter_given():
    meter = Meter()
    provider = build(settings("sandbox", credential=Secret("")), meter=meter)
    assert isinstance(provider.transport, SandboxTransport)
    assert provider.transport.meter is meter
    assert provider.base_target == "/v1"
