"""Values that fit a JSON schema, and what the text of a request tells a fake to do."""

import json
import re
from typing import Any

PLACE = "Köln"


def example(schema: dict[str, Any], root: dict[str, Any] | None = None) -> Any:
    """The smallest value that fits a schema of the kind that SDKs draw from a model."""
    root = schema if root is None else root
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        return example(root.get("$defs", root.get("definitions", {}))[name], root)
    if "anyOf" in schema:
        return example(schema["anyOf"][0], root)
    kind = schema.get("type")
    if kind == "object":
        return {name: example(part, root) for name, part in schema.get("properties", {}).items()}
    if kind == "array":
        return [example(schema["items"], root)]
    if "enum" in schema:
        return schema["enum"][0]
    return {"string": PLACE, "integer": 7, "number": 0.5, "boolean": True}.get(str(kind))


def arguments(schema: dict[str, Any], index: int) -> dict[str, Any]:
    """Arguments for a tool; the tools of our own scripts get the number of the call among them."""
    if set(schema.get("properties", {})) in (set(), {"place", "call"}):
        return {"place": PLACE, "call": index}
    return example(schema)


def wanted_tools(text: str, names: list[str], *, after_result: bool, forced: str | None, single: bool) -> list[str]:
    """Which tools a fake calls.

    ``next=NAME,NAME`` in the last message names them, also behind a tool's result, so that a conversation can drive a
    loop; ``next=none`` ends it. Otherwise a result is answered with text, ``parallel`` calls every tool and anything
    else the first one.
    """
    if forced is not None:
        return [forced]
    told = re.search(r"next=([\w,-]+)", text)
    if told is not None:
        chosen = [name for name in told[1].split(",") if name in names]
    elif after_result:
        chosen = []
    else:
        chosen = names if "parallel" in text else names[:1]
    return chosen[:1] if single else chosen


def cut_text(pieces: list[str], stops: list[str], limit: int | None) -> tuple[list[str], str | None, bool]:
    """The pieces up to a stop sequence or a limit of pieces; which stop was met, and whether the limit was."""
    text = "".join(pieces)
    found = sorted((text.index(stop), stop) for stop in stops if stop in text)
    if found:
        at, stop = found[0]
        kept: list[str] = []
        for piece in pieces:
            left = at - sum(map(len, kept))
            if left <= 0:
                break
            kept.append(piece[:left])
        if limit is None or len(kept) <= limit:
            return kept, stop, False
    if limit is not None and len(pieces) > limit:
        return pieces[:limit], None, True
    return pieces, None, False


def chop(text: str, size: int) -> list[str]:
    """Text in pieces of a size."""
    return [text[at : at + size] for at in range(0, len(text), size)]


def compact(value: object) -> str:
    """JSON as providers stream it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
