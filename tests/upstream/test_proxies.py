from base64 import b64encode

import pytest

from headgate.upstream.addresses import Origin
from headgate.upstream.proxies import Proxy, choose_proxy, parse_proxy

API = Origin("https", "api.example.com", 443)
PLAIN = Origin("http", "api.example.com", 8000)
EVERY = {"HTTPS_PROXY": "http://proxy.corp:3128", "HTTP_PROXY": "http://plain.corp:3128"}


def test_each_scheme_has_its_variable() -> None:
    assert choose_proxy(API, EVERY) == Proxy("proxy.corp", 3128)
    assert choose_proxy(PLAIN, EVERY) == Proxy("plain.corp", 3128)
    assert choose_proxy(API, {}) is None


def test_all_proxy_is_used_where_the_scheme_has_none() -> None:
    assert choose_proxy(API, {"all_proxy": "http://any.corp"}) == Proxy("any.corp", 80)
    assert choose_proxy(API, {"ALL_PROXY": "any.corp:99", "HTTP_PROXY": "http://plain.corp"}) == Proxy("any.corp", 99)


def test_lower_case_wins_even_where_it_is_empty() -> None:
    assert choose_proxy(API, {**EVERY, "https_proxy": "http://lower.corp:1"}) == Proxy("lower.corp", 1)
    assert choose_proxy(API, {**EVERY, "https_proxy": ""}) is None


def test_a_cgi_environment_does_not_let_a_client_choose_the_proxy() -> None:
    environ = {"REQUEST_METHOD": "GET", "HTTP_PROXY": "http://evil.example"}
    assert choose_proxy(PLAIN, environ) is None
    assert choose_proxy(PLAIN, {**environ, "http_proxy": "http://own.corp"}) == Proxy("own.corp", 80)


@pytest.mark.parametrize(
    ("no_proxy", "bypassed"),
    [
        ("*", True),
        ("api.example.com", True),
        ("API.example.com", True),
        ("example.com", True),
        (".example.com", True),
        ("*.example.com", True),
        ("example.com.", True),
        ("foo.test, example.com", True),
        ("foo.test example.com", True),
        ("example.com:443", True),
        ("example.com:8443", False),
        ("ample.com", False),
        ("xapi.example.com", False),
        ("10.0.0.0/8", False),
        (".", False),
        ("", False),
    ],
)
def test_no_proxy_matches_names(no_proxy: str, bypassed: bool) -> None:
    assert (choose_proxy(API, {**EVERY, "NO_PROXY": no_proxy}) is None) is bypassed


@pytest.mark.parametrize(
    ("host", "no_proxy", "bypassed"),
    [
        ("10.1.2.3", "10.0.0.0/8", True),
        ("11.1.2.3", "10.0.0.0/8", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3", "10.1.2.3:443", True),
        ("fd00::1", "fd00::/8", True),
        ("fd00::1", "[fd00::1]:443", True),
        ("fd00::1", "[fd00::1]", True),
        ("fd00::1", "[fd00::1]:80", False),
        ("fd00::1", "fd00::1", True),
        ("10.1.2.3", "10.0.0.0/99", False),
    ],
)
def test_no_proxy_matches_addresses_and_networks(host: str, no_proxy: str, bypassed: bool) -> None:
    assert (choose_proxy(Origin("https", host, 443), {**EVERY, "no_proxy": no_proxy}) is None) is bypassed


@pytest.mark.parametrize("host", ["localhost", "a.localhost", "127.0.0.1", "127.9.9.9", "::1"])
def test_this_machine_is_never_proxied(host: str) -> None:
    assert choose_proxy(Origin("http", host, 8000), EVERY) is None


def test_credentials_become_a_header_and_stay_out_of_the_repr() -> None:
    proxy = parse_proxy("http://user:p%40ss@proxy.corp:3128", "HTTPS_PROXY")
    assert proxy.authorization == "Basic " + b64encode(b"user:p@ss").decode()
    assert proxy.authorization.split()[1] not in repr(proxy)


@pytest.mark.parametrize(
    "text", ["socks5://u:hunter2@proxy:1", "https://u:hunter2@proxy", "http://u:hunter2@", "http://u:hunter2@proxy:x"]
)
def test_what_is_no_http_proxy_is_refused_without_repeating_its_password(text: str) -> None:
    with pytest.raises(ValueError, match="https_proxy") as caught:
        choose_proxy(API, {"https_proxy": text})
    assert "hunter2" not in str(caught.value)
