"""``headgate usage`` and ``headgate requests``."""

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from headgate.cli.client import GatewayClient
from headgate.cli.output import print_fields, print_json, print_table

_FIGURES: Final = {
    "requests": "requests",
    "errors": "errors",
    "input_tokens": "input",
    "cached_input_tokens": "cached",
    "output_tokens": "output",
    "cost_usd": "cost USD",
    "saved_usd": "saved USD",
}
_DISPENSABLE: Final = ("saved_usd", "cached_input_tokens", "errors")
_REQUEST: Final = {
    "id": "id",
    "started_at": "started",
    "key": "key",
    "model": "model",
    "outcome": "outcome",
    "status": "status",
    "input_tokens": "input",
    "output_tokens": "output",
    "cost_usd": "cost USD",
    "duration_ms": "ms",
}
_OPTIONAL: Final = ("key", "status")


def usage(client: GatewayClient, query: Mapping[str, str | None], *, as_json: bool) -> None:
    """Print the usage report that ``query`` asks for."""
    report = client.get("/usage", **query)
    if as_json:
        print_json(report)
        return
    groups = [group for group in (query.get("group_by") or "").split(",") if group]
    columns = {"interval_start": "from", **{group: group for group in groups}, **_FIGURES}
    empty = "nothing was used in this time"
    if "include_sandbox" not in query:
        empty += "; the sandbox is left out, --sandbox counts it too"
    print_table(report["data"], columns, empty=empty, optional=_DISPENSABLE)


def list_requests(client: GatewayClient, filters: Mapping[str, str | None], limit: int, *, as_json: bool) -> None:
    """Print the newest ``limit`` requests that match."""
    found = client.pages("/requests", limit, **filters)
    if as_json:
        print_json({"data": found})
        return
    rows = [
        {
            **request,
            "input_tokens": request["usage"]["input_tokens"],
            "output_tokens": request["usage"]["output_tokens"],
            "duration_ms": round(request["duration_ms"]),
        }
        for request in found
    ]
    print_table(rows, _REQUEST, empty="no request matches", optional=_OPTIONAL)


def show_request(client: GatewayClient, request_id: str, *, as_json: bool) -> None:
    """Print one request in full."""
    found = client.get(f"/requests/{quote(client.whole_id('/requests', request_id), safe='')}")
    if as_json:
        print_json(found)
    else:
        print_fields(found)
