"""File, environment and command line together."""

import hashlib
import time
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from headgate.settings.document import ConfigurationError
from headgate.settings.keys import KEYS
from headgate.settings.load import default_settings, load_settings, parse_settings
from headgate.settings.model import DeploymentSettings, ModelSettings, ProviderSettings, Secret

VENDORS = {"OPENAI_API_KEY": ("openai", "openai"), "OPENAI_KEY": ("openai", "openai"), "GROQ_API_KEY": ("groq", "groq")}
TOKEN = "0123456789abcdef"


def write(directory: Path, text: str) -> str:
    path = directory / "headgate.yaml"
    path.write_text(text)
    return str(path)


def failure(path: str | None, environ: dict[str, str], listen: str | None = None) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(path, environ, listen=listen)
    return str(caught.value)


def test_an_error_reads_file_line_path_and_problem(tmp_path: Path) -> None:
    path = write(tmp_path, "providers:\n  openai:\n    kind: openai\n    credentail: x\n")

    assert failure(path, {}) == f'{path}:4: providers.openai.credentail: unknown key; did you mean "credential"?'


def test_the_digest_is_that_of_the_files_bytes(tmp_path: Path) -> None:
    path = write(tmp_path, "server: {drain: 1s}\n")
    assert load_settings(path, {}).sha256 == hashlib.sha256(Path(path).read_bytes()).hexdigest()
    assert load_settings(None, {}).sha256 is None


def test_an_error_keeps_its_parts() -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_settings("prices:\n  unpriced: maybe", source="f", environ={}, directory=None)

    assert (caught.value.source, caught.value.line, caught.value.path) == ("f", 2, "prices.unpriced")


def test_without_a_file_there_is_the_sandbox_and_every_vendor_with_a_credential() -> None:
    loaded = load_settings(None, {"OPENAI_API_KEY": "sk-1", "OPENAI_KEY": "sk-2", "GROQ_API_KEY": " "}, vendors=VENDORS)

    assert loaded.source == "defaults"
    assert loaded.settings.providers == (
        ProviderSettings(name="sandbox", kind="sandbox"),
        ProviderSettings(name="openai", kind="openai", credential=Secret("sk-1")),
    )
    assert loaded.settings.models == (
        ModelSettings(alias="sandbox/*", deployments=(DeploymentSettings(provider="sandbox", model="*"),)),
    )


def test_a_credential_that_no_header_can_carry_is_refused_without_being_shown() -> None:
    with pytest.raises(ConfigurationError, match="environment: OPENAI_API_KEY: expected visible ASCII") as caught:
        default_settings({"OPENAI_API_KEY": "canary\r\nx"}, VENDORS)

    assert "canary" not in str(caught.value)


def test_line_of_finds_a_setting_or_the_block_that_would_hold_it() -> None:
    providers = "providers:\n  a:\n    kind: openai\n"
    models = "models:\n  - alias: x\n    deployments:\n      - provider: a\n        model: m\n"
    loaded = parse_settings(providers + models, source="f", environ={}, directory=None)

    assert loaded.line_of("providers.a.kind") == 3
    assert loaded.line_of("providers.a.base_url") == 2
    assert loaded.line_of("models[0].deployments[0].model") == 8
    assert loaded.line_of("models[0].deployments[1]") == 6
    assert loaded.line_of("server.listen") is None
    assert str(loaded.error("providers.a.kind", "no such kind")) == "f:3: providers.a.kind: no such kind"


def test_the_command_line_wins_over_the_environment_and_the_environment_over_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, f"server: {{listen: '127.0.0.1:1', admin_token: {TOKEN}}}")
    environ = {"HEADGATE_LISTEN": "127.0.0.1:2", "HEADGATE_ADMIN_TOKEN": TOKEN[::-1]}

    assert load_settings(path, {}).settings.server.listen == "127.0.0.1:1"
    assert load_settings(path, environ).settings.server.listen == "127.0.0.1:2"
    assert load_settings(path, environ).settings.server.admin_token == Secret(TOKEN[::-1])
    assert load_settings(path, environ, listen="127.0.0.1:3").settings.server.listen == "127.0.0.1:3"


def test_the_data_directory_moves_the_database_unless_the_file_names_one(tmp_path: Path) -> None:
    environ = {"HEADGATE_DATA_DIR": "/var/lib/headgate/"}
    moved = load_settings(None, environ).settings
    kept = load_settings(write(tmp_path, "storage: {database: 'sqlite:///x/y.db'}"), environ).settings

    assert (moved.data_dir, moved.storage.database) == ("/var/lib/headgate/", "sqlite:////var/lib/headgate/headgate.db")
    assert (kept.data_dir, kept.storage.database) == ("/var/lib/headgate/", "sqlite:///x/y.db")


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"HEADGATE_LISTEN": "4100"}, 'environment: HEADGATE_LISTEN: expected HOST:PORT such as "127.0.0.1:4100"'),
        ({"HEADGATE_ADMIN_TOKEN": "canary"}, "environment: HEADGATE_ADMIN_TOKEN: an admin token has 16 to 256"),
        ({"HEADGATE_DATA_DIR": "a?b"}, "environment: HEADGATE_DATA_DIR: expected a directory"),
    ],
)
def test_a_bad_variable_is_named(environ: dict[str, str], words: str) -> None:
    answer = failure(None, environ)

    assert answer.startswith(words)
    assert "canary" not in answer


@pytest.mark.parametrize("listen", ["0.0.0.0:4100", "[::]:4100", "10.0.0.1:4100", "gateway.example:4100"])
def test_listening_beyond_loopback_needs_an_admin_token(tmp_path: Path, listen: str) -> None:
    path = write(tmp_path, f"\nserver:\n  listen: '{listen}'\n")

    assert failure(path, {}).startswith(f"{path}:3: server.listen: {listen} can be reached from other machines")
    assert load_settings(path, {"HEADGATE_ADMIN_TOKEN": TOKEN}).settings.server.listen == listen
    assert "server.listen" in failure(None, {}, listen)


def test_an_admin_listener_beyond_loopback_needs_an_admin_token_too(tmp_path: Path) -> None:
    path = write(tmp_path, "server: {admin_listen: '0.0.0.0:4101'}")

    assert "server.admin_listen: 0.0.0.0:4101 can be reached" in failure(path, {})


def test_files_that_cannot_be_read_say_why(tmp_path: Path) -> None:
    latin = tmp_path / "latin.yaml"
    latin.write_bytes(b"server: {}\n# \xe9\n")
    large = tmp_path / "large.yaml"
    large.write_bytes(b"#" * (1024 * 1024 + 1))

    assert failure(str(tmp_path / "none.yaml"), {}).endswith("cannot be read: No such file or directory")
    assert failure(str(tmp_path), {}).endswith("cannot be read: Is a directory")
    assert failure(str(latin), {}) == f"{latin}:2: not valid UTF-8"
    assert failure(str(large), {}) == f"{large}: larger than 1024 KiB"
    assert failure("a\0b", {}).endswith("cannot be read: embedded null byte")


def test_a_text_from_elsewhere_may_name_no_file() -> None:
    with pytest.raises(ConfigurationError, match="files cannot be named here"):
        parse_settings("server: {admin_token: {file: /etc/passwd}}", source="upload", environ={}, directory=None)


def test_a_byte_order_mark_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / "bom.yaml"
    path.write_bytes("keys: {prefix: x_}".encode("utf-8-sig"))

    assert load_settings(str(path), {}).settings.keys.prefix == "x_"


def test_the_largest_file_is_read_in_seconds() -> None:
    line = "  - {{alias: a{}, deployments: [{{provider: s, model: m}}]}}\n"
    count = 1024 * 1024 // len(line.format(10000)) - 2
    text = "providers: {s: {kind: sandbox}}\nmodels:\n" + "".join(line.format(number) for number in range(count))
    started = time.perf_counter()

    assert len(parse_settings(text, source="f", environ={}, directory=None).settings.models) == count
    assert time.perf_counter() - started < 20


_VALUES = ["sandbox", "free", "30s", "1MiB", "127.0.0.1:1", "${A}", "${B:-x}", "${", "*", "a/*", "acme", "0", "-1"]
_WORDS = st.sampled_from(sorted({key for block in KEYS.values() for key in block}) + _VALUES)
_SCALARS = _WORDS | st.text(max_size=6) | st.integers() | st.floats() | st.booleans() | st.none()
_BLOCKS = st.recursive(
    _SCALARS, lambda below: st.lists(below, max_size=3) | st.dictionaries(_WORDS, below, max_size=5), max_leaves=20
)


@st.composite
def _shaped(draw: st.DrawFn, path: str = "", depth: int = 0) -> object:
    """Return a block with right keys at ``path`` and wild values, so that the readers below are reached."""
    block: dict[str, object] = {}
    for key in draw(st.lists(st.sampled_from(KEYS[path]), unique=True, max_size=5)):
        below = f"{path}.{key}" if path else key
        if draw(st.booleans()) or depth > 4:
            block[key] = draw(_SCALARS)
        elif below in KEYS:
            block[key] = draw(_shaped(below, depth + 1))
        elif f"{below}[]" in KEYS:
            block[key] = draw(st.lists(_shaped(f"{below}[]", depth + 1), max_size=2))
        elif f"{below}.*" in KEYS:
            block[key] = draw(st.dictionaries(_WORDS, _shaped(f"{below}.*", depth + 1), max_size=2))
        else:
            block[key] = draw(_BLOCKS)
    return block


@given(_BLOCKS | _shaped())
def test_random_trees_raise_nothing_but_configuration_errors(tree: object) -> None:
    text = yaml.safe_dump(tree, allow_unicode=True)
    try:
        loaded = parse_settings(text, source="f", environ={"A": "a"}, directory=None)
    except ConfigurationError:
        return
    assert loaded.settings.server.max_body >= 1024


@given(st.binary(max_size=200))
def test_random_bytes_are_a_mapping_of_blocks_or_a_configuration_error(data: bytes) -> None:
    try:
        loaded = parse_settings(data.decode("latin-1"), source="f", environ={}, directory=None)
    except ConfigurationError:
        return
    assert loaded.lines.keys() <= set(KEYS[""])
