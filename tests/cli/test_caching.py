"""What the cache did, and purges, from the command line: a server that keeps what it is sent, and a real gateway."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.gateway import chat, environment, headgate, running, wait_for
from tests.cli.limits_api import KEY, ORGANIZATION, TEAM, LimitsApi

REPORT = {
    "from": "2026-11-18T00:00:00.000Z",
    "to": "2026-11-19T00:00:00.000Z",
    "organization": None,
    "requests": 8,
    "hits_exact": 1,
    "hit_rate": 0.125,
    "hit_rate_eligible": 0.3333,
    "saved_usd": "0.0125",
    "bypass_reasons": [{"reason": "tool_results", "requests": 3}, {"reason": "modality", "requests": 1}],
    "not_kept_reasons": [{"reason": "refusal", "requests": 2}],
    "store": None,
}
PURGED = {"purged": f"{ORGANIZATION} model gpt-4o", "entries": 3, "dry_run": False}
CONFIGURATION = """\
cache: {exact: {ttl: 10m}}
providers: {sandbox: {kind: sandbox}}
models: [{alias: sandbox/*, deployments: [{provider: sandbox}]}]
"""


def asked(api: LimitsApi, answer: str, *arguments: str) -> tuple[int, str]:
    """Run a command on a terminal where somebody types ``answer``; return its exit code and all it showed."""
    controller, terminal = pty.openpty()
    environ = environment({"HEADGATE_URL": api.url, "HEADGATE_ADMIN_TOKEN": "hga_x"})
    try:
        os.write(controller, f"{answer}\n".encode())
        done = subprocess.run(
            [sys.executable, "-m", "headgate.cli", *arguments],
            stdin=terminal,
            capture_output=True,
            text=True,
            cwd=api.directory,
            env=environ,
            timeout=60,
            check=False,
        )
    finally:
        os.close(controller)
        os.close(terminal)
    return done.returncode, done.stdout + done.stderr


def test_the_figures_are_shown_with_the_reasons(api: LimitsApi) -> None:
    api.answers["cache"] = REPORT
    out, _ = api.shown("cache", "stats", "--organization", "acme")
    assert "12.5%" in out
    assert "33.3%" in out
    assert out.index("not looked for, because") < out.index("tool_results") < out.index("refusal")
    assert api.run("cache", "stats", "--from", "2026-11-18T00:00:00Z") == REPORT


def test_a_part_is_named_as_the_gateway_knows_it(api: LimitsApi) -> None:
    api.answers["cache/purge"] = PURGED
    for arguments, part in (
        ((), {}),
        (("--scope", "acme/ml"), {"scope": TEAM}),
        (("--key", f"key_…{KEY[-8:]}"), {"key": KEY}),
        (("--model", "gpt-4o"), {"model": "gpt-4o"}),
        (("--tag", "job=nightly"), {"tag": "job=nightly"}),
        (("--entry", "ce_1"), {"entry": "ce_1"}),
    ):
        assert api.run("cache", "purge", "--organization", "acme", *arguments) == PURGED
        assert api.sent[-1] == ("POST", "cache/purge", {"organization": ORGANIZATION, **part})


def test_a_dry_run_asks_nobody_and_purges_nothing(api: LimitsApi) -> None:
    api.answers["cache/purge"] = {**PURGED, "dry_run": True}
    code, shown = asked(api, "", "cache", "purge", "--organization", "acme", "--model", "gpt-4o", "--dry-run")
    assert code == 0
    assert f"3 answers of {ORGANIZATION} model gpt-4o would be purged" in shown
    assert [body for _, path, body in api.sent if path == "cache/purge"] == [
        {"organization": ORGANIZATION, "model": "gpt-4o", "dry_run": True}
    ]


@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("", 1), ("n", 1)])
def test_on_a_terminal_one_is_asked_first(api: LimitsApi, answer: str, code: int) -> None:
    api.answers["cache/purge"] = PURGED
    ended, shown = asked(api, answer, "cache", "purge", "--organization", "acme")
    assert (ended, f"Purge 3 answers of {ORGANIZATION} model gpt-4o? [y/N]" in shown) == (code, True)
    purges = [body for _, path, body in api.sent if path == "cache/purge"]
    assert purges[0] == {"organization": ORGANIZATION, "dry_run": True}
    assert purges[1:] == ([{"organization": ORGANIZATION}] if code == 0 else [])


def test_who_says_yes_before_is_not_asked(api: LimitsApi) -> None:
    api.answers["cache/purge"] = PURGED
    code, shown = asked(api, "", "cache", "purge", "--organization", "acme", "--yes")
    assert (code, "[y/N]" in shown) == (0, False)


def test_without_a_cache_the_gateway_says_what_is_missing(cli: Callable[..., Any]) -> None:
    assert cli("cache", "stats")["store"] is None
    assert "`cache` block" in cli("cache", "purge", "--organization", "default", code=1)


@pytest.fixture
def caching(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    (tmp_path / "headgate.yaml").write_text(CONFIGURATION)
    with running("serve", "--config", "headgate.yaml", "--port", "0", cwd=tmp_path) as (url, _):
        yield url, tmp_path


def test_a_gateway_with_a_cache_is_asked_and_purged(caching: tuple[str, Path]) -> None:
    url, directory = caching

    def run(*arguments: str) -> Any:
        done = headgate(*arguments, "--json", cwd=directory, environ={"HEADGATE_URL": url})
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def statuses() -> list[str]:
        return [each["cache"]["status"] for each in run("requests", "list")["data"]]

    made = run("keys", "create", "cached", "--scope", "default/default", "--sandbox")
    purge = ("cache", "purge", "--organization", "default", "--key", made["id"])
    assert [chat(url, made["secret"]) for _ in range(2)] == [200, 200]
    wait_for(lambda: statuses() == ["hit-exact", "miss"])
    # What was kept a moment ago is counted once it is on the disk.
    wait_for(lambda: run(*purge, "--dry-run")["entries"] == 1)
    purged = run(*purge)
    assert (purged["purged"].endswith(f" key {made['id']}"), purged["entries"], purged["dry_run"]) == (True, 1, False)
    assert chat(url, made["secret"]) == 200
    wait_for(lambda: statuses() == ["miss", "hit-exact", "miss"])
    found = run("cache", "stats")
    assert (found["requests"], found["hits_exact"], found["misses"], found["stored"]) == (3, 1, 2, 2)
    assert (found["saved_output_tokens"] > 0, found["store"]["errors"]) == (True, 0)
