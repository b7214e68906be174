"""From settings to providers, routes and prices; what did not change stays the same object."""

import asyncio
import gc
import weakref
from pathlib import Path

import pytest
import trustme
from msgspec.structs import replace

from headgate.assembly import Assembly, InvalidProvidersError, Source, unread
from headgate.catalog.book import OVERRIDE_FILE
from headgate.control.reload import Candidate, ConfigurationFile, Names
from headgate.domain.errors import ConfigRejectedError
from headgate.providers.provider import Provider
from headgate.providers.sandbox import Meter
from headgate.settings.load import Loaded, load_settings
from headgate.settings.model import Settings
from headgate.upstream.transport import UpstreamRequest
from tests.upstream.scripted_server import OK, answering, scripted, until

GOOD = """
storage: {{database: "sqlite:///{directory}/headgate.db"}}
providers:
  one: {{kind: openai_compatible, base_url: "http://127.0.0.1:{port}/v1", allow_private_network: true}}
  two: {{kind: openai_compatible, base_url: "http://127.0.0.1:{port}/v1", allow_private_network: true}}
models:
  - {{alias: first, deployments: [{{provider: one, model: m}}]}}
  - {{alias: second, deployments: [{{provider: two, model: m}}]}}
"""


class Place:
    """A configuration file, and what is assembled from it."""

    def __init__(self, directory: Path, port: int = 9) -> None:
        self.directory = directory
        self.path = directory / "headgate.yaml"
        self.text = GOOD.format(directory=directory, port=port)
        self.path.write_text(self.text)
        self.environ: dict[str, str] = {}
        self.loaded = self.read()
        self.source = Source(ConfigurationFile(source=str(self.path), sha256=self.loaded.sha256), self.read)
        self.assembly = Assembly(self.loaded.settings, self.environ, Meter())

    def read(self) -> Loaded:
        return load_settings(str(self.path), self.environ)

    def write(self, *changes: tuple[str, str]) -> None:
        text = self.text
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        self.path.write_text(text)

    def candidate(self) -> Candidate:
        return self.assembly.candidate(self.source)

    async def reload(self) -> Candidate:
        """Take a candidate up, in a thread as the gateway does."""
        made = await asyncio.to_thread(self.candidate)
        await asyncio.to_thread(made.adopt)
        return made

    def rejection(self) -> ConfigRejectedError:
        with pytest.raises(ConfigRejectedError) as caught:
            self.candidate()
        return caught.value

    @property
    def providers(self) -> dict[str, Provider]:
        return dict(self.assembly.current.configured.providers)


@pytest.fixture
async def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def changes(*names: str) -> Names:
    return Names(changed=names)


async def ask(provider: Provider) -> bytes:
    request = UpstreamRequest("POST", "/v1", (), b"{}", provider.timeouts)
    return await (await provider.transport.send(request)).read()


async def test_what_did_not_change_is_the_same_object(place: Place) -> None:
    before = place.providers
    place.write(("model: m}", "model: n}"))
    made = await place.reload()
    assert {name: id(each) for name, each in place.providers.items()} == {
        name: id(each) for name, each in before.items()
    }
    assert (made.providers, made.models) == (Names(), changes("first", "second"))
    assert made.configured.routes.resolve("first").deployments[0].upstream_model == "n"


async def test_what_is_built_anew_is_named(place: Place) -> None:
    before = place.providers
    place.write(
        ("  two: {kind: openai_compatible,", "  three: {kind: openai_compatible, region: eu,"),
        ("provider: two", "provider: three"),
        ("  one: {kind: openai_compatible,", "  one: {kind: openai_compatible, max_connections: 7,"),
    )
    made = await place.reload()
    assert made.providers == Names(added=("three",), changed=("one",), removed=("two",))
    assert made.models == changes("second")
    assert place.providers["one"] is not before["one"]


async def test_nothing_is_in_use_before_it_is_adopted(place: Place) -> None:
    before = place.assembly.current
    place.write(("model: m}", "model: n}"))
    place.candidate()
    assert place.assembly.current is before


async def test_other_default_time_outs_are_other_providers_but_for_those_with_their_own(place: Place) -> None:
    own = ("  one: {", "  one: {timeouts: {idle: 9s}, ")
    place.write(own)
    await place.reload()
    before = place.providers
    place.write(own, ("providers:", "timeouts: {idle: 8s}\nproviders:"))
    made = await place.reload()
    assert (made.providers, made.settings) == (changes("two"), ("timeouts.idle",))
    assert place.providers["one"] is before["one"]
    assert place.providers["two"].timeouts.idle == 8


async def test_a_renewed_certificate_under_the_same_name_is_another_provider(place: Place) -> None:
    trustme.CA().cert_pem.write_to_path(str(place.directory / "ca.pem"))
    tls = ("  one: {", "  one: {tls: {ca: ca.pem}, ")
    place.write(tls)
    await place.reload()
    assert (await place.reload()).providers == Names()
    trustme.CA().cert_pem.write_to_path(str(place.directory / "ca.pem"))
    assert (await place.reload()).providers == changes("one")


async def test_a_secret_file_is_read_again(place: Place) -> None:
    (place.directory / "secret").write_text("first-credential")
    place.write(("  one: {", "  one: {credential: {file: secret}, "))
    await place.reload()
    (place.directory / "secret").write_text("second-credential")
    made = await place.reload()
    assert made.providers == changes("one")
    assert "second-credential" in place.providers["one"].secrets


async def test_a_provider_without_a_credential_is_off_until_it_has_one(place: Place) -> None:
    place.write(("  one: {kind: openai_compatible,", '  one: {kind: openai, credential: "${KEY:-}",'))
    made = await place.reload()
    assert "one" not in made.configured.providers
    assert place.assembly.current.off == {"one": "the provider `one` has no credential"}
    place.environ["KEY"] = "sk-something"
    made = await place.reload()
    assert (list(made.configured.providers), made.providers) == (["one", "two"], changes("one"))


async def test_the_price_book_is_read_once_until_its_file_changes(place: Place) -> None:
    book = place.assembly.current.prices.book
    await place.reload()
    assert place.assembly.current.prices.book is book
    (place.directory / OVERRIDE_FILE).write_text(
        '{"schema": 1, "version": "v", "source": "s", "package_version": "1", "as_of": "2026-01-01", "providers": {}}'
    )
    made = await place.reload()
    assert OVERRIDE_FILE in made.settings
    assert place.assembly.current.prices.book is not book
    place.write(("providers:", 'prices: {multiplier: "2", unpriced: ceiling}\nproviders:'))
    made = await place.reload()
    assert made.settings == ("prices.unpriced", "prices.multiplier")
    assert made.configured.refuse_unpriced is False


async def test_a_table_of_prices_that_cannot_be_read_rejects_all(place: Place) -> None:
    (place.directory / OVERRIDE_FILE).write_text("[]")
    (finding,) = place.rejection().findings
    assert finding.file == str(place.directory / OVERRIDE_FILE)


async def test_every_provider_that_cannot_be_built_is_a_finding_with_its_line(place: Place) -> None:
    place.write(("{kind: openai_compatible,", "{kind: openai_compatibel,"))
    findings = place.rejection().findings
    assert [(each.path, each.line) for each in findings] == [
        ("providers.one.kind", 4),
        ("providers.two.kind", 5),
    ]
    with pytest.raises(InvalidProvidersError) as caught:
        Assembly(place.read().settings, {}, Meter())
    assert [error.provider for error in caught.value.errors] == ["one", "two"]


@pytest.mark.parametrize("content", ["models: [", "modles: []", "", None], ids=["broken", "unknown", "empty", "gone"])
async def test_a_file_that_cannot_be_used_is_one_finding(place: Place, content: str | None) -> None:
    held = place.assembly.current
    if content is None:
        place.path.unlink()
    else:
        place.path.write_text(content)
    if content == "":
        assert place.candidate().models == Names(removed=("first", "second"))
        return
    (finding,) = place.rejection().findings
    assert finding.file == str(place.path)
    assert (finding.line is None) == (content is None)
    assert place.assembly.current is held


async def test_what_needs_a_restart_is_told_and_not_taken_up(place: Place) -> None:
    place.write(
        (f"sqlite:///{place.directory}", "sqlite:////nowhere"), ("providers:", "server: {drain: 1s}\nproviders:")
    )
    made = await place.reload()
    assert made.file.needs_restart == ("server.drain", "storage.database")
    assert place.assembly.current.settings.data_dir == str(place.directory)
    # As long as it differs from what runs, whatever was reloaded in between.
    assert (await place.reload()).file.needs_restart == ("server.drain", "storage.database")


async def test_a_provider_that_is_gone_lets_go_of_its_connections_and_of_its_memory(tmp_path: Path) -> None:
    async with scripted(answering(OK)) as server:
        place = Place(tmp_path, server.port)
        gone, kept = place.providers["one"], place.providers["two"]
        assert await ask(gone) == await ask(kept) == b"hello"
        place.write(("  one: {", "  one: {max_connections: 7, "))
        await place.reload()
        await until(lambda: server.open == 1)
        # Who began with the older snapshot may still send.
        assert await ask(gone) == b"hello"
        await until(lambda: server.open == 1)
        assert await ask(kept) == b"hello"
        assert server.connections == 3
        alive = weakref.ref(gone.transport)
        del gone
        gc.collect()
        assert alive() is None
        await place.assembly.aclose()
        await until(lambda: server.open == 0)


async def test_the_end_closes_what_was_retired_with_requests_on_it(tmp_path: Path) -> None:
    async with scripted(answering(OK[:-2])) as server:
        place = Place(tmp_path, server.port)
        gone = place.providers["one"]
        answer = await gone.transport.send(UpstreamRequest("POST", "/v1", (), b"{}", gone.timeouts))
        place.write(("  one: {", "  one: {max_connections: 7, "))
        await place.reload()
        assert server.open == 1
        await place.assembly.aclose()
        await until(lambda: server.open == 0)
        await answer.aclose()


async def test_organizations_are_given_where_they_differ_from_those_in_use(place: Place) -> None:
    assert (await place.reload()).organizations is None
    place.path.write_text(place.text + "organizations: [{slug: acme, name: Acme}]\n")
    for made in (place.candidate(), await place.reload()):
        assert made.organizations is not None
        assert [each.slug for each in made.organizations] == ["acme"]
    assert (await place.reload()).organizations is None


async def test_settings_of_no_file_stay_as_they_are(place: Place) -> None:
    settings: Settings = place.loaded.settings
    made = place.assembly.candidate(unread(settings))
    assert (made.providers, made.models, made.settings) == (Names(), Names(), ())
    assert made.file == ConfigurationFile(source="defaults", sha256=None)
    assert replace(settings) == place.assembly.current.settings
