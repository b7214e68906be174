"""Single values: what is read, what is refused."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.domain.money import format_usd
from headgate.settings import values
from headgate.settings.values import Address


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("plain", "plain"),
        ("${A}", "1"),
        ("x${A}y${B:-2}", "x1y2"),
        ("${EMPTY:-fallback}", "fallback"),
        ("${EMPTY}", ""),
        ("${UNSET:-}", ""),
        ("$${A}", "${A}"),
        ("$A $ {A}", "$A $ {A}"),
        ("${INNER}", "${A}"),
    ],
)
def test_variables_are_expanded_once(text: str, expanded: str) -> None:
    assert values.expand(text, {"A": "1", "EMPTY": "", "INNER": "${A}"}) == expanded


@pytest.mark.parametrize("text", ["${UNSET}", "${", "${A", "${1A}", "${A:+x}", "${A:-${A}"])
def test_what_is_not_a_variable_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="variable"):
        values.expand(text, {"A1": "1"})


@given(st.text())
def test_text_without_a_brace_is_never_changed(text: str) -> None:
    plain = text.replace("{", "(")
    assert values.expand(plain, {}) == plain


@given(st.text())
def test_an_escaped_text_expands_to_itself(text: str) -> None:
    plain = text.replace("$", "")
    assert values.expand("$${" + plain, {}) == "${" + plain


@pytest.mark.parametrize(("text", "seconds"), [("500ms", 0.5), ("30s", 30), ("1.5s", 1.5), ("2m", 120), ("24h", 86400)])
def test_durations_are_read_as_seconds(text: str, seconds: float) -> None:
    assert values.parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "size"), [("0B", 0), ("1KB", 1000), ("1KiB", 1024), ("32MiB", 33554432), ("1GB", 10**9)]
)
def test_sizes_are_read_as_bytes(text: str, size: int) -> None:
    assert values.parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:4100", Address("127.0.0.1", 4100)),
        ("[::1]:0", Address("::1", 0)),
        ("localhost:65535", Address("localhost", 65535)),
    ],
)
def test_listen_addresses_are_read(text: str, address: Address) -> None:
    assert values.parse_listen(text) == address


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("LOCALHOST", True), ("0.0.0.0", False), ("::", False),
     ("10.0.0.1", False), ("example.com", False), ("localhost.example.com", False)],
)  # fmt: skip
def test_loopback_is_told_from_the_rest(host: str, loopback: bool) -> None:
    assert values.is_loopback(host) is loopback


@pytest.mark.parametrize(
    "url",
    [
        "https://api.example.com/v1",
        "http://8.8.8.8:8080",
        "https://[2606:4700::1111]/openai/v1",
        "https://example.com/accounts/a-b_c/v1",
        "https://12.example.com",
    ],
)
def test_public_base_urls_are_taken(url: str) -> None:
    assert values.parse_base_url(url + "/", allow_private=False) == url


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest",
        "http://[::ffff:127.0.0.1]/v1",
        "http://[2002:7f00:1::]/v1",
        "http://[::]/",
        "http://[fe80::1]/",
        "http://0x7f.1/",
        "http://0x7f000001/",
        "http://2130706433/",
        "http://0177.0.0.1/",
        "http://127.1/",
        "http://127.0.0.1./",
        "http://localhost./",
        "http://a.LOCALHOST/",
        "http://metadata.google.internal/computeMetadata/v1",
        "http://metadata/",
        "http://10.1.2.3/",
        "http://100.64.0.1/",
        "http://224.0.0.1/",
        "http://0/",
    ],
)
def test_private_hosts_are_refused_in_every_notation(url: str) -> None:
    with pytest.raises(ValueError, match="allow_private_network"):
        values.parse_base_url(url, allow_private=False)

    assert values.parse_base_url(url, allow_private=True)


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "gopher://example.com",
        "example.com/v1",
        "https://",
        "https://user:pass@example.com",
        "https://example.com/v1?x=1",
        "https://example.com/#x",
        "https://example.com:0/",
        "https://example.com:99999/",
        "https://example.com/a/../b",
        "https://exa mple.com/",
        "https://example.com/\r\nhost: x",
        "https://ex\\ample.com",
        "https://münchen.example",
    ],
)
def test_other_urls_are_refused_even_where_private_ones_are_allowed(url: str) -> None:
    with pytest.raises(ValueError):
        values.parse_base_url(url, allow_private=True)


@given(st.text(max_size=40) | st.text(alphabet="0123456789abcdefx.:[]", max_size=40))
def test_a_random_host_is_taken_or_refused_with_a_value_error(host: str) -> None:
    try:
        url = values.parse_base_url(f"http://{host}/v1", allow_private=False)
    except ValueError:
        return
    assert url == f"http://{host}/v1"


@given(st.integers(0, 2**32 - 1))
def test_every_notation_of_an_address_is_judged_alike(address: int) -> None:
    parts = [address >> shift & 255 for shift in (24, 16, 8, 0)]
    notations = (
        ".".join(str(part) for part in parts),
        ".".join(hex(part) for part in parts),
        ".".join(f"0{part:o}" for part in parts),
        str(address),
        hex(address),
        f"{parts[0]}.{address & 0xFFFFFF}",
        f"[::ffff:{address >> 16:x}:{address & 0xFFFF:x}]",
    )

    def private(host: str) -> bool:
        try:
            values.parse_base_url(f"http://{host}/", allow_private=False)
        except ValueError:
            return True
        return False

    assert len({private(host) for host in notations}) == 1


_REFUSED: list[tuple[Callable[[str], object], list[str]]] = [
    (values.parse_duration, ["", "30", "s", "-1s", "1d", "1 s", "25h", "1e3s", "١s"]),
    (values.parse_positive_duration, ["0s", "0ms", "x"]),
    (values.parse_size, ["", "32", "-1B", "1.5MiB", "32mb", "1TB"]),
    (values.parse_listen, ["", "4100", ":4100", "::1:4100", "[::x]:1", "127.0.0.1", "h:65536", "h:-1", "a b:1"]),
    (values.parse_network, ["", "10.0.0.1/8", "10.0.0.0/33", "example.com"]),
    (values.parse_database, ["", "sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite:///x/", "sqlite:///x?mode=ro",
                             "postgresql://localhost/x"]),
    (values.parse_header_name, ["", "a b", "a:b", "a\r\n", "Authorization", "API-Key", "host", "Connection", "é"]),
    (values.parse_header_value, ["", " a", "a ", "a\r\nb: c", "\x00", "é"]),
    (values.parse_time_zone, ["", "Mars/Olympus", "../../etc/passwd", "/etc/localtime", "Europe", "\x00", "x" * 300]),
    (values.parse_slug, ["", "A", "a_b", "a" * 64, "é", "a\n"]),
    (values.parse_provider_name, ["", "-a", "_a", "a/b", "A", "a" * 64]),
    (values.parse_region, ["", "eu.west", "EU", "x/y"]),
    (values.parse_key_prefix, ["", "hg", "_", "1_", "hga_", "hgp_", "HG_", "a" * 17 + "_"]),
    (values.parse_provisioned_secret, ["", "a" * 31, "a" * 257, "a" * 31 + " ", "a" * 32 + "\n"]),
    (values.parse_credential, ["a b", "a\n", "é"]),
    (values.parse_admin_token, ["a", "a" * 15, "a" * 257, "a" * 15 + " "]),
    (values.parse_line, ["", " a", "a ", "a\nb", "a" * 201, "\x7f"]),
    (values.parse_path, ["", "a\n", "a?b", "a#b"]),
    (values.parse_email, ["", "a", "@b", "a@", "a@b@c", "a b@c", "a@b c"]),
    (values.parse_alias, ["", "a b", "*/a", "a**", "a\n", "a" * 201, "a[0]*", "a?*"]),
    (values.parse_rate, ["", "-1", "1e3", "nan", "inf", ".5", "5.", "1,5", "1" * 10]),
    (values.parse_amount, ["", "-1", "+-1", "1e3", "nan", "inf", ".5", "5.", "1,5", "1 ", "1\n", "0.0000000001",
                           "9000001", "9000000.000000001", "1" * 41, "٣", "1_0", "0x1"]),
    (values.parse_multiplier, ["", "0", "-1", "nan", "inf", "101", "x"]),
    (values.parse_moment, ["", "2027-01-31", "2027-01-31T00:00:00", "2027-13-01T00:00:00Z", "tomorrow",
                           "2027-W01-1T00:00:00Z"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("parse", "text"),
    [(parse, text) for parse, texts in _REFUSED for text in texts],
    ids=lambda value: getattr(value, "__name__", ascii(value))[:40],
)
def test_what_is_no_such_value_is_refused(parse: Callable[[str], object], text: str) -> None:
    with pytest.raises(ValueError):
        parse(text)


_TAKEN: list[tuple[Callable[[str], object], str, object]] = [
    (values.parse_network, "10.0.0.0/8", "10.0.0.0/8"),
    (values.parse_network, "::1", "::1/128"),
    (values.parse_database, "sqlite:////var/lib/headgate.db", "sqlite:////var/lib/headgate.db"),
    (values.database_directory, "sqlite:///data/headgate.db", "data"),
    (values.database_directory, "sqlite:///headgate.db", "."),
    (values.database_directory, "sqlite:////headgate.db", "/"),
    (values.database_directory, "sqlite:////var/lib/headgate.db", "/var/lib"),
    (values.parse_header_name, "OpenAI-Organization", "openai-organization"),
    (values.parse_time_zone, "Europe/Berlin", "Europe/Berlin"),
    (values.parse_admin_token, "", ""),
    (values.parse_email, "Ada@Example.com", "ada@example.com"),
    (values.parse_alias, "claude-sonnet-4-5[1m]", "claude-sonnet-4-5[1m]"),
    (values.parse_alias, "sandbox/*", "sandbox/*"),
    (values.parse_rate, "2.50", 2_500_000_000),
    (values.parse_rate, "0.0075", 7_500_000),
    (values.parse_amount, "5000", 5_000 * 10**9),
    (values.parse_amount, "0.000000001", 1),
    (values.parse_amount, "+9000000.000000000", 9_000_000 * 10**9),
    (values.parse_moment, "2027-01-31T00:00:00Z", "2027-01-31T00:00:00Z"),
]


@pytest.mark.parametrize(("parse", "text", "value"), _TAKEN)
def test_values_are_taken(parse: Callable[[str], object], text: str, value: object) -> None:
    assert parse(text) == value


@given(st.text(max_size=60), st.sampled_from([parse for parse, _ in _REFUSED]))
def test_random_text_raises_nothing_but_value_errors_that_do_not_repeat_it(
    text: str, parse: Callable[[str], object]
) -> None:
    words = ""
    try:
        parse(f"canary{text}")
    except ValueError as error:
        words = str(error)

    assert "canary" not in words


def test_a_digest_is_read_in_either_case() -> None:
    assert values.parse_secret_sha256("0aF1" * 16) == "0af1" * 16
    with pytest.raises(ValueError):
        values.parse_secret_sha256("0af1" * 15)


@given(st.integers(0, 9_000_000 * 10**9))
def test_an_amount_is_read_exactly(nano_usd: int) -> None:
    assert values.parse_amount(format_usd(nano_usd)) == nano_usd


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("0.5", 0.5), ("1", 1), ("1000000", 1e6), ("0.000001", 1e-6)])
def test_importance_is_a_plain_number(text: str, number: float) -> None:
    assert values.parse_importance(text) == number


@pytest.mark.parametrize("text", ["", "-1", "+1", "1e3", "nan", "inf", ".5", "1000000.1", "9999999", "0.0000001", "٣"])
def test_what_is_no_importance_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^$|must lie between 0 and 1000000"):
        values.parse_importance(text)


@pytest.mark.parametrize(
    ("parse", "good", "bad"),
    [
        (values.parse_jurisdiction, ["eu", "us", "a" * 16], ["", "e", "EU", "a" * 17, "eu1", "eu\n"]),
        (values.parse_credential_name, ["main", "0", "a_b-c", "x" * 32], ["", "Main", "a.b", "a#b", "x" * 33]),
        (values.parse_model_name, ["gpt-4o", "openai/o3", "a/b/c"], ["", "a b", "*", "a/*", "a*b"]),
        (values.parse_pattern, ["a", "*", "bot-*", "*-b-*", "a b"], ["", " a", "a?", "[a]", "a\nb", "x" * 201]),
    ],
)
def test_words_of_routing_are_checked_for_their_shape(
    parse: Callable[[str], str], good: list[str], bad: list[str]
) -> None:
    assert [parse(text) for text in good] == good
    for text in bad:
        with pytest.raises(ValueError, match=r"^$|glob|holds no"):
            parse(text)


def test_a_weight_of_nothing_says_what_to_do_instead() -> None:
    assert values.parse_weight("1000", "remove it") == 1000
    with pytest.raises(ValueError, match="a weight is at least 1; remove it"):
        values.parse_weight("0", "remove it")
    with pytest.raises(ValueError, match="must lie between 1 and 1000"):
        values.parse_weight("1001", "remove it")
