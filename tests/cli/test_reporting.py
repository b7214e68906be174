"""Requests and usage from the command line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.cli.gateway import chat, headgate, wait_for


def test_requests_and_usage_show_what_was_sent(gateway: tuple[str, Path], cli: Callable[..., Any]):
    url, _ = gateway
    made = cli("keys", "create", "reporter", "--scope", "default/default", "--sandbox")
    assert chat(url, made["secret"]) == 200
    (found,) = wait_for(lambda: cli("requests", "list", "--key", made["id"])["data"])
    assert (found["model"], found["outcome"], found["usage"]["output_tokens"]) == ("sandbox/lorem-7", "ok", 7)
    assert cli("requests", "show", found["id"]) == found
    # Reports leave the sandbox out.
    assert cli("usage", "--group-by", "key", "--interval", "total")["data"] == []
    counted = cli("usage", "--group-by", "key", "--interval", "total", "--sandbox")["data"]
    assert [row["output_tokens"] for row in counted if row["key"] == made["id"]] == [7]
    untagged = cli("usage", "--group-by", "tag,key", "--interval", "total", "--sandbox")["data"]
    assert [(row["tag"], row["requests"]) for row in untagged if row["key"] == made["id"]] == [(None, 1)]
    assert cli("requests", "--key", made["id"])["data"] == [found]
    assert cli("requests", "show", f"req_…{found['id'][-8:]}") == found
    assert "no such request" in cli("requests", "show", "req_none", code=1).lower()


def test_tables_are_printed_for_people(gateway: tuple[str, Path]):
    url, directory = gateway
    for command, words in (
        (("keys", "list"), "first-key"),
        (("requests",), "sandbox/"),
        (("usage",), "--sandbox counts it too"),
    ):
        done = headgate(*command, cwd=directory, environ={"HEADGATE_URL": url})
        assert done.returncode == 0, done.stderr
        assert words in done.stdout
