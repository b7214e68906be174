"""A place in the configuration: a node with its path, its file and the ways to read it.

Every failure is a `ConfigurationError` that names the line and the path. Values are converted by the plain functions of
`values`; the names of keys come from `keys`.
"""

import difflib
import json
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, NoReturn, TypeVar

from msgspec import Struct

from headgate.settings import document
from headgate.settings.document import ConfigurationError, Node, Scalar
from headgate.settings.model import Secret
from headgate.settings.values import expand

T = TypeVar("T")

_MAX_SECRET_BYTES: Final = 64 * 1024
_NUMERIC: Final = ("int", "float", "timestamp")
_MOST_LISTED: Final = 20
"""Of what is known an error lists no more: an operator's own names may be thousands."""


class Origin(Struct, frozen=True):
    """Where a configuration comes from."""

    source: str
    """The file's name as the operator gave it."""
    environ: Mapping[str, str]
    directory: Path | None
    """What relative paths in the file start from; ``None`` for a text that may not name files."""


class Place(Struct, frozen=True):
    """A node where it stands."""

    origin: Origin
    path: str
    line: int | None
    """The key's line where there is a key, else the node's; ``None`` outside a file."""
    node: Node

    def fail(self, problem: str) -> NoReturn:
        """Raise the error that says ``problem`` of this place."""
        raise ConfigurationError(self.origin.source, problem, line=self.line, path=self.path)

    def text(self, expected: str) -> str:
        """Return the text of a scalar with its variables expanded. Numbers are their own text, ``no`` is not."""
        node = self.node
        if not isinstance(node, Scalar) or node.kind in ("null", "bool") or not (node.text or node.kind == "str"):
            self.fail(f"expected {expected}, got {self._shown()}")
        if "${" not in node.text:
            return node.text
        try:
            return expand(node.text, self.origin.environ)
        except ValueError as error:
            self.fail(str(error))

    def convert(self, parse: Callable[[str], T], expected: str) -> T:
        """Return what ``parse`` makes of the text; ``expected`` ends with an example."""
        text = self.text(expected)
        try:
            return parse(text)
        except ValueError as error:
            self.fail(f"{error}" if str(error) else f"expected {expected}, got {self._shown()}")

    def truth(self) -> bool:
        """Return ``true`` or ``false``, also out of a variable."""
        node = self.node
        text = node.text if isinstance(node, Scalar) and node.kind == "bool" else ""
        if isinstance(node, Scalar) and "${" in node.text:
            text = self.text("true or false")
        if text.lower() not in ("true", "false"):
            self.fail(f"expected true or false, got {self._shown()}")
        return text.lower() == "true"

    def choice(self, *words: str) -> str:
        """Return one of ``words``."""
        expected = " or ".join(f'"{word}"' for word in words)
        text = self.text(expected)
        if text not in words:
            self.fail(f"expected {expected}, got {self._shown()}{_nearest(text, words)}")
        return text

    def unknown(self, noun: str, word: str, known: tuple[str, ...]) -> NoReturn:
        """Raise the error that there is no ``noun`` called ``word``, with the nearest of those that are ``known``."""
        self.fail(f"there is no {noun} {self._shown()}{_nearest(word, known)}")

    def secret(self, parse: Callable[[str], str], expected: str) -> Secret:
        """Return a secret from the value itself or from ``{file: PATH}``; no failure shows it."""
        if isinstance(self.node, document.Mapping):
            place = self.block(("file",)).require("file", 'such as "secrets/openai"')
            text = place._file_text()
        else:
            place, text = self, self.text(expected)
        try:
            return Secret(parse(text))
        except ValueError as error:
            place.fail(str(error) or f"expected {expected}; the value is not shown because it is a secret")

    def file(self) -> str:
        """Return the absolute path of a readable file, relative ones taken from the configuration's directory."""
        path = self._locate()
        try:
            with path.open("rb"):
                return str(path)
        except (OSError, ValueError) as error:
            self.fail(f"cannot read {path}: {_reason(error)}")

    def block(self, known: tuple[str, ...]) -> "Block":
        """Return this place as a block of keys, having refused every key that is not ``known``."""
        node = self.node
        if isinstance(node, Scalar) and node.kind == "null":
            return Block(self, {})
        if not isinstance(node, document.Mapping):
            self.fail(f"expected a block of keys such as {{{known[0]}: …}}, got {self._shown()}")
        places = self.entries()
        for key, place in places.items():
            if key not in known:
                place.fail("unknown key" + _nearest(key, known))
        return Block(self, places)

    def entries(self) -> dict[str, "Place"]:
        """Return the values of a block whose keys the operator chooses."""
        node = self.node
        if isinstance(node, Scalar) and node.kind == "null":
            return {}
        if not isinstance(node, document.Mapping):
            self.fail(f"expected a block of names with values, got {self._shown()}")
        return {
            key: Place(self.origin, f"{self.path}.{key}" if self.path else key, entry.line, entry.value)
            for key, entry in node.entries.items()
        }

    def items(self, expected: str) -> tuple["Place", ...]:
        """Return the items of a list; ``expected`` says which list, with an example."""
        node = self.node
        if isinstance(node, Scalar) and node.kind == "null":
            return ()
        if not isinstance(node, document.Sequence):
            self.fail(f"expected {expected}, got {self._shown()}")
        return tuple(
            Place(self.origin, f"{self.path}[{number}]", item.line, item) for number, item in enumerate(node.items)
        )

    def written(self) -> str:
        """Return a scalar as the file has it: in an error it shows nothing of the environment."""
        node = self.node
        return node.text[:200] if isinstance(node, Scalar) else ""

    def once(self, seen: dict[str, int | None], name: str, noun: str) -> None:
        """Note in ``seen`` that ``name`` stands here; fail where it stood before."""
        if name in seen:
            self.fail(f'the {noun} "{name}" is given twice; it first stands on line {seen[name]}')
        seen[name] = self.line

    def _file_text(self) -> str:
        path = self._locate()
        try:
            if not stat.S_ISREG(path.stat().st_mode):
                self.fail(f"cannot read {path}: not a regular file")
            data = path.read_bytes()
        except (OSError, ValueError) as error:
            self.fail(f"cannot read {path}: {_reason(error)}")
        if len(data) > _MAX_SECRET_BYTES:
            self.fail(f"{path} is larger than {_MAX_SECRET_BYTES // 1024} KiB; a secret is one short line")
        return data.decode("utf-8", "replace").removesuffix("\n").removesuffix("\r")

    def _locate(self) -> Path:
        text = self.text('a path such as "tls/ca.pem"')
        if self.origin.directory is None:
            self.fail("files cannot be named here")
        if not text or not text.isprintable():
            self.fail('expected a path such as "tls/ca.pem"')
        return (self.origin.directory / text).absolute()

    def _shown(self) -> str:
        """Return the value as the file has it, so that nothing of the environment is ever shown."""
        node = self.node
        if isinstance(node, document.Mapping):
            return "a block of keys"
        if isinstance(node, document.Sequence):
            return "a list"
        if node.kind == "null":
            return "nothing"
        shown = json.dumps(node.text[:60], ensure_ascii=False)
        if node.kind == "bool":
            return f"{node.text} (a truth value; quote it if it is text)"
        return shown


class Block(Struct, frozen=True):
    """A block whose keys are all known."""

    place: Place
    values: dict[str, Place]

    def read(self, key: str, convert: Callable[[Place], T], default: T) -> T:
        """Return the converted value of ``key``, or ``default`` where the key is not there."""
        place = self.values.get(key)
        return default if place is None else convert(place)

    def require(self, key: str, example: str) -> Place:
        """Return the place of ``key``, which must be there; ``example`` goes on from "is missing:"."""
        place = self.values.get(key)
        if place is None:
            self.place.fail(f'the key "{key}" is missing: {example}')
        return place


def _nearest(word: str, known: tuple[str, ...]) -> str:
    """Return ``; did you mean "…"?`` for the nearest known word, or the known ones where none is near."""
    near = difflib.get_close_matches(word[:80], known, n=1, cutoff=0.6)
    if near:
        return f'; did you mean "{near[0]}"?'
    listed = ", ".join(sorted(known)[:_MOST_LISTED])
    more = f" and {len(known) - _MOST_LISTED} more" if len(known) > _MOST_LISTED else ""
    return f"; known here: {listed}{more}" if known else ""


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
