"""The composition root: what a start makes, keeps, and leaves behind when it fails."""

import asyncio
import ssl
import stat
from pathlib import Path

import aiohttp
import pytest
import trustme
from msgspec.structs import replace

from headgate.app import ADMIN_TOKEN_FILE, open_gateway
from headgate.assembly import Source
from headgate.control.provision import FILE_ACTOR
from headgate.control.reload import ConfigurationFile, Names
from headgate.server.listener import bind
from headgate.settings.load import Loaded, default_settings, parse_settings
from headgate.settings.model import Secret, Settings, StorageSettings, TlsSettings
from headgate.storage.engine import open_database
from headgate.storage.lock import DatabaseLockedError

ASK = {"model": "sandbox/echo", "messages": [{"role": "user", "content": "hello"}]}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    chosen = default_settings({}, {})
    return replace(
        chosen,
        server=replace(chosen.server, listen="127.0.0.1:0", drain=2.0),
        storage=StorageSettings(f"sqlite:///{tmp_path}/data/headgate.db"),
        data_dir=str(tmp_path / "data"),
    )


def bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


async def test_a_second_start_finds_what_the_first_one_made(settings: Settings) -> None:
    async with open_gateway(settings, {}) as first:
        assert first.first_key is not None
        secret = first.first_key.secret
    token = (Path(settings.data_dir) / ADMIN_TOKEN_FILE).read_text()
    async with open_gateway(settings, {}) as second, aiohttp.ClientSession() as session:
        assert second.first_key is None
        async with session.post(second.url + "/v1/chat/completions", json=ASK, headers=bearer(secret)) as answer:
            assert answer.status == 200
    assert (Path(settings.data_dir) / ADMIN_TOKEN_FILE).read_text() == token


async def test_what_is_secret_is_readable_by_its_owner_alone(settings: Settings) -> None:
    async with open_gateway(settings, {}):
        for path in [Path(settings.data_dir), *Path(settings.data_dir).iterdir()]:
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


async def test_a_configured_admin_token_is_not_written_down(settings: Settings) -> None:
    server = replace(settings.server, admin_token=Secret("configured-token-0123456789"))
    async with open_gateway(replace(settings, server=server), {}) as running, aiohttp.ClientSession() as session:
        assert not (Path(settings.data_dir) / ADMIN_TOKEN_FILE).exists()
        url = running.url + "/admin/v1/me"
        async with session.get(url, headers=bearer("configured-token-0123456789")) as answer:
            assert answer.status == 200


async def test_a_start_that_fails_lets_go_of_the_database(settings: Settings) -> None:
    taken = bind("127.0.0.1:0")
    taken.listen()
    address = f"127.0.0.1:{taken.getsockname()[1]}"
    with pytest.raises(OSError, match="cannot listen"):
        async with open_gateway(replace(settings, server=replace(settings.server, listen=address)), {}):
            pytest.fail("it started")
    taken.close()
    open_database(settings.storage.database).close()
    # Nor has it made a key whose secret nobody was shown.
    async with open_gateway(settings, {}) as running:
        assert running.first_key is not None


async def test_a_second_gateway_on_the_same_data_is_refused(settings: Settings) -> None:
    async with open_gateway(settings, {}):
        with pytest.raises(DatabaseLockedError):
            async with open_gateway(settings, {}):
                pytest.fail("it started")


async def test_an_admin_listener_of_its_own_takes_administration_off_the_data_plane(settings: Settings) -> None:
    apart = replace(settings, server=replace(settings.server, admin_listen="127.0.0.1:0"))
    async with open_gateway(apart, {}) as running, aiohttp.ClientSession() as session:
        assert running.first_key is not None
        admin = bearer((Path(settings.data_dir) / ADMIN_TOKEN_FILE).read_text().strip())

        async def status(base: str, path: str) -> int:
            async with session.get(base + path, headers=admin) as answer:
                return answer.status

        assert running.url != running.admin_url
        for path in ("/admin/v1/me", "/sandbox/meter"):
            assert await status(running.admin_url, path) == 200
            assert await status(running.url, path) == 404
        assert await status(running.admin_url, "/healthz") == await status(running.url, "/healthz") == 200
        key = bearer(running.first_key.secret)
        async with session.post(running.admin_url + "/v1/chat/completions", json=ASK, headers=key) as answer:
            assert answer.status == 404


async def test_the_listener_speaks_tls(settings: Settings, tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    certificate.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    tls = TlsSettings(cert=str(tmp_path / "cert.pem"), key=str(tmp_path / "key.pem"))
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    async with (
        open_gateway(replace(settings, server=replace(settings.server, tls=tls)), {}) as running,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust)) as session,
    ):
        assert running.url.startswith("https://")
        assert running.first_key is not None
        key = bearer(running.first_key.secret)
        async with session.post(running.url + "/v1/chat/completions", json=ASK, headers=key) as answer:
            assert answer.status == 200


async def test_a_provider_without_a_credential_is_off_and_its_alias_says_so(settings: Settings) -> None:
    text = """
providers:
  openai: {kind: openai, credential: "${OPENAI_API_KEY:-}"}
models:
  - {alias: gpt-4o, deployments: [{provider: openai, model: gpt-4o}]}
"""
    parsed = parse_settings(text, source="test", environ={}, directory=None).settings
    chosen = replace(parsed, server=settings.server, storage=settings.storage, data_dir=settings.data_dir)
    async with open_gateway(chosen, {}) as running, aiohttp.ClientSession() as session:
        assert running.providers_on == ()
        assert running.first_key is not None
        ask = {**ASK, "model": "gpt-4o"}
        key = bearer(running.first_key.secret)
        async with session.post(running.url + "/v1/chat/completions", json=ask, headers=key) as answer:
            error = (await answer.json())["error"]
        assert (answer.status, error["code"]) == (404, "model_not_found")
        assert "no credential" in error["headgate"]["reason"]


async def test_a_reload_reads_the_source_again(settings: Settings) -> None:
    sandbox = settings.models[0]
    named = replace(sandbox, alias="named", deployments=(replace(sandbox.deployments[0], model="echo"),))
    versions = iter([replace(settings, models=(sandbox, named)), settings])
    source = Source(ConfigurationFile(source="test", sha256=None), lambda: Loaded(next(versions), "test", {}))
    async with open_gateway(settings, {}, source=source) as running, aiohttp.ClientSession() as session:
        assert running.first_key is not None
        key = bearer(running.first_key.secret)

        async def status() -> int:
            ask = {**ASK, "model": "named"}
            async with session.post(running.url + "/v1/chat/completions", json=ask, headers=key) as answer:
                return answer.status

        assert await status() == 404
        result = await asyncio.to_thread(running.reloader.reload, FILE_ACTOR)
        assert (result.models.added, await status()) == (("named",), 200)
        result = await asyncio.to_thread(running.reloader.reload, FILE_ACTOR)
        assert (result.models.removed, await status()) == (("named",), 404)


async def test_settings_from_nowhere_stay_as_they_are_when_they_are_reloaded(settings: Settings) -> None:
    async with open_gateway(settings, {}) as running:
        result = await asyncio.to_thread(running.reloader.reload, FILE_ACTOR)
    assert (result.revision, result.source, result.sha256) == (3, "defaults", None)
    assert (result.providers, result.models, result.needs_restart) == (Names(), Names(), ())
