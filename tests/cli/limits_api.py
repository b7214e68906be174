"""The part of the admin API that limits are managed by, over real sockets: it keeps what it is sent."""

import json
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.cli.answering import serving
from tests.cli.gateway import headgate

ORGANIZATION = "org_018f3c2ab7d4e1f09a6b5c4d3e2f1a0b"
TEAM = "team_018f3c2ab7d4e1f09a6b5c4d3e2f1a0b"
KEY = "key_018f3c2ab7d4e1f09a6b5c4d3e2f1a0b"
_SCOPES: dict[str, list[dict[str, Any]]] = {
    "organizations": [{"id": ORGANIZATION, "slug": "acme"}],
    "teams": [{"id": TEAM, "slug": "ml"}],
    "keys": [{"id": KEY, "name": "prod"}],
}
_PREFIXES = {"budgets": "bud", "rate-limits": "lim", "keys": "key"}
_NONE: dict[str, dict[str, Any]] = {
    "budgets": {"end_user": None, "model": None, "tag": None, "mode": "enforce", "override": None},
    "rate-limits": dict.fromkeys(("end_user", "model", "tag", "rpm", "tpm", "tph", "tpd", "concurrency"))
    | {"tpm_mode": "smooth", "tph_mode": "strict", "tpd_mode": "strict"},
    "keys": {"secret": "hg_shown_once"},
}


class LimitsApi:
    """What the server has, and how it answers."""

    def __init__(self, url: str, directory: Path) -> None:
        self.url = url
        self.directory = directory
        self.kept: dict[str, dict[str, dict[str, Any]]] = {"budgets": {}, "rate-limits": {}, "keys": {}}
        self.answers: dict[str, Any] = {}
        """Path → what it answers, before all else."""
        self.refused: dict[str, str] = {}
        """Collection → why nothing may be made in it."""
        self.sent: list[tuple[str, str, Any]] = []

    def answer(self, method: str, target: str, body: bytes) -> tuple[int, bytes]:
        path, query = urlsplit(target).path.removeprefix("/admin/v1/"), dict(parse_qsl(urlsplit(target).query))
        given = json.loads(body) if body else None
        self.sent.append((method, path, given))
        status, found = self._found(method, path, query, given)
        return status, b"" if found is None else json.dumps(found).encode()

    def _found(self, method: str, path: str, query: Mapping[str, str], given: Any) -> tuple[int, Any]:
        if path in self.answers:
            return 200, self.answers[path]
        collection, _, item = path.partition("/")
        kept = self.kept.get(collection, {})
        if method == "GET" and not item:
            known = [*_SCOPES.get(collection, ()), *kept.values()]
            wanted = {name: query[name] for name in ("scope_id", "organization_id") if name in query}
            data = [each for each in known if all(each.get(name, value) == value for name, value in wanted.items())]
            return 200, {"data": data, "next_cursor": None}
        if method == "POST" and collection in self.refused:
            return 422, {"detail": self.refused[collection], "param": "amount_usd"}
        if method == "POST":
            made_id = f"{_PREFIXES[collection]}_{len(kept) + 1:032x}"
            kept[made_id] = {"id": made_id, "organization_id": ORGANIZATION, **_NONE[collection], **given}
            return 201, kept[made_id]
        if item not in kept:
            return 404, {"detail": f"There is no such thing as {item}."}
        if method == "DELETE":
            del kept[item]
            return 204, None
        kept[item] = {**kept[item], **given}
        return 200, kept[item]

    def run(self, *arguments: str, code: int = 0) -> Any:
        """Run a command with ``--json``; return its decoded output, or what it said where it fails."""
        done = headgate(*arguments, "--json", cwd=self.directory, environ=self._environ())
        assert done.returncode == code, done.stderr + done.stdout
        return json.loads(done.stdout) if code == 0 else done.stderr

    def shown(self, *arguments: str, code: int = 0) -> tuple[str, str]:
        """Run a command for people; return its output and its errors."""
        done = headgate(*arguments, cwd=self.directory, environ=self._environ())
        assert done.returncode == code, done.stderr + done.stdout
        return done.stdout, done.stderr

    def _environ(self) -> dict[str, str]:
        return {"HEADGATE_URL": self.url, "HEADGATE_ADMIN_TOKEN": "hga_x"}


@contextmanager
def limits_api(directory: Path) -> Generator[LimitsApi]:
    """Serve the API for one test."""
    api = LimitsApi("", directory)
    with serving(api.answer) as (url, _):
        api.url = url
        yield api
