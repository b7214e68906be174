"""The smallest JSON value that a schema accepts: what the sandbox answers with where an answer must have a shape."""

from typing import Any, Final, cast

_MAX_DEPTH: Final = 16
# A schema of a few hundred bytes can demand a value of gigabytes (each member containing the schema itself).
_MAX_VALUES: Final = 10_000


def smallest_instance(schema: object) -> Any:
    """Return a small value that a JSON schema accepts: required members only, first of an enumeration.

    Knows type, const, enum, properties, items, minLength, minItems, minimum, anyOf, oneOf, allOf and local ``$ref``;
    anything else is ``null``. What lies deeper than 16 levels or beyond ten thousand values is ``null`` too.
    """
    if not isinstance(schema, dict):
        return {}
    root = cast(dict[str, Any], schema)
    return _Instances(root).build(root, 0)


class _Instances:
    """Builds one value, within its bounds."""

    def __init__(self, root: object) -> None:
        self._root = root
        self._left = _MAX_VALUES

    def build(self, schema: object, depth: int) -> Any:
        """Return a value for ``schema``, a part of the root."""
        self._left -= 1
        if not isinstance(schema, dict) or depth > _MAX_DEPTH or self._left < 0:
            return None
        members = cast(dict[str, Any], schema)
        if "const" in members:
            return members["const"]
        if choices := _list(members.get("enum")):
            return choices[0]
        if isinstance(reference := members.get("$ref"), str):
            return self.build(_resolve(reference, self._root), depth + 1)
        for name in ("anyOf", "oneOf", "allOf"):
            if parts := _list(members.get(name)):
                return self.build(parts[0], depth + 1)
        return self._typed(members, depth)

    def _typed(self, members: dict[str, Any], depth: int) -> Any:
        kind = members.get("type", "object" if "properties" in members else None)
        kinds = _list(kind)
        match kinds[0] if kinds else kind:
            case "object":
                known = members.get("properties")
                names = [name for name in _list(members.get("required")) if isinstance(name, str)]
                return {name: self.build(dig(known, name), depth + 1) for name in names if self._left > 0}
            case "array":
                wanted = min(int(_number(members, "minItems")), max(self._left, 0))
                return [self.build(members.get("items"), depth + 1) for _ in range(wanted)]
            case "string":
                return "x" * min(int(_number(members, "minLength")), 4096)
            case "integer":
                return -int(-_number(members, "minimum") // 1)
            case "number":
                return _number(members, "minimum")
            case "boolean":
                return False
            case _:
                return None


def dig(value: object, *names: str) -> Any:
    """Return the member of nested objects that ``names`` lead to, ``None`` where one is missing."""
    for name in names:
        if not isinstance(value, dict):
            return None
        value = cast(dict[str, Any], value).get(name)
    return value


def _resolve(reference: str, root: object) -> object:
    if not reference.startswith("#"):
        return None
    return dig(root, *(step for step in reference[1:].split("/") if step))


def _list(value: object) -> list[Any]:
    return cast(list[Any], value) if isinstance(value, list) else []


def _number(members: dict[str, Any], name: str) -> int | float:
    value = members.get(name)
    return value if isinstance(value, (int, float)) and value > 0 else 0
