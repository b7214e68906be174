import pytest

from headgate.upstream.addresses import Origin
from headgate.upstream.head import MAX_HEAD_BYTES, PLAIN, Framing, decoded_headers, read_framing, render_head
from headgate.upstream.proxies import Proxy
from headgate.upstream.transport import MalformedHttpError

API = Origin("https", "api.example.com", 443)
PLAIN_API = Origin("http", "::1", 8000)
PROXY = Proxy("proxy.corp", 3128, "Basic dTpw")


def test_a_head_has_host_first_and_no_coding() -> None:
    head = render_head(API, None, "POST", "/v1/chat", ((b"x-a", b"1"), (b"x-a", b"2")))
    assert (
        head == b"POST /v1/chat HTTP/1.1\r\nhost: api.example.com\r\naccept-encoding: identity\r\nx-a: 1\r\nx-a: 2\r\n"
    )


def test_a_proxy_s_credentials_go_with_http_and_never_into_a_tunnel() -> None:
    assert b"proxy-authorization" not in render_head(API, PROXY, "POST", "/", ())
    head = render_head(PLAIN_API, PROXY, "POST", "/x", ())
    assert head.startswith(b"POST http://[::1]:8000/x HTTP/1.1\r\nhost: [::1]:8000\r\n")
    assert b"proxy-authorization: Basic dTpw\r\n" in head


@pytest.mark.parametrize(
    ("status", "headers", "framing"),
    [
        (200, ((b"content-length", b"5"),), Framing(length=5)),
        (200, ((b"transfer-encoding", b"Chunked"),), Framing()),
        (200, (), Framing(until_close=True)),
        (204, (), PLAIN),
        (304, ((b"content-length", b"5"), (b"content-encoding", b"br")), PLAIN),
        (200, ((b"content-length", b"5"), (b"content-encoding", b"GZip")), Framing(length=5, coding="gzip")),
        (200, ((b"content-length", b"5"), (b"content-encoding", b"identity")), Framing(length=5)),
        (
            200,
            ((b"content-length", b"5"), (b"content-encoding", b"gzip"), (b"content-encoding", b"br")),
            Framing(length=5, coding="gzip,br"),
        ),
    ],
)
def test_a_head_says_how_its_body_ends(status: int, headers: tuple[tuple[bytes, bytes], ...], framing: Framing) -> None:
    assert read_framing(status, headers, bodiless=False) == framing


def test_after_head_there_is_no_body_whatever_the_head_says() -> None:
    assert read_framing(200, ((b"content-length", b"5"),), bodiless=True) == PLAIN


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (101, ()),
        (200, ((b"transfer-encoding", b"xchunked"),)),
        (200, ((b"transfer-encoding", b"chunked, chunked"),)),
        (200, ((b"transfer-encoding", b"gzip, chunked"),)),
        (200, ((b"transfer-encoding", b"chunked"), (b"transfer-encoding", b"chunked"))),
        (200, ((b"x", b"a" * MAX_HEAD_BYTES),)),
    ],
)
def test_a_head_that_cannot_be_trusted_is_malformed(status: int, headers: tuple[tuple[bytes, bytes], ...]) -> None:
    with pytest.raises(MalformedHttpError):
        read_framing(status, headers, bodiless=False)


def test_headers_about_the_coded_bytes_vanish_with_the_coding() -> None:
    headers = ((b"content-type", b"a"), (b"content-encoding", b"gzip"), (b"content-length", b"5"))
    assert decoded_headers(headers, Framing(length=5, coding="gzip")) == headers[:1]
    assert decoded_headers(headers, Framing(length=5)) is headers
