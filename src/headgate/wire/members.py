"""Reading a JSON object member by member, so that what nobody read is known at the end and not lost."""

from collections.abc import Mapping
from typing import Final, NoReturn, TypeVar, cast

import msgspec
from msgspec import Raw

from headgate.domain.chat import Extras
from headgate.domain.errors import InvalidRequestError
from headgate.wire.json_body import fail_at, is_null

T = TypeVar("T")

_OBJECT: Final = msgspec.json.Decoder(dict[str, Raw])
_ARRAY: Final = msgspec.json.Decoder(list[Raw])
_TEXT: Final = msgspec.json.Decoder(str)
_TEXTS: Final = msgspec.json.Decoder(list[str])
_INTEGER: Final = msgspec.json.Decoder(int)
_NUMBER: Final = msgspec.json.Decoder(int | float)
_BOOLEAN: Final = msgspec.json.Decoder(bool)
_ENCODE: Final = msgspec.json.Encoder().encode
_NULL_LENGTH: Final = 4


class Members:
    """The members of one object that have not been read yet. Reading takes a member out; a null reads as absent.

    Every method raises `InvalidRequestError` with ``param`` set to the exact field where a value has another type.
    """

    __slots__ = ("_children", "_left", "path")

    def __init__(self, value: Raw | bytes | Mapping[str, Raw], path: str = "") -> None:
        """Open the object ``value``; ``path`` is where it stands, for errors."""
        self.path = path
        self._children: dict[str, Members] | None = None
        if isinstance(value, Mapping):
            self._left = dict(value)
            return
        try:
            self._left = _OBJECT.decode(value)
        except (ValueError, RecursionError) as error:
            fail_at(path or "body", error)

    def __contains__(self, name: str) -> bool:
        return name in self._left

    def at(self, name: str) -> str:
        """Return the full name of a member, as errors have it."""
        return f"{self.path}.{name}" if self.path else name

    def take(self, name: str) -> Raw | None:
        """Take a member's bytes out."""
        value = self._left.pop(name, None)
        return None if value is None or is_null(value) else value

    def put_back(self, name: str, value: Raw) -> None:
        """Undo `take`: the value turned out to be one that the hub does not model."""
        self._left[name] = value

    def text(self, name: str) -> str | None:
        """Take a string."""
        return self._take_as(name, _TEXT) if name in self._left else None

    def integer(self, name: str) -> int | None:
        """Take a whole number."""
        return self._take_as(name, _INTEGER) if name in self._left else None

    def number(self, name: str) -> float | None:
        """Take a number; one that was written whole stays an `int`."""
        return self._take_as(name, _NUMBER) if name in self._left else None

    def boolean(self, name: str) -> bool | None:
        """Take a boolean."""
        return self._take_as(name, _BOOLEAN) if name in self._left else None

    def texts(self, name: str) -> list[str]:
        """Take an array of strings; absent is empty."""
        return self._take_as(name, _TEXTS) or []

    def array(self, name: str) -> list[Raw]:
        """Take an array; absent is empty."""
        return self._take_as(name, _ARRAY) or []

    def object(self, name: str) -> "Members | None":
        """Open an object inside this one; what is left of it belongs to `rest`."""
        value = self.take(name)
        if value is None:
            return None
        child = Members(value, self.at(name))
        if self._children is None:
            self._children = {}
        self._children[name] = child
        return child

    def required_text(self, name: str) -> str:
        """Take a string that must be there."""
        value = self.text(name)
        return self._require(name) if value is None else value

    def required_object(self, name: str) -> "Members":
        """Open an object that must be there."""
        child = self.object(name)
        return self._require(name) if child is None else child

    def rest(self) -> Extras:
        """Return what nobody took, members of opened objects under ``outer/inner``."""
        if not self._left and self._children is None:
            return {}
        rest = {_escape(key): value for key, value in self._left.items()}
        for name, child in (self._children or {}).items():
            for pointer, value in child.rest().items():
                rest[f"{_escape(name)}/{pointer}"] = value
        return rest

    def _take_as(self, name: str, decoder: "msgspec.json.Decoder[T]") -> T | None:
        value = self._left.pop(name, None)
        if value is None or (len(value) == _NULL_LENGTH and is_null(value)):
            return None
        try:
            return decoder.decode(value)
        except (ValueError, RecursionError) as error:
            fail_at(self.at(name), error)

    def _require(self, name: str) -> NoReturn:
        raise InvalidRequestError(f"`{self.at(name)}` is required", param=self.at(name))


def _escape(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


def add_extras(target: dict[str, object], extras: Extras) -> None:
    """Write unread members back where they stood; a slash leads into an object, which is made where it is missing."""
    for pointer, value in extras.items():
        *outer, name = [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")]
        place = target
        for step in outer:
            inner = place.setdefault(step, {})
            assert isinstance(inner, dict), "extras lead into objects that this dialect writes"
            place = cast("dict[str, object]", inner)
        place[name] = value


def to_json(value: object) -> bytes:
    """Encode plain values and `Raw` bytes as JSON."""
    return _ENCODE(value)
