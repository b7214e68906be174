"""``headgate apply``: a file with the desired state of scopes and keys, compared with the gateway's or carried out."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from headgate.cli.client import GatewayClient
from headgate.cli.failure import CommandError
from headgate.cli.output import print_json, print_table
from headgate.settings import document as yaml
from headgate.settings.document import MAX_FILE_BYTES, ConfigurationError
from headgate.settings.values import expand

_COLUMNS: Final = {"action": "action", "kind": "kind", "path": "path", "fields": "fields"}
_TRUE: Final = ("true", "yes", "on")


def apply(client: GatewayClient, file: Path, *, plan: bool, prune: bool, as_json: bool) -> None:
    """Send the desired state in ``file`` to the gateway and print what changed, or would change.

    Raises:
        CommandError: the file cannot be used, or the gateway refuses.
    """
    wanted = read_document(file, os.environ)
    answer = client.send("POST", "/apply", {"document": wanted, "plan": plan, "prune": prune})
    if as_json:
        print_json(answer)
        return
    changes: list[dict[str, Any]] = answer["changes"]
    print_table(changes, _COLUMNS, empty="nothing to change")
    for change in changes:
        if change.get("secret"):
            print(f"The secret of {change['path']}, shown this once: {change['secret']}")
    if plan and changes:
        print("This is a plan; nothing was changed.")


def read_document(file: Path, environ: Mapping[str, str]) -> Any:
    """Read YAML or JSON as plain values; ``${NAME}`` and ``{file: PATH}`` of a secret are filled in here.

    The gateway judges what the values mean: it knows the shapes, and names the field that is wrong.

    Raises:
        CommandError: the file cannot be read, or names a variable or file that does not exist.
    """
    try:
        data = file.read_bytes()
        if len(data) > MAX_FILE_BYTES:
            raise CommandError(f"{file} is larger than {MAX_FILE_BYTES // 1024} KiB")
        return _Reading(file, environ).plain(yaml.parse_document(data.decode("utf-8-sig"), str(file)))
    except OSError as error:
        raise CommandError(f"{error.filename or file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise CommandError(f"{file} is not valid UTF-8") from error
    except ConfigurationError as error:
        raise CommandError(str(error)) from error


class _Reading:
    def __init__(self, file: Path, environ: Mapping[str, str]) -> None:
        self._file = file
        self._environ = environ

    def plain(self, node: yaml.Node) -> Any:
        if isinstance(node, yaml.Scalar):
            return self._scalar(node)
        if isinstance(node, yaml.Sequence):
            return [self.plain(item) for item in node.items]
        return {key: self._member(key, entry.value) for key, entry in node.entries.items()}

    def _member(self, key: str, node: yaml.Node) -> Any:
        value = self.plain(node)
        if key in ("secret", "secret_sha256") and isinstance(node, yaml.Mapping) and list(node.entries) == ["file"]:
            return (self._file.absolute().parent / str(value["file"])).read_text("utf-8").rstrip("\r\n")
        return value

    def _scalar(self, scalar: yaml.Scalar) -> Any:
        match scalar.kind:
            case "null":
                return None
            case "bool":
                return scalar.text.lower() in _TRUE
            case "int" if scalar.text.lstrip("+-").isdecimal():
                return int(scalar.text)
            case _:
                try:
                    return expand(scalar.text, self._environ)
                except ValueError as error:
                    raise ConfigurationError(str(self._file), str(error), line=scalar.line) from error
