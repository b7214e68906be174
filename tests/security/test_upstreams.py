"""Attacks by way of providers: where we connect, what we take from them. Numbers of the must-withstand list."""

import asyncio
import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes.openai_api import CREDENTIAL, FakeOpenAI
from tests.fakes.openai_faults import NASTY_HEADERS, gzip_bomb
from tests.gateway import ROOT, Gateway, config, events_of, hello


@pytest.mark.parametrize(
    "name",
    [
        "api_base",
        "base_url",
        "api_key",
        "custom_llm_provider",
        "organization",
        "extra_headers",
        "api_version",
        "headers",
    ],
)
def test_item_10_a_routing_field_in_a_body_is_refused(gateway: Gateway, fake: FakeOpenAI, name: str) -> None:
    before = len(fake.exchanges)
    answer = gateway.chat(hello(**{name: "http://169.254.169.254/"}))
    assert (answer.status, answer.code, answer.json["error"]["param"]) == (400, "unsupported_parameter", name)
    assert len(fake.exchanges) == before


def test_item_10_forged_identity_in_metadata_is_refused(gateway: Gateway, fake: FakeOpenAI) -> None:
    before = len(fake.exchanges)
    answer = gateway.chat(hello(metadata={"user_api_key_team_id": "team_of_somebody_else"}))
    assert (answer.status, answer.code) == (400, "unsupported_parameter")
    assert len(fake.exchanges) == before


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/v1",
        "https://169.254.169.254/v1",
        "https://[::ffff:127.0.0.1]/v1",
        "https://[::ffff:169.254.169.254]/v1",
        "https://0x7f.1/v1",
        "https://2130706433/v1",
        "https://0177.0.0.1/v1",
        "https://localhost./v1",
        "https://LOCALHOST/v1",
        "https://metadata.google.internal/v1",
        "https://127.0.0.1/v1",
        "https://10.0.0.8/v1",
        "https://[::1]/v1",
        "https://[fe80::1%25eth0]/v1",
        "https://user:pass@example.com/v1",
        "file:///etc/passwd",
        "gopher://127.0.0.1:6379/_FLUSHALL",
    ],
)
def test_item_11_a_base_url_that_leads_inside_is_refused(tmp_path: Path, url: str) -> None:
    file = tmp_path / "headgate.yaml"
    file.write_text(f'providers: {{evil: {{kind: openai, base_url: "{url}", credential: {CREDENTIAL}}}}}\n')
    done = subprocess.run(
        [sys.executable, "-m", "headgate.cli", "check-config", str(file)],
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "headgate.yaml:1" in done.stderr
    assert "base_url" in done.stderr
    assert CREDENTIAL not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_item_11_metadata_addresses_are_refused_even_where_private_ones_are_allowed() -> None:
    from headgate.upstream.addresses import check_host

    for host in ("169.254.169.254", "metadata.google.internal", "::ffff:169.254.169.254", "0x7f.1"):
        assert check_host(host, allow_private_network=True) is not None, host


async def test_item_12_an_address_that_changes_after_the_check_is_not_connected_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A name that first resolves to a public address and then to loopback: each answer of the resolver is judged, and
    the connection goes to the very address that was."""
    from headgate.upstream.addresses import parse_base_url
    from headgate.upstream.lean import LeanTransport
    from headgate.upstream.options import TransportOptions
    from headgate.upstream.transport import AddressRefusedError, Timeouts, UpstreamFailure, UpstreamRequest

    connected: list[object] = []

    async def on_connection(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.append(writer.get_extra_info("peername"))
        writer.close()

    server = await asyncio.start_server(on_connection, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    answers = iter(["192.88.99.1", "127.0.0.1", "127.0.0.1"])
    loop = asyncio.get_running_loop()

    async def resolve(*_: object, **__: object) -> list[tuple[object, ...]]:
        address = next(answers)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(loop, "getaddrinfo", resolve)
    origin, _ = parse_base_url(f"http://rebinding.example.com:{port}/v1")
    transport = LeanTransport(origin, TransportOptions(allow_private_network=False))
    request = UpstreamRequest("POST", "/v1/chat/completions", (), b"{}", Timeouts(connect=0.3, total=1.0))
    try:
        with pytest.raises(UpstreamFailure):
            await transport.send(request)
        with pytest.raises(AddressRefusedError):
            await transport.send(request)
    finally:
        await transport.aclose()
        server.close()
        await server.wait_closed()
    assert connected == []


@pytest.mark.parametrize("stream", [False, True])
async def test_item_12_a_name_that_leads_inside_is_a_502_at_connect_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    """Through a whole gateway: the name passes the configuration's check, and its address is judged at each connect."""
    import aiohttp

    from headgate.settings.load import load_settings
    from headgate.testing import gateway as whole_gateway
    from tests.gateway import KEY

    with socket.create_server(("127.0.0.1", 0)) as inside:
        inside.setblocking(False)
        port = inside.getsockname()[1]
        file = tmp_path / "headgate.yaml"
        file.write_text(
            f'providers: {{up: {{kind: openai, base_url: "https://rebinding.example.com:{port}/v1", '
            f"credential: {CREDENTIAL}, price: free}}}}\n"
            f'organizations: [{{slug: a, name: A, keys: [{{name: k, models: ["*"], secret: {KEY}}}]}}]\n'
        )
        loop = asyncio.get_running_loop()
        resolve = loop.getaddrinfo

        async def rebound(host: object, *arguments: object, **options: object) -> object:
            if host in ("rebinding.example.com", b"rebinding.example.com"):
                return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]
            return await resolve(host, *arguments, **options)  # type: ignore[arg-type]

        monkeypatch.setattr(loop, "getaddrinfo", rebound)
        async with whole_gateway(load_settings(str(file), {}).settings) as local, aiohttp.ClientSession() as session:
            headers = {"authorization": f"Bearer {KEY}"}
            body = hello(model="up/gpt-4o", stream=stream)
            async with session.post(local.url + "/v1/chat/completions", json=body, headers=headers) as answer:
                assert answer.status == 502
                assert (await answer.json())["error"]["code"] == "upstream_error"
        with pytest.raises(BlockingIOError):
            inside.accept()


@pytest.mark.parametrize("stream", [False, True])
def test_item_13_a_redirect_to_metadata_is_not_followed(gateway: Gateway, fake: FakeOpenAI, stream: bool) -> None:
    before = len(fake.exchanges)
    answer = gateway.chat(hello(model="fault-redirect", stream=stream))
    assert (answer.status, answer.code) == (502, "upstream_error")
    assert b"169.254" not in answer.body
    assert "location" not in answer.headers
    assert len(fake.exchanges) == before + 1


def test_item_14_an_internal_image_url_is_not_fetched_by_us(gateway: Gateway, fake: FakeOpenAI) -> None:
    with socket.create_server(("127.0.0.1", 0)) as internal:
        internal.settimeout(0.5)
        url = f"http://127.0.0.1:{internal.getsockname()[1]}/secret.png"
        parts = [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": url}}]
        answer = gateway.chat(hello(messages=[{"role": "user", "content": parts}]))
        # Passed on as it is: fetching it, or not, is the provider's business.
        assert answer.status == 200
        assert fake.last.json["messages"][0]["content"][1]["image_url"]["url"] == url
        with pytest.raises(TimeoutError):
            internal.accept()


@pytest.mark.parametrize("stream", [False, True])
def test_item_27_a_compression_bomb_from_upstream_is_cut(gateway: Gateway, stream: bool) -> None:
    gzip_bomb(512)
    gateway.chat(hello())
    # A whole answer may be kept up to its own bound of 64 MiB, and once more while it is put together.
    with gateway.holding_no_more_than(160 * 1024 * 1024):
        answer = gateway.chat(hello(model="fault-gzip-bomb-512", stream=stream))
    assert (answer.status, answer.code) == (502, "upstream_error")
    assert gateway.chat(hello()).status == 200


@pytest.mark.parametrize("stream", [False, True])
def test_item_34_only_headers_on_a_list_of_ours_are_relayed(gateway: Gateway, stream: bool) -> None:
    plain = gateway.chat(hello(model="gpt-4o", stream=stream))
    answer = gateway.chat(hello(model="fault-headers", stream=stream))
    assert answer.status == 200
    assert set(answer.headers) == set(plain.headers)
    for name, value in NASTY_HEADERS:
        assert answer.headers.get(name) != value


@pytest.mark.parametrize("fault", ["header-huge", "header-bare-cr", "header-nul"])
def test_item_34_a_head_that_is_not_http_is_a_502(gateway: Gateway, fault: str) -> None:
    answer = gateway.chat(hello(model=f"fault-{fault}"))
    assert (answer.status, answer.code) == (502, "upstream_error")
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422, 429, 500, 503])
def test_item_47_a_credential_echoed_in_an_error_is_redacted(gateway: Gateway, status: int) -> None:
    answer = gateway.chat(hello(model=f"fault-echo-{status}"))
    assert answer.status >= 400
    assert CREDENTIAL.encode() not in answer.body
    assert CREDENTIAL.encode() not in json.dumps(answer.fields).encode()
    assert CREDENTIAL not in gateway.log()


def test_item_47_a_credential_echoed_in_mid_stream_is_redacted(gateway: Gateway) -> None:
    answer = gateway.chat(hello(model="fault-echo-event", stream=True))
    assert answer.status == 200
    assert json.loads(events_of(answer.body)[-1])["error"]["code"] == "upstream_error"
    assert CREDENTIAL.encode() not in answer.body


def test_a_provider_without_leave_for_private_networks_is_not_connected_to(tmp_path: Path) -> None:
    """The same server as elsewhere, without ``allow_private_network``: the start says so."""
    with FakeOpenAI() as fake:
        text = config(fake.url).replace("allow_private_network: true", "allow_private_network: false")
        gateway = Gateway(tmp_path, text)
        with pytest.raises(AssertionError, match="allow_private_network"):
            gateway.start()
        assert fake.exchanges == []
