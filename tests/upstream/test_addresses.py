import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.upstream.addresses import Origin, check_host, normalize_host, parse_base_url, refused_address

NEVER = [
    "169.254.169.254",
    "169.254.170.2",
    "169.254.1.1",
    "fe80::1",
    "fec0::1",
    "fd00:ec2::254",
    "fd20:ce::254",
    "100.100.100.200",
    "192.0.0.192",
    "168.63.129.16",
    "0.0.0.0",
    "0.1.2.3",
    "::",
    "224.0.0.1",
    "ff02::1",
    "240.0.0.1",
    "255.255.255.255",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "2002:a9fe:a9fe::1",
    "::a9fe:a9fe",
    "::ffff:0:a9fe:a9fe",
    "fd00::5efe:a9fe:a9fe",
    "not an address",
]
INSIDE = [
    "127.0.0.1",
    "127.255.0.9",
    "10.0.0.1",
    "172.16.5.4",
    "172.31.255.255",
    "192.168.1.1",
    "100.64.0.1",
    "::1",
    "fc00::1",
    "fd12:3456::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "64:ff9b:1::1",
]
EMBEDDED_INSIDE = ["64:ff9b::7f00:1", "64:ff9b::a00:1", "2002:7f00:1::", "2002:c0a8:101::1"]
OUTSIDE = [
    "8.8.8.8",
    "1.1.1.1",
    "172.32.0.1",
    "104.18.6.192",
    "2606:4700::6812:6c0",
    "2a00:1450:4001:830::200a",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
]


@pytest.mark.parametrize("address", NEVER)
def test_metadata_link_local_and_unusable_addresses_are_refused_even_with_leave(address: str) -> None:
    assert refused_address(address)
    assert refused_address(address, allow_private_network=True)


@pytest.mark.parametrize("address", INSIDE)
def test_private_and_loopback_addresses_need_leave(address: str) -> None:
    assert refused_address(address)
    assert refused_address(address, allow_private_network=True) is None


@pytest.mark.parametrize("address", EMBEDDED_INSIDE)
def test_private_addresses_hidden_in_ipv6_are_refused(address: str) -> None:
    assert refused_address(address)


@pytest.mark.parametrize("address", OUTSIDE)
def test_public_addresses_pass(address: str) -> None:
    assert refused_address(address) is None


def test_a_teredo_address_is_judged_by_its_client() -> None:
    client = int(ipaddress.IPv4Address("169.254.169.254")) ^ 0xFFFFFFFF
    teredo = ipaddress.IPv6Address((0x20010000 << 96) | (int(ipaddress.IPv4Address("8.8.8.8")) << 64) | client)
    assert "169.254.169.254" in (refused_address(teredo, allow_private_network=True) or "")


@given(st.ip_addresses(v=4))
def test_no_ipv6_disguise_lets_a_refused_ipv4_address_pass(address: ipaddress.IPv4Address) -> None:
    number = int(address)
    disguises = (0xFFFF << 32 | number, 0x64FF9B << 96 | number, 0x2002 << 112 | number << 80 | 1)
    for disguise in disguises:
        for leave in (False, True):
            if refused_address(address, allow_private_network=leave):
                assert refused_address(ipaddress.IPv6Address(disguise), allow_private_network=leave)


@given(st.ip_addresses(v=4))
def test_what_passes_without_leave_is_global(address: ipaddress.IPv4Address) -> None:
    if refused_address(address) is None:
        assert address.is_global
        assert not address.is_multicast


@pytest.mark.parametrize(
    "host",
    [
        "0x7f.1",
        "0x7f000001",
        "2130706433",
        "0177.0.0.1",
        "127.1",
        "127.0.1",
        "0",
        "017700000001",
        "1.2.3.4.5",
        "999.1.1.1",
        "0x7f.0.0.0x1",
        "api.example.0x7f",
        "metadata.google.internal",
        "metadata.google.internal.",
        "METADATA.google.INTERNAL",
        "metadata",
        "instance-data",
        "169.254.169.254",
        "169.254.169.254.",
        "[fd00:ec2::254]",
        "１６９.254.169.254",
        "169。254。169。254",
        "fe80::1%eth0",
        "",
        ".",
        "a..b",
        "-x.example.com",
        "exa mple.com",
    ],
)
def test_hosts_that_are_refused_whatever_is_allowed(host: str) -> None:
    assert check_host(host)
    assert check_host(host, allow_private_network=True)


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost.",
        "LOCALHOST",
        "a.localhost",
        "vllm",
        "printer.local",
        "db.internal",
        "x.lan",
        "y.home.arpa",
        "127.0.0.1",
        "[::1]",
        "::ffff:127.0.0.1",
        "10.0.0.1",
        "ⓛocalhost",
    ],
)
def test_hosts_of_the_local_network_need_leave(host: str) -> None:
    assert check_host(host)
    assert check_host(host, allow_private_network=True) is None


@pytest.mark.parametrize("host", ["api.openai.com", "api.openai.com.", "8.8.8.8", "bücher.example", "a_b.example.com"])
def test_public_hosts_pass(host: str) -> None:
    assert check_host(host) is None


@pytest.mark.parametrize(
    ("text", "origin", "path"),
    [
        ("https://api.openai.com/v1", Origin("https", "api.openai.com", 443), "/v1"),
        ("https://api.openai.com/v1/", Origin("https", "api.openai.com", 443), "/v1"),
        ("HTTPS://API.OpenAI.com", Origin("https", "api.openai.com", 443), ""),
        ("http://127.0.0.1:8000/v1", Origin("http", "127.0.0.1", 8000), "/v1"),
        ("http://[::1]:8000", Origin("http", "::1", 8000), ""),
        ("https://bücher.example/", Origin("https", "xn--bcher-kva.example", 443), ""),
        ("https://a.example/openai/v1%20x", Origin("https", "a.example", 443), "/openai/v1%20x"),
    ],
)
def test_a_base_url_becomes_origin_and_path(text: str, origin: Origin, path: str) -> None:
    assert parse_base_url(text) == (origin, path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "api.openai.com",
        "ftp://a.example",
        "file:///etc/passwd",
        "gopher://a.example",
        "https://",
        "https://user:hunter2@a.example",
        "https://@a.example",
        "https://a.example/?x=1",
        "https://a.example/?",
        "https://a.example/#x",
        "https://a.example/a b",
        "https://a.example/\r\nhost: b",
        "https://a.example\\@b.example",
        "https://a.example:0",
        "https://a.example:70000",
        "https://a.example:x",
        "https://a.example/../admin",
        "https://a.example/%2e%2e/admin",
        "https://a.example/ü",
        "https://[fe80::1%25eth0]/",
        "https://[::1",
        " https://a.example",
    ],
)
def test_what_is_no_base_url_is_refused_without_repeating_a_password(text: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_base_url(text)
    assert str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("origin", "authority"),
    [
        (Origin("https", "a.example", 443), "a.example"),
        (Origin("https", "a.example", 8443), "a.example:8443"),
        (Origin("http", "a.example", 80), "a.example"),
        (Origin("http", "::1", 8000), "[::1]:8000"),
    ],
)
def test_the_authority_leaves_the_default_port_out(origin: Origin, authority: str) -> None:
    assert origin.authority == authority


@given(st.text(max_size=40))
def test_no_text_breaks_the_reading_of_hosts_and_urls(text: str) -> None:
    check_host(text)
    try:
        origin, path = parse_base_url("https://" + text)
    except ValueError:
        return
    assert origin.host == normalize_host(origin.host)
    assert path == "" or path.startswith("/")
