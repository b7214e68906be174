"""``headgate cache``: what the response cache did, and purging it."""

import sys
from collections.abc import Mapping
from typing import Any, Final

from headgate.cli.client import GatewayClient
from headgate.cli.failure import CommandError
from headgate.cli.keyring import find_scope
from headgate.cli.output import print_fields, print_json, print_table

_REASONS: Final = {"reason": "reason", "requests": "requests"}
_TABLES: Final = {"bypass_reasons": "not looked for, because", "not_kept_reasons": "not kept, because"}


def stats(
    client: GatewayClient, start: str | None, end: str | None, organization: str | None, *, as_json: bool
) -> None:
    """Print what the cache did between two times."""
    organization_id = find_scope(client, organization) if organization else None
    report = client.get("/cache", **{"from": start, "to": end, "organization": organization_id})
    if as_json:
        print_json(report)
        return
    shown = {name: value for name, value in report.items() if name not in _TABLES}
    for name in ("hit_rate", "hit_rate_eligible"):
        shown[name] = f"{report[name]:.1%}"
    print_fields(shown)
    for name, heading in _TABLES.items():
        if report[name]:
            print(f"\n{heading}")
            print_table(report[name], _REASONS, empty="")


def purge(
    client: GatewayClient, organization: str, part: Mapping[str, str], *, dry_run: bool, ask: bool, as_json: bool
) -> None:
    """Purge what an organization keeps, or the ``part`` of it; ask first where there is somebody to be asked.

    Raises:
        CommandError: the gateway refuses, or whoever was asked did not agree.
    """
    body: dict[str, Any] = {"organization": find_scope(client, organization), **part}
    if "scope" in part:
        body["scope"] = find_scope(client, part["scope"])
    if "key" in part:
        body["key"] = client.whole_id("/keys", part["key"])
    found = None
    if dry_run or (ask and sys.stdin.isatty()):
        found = client.send("POST", "/cache/purge", {**body, "dry_run": True})
    if found is not None and not dry_run:
        sys.stderr.write(f"Purge {_words(found)}? [y/N] ")
        sys.stderr.flush()
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise CommandError("nothing was purged")
        found = None
    answer = found or client.send("POST", "/cache/purge", body)
    if as_json:
        print_json(answer)
    else:
        print(f"{_words(answer)} {'would be' if dry_run else 'were'} purged")


def _words(answer: Mapping[str, Any]) -> str:
    return f"{answer['entries']} answers of {answer['purged']}"
