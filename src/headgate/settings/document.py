"""A YAML file as a tree that knows its lines, with everything refused that a configuration has no use for.

The tree is built from the parser's events, before anything is constructed: tags, anchors, aliases (a few hundred bytes
of aliases expand to gigabytes), merge keys, duplicate keys and further documents end the reading where they stand.
"""

from collections.abc import Iterator
from typing import Any, Final, cast

import yaml
from msgspec import Struct

MAX_FILE_BYTES: Final = 1024 * 1024
MAX_DEPTH: Final = 32
# libyaml reads a file of the largest size in a tenth of a second; the pure parser takes many seconds.
_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class ConfigurationError(ValueError):
    """A setting that cannot be used; its text names the file, the line and the setting.

    ``source`` is the file's name (or ``environment``), ``line`` counts from 1, ``path`` is such as
    ``providers.openai.base_url``. Any of ``line`` and ``path`` may be missing. ``more`` are further errors that were
    found beside it; each of them is a line of the text.
    """

    def __init__(
        self,
        source: str,
        problem: str,
        *,
        line: int | None = None,
        path: str = "",
        more: "tuple[ConfigurationError, ...]" = (),
    ) -> None:
        """Compose the text from its parts."""
        place = source if line is None else f"{source}:{line}"
        own = ": ".join(part for part in (place, path, problem) if part)
        super().__init__("\n".join((own, *map(str, more))))
        self.source = source
        self.problem = problem
        self.line = line
        self.path = path
        self.more = more


class Scalar(Struct, frozen=True):
    """One plain or quoted value, its text as written (so no decimal ever passes through a float)."""

    line: int
    text: str
    kind: str
    """What YAML 1.1 takes it for: ``str``, ``int``, ``float``, ``bool``, ``null`` or ``timestamp``."""


class Sequence(Struct, frozen=True):
    """A list."""

    line: int
    items: tuple["Node", ...]


class Mapping(Struct, frozen=True):
    """A block of keys."""

    line: int
    entries: dict[str, "Entry"]


Node = Scalar | Sequence | Mapping


class Entry(Struct, frozen=True):
    """One key with its value; ``line`` is the key's."""

    line: int
    value: Node


def parse_document(text: str, source: str) -> Mapping:
    """Return the tree of a YAML text whose top level is a block of keys; an empty text is an empty block.

    Raises:
        ConfigurationError: not YAML, or YAML beyond what a configuration may use.
    """
    try:
        return _Reading(source, text).document()
    except yaml.YAMLError as error:
        line, problem = _describe(error)
        raise ConfigurationError(source, f"not valid YAML: {problem}", line=line) from error
    except (ValueError, OverflowError) as error:
        if isinstance(error, ConfigurationError):
            raise
        # The pure parser lets chr() fail on an escape beyond Unicode, and encoders fail on a lone surrogate.
        raise ConfigurationError(source, f"not valid YAML: {error}") from error


def _describe(error: yaml.YAMLError) -> tuple[int | None, str]:
    """Return the line and the words of what the parser says."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    words = [str(part) for part in (getattr(error, "context", None), getattr(error, "problem", None)) if part]
    line = None if mark is None else int(mark.line) + 1
    return line, ", ".join(words) or str(error).splitlines()[0]


class _Reading:
    """One pass over the events of a text."""

    def __init__(self, source: str, text: str) -> None:
        self._source = source
        self._events = cast("Iterator[Any]", yaml.parse(text, Loader=_LOADER))  # pyright: ignore[reportUnknownMemberType]
        # Tells `on` from "on": the resolver of YAML 1.1 that every SafeLoader has.
        self._resolver = yaml.resolver.Resolver()
        self._depth = 0

    def document(self) -> Mapping:
        root = Mapping(line=1, entries={})
        documents = 0
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise self._error(event, "a second document; the configuration is one document")
            elif isinstance(event, (yaml.ScalarEvent, yaml.CollectionStartEvent, yaml.AliasEvent)):
                root = self._root(event)
        return root

    def _root(self, event: Any) -> Mapping:
        node = self._node(event)
        if isinstance(node, Mapping):
            return node
        if isinstance(node, Scalar) and node.kind == "null":
            return Mapping(line=node.line, entries={})
        raise self._error(event, 'expected keys such as "providers:" at the top level')

    def _node(self, event: Any) -> Node:
        """Return the tree that starts with ``event``, reading on to its end."""
        self._refuse_features(event)
        line = int(event.start_mark.line) + 1
        if isinstance(event, yaml.ScalarEvent):
            return Scalar(line=line, text=self._text(event), kind=self._kind(event))
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._error(event, f"nested deeper than {MAX_DEPTH} levels")
        if isinstance(event, yaml.SequenceStartEvent):
            node: Node = Sequence(line=line, items=tuple(self._items()))
        else:
            node = Mapping(line=line, entries=self._entries())
        self._depth -= 1
        return node

    def _items(self) -> Iterator[Node]:
        for event in self._events:
            if isinstance(event, yaml.SequenceEndEvent):
                return
            yield self._node(event)

    def _entries(self) -> dict[str, Entry]:
        entries: dict[str, Entry] = {}
        for event in self._events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            self._refuse_features(event)
            if not isinstance(event, yaml.ScalarEvent):
                raise self._error(event, "a key is one word, not a list or a block")
            key, line = self._text(event), int(event.start_mark.line) + 1
            if self._kind(event) == "merge":
                raise self._error(event, "merge keys (<<) are not used here; write the keys out")
            if key in entries:
                raise self._error(event, f'the key "{key}" is given twice; it first stands on line {entries[key].line}')
            entries[key] = Entry(line=line, value=self._node(next(self._events)))
        return entries

    def _refuse_features(self, event: Any) -> None:
        if isinstance(event, yaml.AliasEvent):
            raise self._error(event, f"aliases (*{event.anchor}) are not used here; write the value out")
        if event.anchor is not None:
            raise self._error(event, f"anchors (&{event.anchor}) are not used here")
        if event.tag is not None:
            raise self._error(event, f"tags ({event.tag}) are not used here")

    def _text(self, event: Any) -> str:
        text = str(event.value)
        text.encode()  # a lone surrogate cannot be written anywhere: fail here, where the reading is
        return text

    def _kind(self, event: Any) -> str:
        tag = cast("Any", self._resolver).resolve(yaml.ScalarNode, event.value, event.implicit)
        return str(tag).rpartition(":")[2]

    def _error(self, event: Any, problem: str) -> ConfigurationError:
        return ConfigurationError(self._source, problem, line=int(event.start_mark.line) + 1)
