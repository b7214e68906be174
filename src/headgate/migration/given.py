"""One option of the source where it stands, and the ways to read its value.

Values stay the text that was written: a price never passes through a float, and ``os.environ/NAME`` stays a reference.
"""

import re
from decimal import Decimal, InvalidOperation
from typing import Final

from msgspec import Struct

from headgate.settings.document import Mapping, Node, Scalar, Sequence

_ENVIRON: Final = re.compile(r"os\.environ/([A-Za-z_][A-Za-z0-9_]*)")
_PREFIX: Final = "os.environ/"


class Given(Struct, frozen=True):
    """An option with its value."""

    option: str
    """Such as ``general_settings.master_key``."""
    line: int
    """Where its key stands."""
    node: Node

    @property
    def key(self) -> str:
        """The last word of the option's path."""
        return self.option.rpartition(".")[2]

    @property
    def end_line(self) -> int:
        """The last line that belongs to it."""
        return max(self.line, last_line(self.node))

    @property
    def text(self) -> str | None:
        """The text of a single value; ``None`` where there is none or it is a list or a block."""
        node = self.node
        return node.text if isinstance(node, Scalar) and node.kind != "null" else None

    @property
    def texts(self) -> tuple[str, ...] | None:
        """The texts of a list of single values, or of one value alone; ``None`` for anything else."""
        node = self.node
        items = node.items if isinstance(node, Sequence) else (node,)
        texts = [item.text for item in items if isinstance(item, Scalar) and item.kind != "null"]
        return tuple(texts) if len(texts) == len(items) else None

    def members(self) -> tuple["Given", ...]:
        """The options of a block; none where it is not one."""
        return members(self.node, self.option)


def members(node: Node, path: str) -> tuple[Given, ...]:
    """Return the options of a block that stands at ``path``."""
    if not isinstance(node, Mapping):
        return ()
    return tuple(
        Given(f"{path}.{key}" if path else key, entry.line, entry.value) for key, entry in node.entries.items()
    )


def items(given: Given) -> tuple[Given, ...]:
    """Return the items of a list; none where it is not one."""
    node = given.node
    if not isinstance(node, Sequence):
        return ()
    return tuple(Given(f"{given.option}[{number}]", item.line, item) for number, item in enumerate(node.items))


def last_line(node: Node) -> int:
    """Return the last line on which something of ``node`` begins."""
    if isinstance(node, Scalar):
        return node.line
    below = node.items if isinstance(node, Sequence) else [entry.value for entry in node.entries.values()]
    lines = [last_line(each) for each in below]
    if isinstance(node, Mapping):
        lines += [entry.line for entry in node.entries.values()]
    return max([node.line, *lines])


def is_off(node: Node) -> bool:
    """Whether a value says nothing or no: null, false, an empty text, list or block."""
    if isinstance(node, Sequence):
        return not node.items
    if isinstance(node, Mapping):
        return not node.entries
    return node.kind == "null" or not node.text or (node.kind == "bool" and node.text.lower() in ("false", "no", "off"))


def is_reference(text: str) -> bool:
    """Whether ``text`` is ``os.environ/NAME``, LiteLLM's way to name a variable."""
    return text.startswith(_PREFIX)


def reference(text: str) -> str | None:
    """Return ``${NAME}`` for ``os.environ/NAME``; ``None`` for another text, or a name that no variable has."""
    match = _ENVIRON.fullmatch(text)
    return None if match is None else f"${{{match[1]}}}"


def literal(text: str) -> str:
    """Return a text as our files write it: a ``${`` of its own is no variable."""
    return text.replace("${", "$${")


def as_written(text: str) -> str | None:
    """Return a reference as a reference and any other text as itself; ``None`` for a reference that names nothing."""
    return reference(text) if is_reference(text) else literal(text)


def exact(text: str) -> Decimal | None:
    """Return the number that ``text`` writes, exactly; ``None`` where it is none, is negative or has no bound."""
    try:
        number = Decimal(text.replace("_", ""))
    except InvalidOperation:
        return None
    # The bound keeps "1e999999" from being written out digit by digit.
    return number if number.is_finite() and 0 <= number < 10**9 and number.adjusted() > -40 else None


def plain(number: Decimal) -> str:
    """Return a number without exponent and without trailing zeros."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
