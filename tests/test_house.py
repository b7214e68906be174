"""The rules of the house, as tests: what keeps it a place one wants to live in. CONTRIBUTING.md explains them."""

import ast
import json
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "headgate"
MODULES = sorted(path for path in SOURCE.rglob("*.py") if "__pycache__" not in path.parts)
TEXT_SUFFIXES = {".py", ".md", ".toml", ".txt", ".in", ".yaml", ".yml", ".json", ".c", ".h", ""}
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))

LONGEST_FUNCTION = 80
LONGEST_FILE = 600
# Ratchets: what was too long on the day the rule came. They only ever shrink.
LONG_FUNCTIONS: frozenset[str] = frozenset()
LONG_FILES: frozenset[str] = frozenset()

BANNED_WORDS = {"Manager", "Helper", "Helpers", "Util", "Utils", "Service", "Base", "Common"}
BANNED_FILES = {"utils.py", "util.py", "helpers.py", "common.py", "base.py", "misc.py", "manager.py", "service.py"}

# Files of src without a test file of the same name, each with its reason.
UNMIRRORED: dict[str, str] = {
    "cli/__main__.py": "one line that calls cli:main",
    "domain/access.py": "nouns and enums; every test of identity and control builds them",
    "domain/catalog.py": "nouns; tests/catalog builds and prices them",
    "domain/routing.py": "nouns; tests/routing and tests/pipeline decide by them and tests/records writes them",
    "domain/record.py": "nouns; tests/records writes and reads every field",
    "domain/usage.py": "nouns and one sum, read in tests/wire",
    "ledger/outcomes.py": "nouns; every test of the ledger builds and compares them",
    "ledger/rows.py": "numbers with names, and what they mean; tests/ledger/test_derivation.py spells them out",
    "pipeline/reply.py": "a protocol; tests/server/test_inbound.py tests the implementation over a socket",
    "pipeline/call.py": "two nouns that every request of tests/pipeline goes through",
    "providers/provider.py": "two nouns that every test of providers builds",
    "upstream/transport.py": "a protocol; tests/contract/test_transport.py is the suite that its implementations pass",
    "wire/format.py": "nouns and protocols that tests/wire exercises for each format",
}


def relative(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


def has_mirror(path: Path) -> bool:
    """Tell whether ``src/headgate/a/b.py`` has its ``tests/a/test_b.py`` (or several, ``test_b_….py``)."""
    folder = ROOT / "tests" / path.relative_to(SOURCE).parent
    return (folder / f"test_{path.stem}.py").is_file() or any(folder.glob(f"test_{path.stem}_*.py"))


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), str(path))


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def tracked_files() -> list[Path]:
    """Return the files that a commit would hold: what git tracks and what it would add."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT, capture_output=True, check=False,
    )  # fmt: skip
    if listed.returncode != 0:  # an exported tree without its history
        return [path for path in ROOT.rglob("*") if path.is_file() and not any(p[0] == "." for p in path.parts[1:])]
    return [ROOT / name for name in listed.stdout.decode().split("\0") if name and (ROOT / name).is_file()]


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_every_module_says_what_it_knows(path: Path) -> None:
    assert ast.get_docstring(tree_of(path)), "the module docstring says what the file knows"


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_files_and_functions_are_short(path: Path) -> None:
    lines = path.read_text("utf-8").count("\n")
    long = {
        f"{relative(path)}:{node.name}": (node.end_lineno or 0) - node.lineno + 1
        for node in functions(path)
        if (node.end_lineno or 0) - node.lineno + 1 > LONGEST_FUNCTION
    }

    if "migrations" in path.parts:
        long = {}  # A migration is one list of statements, read once from top to bottom.
    assert lines <= LONGEST_FILE or relative(path) in LONG_FILES, f"{lines} lines"
    assert not long.keys() - LONG_FUNCTIONS, long


def test_the_ratchets_hold_nothing_that_is_gone() -> None:
    there = {f"{relative(path)}:{node.name}" for path in MODULES for node in functions(path)}

    assert there >= LONG_FUNCTIONS
    assert {relative(path) for path in MODULES} >= LONG_FILES


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_names_say_what_a_thing_is(path: Path) -> None:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.ClassDef):
            words = set(re.findall(r"[A-Z][a-z0-9]*", node.name))
            assert not words & BANNED_WORDS, f"class {node.name}"
            bases = {base.id for base in node.bases if isinstance(base, ast.Name)}
            is_error = "Exception" in bases or any(base.endswith("Error") for base in bases)
            if is_error and not node.name.startswith("_"):
                assert node.name.endswith(("Error", "Failure")), f"{node.name} is an error and should end in Error"
    assert path.name not in BANNED_FILES


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_no_module_has_state_of_its_own(path: Path) -> None:
    for node in ast.walk(tree_of(path)):
        assert not isinstance(node, ast.Global), f"line {node.lineno}: global"
    for node in tree_of(path).body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        value = getattr(node, "value", None)
        makes = isinstance(value, ast.Dict | ast.List | ast.Set | ast.DictComp | ast.ListComp | ast.SetComp) or (
            isinstance(value, ast.Call)
            and isinstance(value.func, ast.Name)
            and value.func.id in {"dict", "list", "set", "defaultdict", "deque", "Counter", "OrderedDict", "bytearray"}
        )
        for target in targets:
            if makes and isinstance(target, ast.Name) and not target.id.startswith("__"):
                # A literal table in capitals is a constant by its name; anything else is state.
                assert target.id.strip("_").isupper(), f"line {node.lineno}: {target.id}"


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_nothing_is_left_for_later(path: Path) -> None:
    marks = re.compile(r"\b(TODO|FIXME|XXX|HACK|NotImplementedError)\b")
    found = [line for line in path.read_text("utf-8").splitlines() if marks.search(line)]

    assert not found


@pytest.mark.parametrize(
    "path",
    [path for path in MODULES if path.name != "__init__.py" and "migrations" not in path.parts],
    ids=relative,
)
def test_every_file_has_its_test_file(path: Path) -> None:
    assert has_mirror(path) or relative(path) in UNMIRRORED, (
        f"write tests/{relative(path.with_name(f'test_{path.name}'))}"
    )


def test_every_exemption_is_of_a_file_that_has_no_test_file() -> None:
    there = {relative(path): path for path in MODULES}

    assert not UNMIRRORED.keys() - there.keys()
    assert not [name for name in UNMIRRORED if has_mirror(there[name])]


def test_the_locks_pin_by_hash_and_hold_no_address() -> None:
    sdks = ("anthropic", "instructor", "langchain", "llamaindex", "openai", "pydantic-ai")
    others = ("base", "build", "dev", "fuzz")
    assert [path.stem for path in LOCKS] == [*others, *(f"sdk-{name}" for name in sdks)]
    for path in LOCKS:
        text = path.read_text("utf-8")
        assert "://" not in text, path.name
        assert not re.search(r"^(-|--)", text, re.MULTILINE), f"{path.name} holds an option such as an index"
        pins = re.findall(r"^[a-z0-9].*", text, re.MULTILINE)
        assert pins
        for pin in pins:
            assert re.match(r"[a-z0-9._-]+==[^ ]+ .*\\$", pin), f"{path.name}: {pin}"


def test_the_lock_of_node_packages_pins_by_hash_and_holds_no_address() -> None:
    folder = ROOT / "tests" / "sdk" / "node"
    text = (folder / "package-lock.json").read_text("utf-8")
    packages = json.loads(text)["packages"]

    assert "://" not in text
    assert "omit-lockfile-registry-resolved=true" in (folder / ".npmrc").read_text("utf-8").splitlines()
    assert len(packages) > 1
    for name, package in packages.items():
        assert not name or package["integrity"].startswith("sha512-"), name


def test_the_base_install_stays_small() -> None:
    pins = re.findall(r"^[a-z0-9][^=]*==", (ROOT / "requirements" / "base.txt").read_text("utf-8"), re.MULTILINE)

    assert len(pins) <= 40


def test_what_the_package_needs_is_what_is_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    needed = {re.split(r"[<>=!~\[; ]", line)[0] for line in project["dependencies"]}
    asked = {
        line.split("#")[0].strip()
        for line in (ROOT / "requirements" / "base.in").read_text("utf-8").splitlines()
        if line.split("#")[0].strip()
    }

    assert needed == asked


def test_no_file_names_a_package_registry() -> None:
    # Spelt in two parts, so that this file does not name one either.
    hosts = re.compile(
        "|".join(("py" + r"pi\.org", "python" + r"hosted\.org", "npm" + r"js\.(org|com)", "extra-" + "index-url"))
    )
    guilty = [
        path.relative_to(ROOT).as_posix()
        for path in tracked_files()
        if path.suffix in TEXT_SUFFIXES and hosts.search(path.read_text("utf-8", "replace"))
    ]

    assert not guilty


def test_the_gate_is_make_test_and_runs_from_anywhere() -> None:
    gate = ROOT / ".ci" / "run"
    lines = [line.strip() for line in gate.read_text("utf-8").splitlines()]

    assert lines[0] == "#!/usr/bin/env bash"
    assert "set -euo pipefail" in lines
    assert "make test" in lines
    assert gate.stat().st_mode & 0o111
    subprocess.run(["bash", "-n", str(gate)], check=True)


def test_make_lists_every_target_of_the_contract() -> None:
    listed = subprocess.run(["make", "--silent", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    targets = re.findall(r"^  make ([a-z]+)", listed, re.MULTILINE)

    contract = {"help", "install", "run", "test", "check", "bench", "prove", "fuzz", "build", "lock", "clean"}
    assert set(targets) == contract


def test_one_layers_contract_names_every_room() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    rooms = {room.strip() for line in contracts[0]["layers"] for room in line.split("|")}
    there = {path.name for path in SOURCE.iterdir() if path.is_dir() and (path / "__init__.py").is_file()} | {
        path.stem for path in SOURCE.glob("*.py") if path.stem != "__init__"
    }

    assert len(contracts) == 1
    assert contracts[0]["exhaustive"] is True
    assert there <= rooms


@pytest.mark.parametrize("path", sorted((ROOT / "tests").rglob("test_*.py")), ids=lambda path: path.stem)
def test_every_test_does_something_and_asserts_no_constant(path: Path) -> None:
    for node in functions(path):
        if not node.name.startswith("test_"):
            continue
        inner = list(ast.walk(node))
        assert any(isinstance(each, ast.Assert | ast.Call) for each in inner), node.name
        constant = [each for each in inner if isinstance(each, ast.Assert) and isinstance(each.test, ast.Constant)]
        assert not constant, f"{node.name} asserts a constant"
