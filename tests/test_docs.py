"""Documentation is tested: what it shows parses, what it links to exists, what exists is documented."""

import ast
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
import typer.main
import yaml

from headgate.admin.problem import problem_of
from headgate.cli.commands import app
from headgate.domain.errors import HeadgateError
from headgate.server.foreign import foreign_renderer
from headgate.server.protocol import _refusal_of
from headgate.settings.keys import KEYS
from headgate.settings.load import load_settings, parse_settings
from headgate.settings.model import Settings
from headgate.wire import WIRE_FORMATS

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "bench").glob("*.md")])
CONFIGURATION = ROOT / "docs" / "reference" / "configuration.md"
ERRORS = ROOT / "docs" / "reference" / "errors.md"


class Snippet(NamedTuple):
    """A fenced block of a page."""

    page: Path
    line: int
    language: str
    text: str

    @property
    def name(self) -> str:
        return f"{self.page.relative_to(ROOT).as_posix()}:{self.line}"


class AnyEnvironment(Mapping[str, str]):
    """An environment in which every variable is set, each to a different secret that would pass as a key."""

    def __getitem__(self, name: str) -> str:
        return f"{name}-".ljust(40, "x")

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0

    def __contains__(self, name: object) -> bool:
        return True


def snippets(*languages: str) -> list[Snippet]:
    found: list[Snippet] = []
    for page in PAGES:
        text = page.read_text("utf-8")
        found.extend(
            Snippet(page, text.count("\n", 0, match.start()) + 1, match[1], match[2])
            for match in re.finditer(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
            if match[1] in languages
        )
    return found


def slug(heading: str) -> str:
    """Return the anchor that the usual renderers give a heading."""
    words = re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", heading.strip().lower())
    return re.sub(r"[^\w\- ]", "", words).replace(" ", "-")


def anchors(page: Path) -> set[str]:
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    return {slug(heading) for heading in re.findall(r"^#{1,6} (.*)$", text, re.MULTILINE)}


def headings_with_tables(page: Path) -> dict[str, list[list[str]]]:
    """Return the rows of the table under each heading whose text is code, without the header rows."""
    sections = re.split(r"^## ", page.read_text("utf-8"), flags=re.MULTILINE)[1:]
    tables: dict[str, list[list[str]]] = {}
    for section in sections:
        match = re.match(r"`([^`]+)`\n", section)
        if match:
            lines = [line for line in section.splitlines() if line.startswith("|")][2:]
            tables[match[1]] = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return tables


def subclasses(kind: type[HeadgateError]) -> Iterator[type[HeadgateError]]:
    for below in kind.__subclasses__():
        if below.__module__ == HeadgateError.__module__:
            yield below
            yield from subclasses(below)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```$|`[^`\n]*`", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        leads_to = (page.parent / path).resolve() if path else page
        assert leads_to.exists(), target
        assert not anchor or anchor in anchors(leads_to), target


@pytest.mark.parametrize("page", sorted((ROOT / "docs").rglob("*.md")), ids=lambda page: page.stem)
def test_every_page_can_be_reached_from_the_index(page: Path) -> None:
    index = ROOT / "docs" / "index.md"
    linked = {(index.parent / target).resolve() for target in re.findall(r"\]\(([^)#\s]+)", index.read_text("utf-8"))}

    assert page == index or page in linked


@pytest.mark.parametrize("snippet", snippets("yaml"), ids=lambda snippet: snippet.name)
def test_configuration_snippets_load(snippet: Snippet, tmp_path: Path) -> None:
    text = snippet.text
    for name in set(re.findall(r"/etc/headgate/[a-z.-]+", text)):
        (tmp_path / Path(name).name).write_text("x")
        text = text.replace(name, str(tmp_path / Path(name).name))
    for name in set(re.findall(r"file: ([a-z/]+)\}", text)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("credential\n")

    loaded = parse_settings(text, source=snippet.name, environ=AnyEnvironment(), directory=tmp_path)

    assert loaded.lines


@pytest.mark.parametrize("snippet", snippets("python"), ids=lambda snippet: snippet.name)
def test_python_snippets_parse(snippet: Snippet) -> None:
    assert ast.parse(snippet.text).body


@pytest.mark.parametrize("snippet", snippets("bash", "sh"), ids=lambda snippet: snippet.name)
def test_shell_snippets_parse_and_name_commands_that_exist(snippet: Snippet) -> None:
    parsed = subprocess.run(["bash", "-n"], input=snippet.text, capture_output=True, text=True, check=False)
    assert parsed.returncode == 0, parsed.stderr
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    for target in re.findall(r"^(?:[A-Z_]+=\S+ )*make ([a-z-]+)", snippet.text, re.MULTILINE):
        assert target in targets
    for words in re.findall(r"^(?:\.venv/bin/)?headgate ([^\n|;]*)", snippet.text, re.MULTILINE):
        check_command(words.split("#")[0].split())


def check_command(words: list[str]) -> None:
    """Hold a line of documentation to the command line's own tables: its commands and its options."""
    command = typer.main.get_command(app)
    options: set[str] = set()
    for word in words:
        options |= {option for parameter in command.params for option in parameter.opts}
        inner = getattr(command, "commands", {})
        if word.startswith("--"):
            assert word.partition("=")[0] in options | {"--help"}, f"headgate {' '.join(words)}: {word}"
        elif inner:
            assert word in inner, f"headgate {' '.join(words)}: {word}"
            command = inner[word]


@pytest.mark.parametrize("block", [block for block in KEYS if block])
def test_every_configuration_key_is_documented_and_no_other(block: str) -> None:
    rows = headings_with_tables(CONFIGURATION).get(block, [])

    assert sorted(row[0] for row in rows) == sorted(f"`{key}`" for key in KEYS[block])


def test_every_block_is_documented_and_no_other() -> None:
    assert headings_with_tables(CONFIGURATION).keys() == {block for block in KEYS if block}


@pytest.mark.parametrize("block", ["server", "timeouts", "storage", "prices", "ledger", "keys"])
def test_documented_defaults_are_the_defaults(block: str) -> None:
    rows = headings_with_tables(CONFIGURATION)[block]
    defaults = {row[0].strip("`"): row[2].strip("`") for row in rows if row[2].startswith("`")}
    text = f"{block}:\n" + "".join(f"  {key}: {value}\n" for key, value in defaults.items())

    assert len(defaults) >= 1
    assert parse_settings(text, source="defaults", environ={}, directory=None).settings == Settings()


def test_every_error_code_has_its_anchor_and_status() -> None:
    text = ERRORS.read_text("utf-8")
    documented: dict[str, int] = {}
    status = 0
    for level, heading in re.findall(r"^(##|###) (.*)$", text, re.MULTILINE):
        if level == "##":
            status = int(heading)
        else:
            documented[heading.strip("`")] = status

    assert documented == {kind.code: kind.status for kind in subclasses(HeadgateError)}
    assert documented.keys() <= anchors(ERRORS)


def shapes_of(error: HeadgateError) -> dict[str, bytes]:
    """Every way in which an error leaves the gateway."""
    shapes = {"problem": msgspec.json.encode(problem_of(error, "req_1")), "before a request": _refusal_of(error)}
    for form in WIRE_FORMATS.values():
        shapes[form.name] = form.render_error(error, "req_1")
        shapes[f"{form.name}, in a stream"] = form.render_stream_error(error, "req_1")
    path = "/v1beta/models/x:generateContent"
    render = foreign_renderer(path)
    assert render is not None
    shapes[path] = render(error, "req_1")
    return shapes


@pytest.mark.parametrize("kind", list(subclasses(HeadgateError)), ids=lambda kind: kind.code)
def test_every_error_leads_to_its_anchor_in_every_shape(kind: type[HeadgateError]) -> None:
    for shape, rendered in shapes_of(kind("words")).items():
        (url,) = set(re.findall(rb'"doc_url":"([^"]+)"', rendered))
        page, _, anchor = url.decode().partition("#")
        assert ROOT / f"docs/{page.partition('/docs/')[2]}.md" == ERRORS, shape
        assert anchor == kind.code, shape
        assert anchor in anchors(ERRORS), shape


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.yaml")), ids=lambda path: path.name)
def test_examples_load(path: Path) -> None:
    environ = {name: f"{name}-".ljust(40, "x") for name in re.findall(r"\$\{([A-Z0-9_]+)\}", path.read_text("utf-8"))}

    assert load_settings(str(path), environ).settings.providers


def test_the_commented_example_shows_every_block() -> None:
    text = (ROOT / "examples" / "headgate.yaml").read_text("utf-8")
    shown = set(yaml.safe_load(text)) | set(re.findall(r"^# ([a-z]+):$", text, re.MULTILINE))
    before, marker, organizations = text.partition("# organizations:\n")
    whole = before + marker[2:] + re.sub(r"^# ", "", organizations, flags=re.MULTILINE)

    assert shown == set(KEYS[""])
    assert parse_settings(
        whole, source="example", environ={"ACME_PROD_ML_001": "x" * 32}, directory=None
    ).settings.organizations


def test_the_changelog_has_a_place_for_what_comes_next() -> None:
    assert "\n## [Unreleased]\n" in (ROOT / "CHANGELOG.md").read_text("utf-8")


@pytest.mark.parametrize(("page", "lines"), [("ARCHITECTURE.md", 250), ("CONTRIBUTING.md", 150)])
def test_pages_that_everybody_reads_stay_short(page: str, lines: int) -> None:
    assert (ROOT / page).read_text("utf-8").count("\n") <= lines


def test_every_invariant_names_a_test_that_exists() -> None:
    table = (ROOT / "ARCHITECTURE.md").read_text("utf-8").partition("## Invariants")[2].partition("\n## ")[0]
    rows = [line.strip("|").split(" | ") for line in table.splitlines() if line.startswith("| ")][1:]

    assert len(rows) >= 12
    for row in rows:
        path = ""
        for file, name in re.findall(r"`(tests/[^:`]+|…)(?:::(\w+))?`", row[1]):
            path = path if file == "…" else file
            assert not name or f"def {name}(" in (ROOT / path).read_text("utf-8"), f"{path}::{name}"
        assert path, row
        assert (ROOT / path).is_file(), row
