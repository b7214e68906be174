"""``headgate reload``."""

from typing import Any

from headgate.cli.client import GatewayClient
from headgate.cli.output import print_json


def reload(client: GatewayClient, *, as_json: bool) -> None:
    """Have the gateway take up its configuration file, and print what that changed.

    Raises:
        CommandError: the configuration was rejected; the text names the file, the line and the reason.
    """
    answer = client.send("POST", "/configuration/reload")
    if as_json:
        print_json(answer)
        return
    print(f"Revision {answer['revision']} has {answer['source']}")
    for line in _changes(answer):
        print(f"  {line}")
    if answer["needs_restart"]:
        print(f"Changed, but not before the next start: {', '.join(answer['needs_restart'])}")


def _changes(answer: dict[str, Any]) -> list[str]:
    lines = [
        f"{noun} {what}: {', '.join(names)}"
        for noun in ("providers", "models")
        for what, names in answer[noun].items()
        if names
    ]
    if answer["settings"]:
        lines.append(f"settings changed: {', '.join(answer['settings'])}")
    lines += [f"{step['action']} {step['kind']} {step['path']}" for step in answer["organizations"]]
    return lines or ["nothing changed"]
